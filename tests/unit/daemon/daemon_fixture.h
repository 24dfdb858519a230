/*
 * A whole daemon with a real journal and audit log, whose jobs are puppets: what it asks of them is noted, and the test
 * says what they tell. The functions of steno/job.h are replaced at link time.
 */
#ifndef TESTS_DAEMON_FIXTURE_H
#define TESTS_DAEMON_FIXTURE_H

#include "steno/base/error.h"
#include "steno/daemon.h"
#include "steno/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A puppet. */
struct StenoJob {
    const StenoJobSpec *spec;
    GPtrArray *stores; /* of StenoStore * */
    gboolean first, timestamps;
    char *fingerprint; /* of who signs */
    char *stopped;     /* end_reason it was stopped with */
    const StenoJobEvents *events;
    gpointer user;
    gboolean resumed, record, paused, assembling;
    guint updates, event_part, event_seq;
    gint64 started_wall_us;
    guint stored_now[STENO_JOB_STORES_MAX], left[STENO_JOB_STORES_MAX]; /* how often it was told so */
    guint retries;
};

typedef struct {
    char *folder;
    StenoConfig *config;
    StenoDaemon *daemon;
    GPtrArray *jobs; /* of StenoJob *, those that live, oldest first */
    GPtrArray *told; /* of char *: types of events as the watcher heard them */
    GPtrArray *keys; /* of char *: ids, as the watcher heard them last */
    gboolean finished;
    gboolean start_fails; /* of the next job */
    gboolean journal_fails;
    gboolean audit_fails;
    guint journal_writes; /* transactions */
    /* Stores as if they were on another machine; with addresses from which files can be fetched. */
    gboolean remote, presigns;
    gint lists, lists_fail;        /* how often a store was listed; the next ones that fail; atomic */
    const char *const *unfinished; /* keys that a store says were begun 25 hours ago */
    GPtrArray *aborted;            /* of char *: those of them that were aborted */
} Fixture;

extern Fixture fixture;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* Another stenod after this one died: nothing of its memory is left. */
void fixture_restart(void);
/* Runs the main loop for what is pending, and its timers for a moment. */
void fixture_turn(void);

/* Asks as an admin's key, as actor_app's key with this role, or as root over the socket; members with ' for ". The
 * caller frees. */
StenoDaemonReply *ask(StenoCommand command, const char *arguments);
StenoDaemonReply *ask_as(StenoCommand command, const char *actor_app, StenoRole role, const char *arguments);
StenoDaemonReply *ask_here(StenoCommand command, const char *arguments);
/* Starts a recording of the app and channel; its id (caller frees). */
char *begin(const char *app, const char *channel);
/* The recording as GET shows it; the caller owns it. */
json_t *show(const char *id);
void assert_state(const char *id, const char *state);
void assert_refused(StenoDaemonReply *reply, StenoError code, const char *message);
/* The job of a recording, NULL when it has none. */
StenoJob *job_of(const char *id);
/* The job tells an event; members with ' for ". */
void tell(StenoJob *job, guint part, guint seq, const char *members);
void tell_recording(StenoJob *job);
/* What a delivery tells: error_code NULL for none; members with ' for " (", 'uri': …"), or "". */
void tell_storage(StenoJob *job, guint section, guint store, const char *state, const char *error_code,
                  const char *more);
/* Two files and their manifest in a store, as in a folder of a recording that is over; its URI, and the manifest. The
 * caller owns both. */
char *put_recording(StenoStore *store, const char *app, const char *channel, const char *id, gint64 zero_us,
                    json_t **manifest);
/* It is over: with finished files in each of its stores, or with an error. */
void tell_stored(StenoJob *job, const char *end_reason);
void tell_failed(StenoJob *job, const char *end_reason, StenoError code);
/* Runs the main loop until a condition holds. */
#define AWAIT(condition)                                                                                               \
    while (!(condition))                                                                                               \
    g_main_context_iteration(NULL, TRUE)
/* How often an event of this type was heard. */
guint count_told(const char *type);
/* What the audit log has of an action: "actor result target" a line. The caller frees. */
char *audit_of(const char *action);

#endif
