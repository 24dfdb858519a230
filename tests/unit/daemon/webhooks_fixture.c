#include "webhooks_fixture.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- folder and receiver ----------------------------------------------------------------------------------------- */

static void write_secret(const char *path, const char *text)
{
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
}

static void start_receiver(Fixture *fixture, gboolean tls, gboolean old)
{
    char *arguments[] = {STENO_TEST_DIR "/unit/daemon/receiver.py",
                         fixture->log,
                         tls ? "--tls" : NULL,
                         fixture->certificate,
                         fixture->key,
                         old ? "--old" : NULL,
                         NULL};
    int output;
    char line[32] = "";
    assert_true(g_spawn_async_with_pipes(NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                         &fixture->receiver, &fixture->receiver_input, &output, NULL, NULL));
    FILE *stream = fdopen(output, "r");
    assert_non_null(fgets(line, sizeof line, stream));
    fclose(stream);
    fixture->port = (guint)g_ascii_strtoull(line, NULL, 10);
    assert_int_not_equal(fixture->port, 0);
}

static void stop_receiver(Fixture *fixture)
{
    close(fixture->receiver_input);
    assert_int_equal(waitpid(fixture->receiver, NULL, 0), fixture->receiver);
}

int fixture_setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    StenoJournalHow how;
    fixture->folder = g_dir_make_tmp("steno-webhooks-XXXXXX", NULL);
    fixture->log = g_build_filename(fixture->folder, "requests.jsonl", NULL);
    fixture->secret_file = g_build_filename(fixture->folder, "secret", NULL);
    fixture->application_file = g_build_filename(fixture->folder, "application", NULL);
    fixture->certificate = g_build_filename(fixture->folder, "cert.pem", NULL);
    fixture->key = g_build_filename(fixture->folder, "key.pem", NULL);
    write_secret(fixture->secret_file, NEW_SECRET "\n");
    write_secret(fixture->application_file, APPLICATION_SECRET);
    g_autofree char *journal = g_build_filename(fixture->folder, "journal.sqlite", NULL);
    fixture->journal = steno_journal_open(journal, "test", &how, NULL);
    assert_non_null(fixture->journal);
    start_receiver(fixture, FALSE, FALSE);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    fixture_stop(fixture);
    stop_receiver(fixture);
    steno_config_unref(fixture->config);
    steno_journal_close(fixture->journal);
    g_autoptr(GDir) dir = g_dir_open(fixture->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        g_unlink(path);
    }
    assert_int_equal(g_rmdir(fixture->folder), 0);
    g_free(fixture->folder);
    g_free(fixture->log);
    g_free(fixture->secret_file);
    g_free(fixture->application_file);
    g_free(fixture->certificate);
    g_free(fixture->key);
    g_free(fixture);
    return 0;
}

