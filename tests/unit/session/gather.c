/* steno-recorder --keys: what it is asked, what it answers, and that it says no secret when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gather.h"
#include "steno/base/error.h"

#include <string.h>
#include <unistd.h>

#define JOB                                                                                                            \
    "\"job\":{\"id\":\"r\",\"platform\":\"sdp\",\"url\":\"x\",\"content\":\"sframe\",\"content_keys\":\"inline\","     \
    "\"key_set\":\"{\\\"suite\\\":4,\\\"keys\\\":[{\\\"kid\\\":3,"                                                     \
    "\\\"key\\\":\\\"EREREREREREREREREREREQ==\\\"}]}\"}"
#define WANTED "\"wanted\":[{\"participant\":\"alice\",\"kid\":\"3\"}]"

/* What it writes to its output, and how it fails. */
static char *ask(const char *request, GError **error)
{
    int in[2], out[2];
    char text[4096] = "";
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(write(in[1], request, strlen(request)), (ssize_t)strlen(request));
    close(in[1]);
    gboolean done = gather(in[0], out[1], NULL, NULL, error);
    close(in[0]);
    close(out[1]);
    ssize_t bytes = read(out[0], text, sizeof text - 1);
    close(out[0]);
    assert_true(bytes >= 0 && done == (bytes > 0));
    return g_strdup(text);
}

static void the_keys_of_the_job_come(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = ask("{" JOB "," WANTED ",\"timeout_s\":5}", &error);
    if (error)
        fail_msg("%s", error->message);
    g_autoptr(StenoContentKeys) keys =
        steno_content_keys_parse(steno_content_format("sframe"), text, strlen(text), "the answer", &error);
    assert_non_null(keys);
    assert_int_equal(steno_content_keys_count(keys), 1);
}

static void a_request_is_read_to_the_last_digit(void **state)
{
    (void)state;
    static const char text[] = "{" JOB ",\"wanted\":[{\"participant\":\"b\",\"kid\":\"18446744073709551615\"}],"
                               "\"timeout_s\":7}";
    g_autoptr(GatherRequest) request = gather_request_read(text, strlen(text), NULL);
    assert_non_null(request);
    assert_int_equal(request->wants->len, 1);
    const StenoContentWant *want = &g_array_index(request->wants, StenoContentWant, 0);
    assert_string_equal(want->participant, "b");
    assert_true(want->kid == G_MAXUINT64);
    assert_int_equal(request->timeout_s, 7);
}

static void nonsense_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "",
        "[]",
        "{" JOB "," WANTED "}",
        "{" JOB ",\"timeout_s\":5}",
        "{" WANTED ",\"timeout_s\":5}",
        "{" JOB "," WANTED ",\"timeout_s\":601}",
        "{" JOB "," WANTED ",\"timeout_s\":-1}",
        "{" JOB ",\"wanted\":[{\"participant\":\"a\",\"kid\":3}],\"timeout_s\":5}",
        "{" JOB ",\"wanted\":[{\"participant\":\"a\",\"kid\":\"18446744073709551616\"}],\"timeout_s\":5}",
        "{" JOB ",\"wanted\":[{\"participant\":\"a\",\"kid\":\"-1\"}],\"timeout_s\":5}",
        "{" JOB ",\"wanted\":[{\"kid\":\"1\"}],\"timeout_s\":5}",
        "{\"job\":{\"content\":\"rot13\"}," WANTED ",\"timeout_s\":5}",
        "{" JOB "," WANTED ",\"timeout_s\":5", /* cut off */
    };
    for (guint i = 0; i < G_N_ELEMENTS(requests); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *answer = ask(requests[i], &error);
        if (!g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE))
            fail_msg("%s: %s", requests[i], error ? error->message : "lawful");
        assert_true(answer == NULL || *answer == '\0');
        assert_null(strstr(error->message, "ERERER"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_keys_of_the_job_come),
        cmocka_unit_test(a_request_is_read_to_the_last_digit),
        cmocka_unit_test(nonsense_is_refused_and_not_repeated),
    };
    return cmocka_run_group_tests_name("session_gather", tests, NULL, NULL);
}
