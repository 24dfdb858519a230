#include "source_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 30

/* ---- folder and job ---------------------------------------------------------------------------------------------- */

void fixture_set(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

StenoSecret *fixture_secret(const char *text)
{
    return steno_secret_new(text, strlen(text));
}

char *fixture_path(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->folder, name, NULL);
}

void fixture_write(const Fixture *fixture, const char *name, const char *text, int mode)
{
    g_autofree char *path = fixture_path(fixture, name);
    g_autofree char *above = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(above, 0700), 0);
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, mode, NULL));
    /* The umask, and a file that was there before. */
    assert_int_equal(g_chmod(path, (mode_t)mode), 0);
}

char *fixture_key_set(guint keys)
{
    GString *text = g_string_new("{\"keys\": [");
    for (guint kid = 0; kid < keys; kid++)
        g_string_append_printf(text, "%s{\"kid\": %u, \"key\": \"" PLANTED "%02uAAAA==\"}", kid > 0 ? ", " : "", kid,
                               kid);
    g_string_append(text, "]}");
    return g_string_free(text, FALSE);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && !g_file_test(path, G_FILE_TEST_IS_SYMLINK) && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    assert_int_equal(g_remove(path), 0);
}

/* The log goes to standard error: into a file, to be looked through. */
static void catch_log(Fixture *fixture)
{
    fixture->saved_stderr = dup(STDERR_FILENO);
    fixture->log_fd = open(fixture->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fixture->log_fd >= 0);
    assert_true(dup2(fixture->log_fd, STDERR_FILENO) >= 0);
    steno_log_set_level(STENO_LOG_TRACE);
}

static void release_log(Fixture *fixture)
{
    char text[65536] = "";
    gssize n = pread(fixture->log_fd, text, sizeof text - 1, 0);
    assert_true(dup2(fixture->saved_stderr, STDERR_FILENO) >= 0);
    close(fixture->saved_stderr);
    close(fixture->log_fd);
    assert_true(n >= 0 && n < (gssize)sizeof text - 1);
    if (strstr(text, PLANTED) || strstr(text, SERVICE_SECRET) || strstr(text, VAULT_TOKEN))
        fail_msg("a secret was logged: %s", text);
}

int fixture_setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("steno-keys-XXXXXX", NULL);
    fixture->job = steno_job_spec_new();
    fixture->agent_fd = -1;
    fixture_set(&fixture->job->content, "livekit");
    fixture_set(&fixture->job->app, "app");
    fixture_set(&fixture->job->channel, "room");
    fixture_set(&fixture->job->id, "rec");
    fixture->counts = g_array_new(FALSE, FALSE, sizeof(guint));
    fixture->errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    fixture->loop = g_main_loop_new(NULL, FALSE);
    catch_log(fixture);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    fixture_stop(fixture);
    if (fixture->server) {
        close(fixture->server_input);
        assert_int_equal(waitpid(fixture->server, NULL, 0), fixture->server);
    }
    release_log(fixture);
    for (guint i = 0; i < fixture->errors->len; i++) {
        const GError *error = g_ptr_array_index(fixture->errors, i);
        if (strstr(error->message, PLANTED) || strstr(error->message, SERVICE_SECRET) ||
            strstr(error->message, VAULT_TOKEN))
            fail_msg("a secret is in an error: %s", error->message);
    }
    steno_job_spec_free(fixture->job);
    g_array_unref(fixture->counts);
    g_ptr_array_unref(fixture->errors);
    g_main_loop_unref(fixture->loop);
    remove_tree(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture);
    return 0;
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void on_keys(gpointer user, StenoContentKeys *keys)
{
    Fixture *fixture = user;
    assert_non_null(fixture->source);
    guint count = steno_content_keys_count(keys);
    steno_content_keys_unref(keys);
    g_array_append_val(fixture->counts, count);
    g_main_loop_quit(fixture->loop);
}

static void on_trouble(gpointer user, const GError *error)
{
    Fixture *fixture = user;
    assert_non_null(fixture->source);
    g_ptr_array_add(fixture->errors, g_error_copy(error));
    g_main_loop_quit(fixture->loop);
}

