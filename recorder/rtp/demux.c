/* Whose packet is it: by SSRC, then by MID (RFC 9143 §9.2), then by a payload type that only one track has. */
#include "rtp_internal.h"

#include <string.h>

static guint slot_of(guint32 ssrc)
{
    return (ssrc * 2654435761u) >> 21 & (RTP_SSRC_TABLE_SLOTS - 1);
}

static void table_put(StenoRtp *rtp, guint32 ssrc, guint track)
{
    guint slot = slot_of(ssrc);
    while (rtp->ssrcs[slot].track && rtp->ssrcs[slot].ssrc != ssrc)
        slot = (slot + 1) & (RTP_SSRC_TABLE_SLOTS - 1);
    rtp->ssrcs[slot] = (RtpSsrcEntry){.ssrc = ssrc, .track = (guint16)(track + 1)};
}

void rtp_demux_rebuild(StenoRtp *rtp)
{
    rtp->last_track = NULL;
    memset(rtp->ssrcs, 0, sizeof rtp->ssrcs);
    for (guint i = 0; i < rtp->n_tracks; i++) {
        const RtpTrack *track = rtp->tracks[i];
        if (track->heard)
            table_put(rtp, track->ssrc, i);
        if (track->rtx_ssrc)
            table_put(rtp, track->rtx_ssrc, i);
    }
    /* What was announced wins over what was learnt. */
    for (guint i = 0; i < rtp->n_tracks; i++) {
        const StenoRtpTrackConfig *config = &rtp->tracks[i]->config;
        if (config->ssrc)
            table_put(rtp, config->ssrc, i);
        if (config->rtx_ssrc)
            table_put(rtp, config->rtx_ssrc, i);
    }
}

RtpTrack *rtp_demux_ssrc(const StenoRtp *rtp, guint32 ssrc)
{
    for (guint slot = slot_of(ssrc); rtp->ssrcs[slot].track; slot = (slot + 1) & (RTP_SSRC_TABLE_SLOTS - 1))
        if (rtp->ssrcs[slot].ssrc == ssrc)
            return rtp->tracks[rtp->ssrcs[slot].track - 1];
    return NULL;
}

static RtpTrack *find_mid(const StenoRtp *rtp, const guint8 *mid, guint bytes)
{
    for (guint i = 0; i < rtp->n_tracks; i++) {
        const char *own = rtp->tracks[i]->config.mid;
        if (bytes > 0 && strlen(own) == bytes && memcmp(own, mid, bytes) == 0)
            return rtp->tracks[i];
    }
    return NULL;
}

/*
 * A track whose SSRC was announced is no candidate, or the first packets of a track that we do not know yet would go
 * into it; unless its source has fallen silent: then it may well be the same one, started again.
 */
static RtpTrack *find_payload_type(const StenoRtp *rtp, guint8 payload_type, gint64 arrival_us)
{
    RtpTrack *found = NULL;
    for (guint i = 0; i < rtp->n_tracks; i++) {
        RtpTrack *track = rtp->tracks[i];
        if (track->payload_index[payload_type] < 0)
            continue;
        if (track->config.ssrc && (!track->heard || arrival_us - track->last_arrival_us < RTP_SOURCE_HOLDOFF_US))
            continue;
        if (found)
            return NULL;
        found = track;
    }
    return found;
}

RtpTrack *rtp_demux(StenoRtp *rtp, const RtpHeader *header, gint64 arrival_us)
{
    if (rtp->last_track && rtp->last_ssrc == header->ssrc)
        return rtp->last_track;
    RtpTrack *track = rtp_demux_ssrc(rtp, header->ssrc);
    if (track) {
        rtp->last_ssrc = header->ssrc;
        rtp->last_track = track;
        return track;
    }
    guint bytes = 0;
    const guint8 *mid = rtp_header_extension(header, rtp->config.mid_extension, &bytes);
    if (mid)
        track = find_mid(rtp, mid, bytes);
    else
        track = find_payload_type(rtp, header->payload_type, arrival_us);
    /* Something that the track did not negotiate does not change its source. */
    return track && track->payload_index[header->payload_type] >= 0 ? track : NULL;
}

const StenoRtpPayload *rtp_track_payload(const RtpTrack *track, guint8 payload_type)
{
    gint8 index = track->payload_index[payload_type & 0x7f];
    if (index < 0)
        return NULL;
    const StenoRtpPayload *payload = &track->config.payloads[index];
    return payload->rtx_of < 0 && payload->codec != STENO_CODEC_UNKNOWN ? payload : NULL;
}
