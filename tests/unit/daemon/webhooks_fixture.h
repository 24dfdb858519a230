/* What the tests of webhooks share: a journal with recordings in it, a receiver, a configuration. */
#ifndef TESTS_DAEMON_WEBHOOKS_FIXTURE_H
#define TESTS_DAEMON_WEBHOOKS_FIXTURE_H

#include "webhooks_private.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The secrets that receiver.py knows. */
#define NEW_SECRET "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
#define OLD_SECRET "whsec_b29vb29vb29vb29vb29vb29vb29vb29v"
#define APPLICATION_SECRET "application secret"

typedef struct {
    char *folder, *log; /* of the receiver */
    char *secret_file, *application_file, *certificate, *key;
    GPid receiver;
    int receiver_input; /* its end is the receiver's end */
    guint port;
    StenoConfig *config;
    StenoJournal *journal;
    Webhooks *webhooks;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Before fixture_start(): another receiver, with TLS. */
void fixture_receive_tls(Fixture *fixture, gboolean old);
/* A configuration of one webhook "hook", whose settings begin with `settings` ("url = …; …"); %u is the port. */
void fixture_configure(Fixture *fixture, const char *settings);
/* The same, as it is refused. Caller frees the message. */
char *fixture_refused(Fixture *fixture, const char *settings);
void fixture_start(Fixture *fixture);
void fixture_stop(Fixture *fixture);

/* A recording with deliveries to the endpoint. */
void fixture_add_recording(Fixture *fixture, const char *id, const char *endpoint);
/* Adds an event and wakes the webhooks, if they run. */
void fixture_add_event(Fixture *fixture, const char *recording, const char *type);

/* Runs the main loop until something is so, or fails the test after half a minute. */
typedef gboolean (*FixtureCondition)(Fixture *fixture);
void fixture_wait(Fixture *fixture, FixtureCondition condition, const char *words);
gboolean nothing_waits(Fixture *fixture);
void fixture_wait_for_requests(Fixture *fixture, guint count);
/* Runs what is to be run right now. */
void fixture_settle(void);

/* What the receiver saw: an array of objects, see receiver.py. The caller owns it. */
json_t *fixture_requests(const Fixture *fixture);
guint fixture_count(const Fixture *fixture);
/* The one delivery that waits; NULL: none. */
StenoJournalDelivery *fixture_waiting(const Fixture *fixture);
json_t *fixture_describe(Fixture *fixture);

#define text_of(object, name) json_string_value(json_object_get(object, name))
#define number_of(object, name) json_integer_value(json_object_get(object, name))
#define is_so(object, name) json_is_true(json_object_get(object, name))

#endif
