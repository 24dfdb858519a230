/*
 * Where each RTP payload is encrypted: packets are opened before they are put together. Those of the frame that is
 * being put together are kept as they came: if one of them does not open, they are sealed with it, so that no half
 * frame is in either file. At most one frame waits here.
 */
#include "decrypt.h"

#include <string.h>

/* A sealed packet's head (steno/capture.h). */
#define HEAD_BYTES 9

static void keep(Decryption *decryption, StenoPacket *packet)
{
    packet->next = NULL;
    if (decryption->kept)
        decryption->kept_last->next = packet;
    else
        decryption->kept = packet;
    decryption->kept_last = packet;
    decryption->n_kept++;
}

static StenoPacket *take_kept(Decryption *decryption)
{
    StenoPacket *packet = decryption->kept;
    decryption->kept = packet->next;
    decryption->n_kept--;
    packet->next = NULL;
    return packet;
}

static void drop_kept(Decryption *decryption, guint n)
{
    while (n-- > 0)
        steno_packet_free(take_kept(decryption));
}

/* How many of the kept packets come before the first one (FALSE) or after the last one (TRUE) of this timestamp. */
static guint count_to(const Decryption *decryption, gint64 rtp_ts, gboolean included)
{
    guint n = 0, at = 0;
    for (const StenoPacket *packet = decryption->kept; packet; packet = packet->next) {
        at++;
        if (packet->rtp_ts == rtp_ts && !included)
            return at - 1;
        if (packet->rtp_ts == rtp_ts)
            n = at;
    }
    return n;
}

/* ---- sealing ----------------------------------------------------------------------------------------------------- */

static void seal_packet(Decryption *decryption, StenoPacket *packet)
{
    StenoFrame *frame =
        steno_frame_new(decryption->track->peer->net->frames, STENO_FRAME_MEDIA, HEAD_BYTES + packet->payload_bytes);
    if (!frame) {
        session_wiring_overflowed(decryption->track, packet->rtp_ts);
        steno_packet_free(packet);
        return;
    }
    guint64 seq = GUINT64_TO_LE((guint64)packet->seq);
    frame->codec = decryption->config.codec;
    frame->track = decryption->config.track;
    frame->rtp_ts = packet->rtp_ts;
    frame->arrival_us = packet->arrival_us;
    memcpy(frame->payload, &seq, 8);
    frame->payload[8] = packet->marker;
    memcpy(frame->payload + HEAD_BYTES, packet->data + packet->payload_offset, packet->payload_bytes);
    frame->payload_bytes = HEAD_BYTES + packet->payload_bytes;
    steno_packet_free(packet);
    session_decrypt_seal(decryption, frame);
}

static void seal_kept(Decryption *decryption, guint n)
{
    if (n > 0)
        decryption->sealed_from = decryption->kept->seq;
    while (n-- > 0)
        seal_packet(decryption, take_kept(decryption));
}

/* The next one on trial is a new one, which waits for a key frame. */
static void end_trial(Decryption *decryption)
{
    if (decryption->fed)
        session_wiring_end_codec(decryption->track);
    decryption->fed = FALSE;
    g_clear_pointer(&decryption->format, steno_frame_unref);
}

static void seal_all(Decryption *decryption)
{
    seal_kept(decryption, decryption->n_kept);
    end_trial(decryption);
}

void session_decrypt_end_packets(Decryption *decryption)
{
    NetTrack *track = decryption->track;
    if (!track->depacketizer)
        return;
    decryption->ending = TRUE;
    steno_depacketizer_flush(track->depacketizer);
    decryption->ending = FALSE;
    session_wiring_end_codec(track);
}

void session_decrypt_settle(Decryption *decryption, const StenoFrame *frame)
{
    seal_kept(decryption, count_to(decryption, frame->rtp_ts, FALSE));
    session_decrypt_release(decryption, frame);
}

