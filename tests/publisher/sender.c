#include "publisher.h"
#include "steno/base/clock.h"

#include <string.h>

#define EXTENSIONS_MAX                                                                                                 \
    16 /* bytes of a one-byte header extension (RFC 8285): mid, abs-send-time, transport-wide seq                      \
        */
#define REPORT_INTERVAL_US G_USEC_PER_SEC

static void put16(guint8 *out, guint value)
{
    out[0] = (guint8)(value >> 8);
    out[1] = (guint8)value;
}

static void put32(guint8 *out, guint32 value)
{
    put16(out, value >> 16);
    put16(out + 2, value & 0xffff);
}

static guint32 get32(const guint8 *in)
{
    return (guint32)in[0] << 24 | (guint32)in[1] << 16 | (guint32)in[2] << 8 | in[3];
}

Track *participant_add_track(Participant *participant, const Clip *clip, gboolean video)
{
    Track *track = &participant->tracks[participant->n_tracks];

    track->clip = clip;
    track->kind = video ? "video" : "audio";
    track->mid = (char)('0' + participant->n_tracks++);
    track->ssrc = g_random_int() | 1;
    track->rtx_ssrc = track->ssrc + 1;
    track->ts_base = g_random_int();
    track->seq = (guint16)g_random_int();
    track->rtx_seq = (guint16)g_random_int();
    participant->period_us = MAX(participant->period_us, clip->duration_us);
    return track;
}

void participant_start(Participant *participant, gint64 mono_us, gint64 delay_us)
{
    delay_us += participant->phase_us;
    participant->start_mono_us = mono_us + delay_us;
    participant->start_wall_us = steno_clock_wall_us() + delay_us;
    participant->next_report_us = participant->start_mono_us;
}

/* ---- RTP --------------------------------------------------------------------------------------------------------- */

static gsize put_extensions(const Track *track, const SentPacket *sent, guint8 *out)
{
    guint8 *cursor = out + 4;

    if (!track->mid_extension && !track->send_time_extension && !track->transport_cc_extension)
        return 0;
    if (track->mid_extension) {
        *cursor++ = (guint8)(track->mid_extension << 4);
        *cursor++ = (guint8)track->mid;
    }
    if (track->send_time_extension) {
        *cursor++ = (guint8)(track->send_time_extension << 4 | 2);
        *cursor++ = (guint8)(sent->send_time >> 16);
        put16(cursor, sent->send_time & 0xffff);
        cursor += 2;
    }
    if (track->transport_cc_extension) {
        *cursor++ = (guint8)(track->transport_cc_extension << 4 | 1);
        put16(cursor, sent->transport_seq);
        cursor += 2;
    }
    while ((cursor - out) % 4 != 0)
        *cursor++ = 0;
    put16(out, 0xbede);
    put16(out + 2, (guint)(cursor - out) / 4 - 1);
    return (gsize)(cursor - out);
}

/* The packet of a history entry, the same bytes each time; as RTX (RFC 4588) when rtx. Returns its length. */
static gsize build(Track *track, const SentPacket *sent, gboolean rtx, guint8 *out)
{
    const ClipPacket *packet = &g_array_index(track->clip->packets, ClipPacket, sent->packet);
    gsize bytes = 12;

    out[1] = (guint8)((packet->marker ? 0x80 : 0) | (rtx ? track->rtx_payload_type : track->payload_type));
    put16(out + 2, rtx ? track->rtx_seq++ : sent->seq);
    put32(out + 4, sent->rtp_ts);
    put32(out + 8, rtx ? track->rtx_ssrc : track->ssrc);
    gsize extensions = put_extensions(track, sent, out + bytes);
    out[0] = (guint8)(0x80 | (extensions ? 0x10 : 0));
    bytes += extensions;
    if (rtx) {
        put16(out + bytes, sent->seq);
        bytes += 2;
    }
    memcpy(out + bytes, track->clip->payloads->data + packet->offset, packet->bytes);
    return bytes + packet->bytes;
}

