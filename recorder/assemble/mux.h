/*
 * mux: one file, from its plan: written under a temporary name, opened again and counted, then renamed.
 */
#ifndef STENO_ASSEMBLE_MUX_H
#define STENO_ASSEMBLE_MUX_H

#include "plan.h"

#define MUX_TEMPORARY_PREFIX ".steno-"

typedef struct {
    guint64 frames, packets, silence_packets;
    gint64 first_us, end_us; /* on the recording's time */
} MuxStreamResult;

typedef struct {
    gint64 duration_us; /* as a player sees it, from the recording's zero */
    guint n_streams;
    MuxStreamResult *streams; /* in the order of the plan */
} MuxResult;

/* So many more bytes of media have been written. */
typedef void (*MuxProgress)(gpointer user, gsize bytes);

/* Writes folder/name. STORAGE_*, CAPTURE_DAMAGED, INTERNAL; no file is left then. mux_result_clear() it. */
gboolean mux_write(Model *model, const PlanOutput *output, const char *folder, const char *name, MuxProgress progress,
                   gpointer user, MuxResult *result, GError **error);
void mux_result_clear(MuxResult *result);

#endif
