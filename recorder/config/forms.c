#include "forms.h"

#include "steno/base/safe_name.h"
#include "steno/config.h"

#include <gio/gio.h>
#include <limits.h>
#include <string.h>

#define HOST_MAX_BYTES 253
/* Of a key template: what every file system takes as a name; and with a file's name it must not be longer than the 1024
 * bytes that S3 takes as a key. */
#define STEP_MAX_BYTES 255
#define TEMPLATE_MAX_BYTES 768

/* A name becomes a folder in the storages: two apps whose folders were the same could see each other's files. */
static gboolean is_name(const char *text)
{
    gsize bytes = strlen(text);
    if (bytes == 0 || bytes > STENO_CONFIG_NAME_MAX_BYTES)
        return FALSE;
    for (const char *p = text; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("._-", *p))
            return FALSE;
    }
    g_autofree char *safe = steno_safe_name(text);
    return strcmp(safe, text) == 0;
}

static gboolean is_host(const char *host)
{
    gsize bytes = strlen(host);
    if (bytes == 0 || bytes > HOST_MAX_BYTES || host[0] == '.' || host[0] == '-' || strstr(host, ".."))
        return FALSE;
    if (strspn(host, "0123456789.") == bytes)
        return g_hostname_is_ip_address(host);
    for (const char *p = host; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("._-", *p))
            return FALSE;
    }
    return TRUE;
}

/* HOST:PORT or [IPv6]:PORT. */
static gboolean is_host_port(const char *text, gboolean needs_port)
{
    g_autofree char *host = NULL;
    const char *rest;
    guint64 port;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end)
            return FALSE;
        host = g_strndup(text + 1, (gsize)(end - text - 1));
        rest = end + 1;
        if (!strchr(host, ':') || !g_hostname_is_ip_address(host))
            return FALSE;
    } else {
        gsize bytes = strcspn(text, ":");
        host = g_strndup(text, bytes);
        rest = text + bytes;
        if (!is_host(host))
            return FALSE;
    }
    if (rest[0] == '\0')
        return !needs_port;
    return rest[0] == ':' && g_ascii_isdigit(rest[1]) &&
           g_ascii_string_to_unsigned(rest + 1, 10, 1, G_MAXUINT16, &port, NULL);
}

static gboolean is_listen(const char *text)
{
    return is_host_port(text, TRUE);
}

static gboolean is_server(const char *text)
{
    return is_host_port(text, FALSE);
}

/* No turns: libnice would send what it calls TLS unencrypted. */
static gboolean is_turn(const char *text)
{
    if (!g_str_has_prefix(text, "turn:"))
        return FALSE;
    const char *server = text + strlen("turn:"), *query = strchr(server, '?');
    g_autofree char *host_port = query ? g_strndup(server, (gsize)(query - server)) : g_strdup(server);
    return is_host_port(host_port, FALSE) &&
           (!query || strcmp(query, "?transport=udp") == 0 || strcmp(query, "?transport=tcp") == 0);
}

static gboolean is_cidr(const char *text)
{
    g_autoptr(GInetAddressMask) mask = g_inet_address_mask_new_from_string(text, NULL);
    return mask != NULL;
}

/* HH:MM, from 00:00 to 23:59. */
static gboolean is_time_of_day(const char *text)
{
    return g_ascii_isdigit(text[0]) && g_ascii_isdigit(text[1]) && text[2] == ':' && text[3] >= '0' && text[3] <= '5' &&
           g_ascii_isdigit(text[4]) && (text[0] < '2' || (text[0] == '2' && text[1] <= '3'));
}

/* A window without a beginning and an end would be either always or never. */
static gboolean is_window(const char *text)
{
    return strlen(text) == strlen("20:00-06:00") && is_time_of_day(text) && text[5] == '-' &&
           is_time_of_day(text + 6) && strncmp(text, text + 6, 5) != 0;
}

/* 0600 to 0777: we must be able to read and write it, and not everybody else may write. */
static gboolean is_mode(const char *text)
{
    return strlen(text) == 4 && text[0] == '0' && strchr("67", text[1]) && text[2] >= '0' && text[2] <= '7' &&
           strchr("0145", text[3]);
}

/* As S3 has them, with its limits in characters. */
static gboolean is_tag(const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || g_utf8_strlen(text, equals - text) > 128 || g_utf8_strlen(equals + 1, -1) > 256 ||
        g_str_has_prefix(text, "aws:"))
        return FALSE;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (p != equals && !g_unichar_isalnum(c) && !(c < 0x80 && strchr(" +-=._:/@", (int)c)))
            return FALSE;
    }
    return TRUE;
}

static const struct {
    const char *name;
    gboolean (*is)(const char *text);
    const char *words;
} forms[] = {
    {"NAME", is_name,
     "1 to 64 letters, digits, '.', '_' and '-', not beginning with '.' or '-', not ending with '.', and no name that "
     "Windows keeps for devices (con, nul, com1, …)"},
    {"LISTEN", is_listen, "HOST:PORT or [IPv6]:PORT, such as '127.0.0.1:8443'"},
    {"SERVER", is_server, "HOST:PORT, such as 'stun.example.com:3478'"},
    {"TURN", is_turn, "turn:HOST:PORT, followed by ?transport=udp or ?transport=tcp or nothing"},
    {"CIDR", is_cidr, "an address or a network without bits behind its length, such as 10.0.0.0/8 or 2001:db8::/32"},
    {"WINDOW", is_window, "HH:MM-HH:MM, from one time of day to another, such as '20:00-06:00'"},
    {"MODE", is_mode,
     "permissions in octal, 0600 to 0775, such as '0640', by which we may read and write, and not everybody may write"},
    {"TAG", is_tag, "NAME=VALUE of letters, digits, spaces and + - = . _ : / @, at most 128 and 256 characters"},
};

