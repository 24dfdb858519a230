/*
 * api: REST over HTTPS and over a Unix socket. Authenticates, limits, validates the form, maps to the daemon's
 * commands. Knows no media. docs/openapi.yaml is the contract with the world; a test holds both together.
 */
#ifndef STENO_API_H
#define STENO_API_H

#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/daemon.h"

#define STENO_API_BODY_MAX_BYTES (256 * 1024)
#define STENO_API_JSON_DEPTH_MAX 16

typedef struct StenoApi StenoApi;

/*
 * Makes the certificate of the first start (ECDSA P-256, in state_dir), listens, and serves in a thread of its own
 * until it is stopped. CONFIG (address in use, certificate and key that don't fit: says which), STORAGE_*.
 */
StenoApi *steno_api_start(StenoConfig *config, StenoDaemon *daemon, const StenoLog *log, GError **error);
/* Ends open answers after at most 2 s, joins the thread, frees. Before steno_daemon_free(). */
void steno_api_stop(StenoApi *api);

#endif
