/* The line reader: v=, s=, c=, m= and the frame around the attributes (RFC 8866 §5). */
#include "sdp_private.h"

#include "steno/base/error.h"

#include <string.h>

#define EXCERPT_BYTES 40 /* of a wrong line, in an error */

/* The start of what somebody else wrote, for a terminal: what does not print becomes \xNN, a byte each. */
static char *excerpt(const char *text)
{
    GString *shown = g_string_new(NULL);
    const char *end = text + strnlen(text, EXCERPT_BYTES);
    while (text < end) {
        gunichar c = g_utf8_get_char_validated(text, -1);
        gboolean valid = c != (gunichar)-1 && c != (gunichar)-2;
        const char *next = valid ? g_utf8_next_char(text) : text + 1;
        if (valid && g_unichar_isprint(c))
            g_string_append_len(shown, text, next - text);
        else
            for (const char *byte = text; byte < next; byte++)
                g_string_append_printf(shown, "\\x%02x", (guint)(guchar)*byte);
        text = next;
    }
    return g_string_free(shown, FALSE);
}

gboolean steno_sdp_fail(const StenoSdpReader *reader, const char *value, const char *words)
{
    g_autofree char *shown = excerpt(value ? value : "");
    g_set_error(reader->error, STENO_ERROR, STENO_ERROR_SDP_INVALID, "session description, line %u: %s, at '%s'",
                reader->line, words, shown);
    return FALSE;
}

gboolean steno_sdp_number(const char *text, guint32 maximum, guint32 *number, const char **end)
{
    guint64 value = 0;
    gsize digits = 0;
    while (digits < 10 && g_ascii_isdigit(text[digits]))
        value = value * 10 + (guint64)(text[digits++] - '0');
    if (digits == 0 || value > maximum || g_ascii_isdigit(text[digits]))
        return FALSE;
    *number = (guint32)value;
    *end = text + digits;
    return TRUE;
}

gboolean steno_sdp_is_token(const char *text, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++) {
        if (!g_ascii_isgraph(text[i]) || strchr("\"(),:;<=>?@[\\]", text[i]))
            return FALSE;
    }
    return bytes > 0;
}

static void format_free(gpointer data)
{
    StenoSdpFormat *format = data;
    g_free(format->name);
    g_free(format->fmtp);
    g_free(format);
}

StenoSdpMedia *steno_sdp_media_new(void)
{
    StenoSdpMedia *media = g_new0(StenoSdpMedia, 1);
    media->formats = g_ptr_array_new_with_free_func(format_free);
    media->fingerprints = g_ptr_array_new_with_free_func(g_free);
    media->candidates = g_ptr_array_new_with_free_func(g_free);
    return media;
}

void steno_sdp_media_free(StenoSdpMedia *media)
{
    if (!media)
        return;
    if (media->sdes_key_base64)
        steno_secret_wipe(media->sdes_key_base64, strlen(media->sdes_key_base64));
    g_ptr_array_unref(media->formats);
    g_ptr_array_unref(media->fingerprints);
    g_ptr_array_unref(media->candidates);
    char *const texts[] = {media->kind,       media->protocol,        media->mid,
                           media->address,    media->ufrag,           media->password,
                           media->msid_track, media->msid_stream,     media->label,
                           media->sdes_suite, media->sdes_key_base64, media->source_filter};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(media);
}

void steno_sdp_free(StenoSdp *sdp)
{
    if (!sdp)
        return;
    g_free(sdp->session_name);
    g_free(sdp->bundle);
    g_ptr_array_unref(sdp->media);
    g_free(sdp);
}

const StenoSdpFormat *steno_sdp_format(const StenoSdpMedia *media, guint8 payload_type)
{
    for (guint i = 0; i < media->formats->len; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(media->formats, i);
        if (format->payload_type == payload_type)
            return format;
    }
    return NULL;
}

/* The payload types that mean something without a=rtpmap (RFC 3551 §6), as far as anybody still sends them. */
static void set_static_type(StenoSdpFormat *format)
{
    static const struct {
        guint8 payload_type;
        const char *name;
    } types[] = {{0, "PCMU"}, {3, "GSM"}, {8, "PCMA"}, {9, "G722"}, {13, "CN"}};
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i].payload_type == format->payload_type) {
            format->name = g_strdup(types[i].name);
            format->codec = steno_codec_from_name(format->name);
            format->clock_hz = 8000;
            format->channels = 1;
        }
    }
}

