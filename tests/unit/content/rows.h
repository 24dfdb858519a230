/* Rows of the table of formats, tried one frame at a time: no ring, no key set. And the vectors. */
#ifndef STENO_TESTS_CONTENT_ROWS_H
#define STENO_TESTS_CONTENT_ROWS_H

#include "format.h"

#include <jansson.h>

/* tests/vectors/NAME. */
json_t *vectors_load(const char *name);
/* A member of text, which must be there. */
const char *vector_text(const json_t *object, const char *member);
guint64 vector_number(const json_t *object, const char *member);
/* A member of hex digits. */
GBytes *vector_bytes(const json_t *object, const char *member);

/* Step 0 of a key, and what is said of all keys. */
typedef struct {
    const StenoContentFormat *format;
    ContentSettings settings;
    guint8 material[CONTENT_MATERIAL_MAX_BYTES];
    gsize bytes;
} Row;

/* The next step. */
void row_ratchet(Row *row);
/* Opens with a cipher for the frame's own kid, made for it alone. out has as many bytes as the frame. */
StenoContentOutcome row_open(const Row *row, const guint8 *data, gsize bytes, guint8 *out, gsize *opened);
/* The frame opens, and this was in it. */
void row_expect(const Row *row, GBytes *frame, GBytes *plain);
/* It does not, whichever bit is changed, wherever it is cut, whatever is put behind it. */
void row_expect_no_changes(const Row *row, GBytes *frame);
/* Nor when it has lost or gained bytes. */
void row_expect_no_other_length(const Row *row, GBytes *frame);

#endif
