/* The configuration's storages, each opened once. */
#ifndef STENO_DAEMON_STORES_H
#define STENO_DAEMON_STORES_H

#include "steno/config.h"
#include "steno/storage.h"

typedef struct Stores Stores;

/* In the configuration's order. CONFIG. */
Stores *stores_open(StenoConfig *config, GError **error);
void stores_free(Stores *stores);
/* Lent; who gives it to a thread takes a reference. NULL: the configuration has none of this name (any more). */
StenoStore *stores_find(const Stores *stores, const char *name);
/* What the keys of all recordings of the configuration's apps begin with in this store, whatever its key template: as
 * few prefixes as there can be, "" for anything. Any thread; caller frees. */
char **stores_prefixes(const StenoConfig *config, const StenoStore *store);

#endif
