/* Requests to a real server: they run beside each other in one context, and whatever is taken back stays silent. */
#include "server.h"

#include "steno/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PATIENCE_MS 60000

#define OTHERS 4

typedef struct Request Request;

typedef struct {
    Server *server;
    GMainContext *context;
    StenoHttpMulti *multi;
    guint ended;
    Request *others[OTHERS]; /* of the test that takes them back */
} Fixture;

struct Request {
    Fixture *fixture;
    CURL *easy;
    void (*then)(Request *request); /* inside of `ended`; or NULL */
    guint ended;
    CURLcode code;
    long status;
    GString *body;
};

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    g_string_append_len(user, data, (gssize)(size * count));
    return size * count;
}

static void on_ended(gpointer user, CURLcode code)
{
    Request *request = user;
    request->ended++;
    request->fixture->ended++;
    request->code = code;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
    if (request->then)
        request->then(request);
}

static Request *request_new(Fixture *fixture, const char *path)
{
    Request *request = g_new0(Request, 1);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u%s", server_port(fixture->server), path);
    request->fixture = fixture;
    request->body = g_string_new(NULL);
    request->easy = steno_http_easy_new(url, TRUE, NULL);
    curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request->body);
    return request;
}

static void request_free(Request *request)
{
    if (request->fixture->multi)
        steno_http_multi_remove(request->fixture->multi, request->easy);
    curl_easy_cleanup(request->easy);
    g_string_free(request->body, TRUE);
    g_free(request);
}

static Request *request_start(Fixture *fixture, const char *path)
{
    Request *request = request_new(fixture, path);
    steno_http_multi_add(fixture->multi, request->easy, request);
    return request;
}

static void configure(Fixture *fixture, StenoHttpCeilings ceilings)
{
    steno_http_multi_free(fixture->multi);
    fixture->multi = steno_http_multi_new(fixture->context, ceilings, on_ended);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->server = server_start();
    fixture->context = g_main_context_new();
    configure(fixture, (StenoHttpCeilings){0});
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    steno_http_multi_free(fixture->multi);
    assert_false(g_main_context_pending(fixture->context));
    g_main_context_unref(fixture->context);
    assert_true(server_wait_until_alone(fixture->server));
    server_stop(fixture->server);
    g_free(fixture);
    return 0;
}

static gboolean on_patience(gpointer user)
{
    *(gboolean *)user = TRUE;
    return G_SOURCE_CONTINUE;
}

/* Runs the context until what is counted has been counted so often. */
static void wait_for(Fixture *fixture, guint (*counted)(Fixture *fixture), guint count)
{
    gboolean too_long = FALSE;
    GSource *patience = g_timeout_source_new(PATIENCE_MS);
    g_source_set_callback(patience, on_patience, &too_long, NULL);
    g_source_attach(patience, fixture->context);
    while (counted(fixture) < count && !too_long)
        g_main_context_iteration(fixture->context, TRUE);
    g_source_destroy(patience);
    g_source_unref(patience);
    assert_int_equal(counted(fixture), count);
}

static guint count_ended(Fixture *fixture)
{
    return fixture->ended;
}

static void assert_is_ok(const Request *request)
{
    assert_int_equal(request->ended, 1);
    assert_int_equal(request->code, CURLE_OK);
    assert_int_equal(request->status, 200);
    assert_string_equal(request->body->str, "ok");
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void a_request_runs_in_its_context_only(void **state)
{
    Fixture *fixture = *state;
    Request *request = request_start(fixture, "/ok");
    assert_int_equal(request->ended, 0);
    assert_false(g_main_context_pending(NULL));
    wait_for(fixture, count_ended, 1);
    assert_is_ok(request);
    request_free(request);
}

static void requests_one_after_the_other_share_a_connection(void **state)
{
    Fixture *fixture = *state;
    for (guint i = 1; i <= 5; i++) {
        Request *request = request_start(fixture, "/ok");
        wait_for(fixture, count_ended, i);
        assert_is_ok(request);
        request_free(request);
    }
    assert_int_equal(server_connections(fixture->server), 1);
}

static void requests_run_beside_one_that_waits(void **state)
{
    Fixture *fixture = *state;
    Request *waiting = request_start(fixture, "/hang");
    Request *request = request_start(fixture, "/ok");
    wait_for(fixture, count_ended, 1);
    assert_is_ok(request);
    assert_int_equal(waiting->ended, 0);
    request_free(request);
    request_free(waiting);
}

static void no_more_connections_to_a_host_than_allowed(void **state)
{
    enum { REQUESTS = 12 };
    Fixture *fixture = *state;
    configure(fixture, (StenoHttpCeilings){.per_host = 2});
    Request *requests[REQUESTS];
    for (guint i = 0; i < REQUESTS; i++)
        requests[i] = request_start(fixture, "/ok");
    wait_for(fixture, count_ended, REQUESTS);
    for (guint i = 0; i < REQUESTS; i++) {
        assert_is_ok(requests[i]);
        request_free(requests[i]);
    }
    assert_in_range(server_connections(fixture->server), 1, 2);
}

static void two_multis_share_no_connection(void **state)
{
    Fixture *fixture = *state;
    Request *request = request_start(fixture, "/ok");
    wait_for(fixture, count_ended, 1);
    StenoHttpMulti *other = steno_http_multi_new(fixture->context, (StenoHttpCeilings){.kept = 1}, on_ended);
    steno_http_multi_add(other, request->easy, request);
    wait_for(fixture, count_ended, 2);
    assert_int_equal(request->code, CURLE_OK);
    assert_int_equal(server_connections(fixture->server), 2);
    request_free(request);
    steno_http_multi_free(other);
}

static void a_request_that_takes_too_long_ends(void **state)
{
    Fixture *fixture = *state;
    Request *request = request_new(fixture, "/hang");
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, 50L);
    steno_http_multi_add(fixture->multi, request->easy, request);
    wait_for(fixture, count_ended, 1);
    assert_int_equal(request->code, CURLE_OPERATION_TIMEDOUT);
    assert_int_equal(request->ended, 1);
    request_free(request);
}

