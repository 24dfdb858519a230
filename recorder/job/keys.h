/*
 * keys: content keys on their way to an assembler that asked for them. Those that were given with the job are written
 * to its standard input; others are fetched by `steno-recorder --keys`, which writes there itself: they never are in
 * this process.
 */
#ifndef STENO_JOB_KEYS_H
#define STENO_JOB_KEYS_H

#include "steno/base/job.h"
#include "steno/base/log.h"

/* A source has this long to answer. */
#define KEYS_MAX_S 60

typedef struct {
    StenoSecret *key_set;    /* the text of a key set, referenced; NULL: the job's source is asked */
    const StenoJobSpec *job; /* lent as long as the Keys live; not needed with key_set */
    guint timeout_s;         /* then the source is killed, and the assembly goes on without */
    const StenoLog *log;
} KeysConfig;

typedef struct Keys Keys;

/* *child_fd is to be the assembler's standard input; the caller's. INTERNAL. */
Keys *keys_new(const KeysConfig *config, int *child_fd, GError **error);
/* It asks: [{"participant", "kid"}]. Once; later calls do nothing. */
void keys_wanted(Keys *keys, const json_t *wanted);
/* The assembler has ended: so does the source, and then `closed` is called (perhaps before this returns). Only then it
 * is known how it went. */
void keys_close(Keys *keys, void (*closed)(gpointer user), gpointer user);
/* What kept the source from giving any, in words; NULL: nothing did. */
const char *keys_trouble(const Keys *keys);
/* The source was killed, or died: what it wrote until then may be half of a key set. */
gboolean keys_are_cut(const Keys *keys);
/* Ends what is under way. NULL is nobody. */
void keys_free(Keys *keys);

/* ---- what a job says --------------------------------------------------------------------------------------------- */

/* The channel has AES of its own. */
gboolean keys_job_is_encrypted(const StenoJobSpec *job);
/* …and nobody here is to have its keys: what is sealed is to stay so. */
gboolean keys_job_is_later(const StenoJobSpec *job);
/* Its keys are to be given with it. */
gboolean keys_job_is_inline(const StenoJobSpec *job);

#endif
