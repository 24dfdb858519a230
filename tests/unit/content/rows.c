#include "rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs what stands above. */
#include <cmocka.h>

json_t *vectors_load(const char *name)
{
    g_autofree char *path = g_build_filename(STENO_TEST_DIR, "vectors", name, NULL);
    json_error_t error;
    json_t *vectors = json_load_file(path, 0, &error);
    if (!vectors)
        fail_msg("%s: %s", path, error.text);
    return vectors;
}

const char *vector_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    assert_non_null(text);
    return text;
}

guint64 vector_number(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    return json_is_string(value) ? g_ascii_strtoull(json_string_value(value), NULL, 10)
                                 : (guint64)json_integer_value(value);
}

GBytes *vector_bytes(const json_t *object, const char *member)
{
    const char *text = vector_text(object, member);
    const gsize bytes = strlen(text) / 2;
    guint8 *data = g_malloc(bytes + 1);
    for (gsize i = 0; i < bytes; i++)
        data[i] = (guint8)(g_ascii_xdigit_value(text[2 * i]) << 4 | g_ascii_xdigit_value(text[2 * i + 1]));
    return g_bytes_new_take(data, bytes);
}

void row_ratchet(Row *row)
{
    guint8 next[CONTENT_MATERIAL_MAX_BYTES];
    row->bytes = row->format->ratchet(row->format, &row->settings, row->material, row->bytes, next);
    assert_true(row->bytes > 0);
    memcpy(row->material, next, row->bytes);
}

StenoContentOutcome row_open(const Row *row, const guint8 *data, gsize bytes, guint8 *out, gsize *opened)
{
    ContentFrame frame = {.codec = STENO_CODEC_OPUS, .data = data, .bytes = bytes};
    StenoContentOutcome outcome = row->format->look(&frame);
    if (outcome != STENO_CONTENT_OPENED)
        return outcome;
    ContentCipher *cipher = row->format->derive(row->format, &row->settings, row->material, row->bytes, frame.kid);
    assert_non_null(cipher);
    outcome = row->format->open(cipher, &frame, out, opened);
    row->format->free_cipher(cipher);
    return outcome;
}

void row_expect(const Row *row, GBytes *frame, GBytes *plain)
{
    gsize bytes = 0, opened = 0;
    const guint8 *data = g_bytes_get_data(frame, &bytes);
    /* As large as the frame and not a byte more, so that a write past its end is seen. */
    g_autofree guint8 *out = g_malloc(bytes);
    assert_int_equal(row_open(row, data, bytes, out, &opened), STENO_CONTENT_OPENED);
    assert_int_equal(opened, g_bytes_get_size(plain));
    if (opened > 0)
        assert_memory_equal(out, g_bytes_get_data(plain, NULL), opened);
}

static void expect_bad(const Row *row, const guint8 *data, gsize bytes, const char *what, gsize at)
{
    gsize opened = 0;
    g_autofree guint8 *exact = g_memdup2(data, bytes), *out = g_malloc(bytes);
    if (row_open(row, exact, bytes, out, &opened) != STENO_CONTENT_BAD_KEY)
        fail_msg("%s: a frame %s at %" G_GSIZE_FORMAT " opened", row->format->name, what, at);
}

void row_expect_no_other_length(const Row *row, GBytes *frame)
{
    gsize bytes = 0;
    const guint8 *data = g_bytes_get_data(frame, &bytes);
    g_autofree guint8 *longer = g_malloc0(bytes + 40);
    memcpy(longer, data, bytes);
    for (gsize cut = 1; cut < bytes; cut++)
        expect_bad(row, data, cut, "cut", cut);
    /* Nothing at all: there is nothing to open, and nothing comes out. */
    gsize opened = 0;
    assert_int_equal(row_open(row, data, 0, longer, &opened), STENO_CONTENT_CLEAR);
    memcpy(longer, data, bytes);
    for (gsize more = 1; more <= 40; more++)
        expect_bad(row, longer, bytes + more, "extended", more);
    for (gsize from = 1; from < bytes; from++)
        expect_bad(row, data + from, bytes - from, "without its beginning", from);
}

void row_expect_no_changes(const Row *row, GBytes *frame)
{
    gsize bytes = 0;
    const guint8 *data = g_bytes_get_data(frame, &bytes);
    g_autofree guint8 *changed = g_memdup2(data, bytes);
    for (gsize i = 0; i < 8 * bytes; i++) {
        changed[i / 8] ^= (guint8)(1 << i % 8);
        expect_bad(row, changed, bytes, "with another bit", i);
        changed[i / 8] ^= (guint8)(1 << i % 8);
    }
    for (gsize i = 0; i + 1 < bytes; i++)
        if (changed[i] != changed[i + 1]) {
            guint8 first = changed[i];
            changed[i] = changed[i + 1], changed[i + 1] = first;
            expect_bad(row, changed, bytes, "with bytes exchanged", i);
            changed[i + 1] = changed[i], changed[i] = first;
        }
    row_expect_no_other_length(row, frame);
}
