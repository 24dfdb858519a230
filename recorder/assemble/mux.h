/*
 * mux: one file, from its plan: written under a temporary name, opened again and counted, then renamed.
 */
#ifndef STENO_ASSEMBLE_MUX_H
#define STENO_ASSEMBLE_MUX_H

#include "plan.h"

typedef struct {
    guint64 frames, packets, silence_packets;
    gint64 first_us, end_us; /* on the recording's time */
} MuxStreamResult;

typedef struct {
    gint64 duration_us; /* as a player sees it, from the recording's zero */
    guint n_streams;
    MuxStreamResult *streams; /* in the order of the plan */
} MuxResult;

#define MUX_CENC_BYTES 16

/* What an MP4's samples are encrypted with (CENC, AES-128 in counter mode). */
typedef struct {
    guint8 kid[MUX_CENC_BYTES], key[MUX_CENC_BYTES];
} MuxCenc;

/* So many more bytes of media have been written. */
typedef void (*MuxProgress)(gpointer user, gsize bytes);

/* Writes folder/name. cenc: NULL, or for an MP4. STORAGE_*, CAPTURE_DAMAGED, INTERNAL; no file is left then.
 * mux_result_clear() it. */
gboolean mux_write(Model *model, const PlanOutput *output, const MuxCenc *cenc, const char *folder, const char *name,
                   MuxProgress progress, gpointer user, MuxResult *result, GError **error);
void mux_result_clear(MuxResult *result);

#endif