gboolean config_is_form(const char *allowed)
{
    return g_ascii_isupper(allowed[0]);
}

const char *config_form_check(const char *form, const char *text)
{
    for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (strcmp(forms[i].name, form) == 0)
            return forms[i].is(text) ? NULL : forms[i].words;
    }
    g_return_val_if_reached(NULL);
}

const char *config_url_check(const char *url, gboolean may_http, gboolean may_query)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
    const char *scheme = uri ? g_uri_get_scheme(uri) : "", *host = uri ? g_uri_get_host(uri) : NULL;
    gboolean is_http = strcmp(scheme, "http") == 0;
    if (strcmp(scheme, "https") != 0 && !(is_http && may_http))
        return may_http ? "is no http:// or https:// URL, but must be"
                        : "is no https:// URL, but must be (or allow_http = true)";
    if (!host || (!is_host(host) && !(strchr(host, ':') && g_hostname_is_ip_address(host))))
        return "has no host that can be read, but must be SCHEME://HOST[:PORT]/PATH";
    if (g_uri_get_userinfo(uri))
        return "holds a user or password, but must not: secrets are given by file";
    if (g_uri_get_fragment(uri))
        return "has a fragment ('#…'), but must have none";
    if (g_uri_get_query(uri) && !may_query)
        return "has a query ('?…'), but must have none";
    return NULL;
}

const char *config_server_url_check(const char *url, gboolean may_http)
{
    const char *wrong = config_url_check(url, may_http, FALSE);
    g_autoptr(GUri) uri = wrong ? NULL : g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
    if (uri && g_uri_get_path(uri)[0] && strcmp(g_uri_get_path(uri), "/") != 0)
        return "has a path, but must be SCHEME://HOST[:PORT]";
    return wrong;
}

/* The most bytes that each word can become: names are bounded, see steno_safe_name(). */
static const struct {
    const char *word;
    gsize bytes;
} template_words[] = {
    {"{app}", STENO_CONFIG_NAME_MAX_BYTES},     {"{channel}", STENO_SAFE_NAME_MAX_BYTES},
    {"{date}", sizeof "2026-11-21" - 1},        {"{time}", sizeof "20261121T195540Z" - 1},
    {"{recording}", STENO_SAFE_NAME_MAX_BYTES},
};

/* The literal text of a step must be safe by itself, as a file's name is, whatever the words become. */
static const char *check_step(const char *step, gboolean *has_recording, gsize *all_bytes)
{
    GString *example = g_string_new(NULL);
    gsize bytes = 0;
    const char *wrong = NULL;
    for (const char *p = step; *p && !wrong;) {
        guint i = 0;
        while (i < G_N_ELEMENTS(template_words) && !g_str_has_prefix(p, template_words[i].word))
            i++;
        if (i < G_N_ELEMENTS(template_words)) {
            wrong = i == G_N_ELEMENTS(template_words) - 1 && *has_recording ? "has {recording} twice" : NULL;
            *has_recording = *has_recording || i == G_N_ELEMENTS(template_words) - 1;
            bytes += template_words[i].bytes;
            p += strlen(template_words[i].word);
            g_string_append_c(example, 'x');
        } else {
            wrong = strchr("{}", *p) ? "has a word that is not known" : NULL;
            bytes++;
            g_string_append_c(example, *p++);
        }
    }
    g_autofree char *text = g_string_free(example, FALSE), *safe = steno_safe_name(text);
    if (!wrong && strcmp(safe, text) != 0)
        wrong = "has a step that is not safe as a folder's name";
    *all_bytes += bytes + 1;
    return !wrong && bytes > STEP_MAX_BYTES ? "has a step that can become longer than 255 bytes" : wrong;
}

const char *config_template_check(const char *text)
{
    g_auto(GStrv) steps = g_strsplit(text, "/", -1);
    guint n = g_strv_length(steps);
    gboolean has_recording = FALSE;
    gsize bytes = 0;
    const char *wrong = NULL;
    if (n < 2 || strcmp(steps[n - 1], "{file}") != 0)
        return "does not end with /{file}";
    for (guint i = 0; i + 1 < n && !wrong; i++)
        wrong = check_step(steps[i], &has_recording, &bytes);
    if (!wrong && bytes > TEMPLATE_MAX_BYTES)
        return "can become longer than 1024 bytes with a file's name";
    return !wrong && !has_recording ? "has no {recording}" : wrong;
}

const char *config_path_check(const char *path)
{
    static const char words[] = "an absolute path ('/…') without empty, '.' or '..' parts and without '/' at its end";
    if (path[0] != '/' || strlen(path) >= PATH_MAX)
        return words;
    if (path[1] == '\0')
        return NULL;
    for (const char *part = path; *part;) {
        const char *name = part + 1;
        gsize bytes = strcspn(name, "/");
        if (bytes == 0 || (bytes == 1 && name[0] == '.') || (bytes == 2 && strncmp(name, "..", 2) == 0))
            return words;
        part = name + bytes;
    }
    return NULL;
}
