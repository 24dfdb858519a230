#include "guard.h"

#include "steno/base/error.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>

struct S3Guard {
    const StenoConfigStorage *settings;
    GPtrArray *masks; /* of GInetAddressMask *; empty: everything is allowed */
};

S3Guard *s3_guard_new(const StenoConfigStorage *settings, GError **error)
{
    S3Guard *guard = g_new0(S3Guard, 1);
    guard->settings = settings;
    guard->masks = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; settings->allow_endpoint_cidr[i]; i++) {
        GInetAddressMask *mask = g_inet_address_mask_new_from_string(settings->allow_endpoint_cidr[i], NULL);
        if (!mask) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                        "storage %s: allow_endpoint_cidr: \"%s\" is no network, as 10.0.0.0/8 is", settings->name,
                        settings->allow_endpoint_cidr[i]);
            s3_guard_free(guard);
            return NULL;
        }
        g_ptr_array_add(guard->masks, mask);
    }
    if (!s3_guard_allows_region(guard, settings->region)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "storage %s: region \"%s\" is not among allow_regions",
                    settings->name, settings->region);
        s3_guard_free(guard);
        return NULL;
    }
    return guard;
}

void s3_guard_free(S3Guard *guard)
{
    if (!guard)
        return;
    g_ptr_array_unref(guard->masks);
    g_free(guard);
}

/* An IPv4 address that came as an IPv6 one is judged as what it is. */
static GInetAddress *address_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return g_inet_address_new_from_bytes(
            (const guint8 *)&((const struct sockaddr_in *)(const void *)address)->sin_addr, G_SOCKET_FAMILY_IPV4);
    if (address->sa_family != AF_INET6)
        return NULL;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(in6))
        return g_inet_address_new_from_bytes(in6->s6_addr + 12, G_SOCKET_FAMILY_IPV4);
    return g_inet_address_new_from_bytes(in6->s6_addr, G_SOCKET_FAMILY_IPV6);
}

gboolean s3_guard_allows_address(const S3Guard *guard, const struct sockaddr *address)
{
    if (guard->masks->len == 0)
        return TRUE;
    g_autoptr(GInetAddress) inet = address_of(address);
    for (guint i = 0; inet && i < guard->masks->len; i++)
        if (g_inet_address_mask_matches(g_ptr_array_index(guard->masks, i), inet))
            return TRUE;
    return FALSE;
}

gboolean s3_guard_allows_region(const S3Guard *guard, const char *region)
{
    char *const *allowed = guard->settings->allow_regions;
    return allowed[0] ? g_strv_contains((const char *const *)allowed, region)
                      : strcmp(region, guard->settings->region) == 0;
}
