/* The formats of docs/CHANNEL-AES.md with Agora's names, against frames that another implementation sealed. */
#include "rows.h"

#include "steno/base/error.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* cmocka.h needs what stands above. */
#include <cmocka.h>

static json_t *vectors;

static int load(void **state)
{
    (void)state;
    vectors = vectors_load("channel-aes.json");
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static const StenoContentFormat *const rows[] = {
    &content_aes_128_gcm, &content_aes_256_gcm, &content_aes_128_gcm2, &content_aes_256_gcm2,
    &content_aes_128_xts, &content_aes_256_xts, &content_aes_128_ecb,  &content_sm4_128_ecb,
};

static gboolean has_sm4(void)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "SM4-ECB", NULL);
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

static void prepare(Row *row, const char *secret, const guint8 *salt, gsize salt_bytes)
{
    const ContentKeyInput input = {.member = CONTENT_MEMBER_SECRET,
                                   .bytes = (const guint8 *)secret,
                                   .n_bytes = strlen(secret),
                                   .salt = salt,
                                   .salt_bytes = salt_bytes};
    row->bytes = row->format->prepare(row->format, &row->settings, &input, row->material, NULL);
    assert_int_equal(row->bytes, 32);
}

/* The vectors of one format with one kid; FALSE: this OpenSSL does not have it, and says so. */
static gboolean row_of(Row *row, const json_t *group)
{
    const char *name = vector_text(group, "format");
    *row = (Row){0};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i]->name, name) == 0)
            row->format = rows[i];
    assert_non_null(row->format);
    g_autoptr(GError) error = NULL;
    if (!row->format->settle(row->format, &row->settings, &error)) {
        assert_string_equal(name, "sm4-128-ecb");
        assert_false(has_sm4());
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
        return FALSE;
    }
    const json_t *key = json_array_get(json_object_get(json_object_get(group, "keys"), "keys"), 0);
    gsize salt_bytes = 0;
    g_autofree guint8 *salt =
        json_object_get(key, "salt") ? g_base64_decode(vector_text(key, "salt"), &salt_bytes) : NULL;
    prepare(row, vector_text(key, "secret"), salt, salt_bytes);
    return TRUE;
}

static void test_vectors(void **state)
{
    (void)state;
    const json_t *groups = json_object_get(vectors, "channel"), *group, *vector;
    gsize index, number;
    assert_int_equal(json_array_size(groups), 16);
    json_array_foreach (groups, index, group) {
        Row row;
        if (!row_of(&row, group))
            continue;
        json_array_foreach (json_object_get(group, "frames"), number, vector) {
            g_autoptr(GBytes) frame = vector_bytes(vector, "frame"), plain = vector_bytes(vector, "plain");
            row_expect(&row, frame, plain);
        }
    }
}

/* GCM: no change at all opens. The others: none of the header, none of the length. */
static void test_changed(void **state)
{
    (void)state;
    const json_t *groups = json_object_get(vectors, "channel"), *group, *vector;
    gsize index, number;
    json_array_foreach (groups, index, group) {
        Row row;
        if (vector_number(group, "kid") == 0 || !row_of(&row, group))
            continue;
        json_array_foreach (json_object_get(group, "frames"), number, vector) {
            g_autoptr(GBytes) frame = vector_bytes(vector, "frame");
            if (g_bytes_get_size(frame) > 150)
                continue; /* nothing but more of the same */
            if (!row.format->insecure) {
                row_expect_no_changes(&row, frame);
                continue;
            }
            g_autofree guint8 *changed = g_memdup2(g_bytes_get_data(frame, NULL), g_bytes_get_size(frame));
            for (guint i = 0; i < 8 * 24; i++) {
                guint8 out[512];
                gsize opened = 0;
                changed[i / 8] ^= (guint8)(1 << i % 8);
                assert_int_equal(row_open(&row, changed, g_bytes_get_size(frame), out, &opened), STENO_CONTENT_BAD_KEY);
                changed[i / 8] ^= (guint8)(1 << i % 8);
            }
            row_expect_no_other_length(&row, frame);
        }
    }
}

