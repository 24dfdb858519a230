/* The configuration of the daemon's tests. */
#ifndef TESTS_DAEMON_CONFIG_H
#define TESTS_DAEMON_CONFIG_H

#include "steno/config.h"

/*
 * Apps "clinic" (every platform and storage; webhooks ward-7, its default, and ward-8) and "court" (platform janus-1,
 * storage second, at most one recording, of at most 600 s). Platforms janus-1 (mints), janus-2 (does not), files (sdp).
 * Storages primary and second. Everything, with the file itself, in `folder`.
 */
StenoConfig *daemon_config_new(const char *folder);

#endif
