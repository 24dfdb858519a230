/*
 * target_guard: where a webhook may be sent to. Whoever may name a URL must not reach with it what only this server can
 * reach: its own services, the private network, a cloud's metadata (SSRF).
 *
 * Addresses are judged where a socket is about to be opened, so that a name which leads elsewhere later (DNS rebinding)
 * gains nothing. Ranges: the IANA special-purpose registries (RFC 6890) as of 2026. Pure functions.
 */
#ifndef STENO_DAEMON_TARGET_GUARD_H
#define STENO_DAEMON_TARGET_GUARD_H

#include <glib.h>
#include <sys/socket.h>

/*
 * NULL when a connection to the address may be opened; else what kind of address it is ("a loopback address"). Static.
 * allow_private lets through all but multicast, broadcast and unspecified ones, and families other than IP. An IPv6
 * address that carries an IPv4 address (mapped, NAT64, 6to4) is what that one is, and never public when it is mapped.
 */
const char *target_guard_refuses(const struct sockaddr *address, gboolean allow_private);

/* CONFIG: not an absolute URL with a host, or of a scheme other than https (and http with allow_http). */
gboolean target_guard_check_url(const char *url, gboolean allow_http, GError **error);

/* The URL without user, password, query and fragment, for people. Caller frees. */
char *target_guard_mask_url(const char *url);

#endif
