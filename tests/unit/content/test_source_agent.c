/* A source that is asked in a process apart: what it says comes through whole, and its end is told. */
#include "source_fixture.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The agent; reaped by the test. */
static pid_t start(Fixture *fixture)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0) {
        close(pair[0]);
        (void)signal(SIGPIPE, SIG_IGN);
        steno_content_agent_serve(fixture->job, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    fixture->agent_fd = pair[0];
    fixture_start(fixture);
    return agent;
}

/* It goes with the last of the source. */
static void stop(Fixture *fixture, pid_t agent)
{
    int status = -1;
    fixture_stop(fixture);
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use_command(Fixture *fixture, const char *script)
{
    g_autofree char *path = fixture_path(fixture, "command");
    g_autofree char *text = g_strdup_printf("#!/bin/sh\ncd %s\n%s\n", fixture->folder, script);
    fixture_write(fixture, "command", text, 0700);
    fixture_set(&fixture->job->content_keys, "command");
    fixture_set(&fixture->job->key_path, path);
}

static void expect_error(Fixture *fixture, int code, const char *words)
{
    const GError *error = fixture_last_error(fixture);
    if (!g_error_matches(error, STENO_ERROR, code) || !strstr(error->message, words))
        fail_msg("'%s' is not in: %s", words, error->message);
}

static void test_where(void **state)
{
    static const struct {
        const char *kind;
        StenoContentApart apart;
    } rows[] = {{"later", STENO_CONTENT_INSIDE},      {"inline", STENO_CONTENT_INSIDE},
                {"service", STENO_CONTENT_INSIDE},    {"vault", STENO_CONTENT_INSIDE},
                {"folder", STENO_CONTENT_READING},    {"pkcs11", STENO_CONTENT_UNCONFINED},
                {"command", STENO_CONTENT_UNCONFINED}};
    Fixture *fixture = *state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        fixture_set(&fixture->job->content_keys, rows[i].kind);
        assert_int_equal(steno_content_apart(fixture->job), rows[i].apart);
    }
    fixture_set(&fixture->job->content, "none");
    assert_int_equal(steno_content_apart(fixture->job), STENO_CONTENT_INSIDE);
}

/* By key, none for one and keys for another; words of what went wrong; more than a socket takes at once. */
static void test_answers(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *keys = fixture_key_set(5), *room = g_strnfill(500 * 1024, ' ');
    g_autofree char *text = g_strconcat(room, keys, NULL);
    fixture_write(fixture, "keys", text, 0600);
    use_command(fixture, "read -r question; case $question in *alice*'\"kid\":\"18446744073709551615\"'*) cat keys;; "
                         "*carol*) echo 'no such person' >&2; exit 1;; *) exit 3;; esac");
    pid_t agent = start(fixture);
    steno_content_source_want(fixture->source, "bob", 7);
    steno_content_source_want(fixture->source, "alice", G_MAXUINT64);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 5);
    assert_int_equal(fixture->errors->len, 0);
    steno_content_source_want(fixture->source, "carol", 7);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "ended with exit code 1: no such person");
    stop(fixture, agent);
}

/* What changes is told without being asked for. */
static void test_changed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *folder = fixture_path(fixture, "keys");
    g_autofree char *one = fixture_key_set(1), *two = fixture_key_set(2);
    assert_int_equal(g_mkdir(folder, 0700), 0);
    fixture_set(&fixture->job->content_keys, "folder");
    fixture_set(&fixture->job->key_path, folder);
    g_autofree char *app = g_build_filename(folder, "app", NULL);
    assert_int_equal(g_mkdir(app, 0700), 0);
    fixture_write(fixture, "keys/app/room.json", one, 0600);
    pid_t agent = start(fixture);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 1);
    fixture_write(fixture, "keys/app/room.json", two, 0600);
    fixture_await_keys(fixture, 2);
    assert_int_equal(fixture_last_count(fixture), 2);
    assert_int_equal(fixture->errors->len, 0);
    stop(fixture, agent);
}

/* It is told once, and who asks then is told at once. */
static void test_agent_dies(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *started = fixture_path(fixture, "started");
    use_command(fixture, "echo >started; sleep 60");
    assert_int_equal(mkfifo(started, 0600), 0);
    pid_t agent = start(fixture);
    g_autofree char *line = NULL;
    assert_true(g_file_get_contents(started, &line, NULL, NULL)); /* waits for the command */
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "agent, which asks for content keys, has ended");
    steno_content_source_want(fixture->source, "alice", 7);
    fixture_stop(fixture);
}

/* Its programs end with the recorder. */
static void test_left_behind(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *started = fixture_path(fixture, "started");
    use_command(fixture, "echo $$ >started; exec sleep 60");
    assert_int_equal(mkfifo(started, 0600), 0);
    pid_t agent = start(fixture);
    g_autofree char *line = NULL;
    assert_true(g_file_get_contents(started, &line, NULL, NULL));
    stop(fixture, agent);
    assert_int_equal(kill((pid_t)g_ascii_strtoll(line, NULL, 10), 0), -1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_where), TEST(test_answers), TEST(test_changed), TEST(test_agent_dies),
                                       TEST(test_left_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
