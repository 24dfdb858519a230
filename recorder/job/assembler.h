/*
 * assembler: steno-assemble as a child: niced, its progress read, its error taken over. It dies with us.
 */
#ifndef STENO_JOB_ASSEMBLER_H
#define STENO_JOB_ASSEMBLER_H

#include "keys.h"

typedef struct Assembler Assembler;

typedef struct {
    void (*progress)(gpointer user, double done); /* 0.0–1.0 */
    /* Once. error NULL: done; crashed: it died without telling why. */
    void (*done)(gpointer user, const GError *error, gboolean crashed);
} AssemblerEvents;

typedef struct {
    const char *capture, *output;
    int lock_fd;   /* of the capture (job_capture_lock()): lent; the child holds a duplicate */
    guint section; /* 0: the whole, or what is left for the end */
    gboolean join;
    const char *outputs, *audio; /* may be NULL */
    gboolean ask;                /* it may ask for keys, which come by `keys` */
    KeysConfig keys;
    gboolean sealed;         /* keys = later */
    const char *encryption;  /* "cms", "cenc"; NULL or "none": none */
    char *const *recipients; /* cms */
    StenoSecret *output_key; /* cenc */
} AssemblyConfig;

/* Runs it; events come from the default main context. INTERNAL when it can't be started. */
Assembler *job_assembler_run(const AssemblyConfig *config, const AssemblerEvents *events, gpointer user,
                             GError **error);
/* Kills it; no event comes any more. Only before `done`. */
void job_assembler_cancel(Assembler *assembler);

#endif
