/*
 * A manifest and a place that say anything: nothing outside of the recording's own folder is read or removed. The store
 * is one of a sink of its own, which touches no disk.
 */
#include "retention_delete.h"

#include "sink.h"

#include "steno/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ROOT_URI "file:///srv"
#define KEY "clinic/room/20261121T200000Z_01A"
#define WHOLE KEY "/manifest.json"
#define SECTION KEY "/manifest.001.json"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    const uint8_t *manifest;
    size_t bytes;
    gboolean sectioned; /* it is a section's, and there is none of the whole */
    guint verified;
} Fake;

static Fake fake;

static const char *manifest_key(void)
{
    return fake.sectioned ? SECTION : WHOLE;
}

/* A file of the recording's own folder, and neither a manifest nor what proves one. */
static void check_file(const char *key)
{
    static const char *const kept[] = {WHOLE, WHOLE ".sig", WHOLE ".tsr", SECTION, SECTION ".sig", SECTION ".tsr"};
    const char *name = key + strlen(KEY) + 1;
    g_assert_true(g_str_has_prefix(key, KEY "/"));
    g_assert_true(name[0] && name[0] != '.' && !strchr(name, '/'));
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++)
        g_assert_cmpstr(key, !=, kept[i]);
}

/* ---- the sink ---------------------------------------------------------------------------------------------------- */

static char *fake_root_uri(const StenoConfigStorage *settings)
{
    (void)settings;
    return g_strdup(ROOT_URI);
}

static gpointer fake_open(StenoStore *store, GError **error)
{
    (void)store;
    (void)error;
    return &fake;
}

static void fake_close(gpointer state)
{
    g_assert_true(state == &fake);
}

static gboolean fake_verify(gpointer state, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                            GCancellable *cancellable, GError **error)
{
    (void)state;
    (void)proof;
    (void)cancellable;
    check_file(key);
    g_assert_cmpint(bytes, >=, 0);
    g_assert_cmpint(strlen(sha256_hex), ==, STENO_STORAGE_SHA256_HEX_BYTES - 1);
    /* Every fourth is gone already. */
    if (++fake.verified % 4 == 0)
        return steno_error_set(error, STENO_ERROR_NOT_FOUND, "%s is not there", key);
    return TRUE;
}

static GBytes *fake_read(gpointer state, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error)
{
    (void)state;
    (void)max_bytes;
    (void)cancellable;
    (void)error;
    g_assert_cmpstr(key, ==, manifest_key());
    return g_bytes_new_static(fake.manifest, fake.bytes);
}

static gboolean fake_stat(gpointer state, const char *key, gint64 *bytes, gint64 *modified_us,
                          GCancellable *cancellable, GError **error)
{
    (void)state;
    (void)cancellable;
    g_assert_cmpstr(key, ==, WHOLE);
    *bytes = (gint64)fake.bytes;
    *modified_us = 0;
    return !fake.sectioned || steno_error_set(error, STENO_ERROR_NOT_FOUND, "%s is not there", key);
}

static gboolean fake_list(gpointer state, const char *prefix,
                          gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                          GCancellable *cancellable, GError **error)
{
    static const char *const others[] = {SECTION ".sig", KEY "/manifest.x.json", KEY "/manifest.001.json/a"};
    (void)state;
    (void)cancellable;
    (void)error;
    g_assert_true(fake.sectioned);
    g_assert_cmpstr(prefix, ==, KEY "/manifest.");
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        found(user, others[i], 64);
    found(user, SECTION, (gint64)fake.bytes);
    return TRUE;
}

static gboolean fake_remove(gpointer state, const char *key, gboolean folders, GCancellable *cancellable,
                            GError **error)
{
    (void)state;
    (void)cancellable;
    (void)error;
    check_file(key);
    g_assert_false(folders);
    return TRUE;
}

static const StenoSink sink = {.name = "fake",
                               .key_template = "{app}/{channel}/{time}_{recording}/{file}",
                               .root_uri = fake_root_uri,
                               .open = fake_open,
                               .close = fake_close,
                               .verify = fake_verify,
                               .read = fake_read,
                               .stat = fake_stat,
                               .list = fake_list,
                               .remove = fake_remove};

static StenoStore *open_store(void)
{
    StenoConfigStorage *settings;
    g_autoptr(StenoConfig) config = steno_config_with_storage("primary", "fake", &settings);
    return store_open_sink(&sink, config, settings, NULL);
}

/* ---- the target -------------------------------------------------------------------------------------------------- */

static void check_place(StenoStore *store, const char *uri)
{
    RetentionPlace *place = retention_place_new(store, "01A", uri, TRUE, NULL);
    if (place) {
        g_auto(GStrv) steps = g_strsplit(place->key, "/", -1);
        gboolean named = FALSE;
        for (guint i = 0; steps[i]; i++) {
            named = named || strstr(steps[i], "01A") != NULL;
            g_assert_true(steps[i][0] && strcmp(steps[i], ".") != 0 && strcmp(steps[i], "..") != 0);
        }
        g_assert_true(named);
    }
    retention_place_free(place);
}

static void check_manifest(StenoStore *store, const uint8_t *data, size_t bytes, gboolean sectioned)
{
    RetentionPlace *place = retention_place_new(store, "01A", ROOT_URI "/" KEY, !sectioned, NULL);
    fake = (Fake){.manifest = data, .bytes = bytes, .sectioned = sectioned};
    if (retention_place_verify(place, "clinic", "01A", NULL, NULL))
        g_assert_true(retention_place_remove(place, NULL, NULL));
    retention_place_free(place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(StenoStore) store = open_store();
    g_autofree char *text = g_strndup((const char *)data, bytes);
    check_manifest(store, data, bytes, FALSE);
    check_manifest(store, data, bytes, TRUE);
    check_place(store, text);
    return 0;
}