void fixture_receive_tls(Fixture *fixture, gboolean old)
{
    const char *arguments[] = {"openssl",  "req",
                               "-x509",    "-newkey",
                               "rsa:2048", "-nodes",
                               "-keyout",  fixture->key,
                               "-out",     fixture->certificate,
                               "-days",    "2",
                               "-subj",    "/CN=localhost",
                               "-addext",  "subjectAltName=DNS:localhost,IP:127.0.0.1",
                               NULL};
    int status;
    stop_receiver(fixture);
    assert_true(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                             NULL, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
    start_receiver(fixture, TRUE, old);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static StenoConfig *load(Fixture *fixture, const char *settings, GError **error)
{
    g_autofree char *port = g_strdup_printf("%u", fixture->port);
    g_auto(GStrv) parts = g_strsplit(settings, "%u", -1);
    g_autofree char *with_port = g_strjoinv(port, parts);
    g_autofree char *text = g_strdup_printf("webhooks = ( { name = \"hook\"; %s } );\n"
                                            "apps = ( { name = \"clinic\"; webhooks = [ \"hook\" ]; } );\n",
                                            with_port);
    g_autofree char *path = g_build_filename(fixture->folder, "steno.conf", NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    return steno_config_load(path, error);
}

void fixture_configure(Fixture *fixture, const char *settings)
{
    g_autoptr(GError) error = NULL;
    steno_config_unref(fixture->config);
    fixture->config = load(fixture, settings, &error);
    if (!fixture->config)
        fail_msg("%s", error->message);
}

char *fixture_refused(Fixture *fixture, const char *settings)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoConfig) config = load(fixture, settings, &error);
    if (config)
        assert_null(webhooks_new(config, fixture->journal, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
    return g_strdup(error->message);
}

void fixture_start(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    fixture->webhooks = webhooks_new(fixture->config, fixture->journal, NULL, &error);
    if (!fixture->webhooks)
        fail_msg("%s", error->message);
}

void fixture_stop(Fixture *fixture)
{
    g_clear_pointer(&fixture->webhooks, webhooks_free);
    fixture_settle();
}

/* ---- journal ----------------------------------------------------------------------------------------------------- */

void fixture_add_recording(Fixture *fixture, const char *id, const char *endpoint)
{
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_new();
    g_autoptr(GError) error = NULL;
    char **texts[] = {&row->id, &row->app, &row->platform, &row->channel, &row->profile, &row->state, &row->desired};
    const char *values[] = {id, "clinic", "janus-1", id, "default", "recording", "record"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(*texts[i]);
        *texts[i] = g_strdup(values[i]);
    }
    if (!row->request)
        row->request = json_object();
    if (!row->labels)
        row->labels = json_object();
    row->created_us = g_get_real_time();
    if (!steno_journal_recording_add(fixture->journal, row, &error) ||
        !steno_journal_delivery_add(fixture->journal, id, endpoint, &error))
        fail_msg("%s", error->message);
}

void fixture_add_event(Fixture *fixture, const char *recording, const char *type)
{
    g_autoptr(GError) error = NULL;
    json_t *data = json_pack("{s:s, s:s}", "recording", recording, "app", "clinic");
    if (!steno_journal_event_add(fixture->journal, recording, "clinic", type, data, NULL, &error))
        fail_msg("%s", error->message);
    json_decref(data);
    if (fixture->webhooks)
        webhooks_wake(fixture->webhooks);
}

StenoJournalDelivery *fixture_waiting(const Fixture *fixture)
{
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(fixture->journal, 2, NULL);
    assert_in_range(rows->len, 0, 1);
    return rows->len ? g_ptr_array_steal_index(rows, 0) : NULL;
}

json_t *fixture_describe(Fixture *fixture)
{
    json_t *list = webhooks_describe(fixture->webhooks, NULL, NULL);
    assert_int_equal(json_array_size(list), 1);
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static gboolean on_deadline(gpointer words)
{
    fail_msg("not within half a minute: %s", (const char *)words);
    return G_SOURCE_REMOVE;
}

/* What is waited for may happen in the receiver alone: look now and then. */
static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

void fixture_wait(Fixture *fixture, FixtureCondition condition, const char *words)
{
    guint deadline = g_timeout_add_seconds(30, on_deadline, (gpointer)words);
    guint tick = g_timeout_add(10, on_tick, NULL);
    while (!condition(fixture))
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(deadline);
    g_source_remove(tick);
}

gboolean nothing_waits(Fixture *fixture)
{
    g_autoptr(GPtrArray) rows = steno_journal_deliveries_waiting(fixture->journal, 1, NULL);
    return rows->len == 0;
}

void fixture_wait_for_requests(Fixture *fixture, guint count)
{
    guint deadline = g_timeout_add_seconds(30, on_deadline, "requests");
    guint tick = g_timeout_add(10, on_tick, NULL);
    while (fixture_count(fixture) < count)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(deadline);
    g_source_remove(tick);
}

void fixture_settle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* ---- what the receiver saw --------------------------------------------------------------------------------------- */

json_t *fixture_requests(const Fixture *fixture)
{
    g_autofree char *text = NULL;
    json_t *list = json_array();
    if (!g_file_get_contents(fixture->log, &text, NULL, NULL))
        return list;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] && lines[i + 1]; i++)
        json_array_append_new(list, json_loads(lines[i], 0, NULL));
    return list;
}

guint fixture_count(const Fixture *fixture)
{
    json_t *list = fixture_requests(fixture);
    guint count = (guint)json_array_size(list);
    json_decref(list);
    return count;
}
