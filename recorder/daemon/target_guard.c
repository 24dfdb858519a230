#include "target_guard.h"

#include "steno/base/error.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>

/* ---- addresses --------------------------------------------------------------------------------------------------- */

typedef struct {
    guint8 prefix[16];
    guint8 bits;
    gboolean never; /* not with allow_private either */
    const char *words;
} Range;

/* The first that fits. What is left is public. */
static const Range ranges4[] = {
    {{0, 0, 0, 0}, 8, TRUE, "an unspecified address"},
    {{10}, 8, FALSE, "a private address"},
    {{100, 64}, 10, FALSE, "an address of a carrier's NAT"},
    {{127}, 8, FALSE, "a loopback address"},
    {{169, 254}, 16, FALSE, "a link-local address"},
    {{172, 16}, 12, FALSE, "a private address"},
    {{192, 0, 0}, 24, FALSE, "a reserved address"},
    {{192, 0, 2}, 24, FALSE, "an address for documentation"},
    {{192, 88, 99}, 24, FALSE, "a reserved address"},
    {{192, 168}, 16, FALSE, "a private address"},
    {{198, 18}, 15, FALSE, "an address for benchmarks"},
    {{198, 51, 100}, 24, FALSE, "an address for documentation"},
    {{203, 0, 113}, 24, FALSE, "an address for documentation"},
    {{224}, 4, TRUE, "a multicast address"},
    {{255, 255, 255, 255}, 32, TRUE, "a broadcast address"},
    {{240}, 4, FALSE, "a reserved address"},
};

static const Range ranges6[] = {
    {{0}, 128, TRUE, "an unspecified address"},
    {{[15] = 1}, 128, FALSE, "a loopback address"},
    {{0xff}, 8, TRUE, "a multicast address"},
    {{0xfe, 0x80}, 10, FALSE, "a link-local address"},
    {{0xfe, 0xc0}, 10, FALSE, "a private address"},
    {{0xfc}, 7, FALSE, "a private address"},
    {{0x20, 0x01}, 23, FALSE, "a reserved address"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, FALSE, "an address for documentation"},
    {{0x3f, 0xff}, 20, FALSE, "an address for documentation"},
};

/* Where in an IPv6 address an IPv4 address is carried. */
static const struct {
    guint8 prefix[16];
    guint8 bits, at;
    gboolean never_public;
} carriers[] = {
    {{[10] = 0xff, 0xff}, 96, 12, TRUE},       /* mapped: ::ffff:0:0/96 */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12, FALSE}, /* NAT64: 64:ff9b::/96, the way out of a network without IPv4 */
    {{0x20, 0x02}, 16, 2, FALSE},              /* 6to4 */
    {{[8] = 0xff, 0xff}, 96, 12, TRUE},        /* translated: ::ffff:0:0:0/96 */
    {{0}, 96, 12, TRUE},                       /* compatible: ::/96 */
};

static gboolean is_within(const guint8 *address, const guint8 *prefix, guint bits)
{
    guint bytes = bits / 8, rest = bits % 8;
    if (memcmp(address, prefix, bytes) != 0)
        return FALSE;
    return rest == 0 || ((address[bytes] ^ prefix[bytes]) >> (8 - rest)) == 0;
}

static const char *refuses(const guint8 *address, const Range *ranges, guint n, gboolean allow_private)
{
    for (guint i = 0; i < n; i++)
        if (is_within(address, ranges[i].prefix, ranges[i].bits))
            return allow_private && !ranges[i].never ? NULL : ranges[i].words;
    return NULL;
}

static const char *refuses4(const guint8 *address, gboolean allow_private)
{
    return refuses(address, ranges4, G_N_ELEMENTS(ranges4), allow_private);
}

static const char *refuses6(const guint8 *address, gboolean allow_private)
{
    static const guint8 global[16] = {0x20};
    const char *why = refuses(address, ranges6, G_N_ELEMENTS(ranges6), FALSE);
    if (why)
        return refuses(address, ranges6, G_N_ELEMENTS(ranges6), allow_private);
    for (guint i = 0; i < G_N_ELEMENTS(carriers); i++)
        if (is_within(address, carriers[i].prefix, carriers[i].bits)) {
            why = refuses4(address + carriers[i].at, allow_private);
            return why || allow_private || !carriers[i].never_public ? why : "an IPv4 address in an IPv6 one";
        }
    /* IANA gives out 2000::/3 only; all else has a special purpose, or none yet. */
    return allow_private || is_within(address, global, 3) ? NULL : "a reserved address";
}

const char *target_guard_refuses(const struct sockaddr *address, gboolean allow_private)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return refuses4((const guint8 *)&in->sin_addr, allow_private);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        return refuses6((const guint8 *)&in->sin6_addr, allow_private);
    }
    return "not an IP address";
}

/* ---- URLs -------------------------------------------------------------------------------------------------------- */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CURLU, curl_url_cleanup)

static gboolean refuse(GError **error, const char *url, const char *why)
{
    g_autofree char *masked = target_guard_mask_url(url);
    return steno_error_set(error, STENO_ERROR_CONFIG, "the URL %s %s", masked, why);
}

gboolean target_guard_check_url(const char *url, gboolean allow_http, GError **error)
{
    g_autoptr(CURLU) parts = curl_url();
    char *scheme = NULL;
    /* curl would leave tabs and line ends to the request. */
    for (const char *c = url; *c; c++)
        if (g_ascii_iscntrl(*c) || *c == ' ')
            return refuse(error, url, "has a space or control character in it: write it as %20, for example");
    CURLUcode failed = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (failed == CURLUE_OK)
        failed = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    if (failed != CURLUE_OK)
        return refuse(error, url, "cannot be read: it must be https://HOST[:PORT]/PATH");
    gboolean https = strcmp(scheme, "https") == 0, http = strcmp(scheme, "http") == 0;
    curl_free(scheme);
    if (https || (http && allow_http))
        return TRUE;
    return refuse(error, url,
                  http ? "is plain HTTP: use https, or set allow_http = true"
                       : "is not https: use https://HOST[:PORT]/PATH");
}

char *target_guard_mask_url(const char *url)
{
    g_autoptr(CURLU) parts = curl_url();
    char *text = NULL;
    gboolean failed = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK;
    static const CURLUPart masked[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                       CURLUPART_FRAGMENT};
    for (guint i = 0; i < G_N_ELEMENTS(masked) && !failed; i++)
        failed = curl_url_set(parts, masked[i], NULL, 0) != CURLUE_OK;
    if (failed || curl_url_get(parts, CURLUPART_URL, &text, 0) != CURLUE_OK)
        return g_strdup("(unreadable)");
    char *copy = g_strdup(text);
    curl_free(text);
    return copy;
}