static guint32 send_time(gint64 mono_us)
{
    return (guint32)(mono_us * 262144 / G_USEC_PER_SEC) & 0xffffff;
}

static void send_frame(Participant *participant, Track *track, const ClipFrame *frame, guint32 rtp_ts, gint64 mono_us)
{
    guint8 buffer[STENO_PACKET_MAX_BYTES];

    for (guint32 i = 0; i < frame->n_packets; i++) {
        SentPacket *sent = &track->history[track->seq % HISTORY_PACKETS];
        sent->seq = track->seq++;
        sent->transport_seq = participant->transport_seq++;
        sent->send_time = send_time(mono_us);
        sent->rtp_ts = rtp_ts;
        sent->packet = frame->first_packet + i;
        sent->used = TRUE;
        gsize bytes = build(track, sent, FALSE, buffer);
        participant->send(participant, (guint)(track - participant->tracks), FALSE, buffer, bytes);
        track->packets++;
        track->bytes += bytes;
    }
}

static gboolean is_muted(const Track *track, gint64 elapsed_us)
{
    return elapsed_us >= track->mute_from_us && elapsed_us < track->mute_to_us;
}

/* Sends the track's frames up to now. FALSE when the clip is over. */
static gboolean track_tick(Participant *participant, Track *track, gint64 mono_us)
{
    const Clip *clip = track->clip;

    for (;;) {
        if (track->next_frame == clip->frames->len) {
            if (!participant->loop)
                return FALSE;
            track->next_frame = 0;
            track->loops++;
        }
        const ClipFrame *frame = &g_array_index(clip->frames, ClipFrame, track->next_frame);
        gint64 offset_us = track->loops * participant->period_us;
        gint64 due_us = offset_us + frame->time_us;
        if (participant->start_mono_us + due_us > mono_us)
            return TRUE;
        track->next_frame++;
        if (is_muted(track, due_us))
            continue;
        guint32 loop_ts = (guint32)(offset_us * clip->clock_hz / G_USEC_PER_SEC);
        track->last_rtp_ts = track->ts_base + loop_ts + frame->rtp_ts;
        send_frame(participant, track, frame, track->last_rtp_ts, mono_us);
        gint64 wall_us =
            participant->start_wall_us + offset_us + (gint64)frame->rtp_ts * G_USEC_PER_SEC / clip->clock_hz;
        if (track->frames++ == 0)
            track->first_wall_us = wall_us;
        track->last_wall_us = wall_us;
        track->keyframes += frame->keyframe;
    }
}

/* ---- RTCP -------------------------------------------------------------------------------------------------------- */

/* SR and SDES with CNAME (RFC 3550 §6.4.1, §6.5); the clock of all tracks is the participant's start. */
static void send_report(Participant *participant, guint index, gint64 mono_us)
{
    Track *track = &participant->tracks[index];
    guint8 out[256] = {0x80, 200, 0, 6};
    gint64 elapsed_us = mono_us - participant->start_mono_us;
    guint64 ntp = steno_clock_wall_us_to_ntp(participant->start_wall_us + elapsed_us);
    gsize name = MIN(strlen(participant->cname), 64), sdes = 8 + 2 + name + 1;

    put32(out + 4, track->ssrc);
    put32(out + 8, (guint32)(ntp >> 32));
    put32(out + 12, (guint32)ntp);
    put32(out + 16, track->ts_base + (guint32)(elapsed_us * track->clip->clock_hz / G_USEC_PER_SEC));
    put32(out + 20, (guint32)track->packets);
    put32(out + 24, (guint32)(track->bytes - 12 * track->packets));
    sdes = (sdes + 3) & ~(gsize)3;
    out[28] = 0x81;
    out[29] = 202;
    put16(out + 30, (guint)(sdes / 4 - 1));
    put32(out + 32, track->ssrc);
    out[36] = 1;
    out[37] = (guint8)name;
    memcpy(out + 38, participant->cname, name);
    participant->send(participant, index, TRUE, out, 28 + sdes);
}

