/*
 * verdict: what an assembly came to. One that found no media, or none that could be decrypted, has a manifest (and the
 * sealed files) all the same: that is stored as ever, and only then told as the error it is.
 */
#ifndef STENO_JOB_VERDICT_H
#define STENO_JOB_VERDICT_H

#include <glib.h>
#include <jansson.h>

/* Is the assembler's error one of these, so that there is something to store? */
gboolean verdict_is_stored(const GError *error);
/*
 * Of the whole, by its manifest, which tells it after a crash as well: NOTHING_RECORDED, NO_KEY, BAD_KEY, or NULL: it
 * is a success. later: what is sealed was to stay so. told: the assembler's error, if it is known: for its words.
 */
GError *verdict_of(const json_t *manifest, gboolean later, const GError *told);

#endif
