/* Checking recordings where they lie: what verify.c (files), verify_proofs.c and verify_store.c share. */
#ifndef STENO_CLI_VERIFY_H
#define STENO_CLI_VERIFY_H

#include "cli.h"

#include "steno/storage.h"

/* A manifest of ten hours with a thousand participants has a few MiB. */
#define VERIFY_MANIFEST_MAX_BYTES (64 * 1024 * 1024)

/* A recording's folder: on this disk, or in a store. */
typedef struct {
    const char *folder; /* or NULL */
    StenoStore *store;
    const char *key; /* of the folder in the store */
} VerifyPlace;

/* A small file of the folder. *bytes NULL with TRUE: it is not there. STORAGE_*. */
gboolean verify_read(const VerifyPlace *place, const char *name, gsize max_bytes, GBytes **bytes, GError **error);

/* What is found: told as it is found, and counted. */
typedef struct {
    const CliCall *call;
    guint faults, proof_faults;
} VerifyReport;

void verify_fault(VerifyReport *report, const char *file, const char *format, ...) G_GNUC_PRINTF(3, 4);
void verify_note(VerifyReport *report, const char *file, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "manifest.json" or "manifest.NNN.json". */
gboolean verify_is_manifest(const char *name);

/* ---- verify_proofs.c --------------------------------------------------------------------------------------------- */

typedef struct VerifyKeys VerifyKeys;
/* Of --key, or the ones of this machine's stenod (none: NULL without an error), and --timestamp-ca. CONFIG, USAGE. */
gboolean verify_keys_load(const CliCall *call, VerifyKeys **keys, GError **error);
void verify_keys_free(VerifyKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VerifyKeys, verify_keys_free)
/* Signature and timestamp of one manifest. FALSE: they could not be read. */
gboolean verify_proofs(const VerifyKeys *keys, const VerifyPlace *place, const char *manifest, GBytes *contents,
                       VerifyReport *report, GError **error);

/* ---- verify_store.c ---------------------------------------------------------------------------------------------- */

/* Every object of the folder against its manifests. FALSE: it could not be done. */
gboolean verify_store(const VerifyKeys *keys, const VerifyPlace *place, VerifyReport *report, GError **error);
/* The store of an s3:// address: of the configuration, or made of the options. */
StenoStore *verify_find_store(const CliCall *call, const char *uri, char **key, GError **error);

#endif
