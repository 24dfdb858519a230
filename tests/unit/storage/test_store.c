/* Stores: what callers give is judged before a sink sees it; keys, addresses and templates. */
#include "storage_fixture.h"

#include "sink.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define ID "01JABCDEFGHJKMNPQRSTVWXYZ0"
#define STARTED_US G_GINT64_CONSTANT(1795291200000000) /* 2026-11-21T20:00:00Z */

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static int refused;

static gboolean on_key(gpointer user, const char *key, gint64 number)
{
    (void)user;
    (void)key;
    (void)number;
    return TRUE;
}

static gboolean on_bytes(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)user;
    (void)data;
    (void)bytes;
    (void)error;
    return TRUE;
}

static void expect_refusal(gboolean good, GError *error)
{
    assert_false(good);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED));
    assert_non_null(strstr(error->message, "is not a name for an object"));
    g_error_free(error);
    refused++;
}

static void try_key(const Fixture *fixture, const char *key)
{
    StenoStore *store = fixture->store;
    StenoPut put = {.source = fixture->source, .key = key};
    gint64 a, b;
    GError *error = NULL;
#define REFUSED(call)                                                                                                  \
    do {                                                                                                               \
        gboolean good = (call);                                                                                        \
        expect_refusal(good, g_steal_pointer(&error));                                                                 \
    } while (0)
    REFUSED(steno_store_put(store, &put, &error));
    REFUSED(steno_store_verify(store, key, 5, HELLO_SHA256, STENO_PROOF_STORED, NULL, &error));
    REFUSED(steno_store_read(store, key, 5, NULL, &error) != NULL);
    REFUSED(steno_store_fetch(store, key, 0, -1, on_bytes, NULL, NULL, &error));
    REFUSED(steno_store_stat(store, key, &a, &b, NULL, &error));
    REFUSED(steno_store_open_object(store, key, &error) >= 0);
    REFUSED(steno_store_presign(store, key, "n", "t", NULL, &error) != NULL);
    REFUSED(steno_store_remove(store, key, TRUE, NULL, &error));
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const keys[] = {"",          "/",    "/etc/x", "a//b",    "a/",       "../x",
                                       "a/../../x", "a/..", "./x",    ".",       "..",       "a/./b",
                                       "/..",       "x/",   "..//",   "../..",   "a/b/..",   "//",
                                       "a/../b",    "./",   "../",    "a\xff/b", "\xc0\xaf", "a/\xed\xa0\x80"};
    Fixture *fixture = *state;
    refused = 0;
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        try_key(fixture, keys[i]);
    g_autofree char *long_key = g_strnfill(1025, 'a');
    try_key(fixture, long_key);
    assert_int_equal(refused, 8 * (G_N_ELEMENTS(keys) + 1));
    assert_int_equal(fixture_count(fixture->root), 0);
    static const char *const prefixes[] = {"/", "a//", "../", "a/../b", "a/..", "\xff"};
    for (guint i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        GError *error = NULL;
        gboolean good = steno_store_list(fixture->store, prefixes[i], on_key, NULL, NULL, &error);
        expect_refusal(good, error);
        error = NULL;
        good = steno_store_abort_orphans(fixture->store, prefixes[i], on_key, NULL, NULL, NULL, &error);
        expect_refusal(good, error);
    }
}

/* ---- a sink of our own ------------------------------------------------------------------------------------------- */

typedef struct {
    StenoStore *store;
    guint opened, closed, puts;
    char sha256_hex[STENO_STORAGE_SHA256_HEX_BYTES];
    gint64 bytes;
} Fake;

static Fake fake;

static char *fake_root_uri(const StenoConfigStorage *settings)
{
    return g_strconcat("s3://", settings->bucket ? settings->bucket : "", NULL);
}

static gpointer fake_open(StenoStore *store, GError **error)
{
    if (!store_settings(store)->bucket) {
        steno_error_set(error, STENO_ERROR_CONFIG, "no bucket");
        return NULL;
    }
    fake.store = store;
    fake.opened++;
    return &fake;
}

