/* The attributes of a session description: one reader each, found by a table. */
#include "sdp_private.h"

#include "steno/base/error.h"

#include <string.h>

#define MID_BYTES_MAX 255         /* what the header extension could ever carry (RFC 8285) */
#define CANDIDATE_BYTES_MAX 512   /* a host name of 253 and a dozen of numbers */
#define ICE_BYTES_MAX 256         /* RFC 8839 §5.4 */
#define FINGERPRINT_BYTES_MAX 210 /* "sha-512" and 64 pairs of digits */

/* A value of visible ASCII without spaces, of minimum to maximum bytes. */
static gboolean is_word(const char *value, gsize minimum, gsize maximum)
{
    gsize bytes = 0;
    while (value && g_ascii_isgraph(value[bytes]))
        bytes++;
    return value && value[bytes] == '\0' && bytes >= minimum && bytes <= maximum;
}

static void set_text(char **text, const char *value)
{
    g_free(*text);
    *text = g_strdup(value);
}

static gboolean read_mid(StenoSdpReader *reader, const char *value)
{
    if (!is_word(value, 1, MID_BYTES_MAX))
        return steno_sdp_fail(reader, value, "'a=mid:<identifier without spaces>' was expected");
    set_text(&reader->media->mid, value);
    return TRUE;
}

static gboolean read_group(StenoSdpReader *reader, const char *value)
{
    if (value && g_str_has_prefix(value, "BUNDLE ") && !reader->sdp->bundle)
        reader->sdp->bundle = g_strstrip(g_strdup(value + strlen("BUNDLE ")));
    return TRUE;
}

static gboolean read_ice_lite(StenoSdpReader *reader, const char *value)
{
    (void)value;
    reader->sdp->ice_lite = TRUE;
    return TRUE;
}

static gboolean read_ice_ufrag(StenoSdpReader *reader, const char *value)
{
    if (!is_word(value, 4, ICE_BYTES_MAX))
        return steno_sdp_fail(reader, value, "'a=ice-ufrag:' with 4 to 256 characters was expected");
    set_text(&reader->media->ufrag, value);
    return TRUE;
}

static gboolean read_ice_pwd(StenoSdpReader *reader, const char *value)
{
    if (!is_word(value, 22, ICE_BYTES_MAX))
        return steno_sdp_fail(reader, "a=ice-pwd", "'a=ice-pwd:' with 22 to 256 characters was expected");
    set_text(&reader->media->password, value);
    return TRUE;
}

/* sha-256 AB:CD:… (RFC 8122 §5) */
static gboolean read_fingerprint(StenoSdpReader *reader, const char *value)
{
    gsize name_bytes = value ? strcspn(value, " ") : 0;
    const char *digits = value ? value + name_bytes : "";
    gboolean ok =
        value && strlen(value) <= FINGERPRINT_BYTES_MAX && steno_sdp_is_token(value, name_bytes) && *digits == ' ';
    while (ok && *digits) {
        ok = g_ascii_isxdigit(digits[1]) && g_ascii_isxdigit(digits[2]) && (digits[3] == ':' || digits[3] == '\0');
        digits += 3;
    }
    if (!ok)
        return steno_sdp_fail(reader, value, "'a=fingerprint:<hash> <AB:CD:…>' was expected");
    if (reader->media->fingerprints->len < STENO_SDP_FINGERPRINTS_MAX)
        g_ptr_array_add(reader->media->fingerprints, g_strdup(value));
    return TRUE;
}

static gboolean read_setup(StenoSdpReader *reader, const char *value)
{
    StenoSdpMedia *media = reader->media;
    if (g_strcmp0(value, "actpass") == 0)
        media->setup = STENO_DTLS_ACTPASS;
    else if (g_strcmp0(value, "active") == 0)
        media->setup = STENO_DTLS_ACTIVE;
    else if (g_strcmp0(value, "passive") == 0)
        media->setup = STENO_DTLS_PASSIVE;
    else
        return steno_sdp_fail(reader, value, "'a=setup:' actpass, active or passive was expected");
    media->has_setup = TRUE;
    return TRUE;
}

static gboolean read_candidate(StenoSdpReader *reader, const char *value)
{
    GPtrArray *candidates = reader->media->candidates;
    /* A candidate of a kind to come must not end the call (RFC 8839 §5.1): transport takes what it knows. */
    if (value && strlen(value) <= CANDIDATE_BYTES_MAX && candidates->len < STENO_TRANSPORT_CANDIDATES_MAX)
        g_ptr_array_add(candidates, g_strconcat("candidate:", value, NULL));
    return TRUE;
}

