/* SFrame against the vectors of RFC 9605, and what must not open. */
#include "rows.h"
#include "sframe_header.h"
#include "sframe_suite.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* cmocka.h needs what stands above. */
#include <cmocka.h>

static json_t *official;

static int load(void **state)
{
    (void)state;
    official = vectors_load("sframe-rfc9605.json");
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(official);
    return 0;
}

/* ---- the vectors of the RFC -------------------------------------------------------------------------------------- */

static void test_headers(void **state)
{
    (void)state;
    const json_t *vectors = json_object_get(official, "header"), *vector;
    gsize index;
    assert_int_equal(json_array_size(vectors), 289);
    json_array_foreach (vectors, index, vector) {
        g_autoptr(GBytes) encoded = vector_bytes(vector, "encoded");
        const gsize bytes = g_bytes_get_size(encoded);
        /* Exactly as large, so that a read past its end is seen. */
        g_autofree guint8 *data = g_memdup2(g_bytes_get_data(encoded, NULL), bytes);
        SframeHeader header = {0};
        assert_true(sframe_header_read(data, bytes, &header));
        assert_true(header.kid == vector_number(vector, "kid"));
        assert_true(header.ctr == vector_number(vector, "ctr"));
        assert_int_equal(header.bytes, bytes);
        for (gsize cut = 0; cut < bytes; cut++) {
            g_autofree guint8 *shorter = g_memdup2(data, cut);
            assert_false(sframe_header_read(shorter, cut, &header));
        }
    }
}

/* Key id 5 in two bytes and counter 0 in one: longer than they need to be. */
static void test_longer_header(void **state)
{
    (void)state;
    SframeHeader header;
    assert_true(sframe_header_read((const guint8[]){0x98, 0, 5, 0, 0xff}, 5, &header));
    assert_true(header.kid == 5 && header.ctr == 0);
    assert_int_equal(header.bytes, 4);
}

static void test_ctr_hmac(void **state)
{
    (void)state;
    const json_t *vectors = json_object_get(official, "aes_ctr_hmac"), *vector;
    gsize index;
    assert_int_equal(json_array_size(vectors), 3);
    json_array_foreach (vectors, index, vector) {
        g_autoptr(GBytes) key = vector_bytes(vector, "key"), nonce = vector_bytes(vector, "nonce"),
                          aad = vector_bytes(vector, "aad"), plain = vector_bytes(vector, "pt"),
                          sealed = vector_bytes(vector, "ct");
        const SframeSuite *suite = sframe_suite((guint)vector_number(vector, "cipher_suite"));
        g_autoptr(SframeAead) aead = sframe_aead_new(suite, g_bytes_get_data(key, NULL));
        const AesGcmFrame frame = {.iv = g_bytes_get_data(nonce, NULL),
                                   .aad = {g_bytes_get_data(aad, NULL)},
                                   .aad_bytes = {g_bytes_get_size(aad)},
                                   .data = g_bytes_get_data(sealed, NULL),
                                   .bytes = g_bytes_get_size(sealed)};
        guint8 out[64];
        assert_int_equal(frame.bytes - suite->tag_bytes, g_bytes_get_size(plain));
        /* Twice with one context: nothing of a frame stays in it. */
        for (guint i = 0; i < 2; i++) {
            memset(out, 0, sizeof out);
            assert_true(sframe_aead_open(aead, &frame, out));
            assert_memory_equal(out, g_bytes_get_data(plain, NULL), g_bytes_get_size(plain));
        }
    }
}

static void row_of(Row *row, const json_t *vector)
{
    g_autoptr(GBytes) key = vector_bytes(vector, "base_key"), metadata = vector_bytes(vector, "metadata");
    *row = (Row){.format = &content_sframe, .settings.suite = (guint)vector_number(vector, "cipher_suite")};
    row->settings.metadata = g_bytes_unref_to_data(g_steal_pointer(&metadata), &row->settings.metadata_bytes);
    ContentKeyInput input = {
        .member = CONTENT_MEMBER_KEY, .bytes = g_bytes_get_data(key, NULL), .n_bytes = g_bytes_get_size(key)};
    assert_true(row->format->settle(row->format, &row->settings, NULL));
    row->bytes = row->format->prepare(row->format, &row->settings, &input, row->material, NULL);
    assert_int_equal(row->bytes, g_bytes_get_size(key));
}