void fixture_start(Fixture *fixture)
{
    static const StenoContentSourceEvents events = {.keys = on_keys, .trouble = on_trouble};
    g_autoptr(GError) error = NULL;
    fixture->source = steno_content_source_new(fixture->job, fixture->agent_fd, NULL, &events, fixture, &error);
    if (!fixture->source)
        fail_msg("no source: %s", error ? error->message : "and no error");
}

void fixture_stop(Fixture *fixture)
{
    g_clear_pointer(&fixture->source, steno_content_source_free);
    /* What was under way must find nobody. */
    while (g_main_context_iteration(NULL, FALSE))
        continue;
}

static gboolean on_patience(gpointer user)
{
    (void)user;
    fail_msg("what was waited for did not come");
    return G_SOURCE_REMOVE;
}

static void await(Fixture *fixture, const guint *have, guint wanted)
{
    guint timer = g_timeout_add_seconds(PATIENCE_S, on_patience, NULL);
    while (*have < wanted)
        g_main_loop_run(fixture->loop);
    g_source_remove(timer);
}

void fixture_await_keys(Fixture *fixture, guint sets)
{
    await(fixture, &fixture->counts->len, sets);
}

void fixture_await_errors(Fixture *fixture, guint errors)
{
    await(fixture, &fixture->errors->len, errors);
}

guint fixture_last_count(const Fixture *fixture)
{
    assert_true(fixture->counts->len > 0);
    return g_array_index(fixture->counts, guint, fixture->counts->len - 1);
}

const GError *fixture_last_error(const Fixture *fixture)
{
    assert_true(fixture->errors->len > 0);
    return g_ptr_array_index(fixture->errors, fixture->errors->len - 1);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

void fixture_start_server(Fixture *fixture)
{
    char *arguments[] = {STENO_TEST_DIR "/unit/content/key_server.py", fixture->folder, SERVICE_SECRET, NULL};
    int output;
    assert_true(g_spawn_async_with_pipes(NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &fixture->server,
                                         &fixture->server_input, &output, NULL, NULL));
    FILE *stream = fdopen(output, "r");
    assert_int_equal(fscanf(stream, "%u %u %u", &fixture->tls_port, &fixture->mtls_port, &fixture->plain_port), 3);
    fclose(stream);
    g_autofree char *ca = fixture_path(fixture, "ca.pem");
    fixture_set(&fixture->job->key_ca_file, ca);
}

static void write_json(const Fixture *fixture, const char *name, json_t *json)
{
    char *text = json_dumps(json, 0);
    fixture_write(fixture, name, text, 0600);
    free(text);
    json_decref(json);
}

void fixture_answer(const Fixture *fixture, const char *question, int status, char *body)
{
    g_autofree char *name = g_build_filename("answers", question, NULL);
    write_json(fixture, name, json_pack("{s:i, s:s}", "status", status, "body", body ? body : ""));
    g_free(body);
}

void fixture_vault(const Fixture *fixture, json_t *vault)
{
    write_json(fixture, "vault.json", vault);
}

json_t *fixture_requests(const Fixture *fixture)
{
    g_autofree char *path = fixture_path(fixture, "requests.jsonl");
    g_autofree char *text = NULL;
    json_t *requests = json_array();
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return requests;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        if (lines[i][0])
            json_array_append_new(requests, json_loads(lines[i], 0, NULL));
    }
    return requests;
}

static gboolean on_tick(gpointer user)
{
    g_main_loop_quit(user);
    return G_SOURCE_CONTINUE;
}

void fixture_await_requests(Fixture *fixture, guint wanted)
{
    guint timer = g_timeout_add_seconds(PATIENCE_S, on_patience, NULL);
    guint tick = g_timeout_add(20, on_tick, fixture->loop);
    gsize have = 0;
    while (have < wanted) {
        json_t *requests = fixture_requests(fixture);
        have = json_array_size(requests);
        json_decref(requests);
        if (have < wanted)
            g_main_loop_run(fixture->loop);
    }
    g_source_remove(tick);
    g_source_remove(timer);
}
