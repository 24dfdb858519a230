/* The uncompressed header of a VP9 frame (VP9 bitstream specification §6.2, §7.2), as far as the picture size needs it,
 * and superframes (§B). */
#ifndef STENO_CODEC_VP9_HEADER_H
#define STENO_CODEC_VP9_HEADER_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint32 width, height; /* px; 0: unknown */
} StenoVp9Size;

/* The sizes of the eight reference frames, since inter frames may say "as that one". */
typedef struct {
    StenoVp9Size slots[8];
} StenoVp9References;

typedef struct {
    bool keyframe, shown, error_resilient;
    StenoVp9Size size;
} StenoVp9Header;

/* Reads one frame's header and brings the references up to date. FALSE when it is not one. */
bool steno_vp9_header(const guint8 *data, gsize bytes, StenoVp9References *references, StenoVp9Header *header);

/*
 * The frames of a superframe: fills in at most eight sizes. Returns how many, or 0 when there is no superframe
 * index.
 */
guint steno_vp9_superframe(const guint8 *data, gsize bytes, gsize sizes[8]);

#define STENO_VP9_INDEX_MAX_BYTES 34 /* of eight frames */

/* Writes the index of two to eight frames, with sizes of four bytes. Returns how long it is. */
gsize steno_vp9_index(guint8 index[STENO_VP9_INDEX_MAX_BYTES], const gsize *sizes, guint count);

#endif
