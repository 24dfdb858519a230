/* The answer of one who only listens (RFC 3264 §6, 8829 §5.3, 9143 §7.3, 8839 §5). */
#include "steno/sdp.h"

#include <string.h>

typedef enum { REJECTED, INACTIVE, RECEIVED } Verdict;

static gboolean is_rtx(const StenoSdpFormat *format)
{
    return format->name && g_ascii_strcasecmp(format->name, "rtx") == 0 && format->rtx_of >= 0;
}

/* Formats that we record, and the retransmissions of such. */
static gboolean is_wanted(const StenoSdpMedia *media, const StenoSdpFormat *format)
{
    if (is_rtx(format)) {
        const StenoSdpFormat *primary = steno_sdp_format(media, (guint8)format->rtx_of);
        return primary && primary->codec != STENO_CODEC_UNKNOWN;
    }
    return format->codec != STENO_CODEC_UNKNOWN;
}

static gboolean has_wanted(const StenoSdpMedia *media)
{
    for (guint i = 0; i < media->formats->len; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(media->formats, i);
        if (format->codec != STENO_CODEC_UNKNOWN)
            return TRUE;
    }
    return FALSE;
}

static gboolean is_first_of_bundle(const StenoSdp *offer, const StenoSdpMedia *media)
{
    gsize bytes = offer->bundle ? strcspn(offer->bundle, " ") : 0;
    return media->mid && bytes > 0 && strlen(media->mid) == bytes && strncmp(media->mid, offer->bundle, bytes) == 0;
}

static Verdict judge(const StenoSdp *offer, const StenoSdpMedia *media)
{
    if ((media->port == 0 && !media->bundle_only) || media->formats->len == 0)
        return REJECTED;
    if (!has_wanted(media))
        return is_first_of_bundle(offer, media) ? INACTIVE : REJECTED;
    /* An m-line that sleeps keeps its formats, so that it can wake up in a later offer. */
    return media->direction == STENO_SDP_SENDRECV || media->direction == STENO_SDP_SENDONLY ? RECEIVED : INACTIVE;
}

static void write_formats(GString *answer, const StenoSdpMedia *media, gboolean all)
{
    for (guint i = 0; i < media->formats->len; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(media->formats, i);
        if (all || is_wanted(media, format))
            g_string_append_printf(answer, " %u", format->payload_type);
    }
    g_string_append(answer, "\r\n");
}

static void write_rejected(GString *answer, const StenoSdpMedia *media)
{
    g_string_append_printf(answer, "m=%s 0 %s", media->kind, media->protocol);
    if (media->formats->len > 0)
        write_formats(answer, media, TRUE);
    else
        g_string_append_printf(answer, " %s\r\n", strstr(media->protocol, "RTP/") ? "0" : "webrtc-datachannel");
    g_string_append(answer, "c=IN IP4 0.0.0.0\r\n");
    if (media->mid)
        g_string_append_printf(answer, "a=mid:%s\r\n", media->mid);
    g_string_append(answer, "a=inactive\r\n");
}

static void write_format(GString *answer, const StenoSdpFormat *format)
{
    if (!format->name)
        return;
    guint payload_type = format->payload_type;
    g_string_append_printf(answer, "a=rtpmap:%u %s/%u", payload_type, format->name, format->clock_hz);
    if (format->channels > 1)
        g_string_append_printf(answer, "/%u", format->channels);
    g_string_append(answer, "\r\n");
    if (format->fmtp)
        g_string_append_printf(answer, "a=fmtp:%u %s\r\n", payload_type, format->fmtp);
    const struct {
        gboolean offered;
        const char *kind;
    } feedback[] = {{format->nack, "nack"},
                    {format->pli, "nack pli"},
                    {format->fir, "ccm fir"},
                    {format->remb, "goog-remb"},
                    {format->transport_cc, "transport-cc"}};
    for (guint i = 0; i < G_N_ELEMENTS(feedback) && !is_rtx(format); i++) {
        if (feedback[i].offered)
            g_string_append_printf(answer, "a=rtcp-fb:%u %s\r\n", payload_type, feedback[i].kind);
    }
}

