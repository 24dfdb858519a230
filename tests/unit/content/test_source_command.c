/* A program that tells keys: what it is given, what it may answer, and what becomes of one that does not end. */
#include "source_fixture.h"

#include "source_kind.h"

#include "steno/base/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* script: behind "#!/bin/sh", in the fixture's folder. */
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

static char *contents(const Fixture *fixture, const char *name)
{
    g_autofree char *path = fixture_path(fixture, name);
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void write_keys(const Fixture *fixture, const char *name, guint keys)
{
    g_autofree char *text = fixture_key_set(keys);
    fixture_write(fixture, name, text, 0600);
}

static void test_answer(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(g_setenv("PLANTED", PLANTED, TRUE), TRUE);
    write_keys(fixture, "keys", 2);
    use_command(fixture, "cat >question; /usr/bin/env >environment; ls -l /proc/self/fd >fds; cat keys");
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 2);
    g_autofree char *question = contents(fixture, "question");
    assert_string_equal(question, "{\"app\":\"app\",\"channel\":\"room\",\"recording\":\"rec\",\"participant\":null,"
                                  "\"kid\":null,\"format\":\"livekit\"}");
    g_autofree char *environment = contents(fixture, "environment");
    g_auto(GStrv) lines = g_strsplit(environment, "\n", -1);
    for (guint i = 0; lines[i] && lines[i][0]; i++) {
        /* PWD, OLDPWD and _ are the shell's own. */
        if (!g_str_has_prefix(lines[i], "PATH=") && !g_str_has_prefix(lines[i], "LANG=") &&
            !g_str_has_prefix(lines[i], "PWD=") && !g_str_has_prefix(lines[i], "OLDPWD=") &&
            !g_str_has_prefix(lines[i], "_="))
            fail_msg("the environment has %s", lines[i]);
    }
    /* Standard input, output, error, and the folder that ls itself reads. */
    g_autofree char *fds = contents(fixture, "fds");
    g_auto(GStrv) fd_lines = g_strsplit(g_strstrip(fds), "\n", -1);
    assert_true(g_strv_length(fd_lines) <= 5);
    g_unsetenv("PLANTED");
}

static void test_by_key(void **state)
{
    Fixture *fixture = *state;
    write_keys(fixture, "keys", 1);
    use_command(fixture, "read -r question; case $question in *alice*'\"kid\":\"7\"'*) cat keys;; *) exit 3;; esac");
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "bob", 7);
    steno_content_source_want(fixture->source, "alice", 7);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture->errors->len, 0);
}

/* Asked again, until it is there. */
static void test_late(void **state)
{
    Fixture *fixture = *state;
    write_keys(fixture, "keys", 1);
    use_command(fixture, "read -r question; echo x >>asked; [ $(wc -l <asked) -gt 2 ] || exit 3; cat keys");
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "alice", 7);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture->errors->len, 0);
}

static void test_failures(void **state)
{
    Fixture *fixture = *state;
    /* Neither what it prints nor what looks like a key is told. */
    use_command(fixture,
                "echo " PLANTED "; echo first >&2; echo \"token=abc no key for " PLANTED "\" >&2; echo >&2; exit 1");
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "ended with exit code 1: token=*** no key for ***");
    use_command(fixture, "kill -TERM $$");
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "was killed by signal 15");
    use_command(fixture, "head -c 2000000 /dev/zero");
    fixture_await_errors(fixture, 3);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "more than a key set may have");
    fixture_stop(fixture);
    use_command(fixture, "echo " PLANTED);
    fixture_start(fixture);
    fixture_await_errors(fixture, 4);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "");
}

static void test_custody(void **state)
{
    Fixture *fixture = *state;
    use_command(fixture, "true");
    g_autofree char *path = fixture_path(fixture, "command");
    assert_int_equal(g_chmod(path, 0722), 0);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "(mode 0722)");
    assert_int_equal(g_chmod(path, 0600), 0);
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "cannot start");
    assert_int_equal(g_unlink(path), 0);
    fixture_await_errors(fixture, 3);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "No such file");
}

static gboolean is_gone(int pid)
{
    g_autofree char *stat_path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *stat = NULL;
    return !g_file_get_contents(stat_path, &stat, NULL, NULL) || strstr(stat, ") Z ");
}

static void await_gone(int pid)
{
    gint64 until_mono_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (!is_gone(pid) && g_get_monotonic_time() < until_mono_us)
        g_main_context_iteration(NULL, FALSE);
    assert_true(is_gone(pid));
}

/* Let go while it runs: it goes, and what it started. */
static void test_let_go(void **state)
{
    Fixture *fixture = *state;
    use_command(fixture, "sleep 1000 & echo $! >child.tmp; mv child.tmp child; wait");
    g_autofree char *path = fixture_path(fixture, "child");
    fixture_start(fixture);
    while (!g_file_test(path, G_FILE_TEST_EXISTS))
        g_main_context_iteration(NULL, FALSE);
    g_autofree char *pid = contents(fixture, "child");
    fixture_stop(fixture);
    await_gone(atoi(pid));
    assert_int_equal(fixture->counts->len + fixture->errors->len, 0);
}

/* ---- the kind itself, with a time of our own --------------------------------------------------------------------- */

typedef struct {
    GMainLoop *loop;
    SourceOutcome outcome;
    char *words;
} Told;

static void on_answer(gpointer user, const SourceAnswer *answer)
{
    Told *told = user;
    told->outcome = answer->outcome;
    told->words = answer->error ? g_strdup(answer->error->message) : NULL;
    g_main_loop_quit(told->loop);
}

static void test_time_is_over(void **state)
{
    Fixture *fixture = *state;
    use_command(fixture, "trap '' TERM INT HUP; sleep 1000 & echo $! >child; echo $$ >shell; wait; wait");
    g_autoptr(SourceSettings) settings = source_settings_new(fixture->job);
    settings->command_timeout_ms = 700;
    Told told = {.loop = fixture->loop};
    const SourceQuestion question = {NULL, 0};
    gpointer opened = source_command.open(settings, g_main_context_default(), NULL, NULL);
    source_command.ask(opened, &question, on_answer, &told);
    g_main_loop_run(fixture->loop);
    assert_int_equal(told.outcome, SOURCE_TROUBLE);
    assert_non_null(strstr(told.words, "did not end in time"));
    g_autofree char *child = contents(fixture, "child");
    g_autofree char *shell = contents(fixture, "shell");
    await_gone(atoi(child));
    await_gone(atoi(shell));
    source_command.close(opened);
    g_free(told.words);
}

/* What it leaves behind may hold its output: it is not waited for. */
static void test_left_behind(void **state)
{
    Fixture *fixture = *state;
    write_keys(fixture, "keys", 1);
    use_command(fixture, "cat keys; sleep 1000 & echo $! >child");
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    g_autofree char *child = contents(fixture, "child");
    assert_int_equal(kill(atoi(child), SIGKILL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_answer),       TEST(test_by_key),     TEST(test_late),
                                       TEST(test_failures),     TEST(test_custody),    TEST(test_let_go),
                                       TEST(test_time_is_over), TEST(test_left_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