static gboolean read_rtpmap(StenoSdpReader *reader, const char *value)
{
    guint32 payload_type, clock_hz, channels = 0;
    const char *name = NULL, *rest = NULL;
    if (!value || !steno_sdp_number(value, 127, &payload_type, &name) || *name != ' ')
        return steno_sdp_fail(reader, value, "'a=rtpmap:<payload type> <name>/<clock>' was expected");
    name += strspn(name, " ");
    gsize name_bytes = strcspn(name, "/");
    if (!steno_sdp_is_token(name, name_bytes) || name[name_bytes] != '/' ||
        !steno_sdp_number(name + name_bytes + 1, 10000000, &clock_hz, &rest) || clock_hz == 0)
        return steno_sdp_fail(reader, value, "an encoding name and its clock in Hz were expected");
    /* What follows the clock are channels for audio, and may be anything for formats we do not know. */
    if (*rest == '/' && !steno_sdp_number(rest + 1, 255, &channels, &rest))
        channels = 0;
    StenoSdpFormat *format = (StenoSdpFormat *)steno_sdp_format(reader->media, (guint8)payload_type);
    if (!format)
        return TRUE; /* of a payload type that the m= line does not offer */
    g_free(format->name);
    format->name = g_strndup(name, name_bytes);
    format->codec = steno_codec_from_name(format->name);
    format->clock_hz = clock_hz;
    format->channels = (guint8)channels;
    return TRUE;
}

static gboolean read_fmtp(StenoSdpReader *reader, const char *value)
{
    guint32 payload_type, apt;
    const char *parameters = NULL, *end = NULL;
    if (!value || !steno_sdp_number(value, 127, &payload_type, &parameters) || *parameters != ' ')
        return steno_sdp_fail(reader, value, "'a=fmtp:<payload type> <parameters>' was expected");
    parameters += strspn(parameters, " ");
    StenoSdpFormat *format = (StenoSdpFormat *)steno_sdp_format(reader->media, (guint8)payload_type);
    if (!format)
        return TRUE;
    set_text(&format->fmtp, parameters);
    if (g_ascii_strncasecmp(parameters, "apt=", 4) == 0 && steno_sdp_number(parameters + 4, 127, &apt, &end))
        format->rtx_of = (gint16)apt;
    return TRUE;
}

static void set_feedback(StenoSdpFormat *format, const char *kind)
{
    if (strcmp(kind, "nack") == 0)
        format->nack = TRUE;
    else if (strcmp(kind, "nack pli") == 0)
        format->pli = TRUE;
    else if (strcmp(kind, "ccm fir") == 0)
        format->fir = TRUE;
    else if (strcmp(kind, "goog-remb") == 0)
        format->remb = TRUE;
    else if (strcmp(kind, "transport-cc") == 0)
        format->transport_cc = TRUE;
}

static gboolean read_rtcp_fb(StenoSdpReader *reader, const char *value)
{
    guint32 payload_type = G_MAXUINT32;
    const char *kind = value ? value + 1 : NULL;
    if (!value || (*value != '*' && !steno_sdp_number(value, 127, &payload_type, &kind)) || *kind != ' ')
        return steno_sdp_fail(reader, value, "'a=rtcp-fb:<payload type or *> <feedback>' was expected");
    g_autofree char *stripped = g_strchomp(g_strdup(kind + 1)); /* pion leaves a space behind "nack" */
    for (guint i = 0; i < reader->media->formats->len; i++) {
        StenoSdpFormat *format = g_ptr_array_index(reader->media->formats, i);
        if (payload_type == G_MAXUINT32 || format->payload_type == payload_type)
            set_feedback(format, stripped);
    }
    return TRUE;
}