/* ---- inside of ended --------------------------------------------------------------------------------------------- */

static void again(Request *request)
{
    if (request->ended < 3)
        steno_http_multi_add(request->fixture->multi, request->easy, request);
}

static void the_next_request_may_be_made_inside_of_ended(void **state)
{
    Fixture *fixture = *state;
    Request *request = request_start(fixture, "/ok");
    request->then = again;
    wait_for(fixture, count_ended, 3);
    assert_string_equal(request->body->str, "okokok");
    assert_int_equal(server_connections(fixture->server), 1);
    request_free(request);
}

static void take_all_back(Request *request)
{
    Fixture *fixture = request->fixture;
    for (guint i = 0; i < OTHERS; i++) {
        steno_http_multi_remove(fixture->multi, fixture->others[i]->easy);
        assert_int_equal(fixture->others[i]->ended, 0);
    }
    steno_http_multi_free(g_steal_pointer(&fixture->multi));
}

static void all_may_be_freed_inside_of_ended(void **state)
{
    Fixture *fixture = *state;
    for (guint i = 0; i < OTHERS; i++)
        fixture->others[i] = request_start(fixture, "/hang");
    Request *request = request_start(fixture, "/ok");
    request->then = take_all_back;
    wait_for(fixture, count_ended, 1);
    assert_is_ok(request);
    assert_false(g_main_context_pending(fixture->context));
    for (guint i = 0; i < OTHERS; i++) {
        assert_int_equal(fixture->others[i]->ended, 0);
        request_free(fixture->others[i]);
    }
    request_free(request);
}

/* ---- taking back ------------------------------------------------------------------------------------------------- */

static guint count_requests(Fixture *fixture)
{
    return server_requests(fixture->server);
}

static void what_is_taken_back_stays_silent(void **state)
{
    Fixture *fixture = *state;
    Request *running = request_new(fixture, "/hang"), *unstarted = request_start(fixture, "/ok");
    steno_http_multi_remove(fixture->multi, unstarted->easy);
    steno_http_multi_remove(fixture->multi, unstarted->easy);
    curl_easy_setopt(running->easy, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
    steno_http_multi_add(fixture->multi, running->easy, running);
    while (count_requests(fixture) < 1)
        g_main_context_iteration(fixture->context, FALSE);
    steno_http_multi_remove(fixture->multi, running->easy);
    assert_true(server_wait_until_alone(fixture->server));
    Request *request = request_start(fixture, "/ok");
    wait_for(fixture, count_ended, 1);
    assert_is_ok(request);
    assert_int_equal(running->ended + unstarted->ended, 0);
    request_free(running);
    request_free(unstarted);
    request_free(request);
}

/* ---- what holds for all ------------------------------------------------------------------------------------------ */

static void redirects_are_not_followed(void **state)
{
    Fixture *fixture = *state;
    Request *request = request_start(fixture, "/moved");
    wait_for(fixture, count_ended, 1);
    assert_int_equal(request->status, 302);
    assert_int_equal(server_requests(fixture->server), 1);
    request_free(request);
}

static void a_proxy_of_the_environment_is_not_asked(void **state)
{
    Fixture *fixture = *state;
    g_setenv("http_proxy", "http://127.0.0.1:1", TRUE);
    Request *request = request_start(fixture, "/ok");
    wait_for(fixture, count_ended, 1);
    g_unsetenv("http_proxy");
    assert_is_ok(request);
    request_free(request);
}

static void only_what_is_allowed_is_spoken(void **state)
{
    static const struct {
        const char *url;
        gboolean allow_http;
    } refused[] = {{"http://127.0.0.1/", FALSE}, {"ftp://127.0.0.1/", TRUE}, {"file:///etc/hostname", TRUE}};
    Fixture *fixture = *state;
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        Request *request = request_new(fixture, "/ok");
        curl_easy_cleanup(request->easy);
        request->easy = steno_http_easy_new(refused[i].url, refused[i].allow_http, NULL);
        steno_http_multi_add(fixture->multi, request->easy, request);
        wait_for(fixture, count_ended, i + 1);
        assert_int_equal(request->code, CURLE_UNSUPPORTED_PROTOCOL);
        request_free(request);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_runs_in_its_context_only),
        TEST(requests_one_after_the_other_share_a_connection),
        TEST(requests_run_beside_one_that_waits),
        TEST(no_more_connections_to_a_host_than_allowed),
        TEST(two_multis_share_no_connection),
        TEST(a_request_that_takes_too_long_ends),
        TEST(the_next_request_may_be_made_inside_of_ended),
        TEST(all_may_be_freed_inside_of_ended),
        TEST(what_is_taken_back_stays_silent),
        TEST(redirects_are_not_followed),
        TEST(a_proxy_of_the_environment_is_not_asked),
        TEST(only_what_is_allowed_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
