/* What an offer asks of the network thread: tracks, payload types, ICE or socket, copied out of the SDP. */
#include "session_internal.h"

#include "steno/base/error.h"

#include <string.h>
#include <sys/random.h>

static void track_plan_free(TrackPlan *track)
{
    for (guint i = 0; i < track->rtp.n_payloads; i++)
        g_free(track->fmtp[i]);
    g_free(track);
}

void session_plan_free(PeerPlan *plan)
{
    if (!plan)
        return;
    g_ptr_array_unref(plan->tracks);
    g_free(plan->participant);
    g_free(plan->ufrag);
    if (plan->password)
        steno_secret_wipe(plan->password, strlen(plan->password));
    g_free(plan->password);
    g_strfreev(plan->fingerprints);
    g_strfreev(plan->candidates);
    g_free(plan->address);
    g_free(plan->source);
    g_free(plan->sdes_suite);
    steno_secret_unref(plan->sdes_key);
    g_free(plan);
}

/* In a file, recvonly may be meant from our side as well as from the sender's: the socket is opened for it in any case.
 */
static gboolean is_recordable(const StenoSdpMedia *media, gboolean plain)
{
    return (strcmp(media->kind, "audio") == 0 || strcmp(media->kind, "video") == 0) && media->port != 0 &&
           media->direction != STENO_SDP_INACTIVE && (plain || media->direction != STENO_SDP_RECVONLY);
}

static void add_payload(TrackPlan *track, const StenoSdpFormat *format)
{
    if (track->rtp.n_payloads == STENO_RTP_PAYLOAD_TYPES_MAX)
        return;
    guint i = track->rtp.n_payloads++;
    track->rtp.payloads[i] = (StenoRtpPayload){
        .payload_type = format->payload_type,
        .codec = format->codec,
        .clock_hz = format->clock_hz,
        .rtx_of = format->rtx_of,
    };
    track->fmtp[i] = g_strdup(format->fmtp);
    track->channels[i] = format->channels;
    track->rtp.nack |= format->nack;
    track->rtp.pli |= format->pli;
    track->rtp.fir |= format->fir;
    track->rtp.remb |= format->remb;
    track->rtp.transport_cc |= format->transport_cc;
}

/* The track of an m-line, or NULL when it carries nothing that we record. */
static TrackPlan *track_plan_new(const StenoSdpMedia *media)
{
    TrackPlan *track = g_new0(TrackPlan, 1);
    for (guint i = 0; i < media->formats->len; i++) {
        const StenoSdpFormat *format = media->formats->pdata[i];
        if (format->codec != STENO_CODEC_UNKNOWN || format->rtx_of >= 0)
            add_payload(track, format);
    }
    gboolean known = FALSE;
    for (guint i = 0; i < track->rtp.n_payloads; i++)
        known |= track->rtp.payloads[i].codec != STENO_CODEC_UNKNOWN;
    if (!known) {
        track_plan_free(track);
        return NULL;
    }
    track->rtp.video = strcmp(media->kind, "video") == 0;
    track->rtp.ssrc = media->ssrc;
    track->rtp.rtx_ssrc = media->rtx_ssrc;
    if (media->mid)
        g_strlcpy(track->rtp.mid, media->mid, sizeof track->rtp.mid);
    return track;
}

static void fill_rtp_config(PeerPlan *plan, const StenoSdpMedia *media)
{
    guint64 random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        g_error("the system gives no random numbers");
    plan->rtp.mid_extension = media->mid_extension;
    plan->rtp.transport_cc_extension = media->transport_cc_extension;
    plan->rtp.abs_send_time_extension = media->abs_send_time_extension;
    plan->rtp.reduced_size = media->rtcp_rsize;
    plan->rtp.feedback = !plan->plain || strstr(media->protocol, "AVPF") != NULL;
    /* Where nobody resends, only reordering is waited for. */
    plan->rtp.reorder_us = plan->rtp.feedback ? 0 : SESSION_REORDER_PUSHED_US;
    plan->rtp.local_ssrc = (guint32)random[0] | 1;
    g_snprintf(plan->rtp.cname, sizeof plan->rtp.cname, "%016" G_GINT64_MODIFIER "x", random[1]);
}

