/* A job with a key source, and what the source told. */
#ifndef TEST_SOURCE_FIXTURE_H
#define TEST_SOURCE_FIXTURE_H

#include "steno/content.h"

#include <jansson.h>

/* In every key that the tests give away: nothing that leaves the room may show it. */
#define PLANTED "cGxhbnRlZEtleTAx"
/* The secret of the service, and the token of the vault. */
#define SERVICE_SECRET "whsec_c2VydmljZS1zZWNyZXQtb2YtdGhlLXRlc3RzISE="
#define VAULT_TOKEN "hvs.planted-token-of-the-tests"

typedef struct {
    char *folder;
    StenoJobSpec *job;
    int agent_fd; /* given to the source; -1 at first */
    StenoContentSource *source;
    GArray *counts;    /* of guint: keys in each set that came */
    GPtrArray *errors; /* of GError */
    GMainLoop *loop;
    int log_fd, saved_stderr;
    /* Of key_server.py, once started. */
    GPid server;
    int server_input;
    guint tls_port, mtls_port, plain_port;
} Fixture;

/* A folder of its own, and a job: livekit, app "app", channel "room", recording "rec". cmocka's setup and teardown; the
 * latter finds the planted secrets neither in an error nor in the log. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_set(char **member, const char *text);
StenoSecret *fixture_secret(const char *text);
/* A file of the fixture's folder. The caller frees. */
char *fixture_path(const Fixture *fixture, const char *name);
void fixture_write(const Fixture *fixture, const char *name, const char *text, int mode);
/* The text of a key set with so many keys, of kids 0, 1, …. The caller frees. */
char *fixture_key_set(guint keys);

/* steno_content_source_new(), which must succeed. */
void fixture_start(Fixture *fixture);
void fixture_stop(Fixture *fixture);
/* Runs the main loop until so many came, of all; fails the test when that takes too long. */
void fixture_await_keys(Fixture *fixture, guint sets);
void fixture_await_errors(Fixture *fixture, guint errors);
guint fixture_last_count(const Fixture *fixture);
const GError *fixture_last_error(const Fixture *fixture);

void fixture_start_server(Fixture *fixture);
/* What the service answers to a question ("whole", "alice.7"). body is owned by the callee; NULL: an empty one. */
void fixture_answer(const Fixture *fixture, const char *question, int status, char *body);
void fixture_vault(const Fixture *fixture, json_t *vault);
/* The requests so far. The caller owns the reference. */
json_t *fixture_requests(const Fixture *fixture);
/* Until there are so many. */
void fixture_await_requests(Fixture *fixture, guint requests);

#endif
