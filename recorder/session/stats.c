/* What the network thread counts: of each track for the capture, of all for who watches. */
#include "decrypt.h"

static void add_depacketizer_stats(const NetTrack *track, StenoDepacketizerStats *stats)
{
    if (!track->depacketizer)
        return;
    const StenoDepacketizerStats *own = steno_depacketizer_stats(track->depacketizer);
    stats->frames += own->frames;
    stats->undecodable += own->undecodable;
    stats->damaged += own->damaged;
}

void session_stats_end_codec(NetTrack *track)
{
    add_depacketizer_stats(track, &track->codec_gone);
}

void session_stats_of_codec(const NetTrack *track, StenoDepacketizerStats *stats)
{
    *stats = track->codec_gone;
    add_depacketizer_stats(track, stats);
    if (track->decryption)
        session_decrypt_add_stats(track->decryption, stats);
}

void session_stats_tell_track(const NetTrack *track)
{
    StenoRtpStats rtp;
    if (!track->capture || !steno_rtp_stats(track->peer->rtp, track->number, &rtp))
        return;
    StenoDepacketizerStats codec;
    session_stats_of_codec(track, &codec);
    guint64 sealed = track->decryption ? session_decrypt_sealed(track->decryption) : 0;
    const StenoRtpStats *rtp0 = &track->rtp_before;
    const StenoDepacketizerStats *codec0 = &track->codec_before;
    steno_capture_measurement(
        track->capture,
        json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", "stats",
                  "track", (int)track->number, "packets", (json_int_t)(rtp.packets - rtp0->packets), "bytes",
                  (json_int_t)(rtp.bytes - rtp0->bytes), "lost", (json_int_t)(rtp.lost - rtp0->lost), "recovered",
                  (json_int_t)(rtp.recovered - rtp0->recovered), "duplicates",
                  (json_int_t)(rtp.duplicates - rtp0->duplicates), "reordered",
                  (json_int_t)(rtp.reordered - rtp0->reordered), "late", (json_int_t)(rtp.late - rtp0->late), "nacks",
                  (json_int_t)(rtp.nacks_sent - rtp0->nacks_sent), "plis",
                  (json_int_t)(rtp.plis_sent - rtp0->plis_sent), "frames", (json_int_t)(codec.frames - codec0->frames),
                  "undecodable", (json_int_t)(codec.undecodable - codec0->undecodable), "damaged",
                  (json_int_t)(codec.damaged - codec0->damaged), "sealed",
                  (json_int_t)(sealed - track->sealed_before)));
}

void session_stats_tell(NetPeer *peer)
{
    for (guint i = 0; i < peer->tracks->len; i++)
        session_stats_tell_track(peer->tracks->pdata[i]);
}

void session_stats_add_totals(NetPeer *peer)
{
    NetTotals *totals = &peer->net->ticking;
    guint64 invalid = steno_rtp_unmatched(peer->rtp);
    const StenoTransportStats *transport = steno_transport_stats(peer->transport);
    invalid += transport->srtp_failures + transport->strays;
    for (guint i = 0; i < peer->tracks->len; i++) {
        NetTrack *track = peer->tracks->pdata[i];
        StenoRtpStats stats;
        if (!steno_rtp_stats(peer->rtp, track->number, &stats))
            continue;
        totals->packets += stats.packets - track->packets_told;
        totals->lost += stats.lost - track->lost_told;
        totals->recovered += stats.recovered - track->recovered_told;
        track->packets_told = stats.packets;
        track->lost_told = stats.lost;
        track->recovered_told = stats.recovered;
        StenoDepacketizerStats codec;
        session_stats_of_codec(track, &codec);
        invalid += codec.damaged;
    }
    totals->invalid += invalid - MIN(invalid, peer->invalid_told);
    peer->invalid_told = MAX(invalid, peer->invalid_told);
}
