/* Files of recordings, from whichever storage has them: opened, redirected to, or streamed. */
#include "daemon_fixture.h"
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* A recording that is over, in two storages; its id. */
static char *make_recording(void)
{
    char *id = begin("archive", "1");
    tell_recording(job_of(id));
    tell_stored(job_of(id), "stopped");
    fixture_turn();
    return id;
}

static StenoDaemonReply *open_file(const char *id, const char *name, const char *more)
{
    g_autofree char *arguments = g_strdup_printf("{'id': '%s', 'name': '%s'%s}", id, name, more);
    return ask(STENO_COMMAND_FILE_OPEN, arguments);
}

static char *path_in(const char *id, guint storage, const char *name)
{
    json_t *json = show(id);
    const json_t *shown = json_array_get(json_object_get(json, "storages"), storage);
    g_autofree char *folder = g_filename_from_uri(json_string_value(json_object_get(shown, "uri")), NULL, NULL);
    json_decref(json);
    return g_build_filename(folder, name, NULL);
}

static void read_all(int fd, char *contents, gsize size)
{
    gsize length = 0;
    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&readable, 1, -1), 1);
        ssize_t n = read(fd, contents + length, size - 1 - length);
        assert_true(n >= 0);
        length += (gsize)n;
        if (n == 0)
            break;
    }
    contents[length] = '\0';
}

/* ---- local ------------------------------------------------------------------------------------------------------- */

/* The first that has it; one that has something else is no reason to look no further. */
static void test_next_storage(void **state)
{
    (void)state;
    g_autofree char *id = make_recording();
    g_autofree char *first = path_in(id, 0, "alice.webm"), *second = path_in(id, 1, "alice.webm");
    assert_true(g_str_has_prefix(first, fixture.folder));
    assert_int_equal(g_unlink(first), 0);
    g_autoptr(StenoDaemonReply) good = open_file(id, "alice.webm", "");
    assert_null(good->error);
    assert_true(good->fd >= 0);
    assert_true(g_file_set_contents(first, "eve", -1, NULL));
    g_autoptr(StenoDaemonReply) better = open_file(id, "alice.webm", "");
    assert_null(better->error);
    assert_int_equal(better->file_bytes, 5);
    assert_int_equal(g_unlink(second), 0);
    assert_refused(open_file(id, "alice.webm", ""), STENO_ERROR_VERIFY_FAILED, "it was changed");
    assert_int_equal(g_unlink(first), 0);
    assert_refused(open_file(id, "alice.webm", ""), STENO_ERROR_NOT_FOUND, "not in its storage any more");
}

static void test_via(void **state)
{
    (void)state;
    g_autofree char *id = make_recording();
    assert_refused(open_file(id, "alice.webm", ", 'via': 'pigeon'"), STENO_ERROR_USAGE, "?via: is 'pigeon'");
    /* What is on this machine is sent from it. */
    fixture.presigns = TRUE;
    g_autoptr(StenoDaemonReply) reply = open_file(id, "alice.webm", ", 'via': 'redirect'");
    assert_true(reply->fd >= 0 && !reply->redirect_url && !reply->stream);
}

/* ---- manifests and their proofs ---------------------------------------------------------------------------------- */

static void assert_beside(const char *id, const char *name, const char *media_type)
{
    char contents[64] = "";
    g_autoptr(StenoDaemonReply) reply = open_file(id, name, "");
    if (reply->error)
        fail_msg("%s: %s", name, reply->error->message);
    assert_string_equal(reply->file_media_type, media_type);
    assert_null(reply->file_sha256_hex);
    assert_int_equal(read(reply->fd, contents, sizeof contents - 1), strlen(name));
    assert_string_equal(contents, name);
}

/* What lies beside the files can be fetched, where it does; nothing else can. */
static void test_beside(void **state)
{
    static const struct {
        const char *name, *media_type;
    } known[] = {
        {"manifest.json.sig", "application/octet-stream"},
        {"manifest.json.tsr", "application/timestamp-reply"},
        {"manifest.001.json", "application/json"},
        {"manifest.001.json.sig", "application/octet-stream"},
        {"manifest.001.json.tsr", "application/timestamp-reply"},
        {"manifest.1000.json", "application/json"},
        {"manifest.1000.json.sig", "application/octet-stream"},
    };
    static const char *const others[] = {"manifest.json",     "manifest.json.",         "manifest.json.sig.sig",
                                         "manifest.json.key", "manifest.1.json",        "manifest..json",
                                         "manifest.001.jso",  "manifest.001.json.part", "manifest.0x1.json",
                                         "manifest.sig",      ".manifest.json.sig",     "manifest.00000000001.json",
                                         "note.txt"};
    (void)state;
    g_autofree char *id = make_recording();
    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        assert_refused(open_file(id, known[i].name, ""), STENO_ERROR_NOT_FOUND, "is not in its storage");
        g_autofree char *path = path_in(id, i % 2, known[i].name);
        assert_true(g_file_set_contents(path, known[i].name, -1, NULL));
        assert_beside(id, known[i].name, known[i].media_type);
    }
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *path = path_in(id, 0, others[i]);
        assert_true(g_file_set_contents(path, others[i], -1, NULL));
        assert_refused(open_file(id, others[i], ""), STENO_ERROR_NOT_FOUND, "no file of this name");
    }
    assert_refused(open_file(id, "../manifest.json.sig", ""), STENO_ERROR_NOT_FOUND, "no file of this name");
}