static gboolean read_formats(StenoSdpReader *reader, const char *text)
{
    StenoSdpMedia *media = reader->media;
    while (*text) {
        guint32 payload_type;
        if (!steno_sdp_number(text, 127, &payload_type, &text) || (*text != '\0' && *text != ' '))
            return steno_sdp_fail(reader, text, "an RTP payload type (0 to 127) was expected");
        text += strspn(text, " ");
        if (steno_sdp_format(media, (guint8)payload_type))
            continue;
        if (media->formats->len >= STENO_SDP_FORMATS_MAX)
            return steno_sdp_fail(reader, text, "more than 64 payload types in one m= line");
        StenoSdpFormat *format = g_new0(StenoSdpFormat, 1);
        format->payload_type = (guint8)payload_type;
        format->rtx_of = -1;
        set_static_type(format);
        g_ptr_array_add(media->formats, format);
    }
    return TRUE;
}

/* m=<kind> <port>[/<number>] <protocol> <format> … */
static gboolean read_media(StenoSdpReader *reader, const char *value)
{
    if (reader->sdp->media->len >= STENO_SDP_MEDIA_MAX)
        return steno_sdp_fail(reader, value, "more than 256 m= lines");
    StenoSdpMedia *media = steno_sdp_media_new();
    g_ptr_array_add(reader->sdp->media, media);
    reader->media = media;
    media->direction = reader->session->direction;

    gsize kind_bytes = strcspn(value, " ");
    const char *port_text = value + kind_bytes;
    guint32 port, ports;
    if (!steno_sdp_is_token(value, kind_bytes) || *port_text != ' ')
        return steno_sdp_fail(reader, value, "'m=<media> <port> <protocol> <formats>' was expected");
    media->kind = g_strndup(value, kind_bytes);
    const char *protocol = port_text + 1;
    if (!steno_sdp_number(protocol, 65535, &port, &protocol))
        return steno_sdp_fail(reader, port_text, "a port (0 to 65535) was expected");
    if (*protocol == '/' && !steno_sdp_number(protocol + 1, 65535, &ports, &protocol))
        return steno_sdp_fail(reader, protocol, "a number of ports was expected");
    media->port = (guint16)port;
    gsize protocol_bytes = *protocol == ' ' ? strcspn(protocol + 1, " ") : 0;
    if (!steno_sdp_is_token(protocol + 1, protocol_bytes))
        return steno_sdp_fail(reader, port_text, "a transport protocol was expected");
    media->protocol = g_strndup(protocol + 1, protocol_bytes);
    const char *formats = protocol + 1 + protocol_bytes;
    formats += strspn(formats, " ");
    return !strstr(media->protocol, "RTP/") || read_formats(reader, formats);
}

/* c=IN IP4 224.2.1.1/127, without the TTL */
static gboolean read_connection(StenoSdpReader *reader, const char *value)
{
    if (!g_str_has_prefix(value, "IN IP4 ") && !g_str_has_prefix(value, "IN IP6 "))
        return steno_sdp_fail(reader, value, "'c=IN IP4 <address>' or 'c=IN IP6 <address>' was expected");
    const char *address = value + strlen("IN IP4 ");
    gsize bytes = strcspn(address, "/ ");
    if (bytes == 0 || bytes > 255)
        return steno_sdp_fail(reader, value, "an address was expected");
    g_free(reader->media->address);
    reader->media->address = g_strndup(address, bytes);
    return TRUE;
}

static gboolean read_line(StenoSdpReader *reader, char *line)
{
    if (!g_ascii_isalpha(line[0]) || line[1] != '=')
        return steno_sdp_fail(reader, line, "'<letter>=<value>' was expected");
    char *value = line + 2;
    switch (line[0]) {
    case 's':
        if (!reader->sdp->session_name)
            reader->sdp->session_name = g_utf8_make_valid(value, -1);
        return TRUE;
    case 'i':
        if (reader->media != reader->session && !reader->media->label)
            reader->media->label = g_utf8_make_valid(value, -1);
        return TRUE;
    case 'c':
        return read_connection(reader, value);
    case 'm':
        return read_media(reader, value);
    case 'a': {
        char *colon = strchr(value, ':');
        if (colon)
            *colon = '\0';
        return steno_sdp_read_attribute(reader, value, colon ? colon + 1 : NULL);
    }
    default: /* o=, t=, b= … and letters to come say nothing that we need */
        return TRUE;
    }
}

