#include "s3_fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void set(char **where, char *text)
{
    g_free(*where);
    *where = text;
}

S3Fixture *s3_fixture_new(const S3Step *steps, void (*edit)(StenoConfigStorage *settings))
{
    S3Fixture *fixture = g_new0(S3Fixture, 1);
    GError *error = NULL;
    fixture->server = s3_server_start(steps);
    fixture->folder = g_dir_make_tmp("steno-s3-XXXXXX", NULL);
    fixture->source = g_build_filename(fixture->folder, "source", NULL);
    fixture->keys = g_build_filename(fixture->folder, "keys", NULL);
    fixture->memo = g_build_filename(fixture->folder, "memo", NULL);
    assert_int_equal(g_mkdir(fixture->memo, 0700), 0);
    assert_true(g_file_set_contents_full(fixture->keys, "AKID\nsecret of the key\n", -1, 0, 0600, NULL));
    fixture->config = steno_config_with_storage("primary", "s3", &fixture->settings);
    StenoConfigStorage *settings = fixture->settings;
    set(&settings->endpoint, g_strdup_printf("http://127.0.0.1:%u", s3_server_port(fixture->server)));
    set(&settings->bucket, g_strdup("bucket"));
    set(&settings->checksum, g_strdup("md5"));
    set(&settings->access_key_file, g_strdup(fixture->keys));
    settings->allow_http = TRUE;
    settings->part_bytes = 5 * 1024 * 1024;
    settings->parallel = 1;
    if (edit)
        edit(settings);
    fixture->store = steno_store_open(fixture->config, settings, &error);
    if (!fixture->store)
        fail_msg("%s", error->message);
    s3_fixture_write(fixture, HELLO, strlen(HELLO));
    return fixture;
}

static void remove_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_folder(child);
    }
    (void)g_remove(path);
}

void s3_fixture_free(S3Fixture *fixture)
{
    steno_store_unref(fixture->store);
    steno_config_unref(fixture->config);
    s3_server_stop(fixture->server);
    remove_folder(fixture->folder);
    g_clear_error(&fixture->error);
    g_free(fixture->folder);
    g_free(fixture->source);
    g_free(fixture->keys);
    g_free(fixture->memo);
    g_free(fixture);
}

void s3_fixture_write(const S3Fixture *fixture, const char *contents, gsize bytes)
{
    assert_true(g_file_set_contents(fixture->source, contents, (gssize)bytes, NULL));
}

static void on_progress(gpointer user, gint64 bytes_stored, const GError *trouble)
{
    (void)bytes_stored;
    S3Fixture *fixture = user;
    if (trouble)
        fixture->troubles++;
}

void s3_fixture_expect(const S3Fixture *fixture, gboolean done, int expected)
{
    int code = done ? -1 : (int)fixture->error->code;
    if (code != expected)
        fail_msg("%d instead of %d: %s", code, expected, done ? "done" : fixture->error->message);
}

void s3_fixture_put(S3Fixture *fixture, const char *sha256_hex, int expected)
{
    GStatBuf status;
    assert_int_equal(g_stat(fixture->source, &status), 0);
    StenoPut put = {.source = fixture->source,
                    .key = "key",
                    .bytes = status.st_size,
                    .sha256_hex = sha256_hex,
                    .memo_folder = fixture->memo,
                    .progress = on_progress,
                    .user = fixture};
    g_clear_error(&fixture->error);
    s3_fixture_expect(fixture, steno_store_put(fixture->store, &put, &fixture->error), expected);
}

void s3_fixture_put_hello(S3Fixture *fixture, int expected)
{
    s3_fixture_put(fixture, HELLO_SHA256, expected);
}

void s3_fixture_said(const S3Fixture *fixture, const char *words)
{
    if (!fixture->error || !strstr(fixture->error->message, words))
        fail_msg("\"%s\" is not in \"%s\"", words, fixture->error ? fixture->error->message : "nothing");
}
