/* The configuration of the daemon's tests. */
#ifndef TESTS_DAEMON_CONFIG_H
#define TESTS_DAEMON_CONFIG_H

#include "steno/config.h"

#define DAEMON_CONFIG_OUTPUT_KEY "00112233445566778899aabbccddeeff:ffeeddccbbaa99887766554433221100"

/*
 * Apps "clinic" (every platform and storage; webhooks ward-7, its default, and ward-8) and "court" (platform janus-1,
 * storage second, at most one recording, of at most 600 s). Platforms janus-1 (mints), janus-2 (does not), files (sdp).
 * "ward" records LiveKit's encryption with keys of `files`, which is the only source that it may name (the other one is
 * `vault`), keeps inline keys once, encrypts its files by CENC, and never records "board-*" and "17".
 * Storages primary and second. Everything, with the file itself, in `folder`.
 */
StenoConfig *daemon_config_new(const char *folder);

#endif