static void fake_close(gpointer state)
{
    assert_ptr_equal(state, &fake);
    fake.closed++;
}

static gboolean fake_put(gpointer state, const StenoPut *put, GError **error)
{
    (void)error;
    assert_ptr_equal(state, &fake);
    g_strlcpy(fake.sha256_hex, put->sha256_hex, sizeof fake.sha256_hex);
    fake.bytes = put->bytes;
    fake.puts++;
    return TRUE;
}

static const StenoSink sink = {.name = "fake",
                               .key_template = "{app}/{channel}/{date}/{recording}/{file}",
                               .root_uri = fake_root_uri,
                               .open = fake_open,
                               .close = fake_close,
                               .put = fake_put};

static StenoStore *open_fake(const char *bucket, const char *key, gint64 max_bytes_per_s, GError **error)
{
    StenoConfigStorage *settings;
    g_autoptr(StenoConfig) config = steno_config_with_storage("fake", "fake", &settings);
    settings->bucket = g_strdup(bucket);
    settings->key = g_strdup(key);
    settings->max_bytes_per_s = max_bytes_per_s;
    return store_open_sink(&sink, config, settings, error);
}

static void a_store_lives_as_long_as_it_is_used(void **state)
{
    g_autoptr(GError) error = NULL;
    (void)state;
    fake = (Fake){NULL};
    StenoStore *store = open_fake("b", NULL, 0, NULL);
    assert_ptr_equal(store, fake.store);
    assert_string_equal(steno_store_name(store), "fake");
    assert_ptr_equal(steno_store_ref(store), store);
    steno_store_unref(store);
    assert_int_equal(fake.closed, 0);
    steno_store_unref(store);
    assert_int_equal(fake.closed, 1);
    steno_store_unref(NULL);
    /* One whose sink does not want its settings is none, and nothing of it is closed. */
    assert_null(open_fake(NULL, NULL, 0, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
    assert_int_equal(fake.closed, 1);
}

static void a_sink_gets_what_was_meant(void **state)
{
    Fixture *fixture = *state;
    gint64 a, b;
    g_autoptr(GError) error = NULL;
    g_autofree char *upper = g_ascii_strup(HELLO_SHA256, -1);
    fake = (Fake){NULL};
    g_autoptr(StenoStore) store = open_fake("b", NULL, 0, NULL);
    StenoPut put = {.source = fixture->source, .key = "x", .bytes = 7, .sha256_hex = upper};
    assert_int_equal(fixture_put_with(store, &put), 0);
    assert_string_equal(fake.sha256_hex, HELLO_SHA256);
    assert_int_equal(fake.bytes, 7);
    /* Nobody knows what the source is: it is read. */
    put.sha256_hex = NULL;
    assert_int_equal(fixture_put_with(store, &put), 0);
    assert_string_equal(fake.sha256_hex, HELLO_SHA256);
    assert_int_equal(fake.bytes, 5);
    put.source = "/nonexistent";
    assert_int_equal(fixture_put_with(store, &put), STENO_ERROR_STORAGE_FAILED);
    put.source = fixture->source;
    put.cancellable = g_cancellable_new();
    g_cancellable_cancel(put.cancellable);
    assert_int_equal(fixture_put_with(store, &put), STENO_ERROR_INTERRUPTED);
    g_object_unref(put.cancellable);
    assert_int_equal(fake.puts, 2);
    /* What it does not have is no error. */
    assert_false(steno_store_space(store, &a, &b));
    assert_int_equal(steno_store_open_object(store, "x", &error), -1);
    assert_null(error);
    assert_null(steno_store_presign(store, "x", "n", "t", NULL, &error));
    assert_null(error);
}

static void types_that_nothing_has_are_refused(void **state)
{
    StenoConfigStorage *settings;
    (void)state;
    g_autoptr(GError) error = NULL, no_root = NULL;
    g_autoptr(StenoConfig) config = steno_config_with_storage("s", "tape", &settings);
    assert_null(steno_store_open(config, settings, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
    g_free(settings->type);
    settings->type = g_strdup("local");
    assert_null(steno_store_open(config, settings, &no_root));
    assert_true(g_error_matches(no_root, STENO_ERROR, STENO_ERROR_CONFIG));
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static void expect_key(const StenoStore *store, const char *uri, const char *expected)
{
    g_autofree char *key = steno_store_key_of_uri(store, uri);
    if (g_strcmp0(key, expected) != 0)
        fail_msg("%s is %s, but must be %s", uri, key ? key : "none", expected ? expected : "none");
}

static void addresses_lead_to_keys_and_back(void **state)
{
    static const char *const keys[] = {"x", "a/b c/d%.webm", "Zoë/日本語 🎙", "a?b#c&d=e+f/[g]@h:i;j,k",
                                       "%2F/~'()*!$"};
    (void)state;
    g_autoptr(StenoStore) local = steno_store_open_local("/srv/r 1%"), top = steno_store_open_local("/");
    g_autoptr(StenoStore) bucket = open_fake("b", NULL, 0, NULL);
    StenoStore *const stores[] = {local, top, bucket};
    for (guint i = 0; i < G_N_ELEMENTS(stores); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(keys); j++) {
            g_autofree char *uri = steno_store_uri(stores[i], keys[j]);
            expect_key(stores[i], uri, keys[j]);
            for (const char *p = uri; *p; p++)
                assert_true(*p > ' ' && *p < 0x7f && !strchr("?#\"<>\\^`{|}", *p));
        }
    }
    g_autofree char *root = steno_store_uri(local, ""), *file = steno_store_uri(local, "a/b c");
    g_autofree char *in_bucket = steno_store_uri(bucket, "a/b c");
    assert_string_equal(root, "file:///srv/r%201%25");
    assert_string_equal(file, "file:///srv/r%201%25/a/b%20c");
    assert_string_equal(in_bucket, "s3://b/a/b%20c");
    expect_key(local, root, "");
    expect_key(bucket, "s3://b", "");
    expect_key(bucket, "s3://b/", "");
    expect_key(bucket, "s3://b/a/b/", "a/b");
    expect_key(bucket, "s3://b/%61/%7e", "a/~"); /* more than is necessary may be encoded */
    static const char *const others[] = {
        "s3://bb/x",    "s3://bbx",        "s3://a/x",     "https://b/x", "s3://b//x",   "s3://b/a//", "s3://b/../x",
        "s3://b/a/../", "s3://b/%2e%2e/x", "s3://b/a%2fb", "s3://b/%zz",  "s3://b/%00x", "",           "b/x",
        "s3:/b/x"};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        expect_key(bucket, others[i], NULL);
    expect_key(local, "file:///srv/r%201%25x/y", NULL);
    expect_key(local, "file:///srv/y", NULL);
}

/* ---- templates --------------------------------------------------------------------------------------------------- */

static void expect_folder(const StenoStore *store, const char *app, const char *channel, const char *expected)
{
    StenoStorePlace place = {.app = app, .channel = channel, .started_wall_us = STARTED_US, .id = ID};
    g_autofree char *folder = steno_store_folder(store, &place);
    assert_string_equal(folder, expected);
}

static void files_lie_where_the_template_says(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(StenoStore) local = fixture_open(fixture, fixture->root, NULL), bucket = open_fake("b", NULL, 0, NULL);
    g_autoptr(StenoStore) own = open_fake("b", "v1 {channel}-{app}/{time}{date}/x/{recording}_/{file}", 0, NULL);
    expect_folder(fixture->store, NULL, "../room/1", "_room_1/20261121T200000Z_" ID);
    expect_folder(fixture->store, "clinic", "room", "room/20261121T200000Z_" ID);
    expect_folder(local, "clinic", "room", "clinic/room/20261121T200000Z_" ID);
    expect_folder(local, NULL, "room", "room/20261121T200000Z_" ID);
    expect_folder(local, "", "room", "room/20261121T200000Z_" ID);
    expect_folder(bucket, "clinic", "{app} {file}", "clinic/{app} {file}/2026-11-21/" ID);
    expect_folder(own, "clinic", "a/b", "v1 a_b-clinic/20261121T200000Z2026-11-21/x/" ID "_");
    expect_folder(own, NULL, "a/b", "20261121T200000Z2026-11-21/x/" ID "_");
}

static void put_manifest(const Fixture *fixture, StenoStore *store, gint64 started_us, const char *id, const char *name)
{
    StenoStorePlace place = {.app = "clinic", .channel = "r[1].*", .started_wall_us = started_us, .id = id};
    g_autofree char *folder = steno_store_folder(store, &place);
    g_autofree char *key = g_strdup_printf("%s/%s", folder, name);
    assert_int_equal(fixture_put_to(fixture, store, key), 0);
}

static void try_to_find(const Fixture *fixture, void (*edit)(StenoConfigStorage *settings))
{
    StenoStorePlace place = {.app = "clinic", .channel = "r[1].*", .started_wall_us = STARTED_US, .id = ID};
    g_autoptr(StenoStore) store = fixture_open(fixture, fixture->root, edit);
    g_autoptr(GError) error = NULL;
    g_autofree char *expected = steno_store_folder(store, &place);
    put_manifest(fixture, store, STARTED_US, ID, "x.webm");
    put_manifest(fixture, store, STARTED_US, "01OTHER", "manifest.json");
    put_manifest(fixture, store, STARTED_US + G_USEC_PER_SEC, "X" ID, "manifest.json");
    put_manifest(fixture, store, STARTED_US, ID "X", "manifest.json");
    place.started_wall_us = 0;
    assert_null(steno_store_find(store, &place, NULL, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_NOT_FOUND));
    put_manifest(fixture, store, STARTED_US, ID, "manifest.json");
    g_autofree char *found = steno_store_find(store, &place, NULL, NULL);
    assert_string_equal(found, expected);
    place.channel = "r1xx";
    assert_null(steno_store_find(store, &place, NULL, NULL));
}

static void lie_by_date(StenoConfigStorage *settings)
{
    settings->key = g_strdup("by date/{date}/{time}.{recording}/{channel} {app}/{file}");
}

static void a_recording_is_found_without_its_start(void **state)
{
    Fixture *fixture = *state;
    try_to_find(fixture, NULL);
    try_to_find(fixture, lie_by_date);
}

/* ---- pace -------------------------------------------------------------------------------------------------------- */

static void all_uploads_share_one_pace(void **state)
{
    (void)state;
    g_autoptr(StenoStore) free_of_limit = open_fake("b", NULL, 0, NULL), slow = open_fake("b", NULL, 1000, NULL);
    assert_int_equal(store_pace(free_of_limit, 1000000000), 0);
    assert_int_equal(store_pace(free_of_limit, 1000000000), 0);
    /* An hour's worth each: what the test itself takes does not matter. */
    const gint64 hour_us = (gint64)3600 * G_USEC_PER_SEC;
    assert_int_equal(store_pace(slow, 3600 * 1000), 0);
    gint64 second_us = store_pace(slow, 3600 * 1000), third_us = store_pace(slow, 1);
    assert_true(second_us > hour_us / 2 && second_us <= hour_us);
    assert_true(third_us > hour_us * 3 / 2 && third_us <= 2 * hour_us);
}

/* `steno record --output recordings` */
static void a_folder_below_the_current_one(void **state)
{
    (void)state;
    g_autoptr(StenoStore) store = steno_store_open_local("some/recordings");
    assert_non_null(store);
    g_autofree char *path = g_canonicalize_filename("some/recordings", NULL);
    g_autofree char *wanted = g_filename_to_uri(path, NULL, NULL), *uri = steno_store_uri(store, "");
    assert_string_equal(uri, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_folder_below_the_current_one),      TEST(names_that_lead_elsewhere_are_refused),
        TEST(a_store_lives_as_long_as_it_is_used), TEST(a_sink_gets_what_was_meant),
        TEST(types_that_nothing_has_are_refused),  TEST(addresses_lead_to_keys_and_back),
        TEST(files_lie_where_the_template_says),   TEST(a_recording_is_found_without_its_start),
        TEST(all_uploads_share_one_pace),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