void participant_send_bye(Participant *participant)
{
    for (guint i = 0; i < participant->n_tracks && participant->start_mono_us; i++) {
        guint8 out[16] = {0x80, 201, 0, 1, 0, 0, 0, 0, 0x81, 203, 0, 1};
        put32(out + 4, participant->tracks[i].ssrc);
        put32(out + 12, participant->tracks[i].ssrc);
        participant->send(participant, i, TRUE, out, sizeof out);
    }
}

static void resend(Participant *participant, Track *track, guint16 seq)
{
    SentPacket *sent = &track->history[seq % HISTORY_PACKETS];
    guint8 buffer[STENO_PACKET_MAX_BYTES];

    track->nacked++;
    if (!sent->used || sent->seq != seq)
        return;
    gsize bytes = build(track, sent, track->rtx_payload_type != 0, buffer);
    participant->send(participant, (guint)(track - participant->tracks), FALSE, buffer, bytes);
    track->resent++;
}

static void take_nack(Participant *participant, Track *track, const guint8 *entries, gsize bytes)
{
    for (gsize i = 0; i + 4 <= bytes; i += 4) {
        guint16 seq = (guint16)(entries[i] << 8 | entries[i + 1]);
        guint mask = (guint)entries[i + 2] << 8 | entries[i + 3];
        resend(participant, track, seq);
        for (guint bit = 0; bit < 16; bit++) {
            if (mask & 1u << bit)
                resend(participant, track, (guint16)(seq + bit + 1));
        }
    }
}

void participant_take_rtcp(Participant *participant, const guint8 *data, gsize bytes)
{
    while (bytes >= 4) {
        gsize length = 4 * ((gsize)(data[2] << 8 | data[3]) + 1);
        guint format = data[0] & 0x1f, type = data[1];
        if (length > bytes)
            return;
        for (guint i = 0; i < participant->n_tracks && length >= 12; i++) {
            Track *track = &participant->tracks[i];
            guint32 media = get32(data + 8);
            if (type == 205 && format == 1 && media == track->ssrc)
                take_nack(participant, track, data + 12, length - 12);
            else if (type == 206 && ((format == 1 && media == track->ssrc) ||
                                     (format == 4 && length >= 20 && get32(data + 12) == track->ssrc)))
                track->plis++;
        }
        data += length;
        bytes -= length;
    }
}

void participant_tick(Participant *participant, gint64 mono_us)
{
    gboolean more = FALSE;

    if (participant->start_mono_us == 0 || mono_us < participant->start_mono_us || participant->done)
        return;
    for (guint i = 0; i < participant->n_tracks; i++)
        more |= track_tick(participant, &participant->tracks[i], mono_us);
    participant->done = !more;
    if (mono_us < participant->next_report_us)
        return;
    participant->next_report_us += REPORT_INTERVAL_US;
    for (guint i = 0; i < participant->n_tracks; i++)
        send_report(participant, i, mono_us);
}

json_t *participant_report(const Participant *participant)
{
    json_t *tracks = json_array();

    for (guint i = 0; i < participant->n_tracks; i++) {
        const Track *track = &participant->tracks[i];
        json_array_append_new(
            tracks, json_pack("{s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kind", track->kind,
                              "codec", steno_codec_name(track->clip->codec), "ssrc", (json_int_t)track->ssrc,
                              "clock_hz", (int)track->clip->clock_hz, "frames", (json_int_t)track->frames, "keyframes",
                              (json_int_t)track->keyframes, "packets", (json_int_t)track->packets, "bytes",
                              (json_int_t)track->bytes, "nacked", (json_int_t)track->nacked, "resent",
                              (json_int_t)track->resent, "plis", (json_int_t)track->plis, "first_wall_us",
                              (json_int_t)track->first_wall_us, "last_wall_us", (json_int_t)track->last_wall_us));
    }
    return json_pack("{s:s, s:I, s:o}", "name", participant->name, "start_wall_us",
                     (json_int_t)participant->start_wall_us, "tracks", tracks);
}

void participant_clear(Participant *participant)
{
    g_free(participant->name);
    g_free(participant->cname);
}
