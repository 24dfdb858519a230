/* A capture, what is assembled of it, and questions about that. */
#ifndef STENO_TESTS_ASSEMBLE_PLACE_H
#define STENO_TESTS_ASSEMBLE_PLACE_H

#include "scene.h"

#include "steno/assemble.h"

typedef struct {
    char *capture, *output; /* folders */
    json_t *manifest;       /* of the last assembly */
} Place;

void place_init(Place *place);
void place_clear(Place *place);

/* Assembles, and verifies what came out. */
void place_assemble_with(Place *place, StenoOutputs outputs, StenoAudio audio);
void place_assemble(Place *place);
void place_print_fault(gpointer user, const char *file, const char *words);

/* Rows of the manifest; the test fails when they are not there. */
const json_t *place_output(const Place *place, guint index);
const json_t *place_stream(const Place *place, guint output, guint stream);
const json_t *place_gap(const Place *place, const char *cause, guint nth);
guint place_count_gaps(const Place *place, const char *cause);
gint64 place_integer(const json_t *row, const char *name);
char *place_path(const Place *place, guint output);

/*
 * Every stream decodes without a word. Times are passed on as they are: else ffmpeg rounds them to a constant rate and
 * complains about what it made itself.
 */
void place_decode(const Place *place, guint output);
/* Presentation times of a stream's packets in µs, as a player reads them. */
GArray *place_times(const Place *place, guint output, guint stream);
gint64 place_time_at(const GArray *times, guint index);
/* How many samples of sound a player that only counts would have played. */
gint64 place_samples(const Place *place, guint output);
void place_assert_near(gint64 found, gint64 wanted, gint64 slack);

#endif
