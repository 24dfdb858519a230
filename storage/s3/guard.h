/*
 * The geofence of a storage: which addresses and regions may be sent to. Addresses are looked at when the socket is
 * made, after DNS has said its last word. With a proxy, the proxy's address is what is looked at: where it connects to
 * is its own affair.
 */
#ifndef STENO_STORAGE_S3_GUARD_H
#define STENO_STORAGE_S3_GUARD_H

#include "steno/config.h"

#include <sys/socket.h>

typedef struct S3Guard S3Guard;

/* NULL: CONFIG. settings live longer. */
S3Guard *s3_guard_new(const StenoConfigStorage *settings, GError **error);
void s3_guard_free(S3Guard *guard);

/* Any thread. */
gboolean s3_guard_allows_address(const S3Guard *guard, const struct sockaddr *address);
gboolean s3_guard_allows_region(const S3Guard *guard, const char *region);

#endif
