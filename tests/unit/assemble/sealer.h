/* What a participant's SFrame does (RFC 9605, suite 4): the inverse of what is tested, by EVP alone. */
#ifndef STENO_TESTS_ASSEMBLE_SEALER_H
#define STENO_TESTS_ASSEMBLE_SEALER_H

#include <glib.h>

typedef struct {
    guint64 kid, counter;
    guint8 key[16], salt[12];
} Sealer;

/* seed: each makes another key. */
Sealer sealer_new(guint64 kid, guint8 seed);
/* The frame, encrypted. Caller frees. */
GBytes *sealer_seal(Sealer *sealer, const void *data, gsize bytes);
/* One key as a key set has it; participant NULL: everybody's. Caller frees. */
char *sealer_key(const Sealer *sealer, guint8 seed, const char *participant);

#endif