/* Every frame with every other format's key of the same secret, and with another secret. */
static void test_wrong_key(void **state)
{
    (void)state;
    const json_t *groups = json_object_get(vectors, "channel"), *group, *other, *vector;
    gsize index, second, number;
    json_array_foreach (groups, index, group) {
        Row row, wrong;
        if (!row_of(&row, group))
            continue;
        wrong = row;
        wrong.material[31] ^= 0x80;
        json_array_foreach (json_object_get(group, "frames"), number, vector) {
            guint8 out[512];
            gsize opened = 0;
            g_autoptr(GBytes) frame = vector_bytes(vector, "frame");
            assert_int_equal(row_open(&wrong, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                             STENO_CONTENT_BAD_KEY);
        }
        json_array_foreach (groups, second, other) {
            vector = json_array_get(json_object_get(other, "frames"), 5);
            guint8 out[512];
            gsize opened = 0;
            g_autoptr(GBytes) frame = vector_bytes(vector, "frame");
            if (strcmp(vector_text(group, "format"), vector_text(other, "format")) != 0)
                assert_int_equal(row_open(&row, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                                 STENO_CONTENT_BAD_KEY);
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const StenoContentFormat *format = steno_content_format(rows[i]->name);
        assert_ptr_equal(format, rows[i]);
        assert_int_equal(format->unit, STENO_CONTENT_PER_FRAME);
        assert_int_equal(format->insecure, strstr(format->name, "gcm") == NULL);
    }
}

static void test_refused_salts(void **state)
{
    (void)state;
    static const guint8 zeros[32], salt[33] = {1};
    static const struct {
        const guint8 *salt;
        gsize bytes;
    } wrong[] = {{NULL, 0}, {zeros, 32}, {salt, 31}, {salt, 33}, {salt, 16}};
    guint8 material[CONTENT_MATERIAL_MAX_BYTES];
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        const ContentSettings settings = {0};
        const ContentKeyInput input = {.member = CONTENT_MEMBER_SECRET,
                                       .bytes = (const guint8 *)"not of interest",
                                       .n_bytes = 15,
                                       .salt = wrong[i].salt,
                                       .salt_bytes = wrong[i].bytes};
        assert_int_equal(content_aes_256_gcm2.prepare(&content_aes_256_gcm2, &settings, &input, material, &error), 0);
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
        assert_non_null(strstr(error->message, "\"salt\""));
    }
}

/* Frames that are none of version 1, or too short for its header, have no key id either. */
static void test_no_frames(void **state)
{
    (void)state;
    static const guint8 newer[64] = {2, 5, 0, 7}, ours[16] = {1, 5, 0, 7};
    ContentFrame frame = {.data = newer, .bytes = sizeof newer};
    assert_int_equal(content_aes_128_gcm.look(&frame), STENO_CONTENT_BAD_KEY);
    for (gsize bytes = 1; bytes < sizeof ours; bytes++) {
        frame = (ContentFrame){.data = ours, .bytes = bytes};
        assert_int_equal(content_aes_128_gcm.look(&frame), STENO_CONTENT_BAD_KEY);
    }
    frame = (ContentFrame){.data = ours, .bytes = sizeof ours};
    assert_int_equal(content_aes_128_gcm.look(&frame), STENO_CONTENT_OPENED);
    assert_true(frame.kid == 7);
}

/* What was filled up with must be zeros: the one change of an ECB ciphertext that is seen. */
static void test_padding(void **state)
{
    (void)state;
    const json_t *groups = json_object_get(vectors, "channel"), *group;
    gsize index, opened = 0;
    guint found = 0;
    json_array_foreach (groups, index, group) {
        Row row;
        if (!strstr(vector_text(group, "format"), "ecb") || !row_of(&row, group))
            continue;
        g_autoptr(GBytes) frame = vector_bytes(json_array_get(json_object_get(group, "frames"), 4), "frame");
        const gsize bytes = g_bytes_get_size(frame);
        g_autofree guint8 *changed = g_memdup2(g_bytes_get_data(frame, NULL), bytes), *out = g_malloc(bytes);
        changed[bytes - 1] ^= 1;
        assert_int_equal(row_open(&row, changed, bytes, out, &opened), STENO_CONTENT_BAD_KEY);
        found++;
    }
    assert_true(found >= 2);
}

static void test_key_ids(void **state)
{
    (void)state;
    static const char lawful[] = "{\"keys\": [{\"kid\": 65535, \"secret\": \"of no interest here\"}]}",
                      too_large[] = "{\"keys\": [{\"kid\": 65536, \"secret\": \"of no interest here\"}]}";
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoContentKeys) keys =
        steno_content_keys_parse(&content_aes_128_gcm, lawful, strlen(lawful), "a test", NULL);
    assert_non_null(keys);
    assert_null(steno_content_keys_parse(&content_aes_128_gcm, too_large, strlen(too_large), "a test", &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_non_null(strstr(error->message, "65535"));
}

/* As where OpenSSL was built without SM4: fetched by default properties that no provider has. */
static void test_missing_cipher(void **state)
{
    (void)state;
    ContentSettings settings = {0};
    g_autoptr(GError) error = NULL;
    assert_int_equal(EVP_set_default_properties(NULL, "provider=nobody"), 1);
    const gboolean settled = content_sm4_128_ecb.settle(&content_sm4_128_ecb, &settings, &error);
    assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    assert_false(settled);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    assert_non_null(strstr(error->message, "SM4-ECB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_changed),       cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_refused_salts), cmocka_unit_test(test_no_frames),
        cmocka_unit_test(test_padding), cmocka_unit_test(test_key_ids),       cmocka_unit_test(test_missing_cipher),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
