/*
 * sealed: the files of a capture that hold frames which could not be decrypted when they came (capture.h): which they
 * are, whose keys they need, and what becomes of those that stay as they are.
 */
#ifndef STENO_ASSEMBLE_SEALED_H
#define STENO_ASSEMBLE_SEALED_H

#include "model.h"

#include "steno/content.h"

/* No more keys are asked for: a sender may write any key id into its frames. */
#define SEALED_WANTED_MAX STENO_CONTENT_KEYS_MAX
#define SEALED_WANTED_PER_PARTICIPANT 1024

typedef struct {
    ModelTrack *track;
    guint index;             /* in track->files, as the capture has them */
    guint part, number;      /* of the file */
    gint64 first_arrival_us; /* of its first frame */
    gboolean kept;           /* not all of it could be opened */
    guint copy;              /* opened.h; 0: none */
} SealedFile;

/* All of the model's, in its order: an array of SealedFile. Reads the beginning of each track file. */
GArray *sealed_find(const Model *model);

/* Path of the file in the capture. The caller's. */
char *sealed_path(const Model *model, const SealedFile *file);

/* What recording.json tells of the channel's own encryption. format NULL: nothing, or a format that we do not have. */
const StenoContentFormat *sealed_format(const Model *model);
StenoContentUnit sealed_unit(const Model *model);

/* A block of a sealed file, of which each is an RTP packet. */
typedef struct {
    gint64 seq;
    gboolean marker;
    const guint8 *payload;
    gsize payload_bytes;
} SealedPacket;

/* FALSE: it is none. */
gboolean sealed_packet(const guint8 *data, gsize bytes, SealedPacket *packet);

/* Opens what is in a block; out has room for all of it. As steno_content_open(), for all parts of a frame together:
 * when one does not open, the frame does not, and the kid is that one's. */
StenoContentOutcome sealed_open(StenoContentOpener *opener, StenoCodec codec, StenoContentUnit unit,
                                const SealedPacket *packet, guint8 *out, StenoContentOpened *opened);

/* Whose keys are needed: [{"participant", "kid"}]. Reads all frames. */
json_t *sealed_wanted(const Model *model, const GArray *files, const StenoContentFormat *format);

/*
 * Puts the files that are kept into the folder, with what is needed to read them, and appends a row for each to
 * `outputs`. Names that are taken by then are replaced. STORAGE_*.
 */
gboolean sealed_publish(const Model *model, const GArray *files, const char *folder, json_t *outputs, GError **error);

/* Is this the name of such a file? */
typedef enum { SEALED_NONE, SEALED_RECORDING, SEALED_EVENTS, SEALED_TRACK } SealedKind;
typedef struct {
    SealedKind kind;
    guint part, track, number;
} SealedName;

SealedName sealed_name_read(const char *name, guint section);
/* The name in a section (0: none). The caller's. */
char *sealed_name(const SealedName *name, guint section);

#endif
