/* A folder with a root, a source and a store between them. */
#ifndef STENO_TEST_STORAGE_FIXTURE_H
#define STENO_TEST_STORAGE_FIXTURE_H

#include "steno/storage.h"

#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

typedef struct {
    char *folder, *root, *source, *state_dir;
    StenoStore *store;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A local store at root, whose settings edit() may change. */
StenoStore *fixture_open(const Fixture *fixture, const char *root, void (*edit)(StenoConfigStorage *settings));
/* fixture->store anew. */
void fixture_reopen(Fixture *fixture, void (*edit)(StenoConfigStorage *settings));

void fixture_write_source(const Fixture *fixture, const char *text);
void fixture_expect(const Fixture *fixture, const char *key, const char *contents);
guint fixture_count(const char *folder);

/* All: 0, or the error's code. */
int fixture_put_with(StenoStore *store, const StenoPut *put);
int fixture_put(const Fixture *fixture, const char *key);
int fixture_replace(const Fixture *fixture, const char *key);
int fixture_put_to(const Fixture *fixture, StenoStore *store, const char *key);
int fixture_verify(const Fixture *fixture, const char *key, gint64 bytes, const char *hex);
int fixture_remove(const Fixture *fixture, const char *key, gboolean folders);
/* And is what was read this? */
int fixture_read(const Fixture *fixture, const char *key, gsize max_bytes, const char *expected);
/* words (may be NULL) must be in the error's message. */
int fixture_check(StenoStore *store, const char *words);

#endif
