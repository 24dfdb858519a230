/*
 * shipment: what is to be stored of an assembly, in its order: media, signature and timestamp, and last the manifest;
 * with the sizes and checksums that the assembly told, so that a bit that flips afterwards is found.
 */
#ifndef STENO_JOB_SHIPMENT_H
#define STENO_JOB_SHIPMENT_H

#include "steno/storage.h"

#include <jansson.h>

typedef struct {
    char *name;
    gint64 bytes;
    char sha256[STENO_STORAGE_SHA256_HEX_BYTES];
} ShipmentFile;

typedef struct {
    char *folder;        /* where the files are made */
    char *manifest_name; /* "manifest.json", or "manifest.NNN.json" of a section */
    GPtrArray *files;    /* of ShipmentFile */
    GHashTable *names;   /* of all outputs of the manifest, also of those that earlier sections stored */
    gint64 bytes;        /* of all files */
    json_t *manifest;    /* the main thread's, once it is made */
} Shipment;

/* "manifest.json", or for a section that was rotated "manifest.NNN.json". Caller frees. */
char *shipment_manifest_name(guint section);

/*
 * Reads the manifest of a section in `folder`. `stored`: names that need not be there, since they are in storage (NULL:
 * none). sealed: the signature is to go along; stamped: the timestamp too. SOURCE_DAMAGED when a file is missing or has
 * another size. Once it is made, any thread may read it.
 */
Shipment *shipment_load(const char *folder, guint section, GHashTable *stored, gboolean sealed, gboolean stamped,
                        GError **error);
Shipment *shipment_ref(Shipment *shipment);
void shipment_unref(Shipment *shipment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shipment, shipment_unref)

/* The manifest's own file. */
const ShipmentFile *shipment_manifest(const Shipment *shipment);
gboolean shipment_has(const Shipment *shipment, const char *name);
/* Is it the name of a file that may lie beside a manifest: no path, not hidden? */
gboolean shipment_is_name(const char *name);

#endif
