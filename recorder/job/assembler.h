/*
 * assembler: steno-assemble as a child: niced, its progress read, its error taken over. It dies with us.
 */
#ifndef STENO_JOB_ASSEMBLER_H
#define STENO_JOB_ASSEMBLER_H

#include <glib.h>

typedef struct Assembler Assembler;

typedef struct {
    void (*progress)(gpointer user, double done); /* 0.0–1.0 */
    /* Once. error NULL: done; crashed: it died without telling why. */
    void (*done)(gpointer user, const GError *error, gboolean crashed);
} AssemblerEvents;

/*
 * Runs it; events come from the default main context. CONFLICT when another assembles this capture already, INTERNAL
 * when it can't be started. outputs and audio may be NULL.
 */
Assembler *job_assembler_run(const char *capture, const char *output, const char *outputs, const char *audio,
                             const AssemblerEvents *events, gpointer user, GError **error);
/* Kills it; no event comes any more. Only before `done`. */
void job_assembler_cancel(Assembler *assembler);

#endif
