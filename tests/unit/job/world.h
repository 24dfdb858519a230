/* One recording with its folders, the job under test, and all that it told. */
#ifndef TESTS_UNIT_JOB_WORLD_H
#define TESTS_UNIT_JOB_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/base/error.h"
#include "steno/job.h"

typedef struct {
    char *base, *root, *other, *spool, *runtime, *capture;
    StenoStore *stores[2]; /* "primary" in root, "archive" in other, of which the job knows only the first */
    StenoJobSpec *spec;
    StenoJobPlace place;
    StenoJobEvents events;
    StenoJob *job;
    /* What was told, in order: "state:recording", "talking 1.3", "stalled", "storage 0 primary blocked:storage-full",
     * "section_stored 1", "done" … */
    GPtrArray *told;
    json_t *last;  /* the last event with a part and seq, or an error */
    gint64 frames; /* of the last figures */
    gboolean done;
    char *folder, *kept, *end_reason; /* folder: where the files are */
    json_t *manifest;
    GError *error;
} World;

/* cmocka's fixtures. */
int world_set_up(void **state);
int world_tear_down(void **state);

/* Starts the job with a script for the fake recorder. */
void world_start(World *world, const char *script);
/* As a new stenod would: what the old one was told is known by its position. */
void world_resume(World *world, gboolean record);
/* The job goes, as with a stenod that was killed. */
void world_leave(World *world);

/* Ready for another done(). */
void world_forget_done(World *world);

/* Runs the main loop until it was told, `times` in all; fails after 20 s. */
void world_await(World *world, const char *what, guint times);
/* Until done(). */
void world_await_done(World *world);
guint world_count(const World *world, const char *what);
/* One after the other, with anything in between. */
void world_assert_order(const World *world, const char *const *words);

/* The pid of the recorder, by its lock; 0 when nobody holds that. */
int world_recorder(const World *world);
/* To the recorder, which must be there. */
void world_signal(const World *world, int signal);
gboolean world_exists(const char *folder, const char *name);
void world_write(const char *folder, const char *name, const char *text);
/* Writes spool/assemble.mode. */
void world_assembler(const World *world, const char *modes);
/* How often the assembler ran. */
guint world_assemblies(const World *world);
/* The recording's folder below a root; it need not be there. Caller frees. */
char *world_folder(const World *world, const char *root);
/* A capture whose recorder has told its ending. */
void world_make_capture(World *world);
/* Breaks a root (what is there cannot be reached, nothing can be made), and mends it. */
void world_break(const char *root);
void world_mend(const char *root);
/* A main loop, until `is` says so; fails after 20 s. */
void world_until(World *world, gboolean (*is)(World *world));

#endif
