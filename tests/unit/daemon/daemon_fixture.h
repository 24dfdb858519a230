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
    char *root, *stopped; /* end_reason it was stopped with */
    const StenoJobEvents *events;
    gpointer user;
    gboolean resumed, record, paused, assembling;
    guint updates, event_part, event_seq;
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
} Fixture;

extern Fixture fixture;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* Another stenod after this one died: nothing of its memory is left. */
void fixture_restart(void);
/* Runs the main loop for what is pending, and its timers for a moment. */
void fixture_turn(void);

/* Asks as an admin over the socket, or as actor_app's key with this role; members with ' for ". The caller frees. */
StenoDaemonReply *ask(StenoCommand command, const char *arguments);
StenoDaemonReply *ask_as(StenoCommand command, const char *actor_app, StenoRole role, const char *arguments);
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
/* It is over: with a folder of finished files (two of them), or with an error. */
void tell_stored(StenoJob *job, const char *end_reason);
void tell_failed(StenoJob *job, const char *end_reason, StenoError code);
/* What the audit log has of an action: "actor result target" a line. The caller frees. */
char *audit_of(const char *action);

#endif
