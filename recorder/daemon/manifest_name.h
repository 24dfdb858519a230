/*
 * manifest_name: what lies beside a recording's media files. A manifest of the whole (manifest.json) or of a section
 * (manifest.NNN.json), and what proves it: its signature (….sig) and its timestamp (….tsr). See steno/proof.h.
 */
#ifndef STENO_DAEMON_MANIFEST_NAME_H
#define STENO_DAEMON_MANIFEST_NAME_H

#include <glib.h>

#define MANIFEST_NAME "manifest.json"

/* Is it that of a section's manifest? */
gboolean manifest_name_is_section(const char *name);

/* The media type of a manifest, or of what proves one; NULL: any other file. Static. */
const char *manifest_name_media_type(const char *name);

#endif