/* One storage has everything, but no timestamp: there is none, however the other one is. */
static void test_beside_none(void **state)
{
    (void)state;
    g_autofree char *id = make_recording();
    g_autofree char *stamp = path_in(id, 1, "manifest.json.tsr"), *manifest = path_in(id, 1, "manifest.json");
    g_autofree char *other = path_in(id, 0, "manifest.json");
    assert_int_equal(g_mkdir(stamp, 0700), 0);
    assert_refused(open_file(id, "manifest.json.tsr", ""), STENO_ERROR_NOT_FOUND, "is not in its storage");
    /* What there must be may be where the trouble is. */
    assert_true(g_unlink(manifest) == 0 && g_unlink(other) == 0 && g_mkdir(manifest, 0700) == 0);
    g_autofree char *arguments = g_strdup_printf("{'id': '%s'}", id);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_MANIFEST, arguments);
    assert_non_null(reply->error);
    assert_int_not_equal(reply->error->code, STENO_ERROR_NOT_FOUND);
}

/* ---- remote ------------------------------------------------------------------------------------------------------ */

static void test_redirect(void **state)
{
    (void)state;
    g_autofree char *id = make_recording();
    fixture.remote = fixture.presigns = TRUE;
    g_autoptr(StenoDaemonReply) reply = open_file(id, "alice.webm", "");
    assert_null(reply->error);
    assert_true(reply->fd < 0 && !reply->stream);
    assert_true(g_str_has_prefix(reply->redirect_url, "https://primary.example/archive/1/"));
    assert_non_null(strstr(reply->redirect_url, "name=alice.webm&type=video/webm"));
    assert_int_equal(reply->file_bytes, 5);
    g_autofree char *arguments = g_strdup_printf("{'id': '%s', 'via': 'stream'}", id);
    g_autoptr(StenoDaemonReply) manifest = ask(STENO_COMMAND_MANIFEST, arguments);
    assert_null(manifest->error);
    assert_true(manifest->stream && !manifest->redirect_url);
    /* The address is a secret. */
    int status = 0;
    g_autofree char *grep = g_strdup_printf("grep -rqF X-Amz-Signature %s", fixture.folder);
    assert_true(g_spawn_command_line_sync(grep, NULL, NULL, &status, NULL));
    assert_true(status != 0);
    fixture.audit_fails = TRUE;
    StenoDaemonReply *unaudited = open_file(id, "alice.webm", "");
    assert_null(unaudited->redirect_url);
    assert_refused(unaudited, STENO_ERROR_STORAGE_FAILED, "audit log");
}

static void test_stream(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *id = make_recording();
    char contents[16];
    fixture.remote = TRUE;
    g_autoptr(StenoDaemonReply) reply = open_file(id, "alice.webm", "");
    assert_non_null(reply->stream);
    assert_int_equal(reply->file_bytes, 5);
    int fd = steno_daemon_stream_begin(&reply->stream, 1, 3, &error);
    assert_true(fd >= 0);
    assert_null(reply->stream);
    read_all(fd, contents, sizeof contents);
    assert_string_equal(contents, "lic");
    close(fd);
}

/* Nobody reads any more: the thread ends, and its place is free again. */
static void test_stream_closed(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *id = make_recording();
    g_autofree char *large = g_strnfill(4 * 1024 * 1024, 'x');
    g_autofree char *path = path_in(id, 0, "manifest.json");
    g_autofree char *arguments = g_strdup_printf("{'id': '%s'}", id);
    assert_true(g_file_set_contents(path, large, -1, NULL));
    fixture.remote = TRUE;
    for (guint i = 0; i < 3 * STREAMS_MAX; i++) {
        StenoDaemonReply *reply;
        /* Threads of before may need a moment. */
        while ((reply = ask(STENO_COMMAND_MANIFEST, arguments))->error) {
            assert_int_equal(reply->error->code, STENO_ERROR_TOO_MANY_REQUESTS);
            steno_daemon_reply_free(reply);
        }
        int fd = steno_daemon_stream_begin(&reply->stream, 0, 4 * 1024 * 1024, &error);
        assert_true(fd >= 0);
        close(fd);
        steno_daemon_reply_free(reply);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    g_autofree char *id = make_recording();
    g_autoptr(GPtrArray) replies = g_ptr_array_new_with_free_func((GDestroyNotify)steno_daemon_reply_free);
    fixture.remote = TRUE;
    for (guint i = 0; i < STREAMS_MAX; i++) {
        g_ptr_array_add(replies, open_file(id, "alice.webm", ""));
        assert_null(((StenoDaemonReply *)replies->pdata[i])->error);
    }
    assert_refused(open_file(id, "alice.webm", ""), STENO_ERROR_TOO_MANY_REQUESTS, "64 files are being fetched");
    g_ptr_array_remove_index(replies, 0);
    g_autoptr(StenoDaemonReply) again = open_file(id, "alice.webm", "");
    assert_null(again->error);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_next_storage), TEST(test_beside), TEST(test_beside_none),   TEST(test_via),
        TEST(test_redirect),     TEST(test_stream), TEST(test_stream_closed), TEST(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
