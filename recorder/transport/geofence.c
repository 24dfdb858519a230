#include "private.h"
#include "steno/base/error.h"

#include <arpa/inet.h>
#include <string.h>

/* More would not fit into one kernel filter (4096 instructions, at most 13 a network). */
#define GEOFENCE_NETWORKS_MAX 256

struct StenoGeofence {
    int references;
    guint n_networks;
    StenoNetwork networks[];
};

static const guint8 mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static gboolean parse_address(const char *text, guint8 out[16], gboolean *is_ipv4)
{
    *is_ipv4 = inet_pton(AF_INET, text, out + 12) == 1;
    if (*is_ipv4) {
        memcpy(out, mapped_prefix, sizeof mapped_prefix);
        return TRUE;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

static gboolean parse_network(const char *text, StenoNetwork *network)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    gsize length = slash ? (gsize)(slash - text) : strlen(text);
    gboolean is_ipv4;

    if (length >= sizeof address)
        return FALSE;
    memcpy(address, text, length);
    address[length] = '\0';
    if (!parse_address(address, network->prefix, &is_ipv4))
        return FALSE;

    guint64 bits = is_ipv4 ? 32 : 128;
    if (slash && !g_ascii_string_to_unsigned(slash + 1, 10, 0, bits, &bits, NULL))
        return FALSE;
    network->bits = (guint)bits + (is_ipv4 ? 96 : 0);
    for (guint bit = network->bits; bit < 128; bit++)
        network->prefix[bit / 8] &= (guint8) ~(0x80u >> bit % 8);
    return TRUE;
}

StenoGeofence *steno_geofence_new(const char *const *cidrs, GError **error)
{
    guint n_networks = cidrs ? g_strv_length((char **)cidrs) : 0;

    if (n_networks > GEOFENCE_NETWORKS_MAX) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "reading the allowed networks: %u are more than %d",
                    n_networks, GEOFENCE_NETWORKS_MAX);
        return NULL;
    }
    StenoGeofence *geofence = g_malloc0(sizeof *geofence + n_networks * sizeof *geofence->networks);
    geofence->references = 1;
    geofence->n_networks = n_networks;
    for (guint i = 0; i < n_networks; i++) {
        if (parse_network(cidrs[i], &geofence->networks[i]))
            continue;
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "reading the allowed networks: \"%s\" is none; give an address or a network such as 10.0.0.0/8 or "
                    "2001:db8::/32",
                    cidrs[i]);
        g_free(geofence);
        return NULL;
    }
    return geofence;
}

StenoGeofence *steno_geofence_ref(StenoGeofence *geofence)
{
    if (geofence)
        g_atomic_int_inc(&geofence->references);
    return geofence;
}

void steno_geofence_unref(StenoGeofence *geofence)
{
    if (geofence && g_atomic_int_dec_and_test(&geofence->references))
        g_free(geofence);
}

const StenoNetwork *steno_geofence_networks(const StenoGeofence *geofence, guint *n_networks)
{
    *n_networks = geofence ? geofence->n_networks : 0;
    return geofence ? geofence->networks : NULL;
}

static gboolean contains(const StenoNetwork *network, const guint8 address[16])
{
    guint bytes = network->bits / 8, rest = network->bits % 8;

    if (memcmp(network->prefix, address, bytes) != 0)
        return FALSE;
    return rest == 0 || ((network->prefix[bytes] ^ address[bytes]) & (guint8)(0xff00u >> rest)) == 0;
}

static gboolean allows(const StenoGeofence *geofence, const guint8 address[16])
{
    for (guint i = 0; i < geofence->n_networks; i++) {
        if (contains(&geofence->networks[i], address))
            return TRUE;
    }
    return geofence->n_networks == 0;
}

gboolean steno_geofence_allows(const StenoGeofence *geofence, const char *address)
{
    guint8 bytes[16];
    gboolean is_ipv4;

    if (!geofence || geofence->n_networks == 0)
        return TRUE;
    return address && parse_address(address, bytes, &is_ipv4) && allows(geofence, bytes);
}

gboolean steno_geofence_allows_address(const StenoGeofence *geofence, const struct sockaddr *address)
{
    guint8 bytes[16];

    if (!geofence || geofence->n_networks == 0)
        return TRUE;
    if (address->sa_family == AF_INET6)
        return allows(geofence, ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
    if (address->sa_family != AF_INET)
        return FALSE;
    memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    return allows(geofence, bytes);
}