static gboolean read_extmap(StenoSdpReader *reader, const char *value)
{
    StenoSdpMedia *media = reader->media;
    guint32 id;
    const char *uri = NULL;
    /* 256 and above are only proposed (RFC 8285 §8), 15 can not be used with one-byte headers: neither is of use. */
    if (!value || !steno_sdp_number(value, G_MAXUINT16, &id, &uri))
        return steno_sdp_fail(reader, value, "'a=extmap:<id> <URI>' was expected");
    uri += strcspn(uri, " ");
    uri += strspn(uri, " ");
    gsize bytes = strcspn(uri, " ");
    g_autofree char *name = g_strndup(uri, bytes);
    if (id < 1 || id > 255)
        return TRUE;
    if (strcmp(name, "urn:ietf:params:rtp-hdrext:sdes:mid") == 0)
        media->mid_extension = (guint8)id;
    else if (strcmp(name, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01") == 0)
        media->transport_cc_extension = (guint8)id;
    else if (strcmp(name, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time") == 0)
        media->abs_send_time_extension = (guint8)id;
    return TRUE;
}

/* "<stream> <track>"; "-" is no stream (RFC 8830 §2). */
static void set_msid(StenoSdpMedia *media, const char *value)
{
    gsize stream_bytes = strcspn(value, " ");
    const char *track = value + stream_bytes;
    track += strspn(track, " ");
    if (media->msid_stream || media->msid_track || stream_bytes == 0)
        return;
    if (stream_bytes != 1 || *value != '-') {
        g_autofree char *stream = g_strndup(value, stream_bytes);
        media->msid_stream = g_utf8_make_valid(stream, -1);
    }
    if (*track)
        media->msid_track = g_utf8_make_valid(track, -1);
}

static gboolean read_msid(StenoSdpReader *reader, const char *value)
{
    if (value)
        set_msid(reader->media, value);
    return TRUE;
}

static gboolean read_ssrc(StenoSdpReader *reader, const char *value)
{
    guint32 ssrc;
    const char *rest = NULL;
    if (!value || !steno_sdp_number(value, G_MAXUINT32, &ssrc, &rest))
        return steno_sdp_fail(reader, value, "'a=ssrc:<number>' was expected");
    if (reader->media->ssrc == 0)
        reader->media->ssrc = ssrc;
    if (g_str_has_prefix(rest, " msid:"))
        set_msid(reader->media, rest + strlen(" msid:"));
    return TRUE;
}

static gboolean read_ssrc_group(StenoSdpReader *reader, const char *value)
{
    guint32 ssrc, rtx_ssrc;
    const char *rest = NULL;
    if (!value || !g_str_has_prefix(value, "FID ") || reader->media->rtx_ssrc != 0)
        return TRUE;
    if (steno_sdp_number(value + strlen("FID "), G_MAXUINT32, &ssrc, &rest) && *rest == ' ' &&
        steno_sdp_number(rest + 1, G_MAXUINT32, &rtx_ssrc, &rest)) {
        reader->media->ssrc = ssrc;
        reader->media->rtx_ssrc = rtx_ssrc;
    }
    return TRUE;
}

/* How long the master key and salt of a suite that transport knows are; 0 for others. */
static gsize sdes_key_bytes(const char *suite)
{
    static const struct {
        const char *suite;
        gsize bytes;
    } suites[] = {{"AES_CM_128_HMAC_SHA1_80", 30},
                  {"AES_CM_128_HMAC_SHA1_32", 30},
                  {"AEAD_AES_128_GCM", 28},
                  {"AEAD_AES_256_GCM", 44}};
    for (guint i = 0; i < G_N_ELEMENTS(suites); i++) {
        if (strcmp(suites[i].suite, suite) == 0)
            return suites[i].bytes;
    }
    return 0;
}

/*
 * <tag> <suite> inline:<key>[|lifetime][|MKI:length] [session parameters] (RFC 4568 §9.1). What cannot be used (MKI,
 * several keys, session parameters that switch protection off) is passed over for the next one. Never an error: the
 * message would show the key.
 */
static gboolean read_crypto(StenoSdpReader *reader, const char *value)
{
    StenoSdpMedia *media = reader->media;
    guint32 tag;
    const char *suite = NULL;
    media->sdes_offered = TRUE;
    if (media->sdes_suite || !value || !steno_sdp_number(value, 999999999, &tag, &suite) || *suite != ' ')
        return TRUE;
    suite += strspn(suite, " ");
    gsize suite_bytes = strcspn(suite, " ");
    const char *key = suite + suite_bytes;
    key += strspn(key, " ");
    g_autofree char *name = g_strndup(suite, suite_bytes);
    gsize wanted = sdes_key_bytes(name);
    if (wanted == 0 || !g_str_has_prefix(key, "inline:"))
        return TRUE;
    key += strlen("inline:");
    gsize key_bytes = strcspn(key, "| ;");
    const char *rest = key + key_bytes;
    if (strchr(rest, ';') || strchr(rest, ':') || strstr(rest, "UNENCRYPTED") || strstr(rest, "UNAUTHENTICATED") ||
        key_bytes != (wanted + 2) / 3 * 4)
        return TRUE;
    char *base64 = g_strndup(key, key_bytes);
    gsize decoded_bytes = 0;
    guchar *decoded = g_base64_decode(base64, &decoded_bytes);
    if (decoded_bytes == wanted) {
        media->sdes_suite = g_steal_pointer(&name);
        media->sdes_key_base64 = g_steal_pointer(&base64);
    } else {
        steno_secret_wipe(base64, key_bytes);
        g_free(base64);
    }
    steno_secret_wipe(decoded, decoded_bytes);
    g_free(decoded);
    return TRUE;
}

/* incl IN IP4 <destination> <source> (RFC 4570) */
static gboolean read_source_filter(StenoSdpReader *reader, const char *value)
{
    const char *text = value ? value + strspn(value, " ") : "";
    g_auto(GStrv) words = g_strsplit(text, " ", 6);
    if (g_strv_length(words) >= 5 && strcmp(words[0], "incl") == 0 && strlen(words[4]) <= 255)
        set_text(&reader->media->source_filter, words[4]);
    return TRUE;
}

static gboolean read_rtcp(StenoSdpReader *reader, const char *value)
{
    guint32 port;
    const char *end = NULL;
    if (!value || !steno_sdp_number(value, 65535, &port, &end))
        return steno_sdp_fail(reader, value, "'a=rtcp:<port>' was expected");
    reader->media->rtcp_port = (guint16)port;
    return TRUE;
}

static gboolean read_label(StenoSdpReader *reader, const char *value)
{
    if (value) {
        g_free(reader->media->label);
        reader->media->label = g_utf8_make_valid(value, -1);
    }
    return TRUE;
}

static gboolean read_flag(StenoSdpReader *reader, const char *name)
{
    StenoSdpMedia *media = reader->media;
    if (strcmp(name, "sendrecv") == 0)
        media->direction = STENO_SDP_SENDRECV;
    else if (strcmp(name, "sendonly") == 0)
        media->direction = STENO_SDP_SENDONLY;
    else if (strcmp(name, "recvonly") == 0)
        media->direction = STENO_SDP_RECVONLY;
    else if (strcmp(name, "inactive") == 0)
        media->direction = STENO_SDP_INACTIVE;
    else if (strcmp(name, "rtcp-mux") == 0)
        media->rtcp_mux = TRUE;
    else if (strcmp(name, "rtcp-rsize") == 0)
        media->rtcp_rsize = TRUE;
    else if (strcmp(name, "bundle-only") == 0)
        media->bundle_only = TRUE;
    else if (strcmp(name, "end-of-candidates") == 0)
        media->end_of_candidates = TRUE;
    return TRUE;
}

gboolean steno_sdp_read_attribute(StenoSdpReader *reader, const char *name, const char *value)
{
    /* level: 's' only before the first m= line, 'm' only behind one, 'b' both. */
    static const struct {
        const char *name;
        char level;
        gboolean (*read)(StenoSdpReader *reader, const char *value);
    } attributes[] = {
        {"group", 's', read_group},
        {"ice-lite", 's', read_ice_lite},
        {"ice-ufrag", 'b', read_ice_ufrag},
        {"ice-pwd", 'b', read_ice_pwd},
        {"setup", 'b', read_setup},
        {"fingerprint", 'b', read_fingerprint},
        {"extmap", 'b', read_extmap},
        {"source-filter", 'b', read_source_filter},
        {"mid", 'm', read_mid},
        {"candidate", 'm', read_candidate},
        {"rtpmap", 'm', read_rtpmap},
        {"fmtp", 'm', read_fmtp},
        {"rtcp-fb", 'm', read_rtcp_fb},
        {"rtcp", 'm', read_rtcp},
        {"ssrc", 'm', read_ssrc},
        {"ssrc-group", 'm', read_ssrc_group},
        {"msid", 'm', read_msid},
        {"crypto", 'm', read_crypto},
        {"label", 'm', read_label},
    };
    char level = reader->media == reader->session ? 's' : 'm';
    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        if (strcmp(name, attributes[i].name) == 0)
            return (attributes[i].level != 'b' && attributes[i].level != level) || attributes[i].read(reader, value);
    }
    return read_flag(reader, name);
}
