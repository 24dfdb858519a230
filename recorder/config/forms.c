#include "forms.h"

#include "steno/base/safe_name.h"
#include "steno/config.h"

#include <gio/gio.h>
#include <limits.h>
#include <string.h>

#define HOST_MAX_BYTES 253

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