void session_decrypt_release(Decryption *decryption, const StenoFrame *frame)
{
    drop_kept(decryption, count_to(decryption, frame->rtp_ts, TRUE));
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* Opens the payload into the net's packet for that. */
static StenoContentOutcome open_packet(Decryption *decryption, const StenoPacket *packet)
{
    StenoPacket *clear = decryption->track->peer->net->opened;
    StenoContentOpened opened = {0};
    StenoContentOutcome outcome =
        steno_content_open(decryption->opener, decryption->config.codec, packet->data + packet->payload_offset,
                           packet->payload_bytes, clear->data, &opened);
    session_trouble_note(decryption, outcome, &opened, packet->arrival_us);
    clear->arrival_us = packet->arrival_us;
    clear->seq = packet->seq;
    clear->rtp_ts = packet->rtp_ts;
    clear->marker = packet->marker;
    clear->payload_offset = 0;
    clear->payload_bytes = (guint16)opened.bytes;
    clear->bytes = (guint32)opened.bytes;
    return outcome;
}

/* The packet, which opened, is the last one kept. */
static void push(Decryption *decryption, gint64 rtp_ts)
{
    NetTrack *track = decryption->track;
    decryption->fed = decryption->sealed;
    (void)steno_depacketizer_push(track->depacketizer, track->peer->net->opened);
    /* What was kept of another frame is in it by now, or it came to nothing. */
    guint older = count_to(decryption, rtp_ts, FALSE);
    if (decryption->sealed)
        seal_kept(decryption, older);
    else
        drop_kept(decryption, older);
}

void session_decrypt_packet(NetTrack *track, StenoPacket *packet)
{
    Decryption *decryption = track->decryption;
    if (packet->payload_bytes == 0) { /* padding: there is nothing in it */
        steno_packet_free(packet);
        return;
    }
    StenoContentOutcome outcome = open_packet(decryption, packet);
    if (outcome == STENO_CONTENT_INJECTED) {
        track->peer->net->ticking.injected++;
        steno_packet_free(packet);
        return;
    }
    gint64 rtp_ts = packet->rtp_ts;
    /* What passes as it is proves no key. */
    gboolean opens = outcome == STENO_CONTENT_OPENED || (outcome == STENO_CONTENT_CLEAR && !decryption->sealed);
    gboolean trusted = !decryption->sealed || packet->arrival_us >= decryption->clear_again_us;
    keep(decryption, packet);
    if (opens && trusted && decryption->n_kept < SESSION_KEPT_PACKETS_MAX)
        push(decryption, rtp_ts);
    else
        seal_all(decryption);
}

gboolean session_decrypt_gap(NetTrack *track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                             StenoGapCause cause)
{
    Decryption *decryption = track->decryption;
    if (!decryption || !session_decrypt_is_per_packet(decryption))
        return FALSE;
    if (!decryption->sealed) {
        drop_kept(decryption, decryption->n_kept); /* the frame that they are of is not whole: told as ever */
        return FALSE;
    }
    seal_all(decryption);
    StenoFrame *gap = steno_frame_new(track->peer->net->frames, STENO_FRAME_GAP, 0);
    if (!gap) {
        session_wiring_overflowed(track, rtp_ts);
        return TRUE;
    }
    gap->codec = decryption->config.codec;
    gap->track = decryption->config.track;
    gap->rtp_ts = rtp_ts;
    gap->arrival_us = track->last_arrival_us;
    gap->gap.first_seq = first_seq;
    gap->gap.last_seq = last_seq;
    gap->gap.packets = (guint32)(last_seq - first_seq + 1);
    gap->gap.until_rtp_ts = until_rtp_ts;
    gap->gap.cause = cause;
    session_wiring_capture(track, gap);
    return TRUE;
}

void session_decrypt_flush(NetTrack *track)
{
    Decryption *decryption = track->decryption;
    if (decryption->sealed && session_decrypt_is_per_packet(decryption)) {
        seal_all(decryption); /* of half a frame on trial nothing is put out */
        return;
    }
    if (track->depacketizer)
        steno_depacketizer_flush(track->depacketizer);
    if (decryption->inspector)
        steno_inspector_flush(decryption->inspector);
    drop_kept(decryption, decryption->n_kept);
}