static void test_suites(void **state)
{
    (void)state;
    const json_t *vectors = json_object_get(official, "sframe"), *vector;
    gsize index;
    assert_int_equal(json_array_size(vectors), 5);
    json_array_foreach (vectors, index, vector) {
        g_autoptr(GBytes) frame = vector_bytes(vector, "ct"), plain = vector_bytes(vector, "pt");
        Row row;
        row_of(&row, vector);
        row_expect(&row, frame, plain);
        row.format = &content_sframe_packet;
        row_expect(&row, frame, plain);
        g_free(row.settings.metadata);
    }
}

/* ---- what must not open ------------------------------------------------------------------------------------------ */

static void test_changed(void **state)
{
    (void)state;
    const json_t *vector;
    gsize index;
    json_array_foreach (json_object_get(official, "sframe"), index, vector) {
        g_autoptr(GBytes) frame = vector_bytes(vector, "ct");
        gsize opened = 0;
        guint8 out[64];
        Row row;
        row_of(&row, vector);
        row_expect_no_changes(&row, frame);
        /* Other metadata, none, another base key, another suite. */
        row.settings.metadata[3] ^= 1;
        assert_int_equal(row_open(&row, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                         STENO_CONTENT_BAD_KEY);
        g_clear_pointer(&row.settings.metadata, g_free);
        row.settings.metadata_bytes = 0;
        assert_int_equal(row_open(&row, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                         STENO_CONTENT_BAD_KEY);
        row_of(&row, vector);
        row.material[0] ^= 1;
        assert_int_equal(row_open(&row, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                         STENO_CONTENT_BAD_KEY);
        row.material[0] ^= 1;
        row.settings.suite = row.settings.suite % 5 + 1;
        assert_int_equal(row_open(&row, g_bytes_get_data(frame, NULL), g_bytes_get_size(frame), out, &opened),
                         STENO_CONTENT_BAD_KEY);
        g_free(row.settings.metadata);
    }
}

/* ---- key sets ---------------------------------------------------------------------------------------------------- */

static void expect_refused(ContentSettings settings, const char *word)
{
    g_autoptr(GError) error = NULL;
    assert_false(content_sframe.settle(&content_sframe, &settings, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    if (!strstr(error->message, word))
        fail_msg("'%s' does not name %s", error->message, word);
}

static void test_refused_settings(void **state)
{
    (void)state;
    expect_refused((ContentSettings){0}, "suite");
    expect_refused((ContentSettings){.suite = 6}, "suite");
    expect_refused((ContentSettings){.suite = 4, .ratchet_bits = 33}, "ratchet_bits");
    expect_refused((ContentSettings){.suite = 4, .ratchet_bits = 3, .mls = TRUE, .epoch_bits = 8}, "mls");
    expect_refused((ContentSettings){.suite = 4, .mls = TRUE}, "epoch_bits");
    expect_refused((ContentSettings){.suite = 4, .mls = TRUE, .epoch_bits = 33}, "epoch_bits");
    expect_refused((ContentSettings){.suite = 4, .mls = TRUE, .epoch_bits = 8, .sender_bits = 33}, "sender_bits");
    expect_refused((ContentSettings){.suite = 4, .has_ratchet_window = TRUE, .ratchet_window = 8}, "ratchet_window");
}

static void test_refused_keys(void **state)
{
    (void)state;
    static const gsize lengths[] = {1, 15, 257, 1024};
    const ContentSettings settings = {.suite = 4};
    guint8 key[1024] = {0}, material[CONTENT_MATERIAL_MAX_BYTES];
    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GError) error = NULL;
        const ContentKeyInput input = {.member = CONTENT_MEMBER_KEY, .bytes = key, .n_bytes = lengths[i]};
        assert_int_equal(content_sframe.prepare(&content_sframe, &settings, &input, material, &error), 0);
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID));
    }
}

/* ---- through key set and ring: sender keys that are ratcheted, and MLS ------------------------------------------- */

static void open_group(const json_t *group, gboolean backwards)
{
    g_autofree char *text = json_dumps(json_object_get(group, "keys"), 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoContentKeys) keys =
        steno_content_keys_parse(&content_sframe, text, strlen(text), vector_text(group, "about"), &error);
    if (!keys)
        fail_msg("%s", error->message);
    const StenoContentRingConfig config = {.format = &content_sframe};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    steno_content_ring_add(ring, keys);
    const json_t *frames = json_object_get(group, "frames");
    const gsize n = json_array_size(frames);
    for (gsize i = 0; i < n; i++) {
        const json_t *vector = json_array_get(frames, backwards ? n - 1 - i : i);
        g_autoptr(GBytes) frame = vector_bytes(vector, "frame"), plain = vector_bytes(vector, "plain");
        g_autofree guint8 *out = g_malloc(g_bytes_get_size(frame));
        StenoContentOpened opened;
        const StenoContentOutcome outcome = steno_content_open(opener, STENO_CODEC_OPUS, g_bytes_get_data(frame, NULL),
                                                               g_bytes_get_size(frame), out, &opened);
        if (outcome != STENO_CONTENT_OPENED)
            fail_msg("%s: key id %s: %s", vector_text(group, "about"), vector_text(vector, "kid"),
                     steno_content_outcome_name(outcome));
        assert_true(opened.has_kid && opened.kid == vector_number(vector, "kid"));
        assert_int_equal(opened.bytes, g_bytes_get_size(plain));
        assert_memory_equal(out, g_bytes_get_data(plain, NULL), opened.bytes);
    }
}

static void test_key_ids(void **state)
{
    (void)state;
    json_t *vectors = vectors_load("channel-aes.json");
    const json_t *groups = json_object_get(vectors, "sframe"), *group;
    gsize index;
    assert_int_equal(json_array_size(groups), 4);
    json_array_foreach (groups, index, group) {
        open_group(group, FALSE);
        open_group(group, TRUE);
    }
    json_decref(vectors);
}

/* With MLS, 2^E epochs are there at once: the one that has the low bits of another takes its place. */
static void test_epochs(void **state)
{
    (void)state;
    static const char text[] = "{\"suite\": 4, \"mls\": {\"epoch_bits\": 4, \"sender_bits\": 8}, \"keys\": ["
                               "{\"epoch\": 300, \"key\": \"hex:00112233445566778899aabbccddeeff\"}]}";
    g_autoptr(StenoContentKeys) keys = steno_content_keys_parse(&content_sframe, text, strlen(text), "a test", NULL);
    assert_non_null(keys);
    const StenoContentRingConfig config = {.format = &content_sframe};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    steno_content_ring_add(ring, keys);
    /* Key ids of epoch 300 (low bits 12) and of epoch 301: under the first, the tag is compared. */
    const guint8 of_300[40] = {0x90, 0x01, 0x2c}, of_301[40] = {0x90, 0x01, 0x2d};
    guint8 out[40];
    StenoContentOpened opened;
    assert_int_equal(steno_content_open(opener, STENO_CODEC_OPUS, of_300, sizeof of_300, out, &opened),
                     STENO_CONTENT_BAD_KEY);
    assert_true(opened.kid == 0x12c);
    assert_int_equal(steno_content_open(opener, STENO_CODEC_OPUS, of_301, sizeof of_301, out, &opened),
                     STENO_CONTENT_NO_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_longer_header),
        cmocka_unit_test(test_ctr_hmac),     cmocka_unit_test(test_suites),
        cmocka_unit_test(test_changed),      cmocka_unit_test(test_refused_settings),
        cmocka_unit_test(test_refused_keys), cmocka_unit_test(test_key_ids),
        cmocka_unit_test(test_epochs),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
