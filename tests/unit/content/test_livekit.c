/* LiveKit's and Jitsi's frames: known answers, vectors of every codec, and frames that somebody changed. */
#include "rows.h"
#include "seal.h"
#include "trailer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static json_t *vectors;

static int load(void **state)
{
    (void)state;
    vectors = vectors_load("livekit.json");
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

/* Step 0 of a passphrase, as LiveKit's defaults are. */
static void livekit_row(Row *row, const char *passphrase)
{
    GError *error = NULL;
    *row = (Row){.format = &content_livekit, .settings = {.ratchet_window = 8}};
    const ContentKeyInput input = {
        .member = CONTENT_MEMBER_PASSPHRASE, .bytes = (const guint8 *)passphrase, .n_bytes = strlen(passphrase)};
    assert_true(row->format->settle(row->format, &row->settings, &error));
    row->bytes = row->format->prepare(row->format, &row->settings, &input, row->material, &error);
    assert_int_not_equal(row->bytes, 0);
}

static void test_known_frame(void **state)
{
    (void)state;
    const json_t *known = json_object_get(json_object_get(vectors, "known"), "frame");
    g_autoptr(GBytes) key = vector_bytes(known, "key"), sealed = vector_bytes(known, "sealed"),
                      plain = vector_bytes(known, "plain");
    Row row;
    guint8 out[64];
    gsize bytes = 0;
    livekit_row(&row, vector_text(known, "passphrase"));
    assert_memory_equal(row.material + 1, g_bytes_get_data(key, NULL), 16);
    ContentCipher *cipher = row.format->derive(row.format, &row.settings, row.material, row.bytes, 1);
    assert_non_null(cipher);
    assert_int_equal(content_trailer_open(cipher, g_bytes_get_data(sealed, NULL), g_bytes_get_size(sealed),
                                          vector_number(known, "clear_bytes"), out, &bytes),
                     STENO_CONTENT_OPENED);
    assert_int_equal(bytes, g_bytes_get_size(plain));
    assert_memory_equal(out, g_bytes_get_data(plain, NULL), bytes);
    row.format->free_cipher(cipher);
    g_free(row.settings.salt);
}

static void test_known_ratchet(void **state)
{
    (void)state;
    const json_t *known = json_object_get(json_object_get(vectors, "known"), "ratchet");
    gsize i;
    json_t *text;
    Row row;
    livekit_row(&row, vector_text(known, "passphrase"));
    json_array_foreach (json_object_get(known, "keys"), i, text) {
        g_autofree char *hex = NULL;
        for (guint at = 0; at < 16; at++) {
            char *more = g_strdup_printf("%s%02x", hex ? hex : "", row.material[1 + at]);
            g_free(hex);
            hex = more;
        }
        assert_string_equal(hex, json_string_value(text));
        row_ratchet(&row);
    }
    assert_int_equal(i, 2);
    g_free(row.settings.salt);
}

/* HKDF of the bytes 0 to 31. */
static void test_known_hkdf(void **state)
{
    (void)state;
    const json_t *known = json_object_get(json_object_get(vectors, "known"), "hkdf");
    static const struct {
        const StenoContentFormat *format;
        const char *key, *next;
    } rows[] = {{&content_livekit, "livekit_key", "livekit_next"}, {&content_jitsi, "jitsi_key", "jitsi_next"}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const StenoContentFormat *format = rows[i].format;
        ContentSettings settings = {.ratchet_window = 8};
        guint8 raw[32], material[CONTENT_MATERIAL_MAX_BYTES], next[CONTENT_MATERIAL_MAX_BYTES], plain[64];
        gsize opened = 0;
        GError *error = NULL;
        for (guint at = 0; at < sizeof raw; at++)
            raw[at] = (guint8)at;
        g_autoptr(GBytes) key = vector_bytes(known, rows[i].key), known_next = vector_bytes(known, rows[i].next);
        assert_true(format->settle(format, &settings, &error));
        const ContentKeyInput input = {.member = CONTENT_MEMBER_KEY, .bytes = raw, .n_bytes = sizeof raw};
        const gsize bytes = format->prepare(format, &settings, &input, material, &error);
        /* The key is known by what it opens: a frame that was sealed under the known one. */
        g_autoptr(GBytes) sealed = seal_livekit(g_bytes_get_data(key, NULL), 0, 7, 20);
        ContentCipher *cipher = format->derive(format, &settings, material, bytes, 0);
        assert_non_null(cipher);
        assert_int_equal(
            content_trailer_open(cipher, g_bytes_get_data(sealed, NULL), g_bytes_get_size(sealed), 1, plain, &opened),
            STENO_CONTENT_OPENED);
        format->free_cipher(cipher);
        assert_int_equal(format->ratchet(format, &settings, material, bytes, next), bytes);
        /* LiveKit's material is one derivation ahead, behind the name of the KDF. */
        assert_memory_equal(format == &content_livekit ? material + 1 : next, g_bytes_get_data(known_next, NULL), 32);
        g_free(settings.salt);
    }
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

static StenoContentRing *ring_of(const json_t *one, gboolean live)
{
    const char *format = vector_text(one, "format");
    g_autofree char *json = json_dumps(json_object_get(one, "keys"), 0);
    g_autoptr(StenoContentKeys) keys = seal_keys(format, json);
    const StenoContentRingConfig config = {.format = steno_content_format(format), .live = live};
    StenoContentRing *ring = steno_content_ring_new(&config);
    steno_content_ring_add(ring, keys);
    return ring;
}

static void test_vectors(void **state)
{
    (void)state;
    gsize i, j;
    json_t *one, *frame;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        json_array_foreach (json_object_get(vectors, "cases"), i, one) {
            g_autoptr(StenoContentRing) ring = ring_of(one, live);
            g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
            json_array_foreach (json_object_get(one, "frames"), j, frame) {
                g_autoptr(GBytes) sealed = vector_bytes(frame, "sealed"), plain = vector_bytes(frame, "plain");
                const StenoCodec codec = steno_codec_from_name(vector_text(frame, "codec"));
                const StenoContentOutcome outcome = seal_open(opener, codec, sealed, plain, TRUE);
                if (outcome != STENO_CONTENT_OPENED)
                    fail_msg("%s, frame %zu%s: %d", vector_text(one, "name"), j, live ? ", live" : "", outcome);
            }
            assert_true(j > 0);
        }
        assert_true(i > 0);
    }
}

static void expect_closed(StenoContentOpener *opener, StenoCodec codec, const guint8 *data, gsize bytes)
{
    g_autoptr(GBytes) frame = g_bytes_new(data, bytes);
    const StenoContentOutcome outcome = seal_open(opener, codec, frame, NULL, FALSE);
    if (bytes == 0)
        assert_int_equal(outcome, STENO_CONTENT_CLEAR);
    else
        assert_true(outcome == STENO_CONTENT_BAD_KEY || outcome == STENO_CONTENT_NO_KEY);
}

/*
 * Escapes are not authenticated: of the emulation prevention one byte more can be put between, and is taken out again.
 * What comes out is the same then, and nothing else may.
 */
static void expect_closed_or_same(StenoContentOpener *opener, StenoCodec codec, const guint8 *data, gsize bytes,
                                  GBytes *plain)
{
    g_autoptr(GBytes) frame = g_bytes_new(data, bytes);
    const StenoContentOutcome outcome = seal_open(opener, codec, frame, plain, FALSE);
    assert_true(outcome == STENO_CONTENT_BAD_KEY || outcome == STENO_CONTENT_NO_KEY ||
                (outcome == STENO_CONTENT_OPENED && (codec == STENO_CODEC_H264 || codec == STENO_CODEC_H265)));
}

static void change(StenoContentOpener *opener, const json_t *frame)
{
    g_autoptr(GBytes) sealed = vector_bytes(frame, "sealed"), plain = vector_bytes(frame, "plain");
    const StenoCodec codec = steno_codec_from_name(vector_text(frame, "codec"));
    gsize bytes = 0;
    const guint8 *data = g_bytes_get_data(sealed, &bytes);
    g_autofree guint8 *changed = g_malloc(bytes + 1);
    for (gsize at = 0; at < bytes; at++) {
        const guint8 flips[] = {(guint8)(1 << at % 8), 0x80, 0xff};
        for (guint i = 0; i < G_N_ELEMENTS(flips); i++) {
            memcpy(changed, data, bytes);
            changed[at] ^= flips[i];
            expect_closed(opener, codec, changed, bytes);
        }
        expect_closed(opener, codec, data, at);                      /* cut at the end */
        expect_closed(opener, codec, data + at + 1, bytes - at - 1); /* and at the beginning */
        memcpy(changed, data, at);
        memcpy(changed + at, data + at + 1, bytes - at - 1); /* one left out */
        expect_closed_or_same(opener, codec, changed, bytes - 1, plain);
        for (guint byte = 0; byte < 256; byte += 51) { /* one put in */
            memcpy(changed, data, at);
            changed[at] = (guint8)byte;
            memcpy(changed + at + 1, data + at, bytes - at);
            expect_closed_or_same(opener, codec, changed, bytes + 1, plain);
        }
    }
    memcpy(changed, data, bytes);
    for (guint byte = 0; byte < 256; byte++) { /* and at the end */
        changed[bytes] = (guint8)byte;
        expect_closed(opener, codec, changed, bytes + 1);
    }
    assert_int_equal(seal_open(opener, codec, sealed, plain, FALSE), STENO_CONTENT_OPENED);
}

/* Without ratchet, since each of them is tried many times. */
static void test_changed(void **state)
{
    (void)state;
    static const char *const names[] = {"passphrase", "H.264", "H.265", "without a slice", "managed outside, 256 bits"};
    gsize i, j;
    json_t *one, *frame;
    guint n = 0;
    json_array_foreach (json_object_get(vectors, "cases"), i, one) {
        gboolean meant = FALSE;
        for (guint k = 0; k < G_N_ELEMENTS(names); k++)
            meant |= strcmp(names[k], vector_text(one, "name")) == 0;
        if (!meant)
            continue;
        json_object_set_new(json_object_get(one, "keys"), "ratchet_window", json_integer(0));
        g_autoptr(StenoContentRing) ring = ring_of(one, FALSE);
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
        json_array_foreach (json_object_get(one, "frames"), j, frame) {
            if (json_string_length(json_object_get(frame, "sealed")) < 1000) {
                change(opener, frame);
                n++;
            }
        }
    }
    assert_true(n > 15);
}

/* Two frames' ciphertexts, IVs and headers in each other's place. */
static void test_mixed(void **state)
{
    (void)state;
    static const guint8 raw[32] = {9};
    guint8 aes[16];
    g_autoptr(StenoContentKeys) keys = seal_keys(
        "livekit", "{\"keys\": [{\"key\": \"hex:0900000000000000000000000000000000000000000000000000000000000000\"}]}");
    const StenoContentRingConfig config = {.format = &content_livekit};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    steno_content_ring_add(ring, keys);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    seal_livekit_key(raw, sizeof raw, 0, aes);
    g_autoptr(GBytes) first = seal_livekit(aes, 0, 1, 50), second = seal_livekit(aes, 0, 2, 50);
    const gsize bytes = g_bytes_get_size(first);
    static const struct {
        gsize at, bytes;
    } parts[] = {{0, 1}, {1, 49}, {50, 16}, {66, 12}};
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree guint8 *mixed = g_memdup2(g_bytes_get_data(first, NULL), bytes);
        memcpy(mixed + parts[i].at, (const guint8 *)g_bytes_get_data(second, NULL) + parts[i].at, parts[i].bytes);
        expect_closed(opener, STENO_CODEC_OPUS, mixed, bytes);
    }
    /* In any order, and twice: frames stand for themselves; order is RTP's business. */
    for (guint i = 0; i < 3; i++) {
        assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, second, NULL, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, first, NULL, FALSE), STENO_CONTENT_OPENED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_frame), cmocka_unit_test(test_known_ratchet), cmocka_unit_test(test_known_hkdf),
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_changed),       cmocka_unit_test(test_mixed),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