/* The next line without its end, NUL-terminated in place; NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text;
    if (*line == '\0')
        return NULL;
    gsize bytes = strcspn(line, "\n");
    *text = line + bytes + (line[bytes] == '\n');
    if (bytes > 0 && line[bytes] == '\n' && line[bytes - 1] == '\r')
        bytes--;
    line[bytes] = '\0';
    return line;
}

static gboolean read_lines(StenoSdpReader *reader, char *text)
{
    gboolean started = FALSE;
    char *line;
    while ((line = next_line(&text))) {
        reader->line++;
        for (const char *c = line; *c; c++) {
            /* Values are written into answers: nothing that could end a line may be in one. */
            if (g_ascii_iscntrl(*c) && *c != '\t') {
                line[strcspn(line, ":")] = '\0'; /* the value may be a key */
                return steno_sdp_fail(reader, line, "a control character");
            }
        }
        if (*line == '\0')
            continue;
        if (!started && strcmp(line, "v=0") != 0)
            return steno_sdp_fail(reader, line, "a session description begins with 'v=0'");
        started = TRUE;
        if (!read_line(reader, line))
            return FALSE;
    }
    return started || steno_sdp_fail(reader, "", "it is empty");
}

static void inherit_text(char **own, const char *session)
{
    if (!*own)
        *own = g_strdup(session);
}

/* What the session says holds for each m-line that does not say otherwise; arrays get their NULL. */
static void finish_media(StenoSdpMedia *media, const StenoSdpMedia *session)
{
    inherit_text(&media->address, session->address);
    inherit_text(&media->ufrag, session->ufrag);
    inherit_text(&media->password, session->password);
    inherit_text(&media->source_filter, session->source_filter);
    if (!media->has_setup) {
        media->setup = session->setup;
        media->has_setup = session->has_setup;
    }
    for (guint i = 0; media->fingerprints->len == 0 && i < session->fingerprints->len; i++)
        g_ptr_array_add(media->fingerprints, g_strdup(g_ptr_array_index(session->fingerprints, i)));
    if (!media->mid_extension)
        media->mid_extension = session->mid_extension;
    if (!media->transport_cc_extension)
        media->transport_cc_extension = session->transport_cc_extension;
    if (!media->abs_send_time_extension)
        media->abs_send_time_extension = session->abs_send_time_extension;
}

static void terminate(GPtrArray *strings)
{
    g_ptr_array_add(strings, NULL);
    g_ptr_array_set_size(strings, (int)strings->len - 1);
}

StenoSdp *steno_sdp_parse(const char *text, gsize bytes, GError **error)
{
    if (bytes > STENO_SDP_MAX_BYTES) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                    "a session description of %" G_GSIZE_FORMAT " bytes is longer than any real one (%d)", bytes,
                    STENO_SDP_MAX_BYTES);
        return NULL;
    }
    if (bytes > 0 && memchr(text, '\0', bytes)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID, "a session description holds a NUL byte");
        return NULL;
    }
    StenoSdp *sdp = g_new0(StenoSdp, 1);
    sdp->media = g_ptr_array_new_with_free_func((GDestroyNotify)steno_sdp_media_free);
    StenoSdpMedia *session = steno_sdp_media_new();
    StenoSdpReader reader = {.sdp = sdp, .media = session, .session = session, .error = error};

    char *copy = g_strndup(text, bytes);
    gboolean ok = read_lines(&reader, copy);
    steno_secret_wipe(copy, bytes); /* a=crypto and a=ice-pwd stood in it */
    g_free(copy);

    for (guint i = 0; i < sdp->media->len; i++) {
        StenoSdpMedia *media = g_ptr_array_index(sdp->media, i);
        finish_media(media, session);
        terminate(media->fingerprints);
        terminate(media->candidates);
    }
    steno_sdp_media_free(session);
    if (!ok)
        g_clear_pointer(&sdp, steno_sdp_free);
    else if (!sdp->session_name)
        sdp->session_name = g_strdup("");
    return sdp;
}