static gboolean fill_plain(PeerPlan *plan, const StenoSdpMedia *media, GError **error)
{
    plan->address = g_strdup(media->address ? media->address : "0.0.0.0");
    plan->source = g_strdup(media->source_filter);
    plan->port = media->port;
    plan->rtcp_port = media->rtcp_mux ? 0 : media->rtcp_port ? media->rtcp_port : (guint16)(media->port + 1);
    /* ffmpeg writes RTP/AVP above its a=crypto: the key decides, not the profile's name. */
    if (!strstr(media->protocol, "SAVP") && !media->sdes_offered)
        return TRUE;
    if (!media->sdes_suite || !media->sdes_key_base64)
        return steno_error_set(error, STENO_ERROR_WEAK_CRYPTO,
                               "the m-line on port %u is %s, but has no a=crypto with a suite that Steno knows "
                               "(AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM, AEAD_AES_256_GCM)",
                               media->port, media->protocol);
    gsize bytes;
    guint8 *key = g_base64_decode(media->sdes_key_base64, &bytes);
    plan->sdes_key = steno_secret_new(key, bytes);
    plan->sdes_suite = g_strdup(media->sdes_suite);
    steno_secret_wipe(key, bytes);
    g_free(key);
    return TRUE;
}

static gboolean fill_ice(PeerPlan *plan, const StenoSdp *offer, const StenoSdpMedia *media, GError **error)
{
    if (!strstr(media->protocol, "TLS/RTP/SAVP"))
        return steno_error_set(error, STENO_ERROR_WEAK_CRYPTO,
                               "the platform offers media as %s, without DTLS-SRTP: Steno does not take that over ICE",
                               media->protocol);
    if (!media->ufrag || !media->password)
        return steno_error_set(error, STENO_ERROR_SDP_INVALID, "the offer has no ICE credentials (a=ice-ufrag/pwd)");
    plan->ufrag = g_strdup(media->ufrag);
    plan->password = g_strdup(media->password);
    plan->fingerprints = g_strdupv((char **)media->fingerprints->pdata);
    plan->candidates = g_strdupv((char **)media->candidates->pdata);
    plan->setup = media->has_setup ? media->setup : STENO_DTLS_ACTPASS;
    plan->ice_lite = offer->ice_lite;
    plan->end_of_candidates = media->end_of_candidates;
    return TRUE;
}

/* The m-line whose transport all share: the first of the bundle, else the first that is alive. */
static const StenoSdpMedia *transport_media(const StenoSdp *offer)
{
    g_autofree char *tag = offer->bundle ? g_strndup(offer->bundle, strcspn(offer->bundle, " ")) : NULL;
    const StenoSdpMedia *first = NULL;
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = offer->media->pdata[i];
        if (tag && g_strcmp0(media->mid, tag) == 0)
            return media;
        if (!first && (media->port != 0 || media->ufrag))
            first = media;
    }
    return first;
}

PeerPlan *session_plan_new(guint32 peer, const StenoSdp *offer, GError **error)
{
    const StenoSdpMedia *transport = transport_media(offer);
    if (!transport) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID, "the offer has no m-line that is alive");
        return NULL;
    }
    g_autoptr(PeerPlan) plan = g_new0(PeerPlan, 1);
    plan->peer = peer;
    plan->tracks = g_ptr_array_new_with_free_func((GDestroyNotify)track_plan_free);
    plan->plain = !transport->ufrag && !strstr(transport->protocol, "TLS");
    fill_rtp_config(plan, transport);
    if (!(plan->plain ? fill_plain(plan, transport, error) : fill_ice(plan, offer, transport, error)))
        return NULL;
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = offer->media->pdata[i];
        TrackPlan *track = is_recordable(media, plan->plain) ? track_plan_new(media) : NULL;
        if (track)
            g_ptr_array_add(plan->tracks, track);
    }
    return g_steal_pointer(&plan);
}