static void write_extensions(GString *answer, const StenoSdpMedia *media)
{
    if (media->mid_extension)
        g_string_append_printf(answer, "a=extmap:%u urn:ietf:params:rtp-hdrext:sdes:mid\r\n", media->mid_extension);
    if (media->transport_cc_extension)
        g_string_append_printf(
            answer, "a=extmap:%u http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
            media->transport_cc_extension);
    if (media->abs_send_time_extension)
        g_string_append_printf(answer, "a=extmap:%u http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n",
                               media->abs_send_time_extension);
}

static void write_transport(GString *answer, const StenoTransportLocal *local, gboolean with_candidates)
{
    g_string_append_printf(answer, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", local->ufrag, local->password);
    g_string_append_printf(answer, "a=fingerprint:%s\r\na=setup:%s\r\n", local->fingerprint,
                           local->setup == STENO_DTLS_ACTIVE ? "active" : "passive");
    if (!with_candidates)
        return;
    for (guint i = 0; i < local->candidates->len; i++)
        g_string_append_printf(answer, "a=%s\r\n", (const char *)g_ptr_array_index(local->candidates, i));
    g_string_append(answer, "a=end-of-candidates\r\n");
}

static void write_media(GString *answer, const StenoSdpMedia *media, Verdict verdict, const StenoTransportLocal *local,
                        gboolean with_candidates)
{
    gboolean all = !has_wanted(media); /* the bundle's tag, kept alive with what it has */
    g_string_append_printf(answer, "m=%s 9 %s", media->kind, media->protocol);
    write_formats(answer, media, all);
    g_string_append(answer, "c=IN IP4 0.0.0.0\r\n");
    if (media->mid)
        g_string_append_printf(answer, "a=mid:%s\r\n", media->mid);
    g_string_append(answer, verdict == RECEIVED ? "a=recvonly\r\n" : "a=inactive\r\n");
    write_transport(answer, local, with_candidates);
    g_string_append(answer, "a=rtcp-mux\r\n");
    if (media->rtcp_rsize)
        g_string_append(answer, "a=rtcp-rsize\r\n");
    write_extensions(answer, media);
    for (guint i = 0; i < media->formats->len; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(media->formats, i);
        if (all || is_wanted(media, format))
            write_format(answer, format);
    }
}

/*
 * The offer's group without what is rejected; its first mid is the tag, whose m-line carries the candidates for all.
 * bundled becomes the set of the m-lines that are in the group. Returns the tag, NULL without a group.
 */
static const StenoSdpMedia *write_bundle(GString *answer, const StenoSdp *offer, GHashTable *bundled)
{
    if (!offer->bundle)
        return NULL;
    const StenoSdpMedia *tag = NULL;
    g_autoptr(GHashTable) by_mid = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < offer->media->len; i++) {
        StenoSdpMedia *media = g_ptr_array_index(offer->media, i);
        if (media->mid && judge(offer, media) != REJECTED)
            g_hash_table_insert(by_mid, media->mid, media);
    }
    g_auto(GStrv) mids = g_strsplit(offer->bundle, " ", -1);
    for (guint i = 0; mids[i]; i++) {
        StenoSdpMedia *media = g_hash_table_lookup(by_mid, mids[i]);
        if (!media || !g_hash_table_add(bundled, media))
            continue;
        g_string_append_printf(answer, "%s %s", tag ? "" : "a=group:BUNDLE", media->mid);
        if (!tag)
            tag = media;
    }
    if (tag)
        g_string_append(answer, "\r\n");
    return tag;
}

char *steno_sdp_answer(const StenoSdp *offer, const StenoTransportLocal *local)
{
    GString *answer = g_string_new("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
    g_autoptr(GHashTable) bundled = g_hash_table_new(NULL, NULL);
    const StenoSdpMedia *tag = write_bundle(answer, offer, bundled);
    for (guint i = 0; i < offer->media->len; i++) {
        const StenoSdpMedia *media = g_ptr_array_index(offer->media, i);
        Verdict verdict = judge(offer, media);
        if (verdict == REJECTED)
            write_rejected(answer, media);
        else
            write_media(answer, media, verdict, local, media == tag || !g_hash_table_contains(bundled, media));
    }
    return g_string_free(answer, FALSE);
}
