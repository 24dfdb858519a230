/* A manifest and a place that say anything: nothing outside of the recording's own folder is read or removed. */
#include "retention_delete.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KEY "clinic/room/20261121T200000Z_01A"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What the sink gives as the manifest; the sink's functions have no user data. */
static const uint8_t *manifest;
static size_t manifest_bytes;

static void check_key(const char *root, const char *key)
{
    const char *name = key + strlen(KEY) + 1;
    g_assert_cmpstr(root, ==, "/srv");
    g_assert_true(g_str_has_prefix(key, KEY "/"));
    g_assert_true(name[0] && name[0] != '.' && !strchr(name, '/'));
}

static gboolean fuzz_verify(const char *root, const char *key, gint64 bytes, const char *sha256_hex, GError **error)
{
    (void)bytes;
    (void)error;
    check_key(root, key);
    g_assert_cmpint(strlen(sha256_hex), ==, 64);
    return TRUE;
}

static GBytes *fuzz_read(const char *root, const char *key, gsize max_bytes, GError **error)
{
    (void)max_bytes;
    (void)error;
    check_key(root, key);
    return g_bytes_new(manifest, manifest_bytes);
}

static gboolean fuzz_remove(const char *root, const char *key, gboolean folders, GError **error)
{
    (void)error;
    check_key(root, key);
    g_assert_false(folders);
    g_assert_false(g_str_has_suffix(key, "/manifest.json"));
    return TRUE;
}

static const StenoSink sink = {.name = "fuzz", .verify = fuzz_verify, .read = fuzz_read, .remove = fuzz_remove};

static void check_place(const char *uri)
{
    RetentionPlace *place = retention_place_new(&sink, "primary", "/srv", "clinic", "01A", uri, NULL);
    if (place) {
        g_auto(GStrv) parts = g_strsplit(place->key, "/", -1);
        g_assert_cmpint(g_strv_length(parts), ==, 3);
        g_assert_cmpstr(parts[0], ==, "clinic");
        g_assert_cmpstr(parts[1], !=, "..");
        g_assert_true(g_str_has_suffix(parts[2], "_01A"));
    }
    retention_place_free(place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gint stop = FALSE;
    g_autofree char *text = g_strndup((const char *)data, bytes);
    RetentionPlace *place = retention_place_new(&sink, "primary", "/srv", "clinic", "01A", "file:///srv/" KEY, NULL);
    manifest = data;
    manifest_bytes = bytes;
    if (retention_place_verify(place, "01A", &stop, NULL))
        g_assert_true(retention_place_remove(place, &stop, NULL));
    retention_place_free(place);
    check_place(text);
    return 0;
}
