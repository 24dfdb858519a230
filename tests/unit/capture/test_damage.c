/* Bits that flip in a track file are found by its checksums, and cost the cluster they are in. */
#include "capture_helpers.h"

#include "crc32.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 60
#define FRAME_US G_GINT64_CONSTANT(33333)

typedef struct {
    char *folder;
    guint8 *file;
    gsize bytes;
} Fixture;

/* Two seconds of a track, in four clusters. */
static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = helper_folder();
    StenoFramePool *pool = steno_frame_pool_new(1024 * 1024);
    StenoCapture *capture = helper_capture(fixture->folder, 1);
    helper_push(capture, helper_format(pool, STENO_CODEC_VP8, 1, NULL, 0));
    for (guint i = 0; i < FRAMES; i++) {
        g_autofree char *payload = g_strdup_printf("frame number %u of %u", i, FRAMES);
        helper_push(capture, helper_frame(pool, STENO_FRAME_MEDIA, STENO_CODEC_VP8, 1, ZERO_US + i * FRAME_US, payload,
                                          strlen(payload)));
    }
    assert_true(steno_capture_finish(capture, NULL));
    g_autofree char *path = g_build_filename(fixture->folder, "part-0001", "track-0001.0.mkv", NULL);
    assert_true(g_file_get_contents(path, (char **)&fixture->file, &fixture->bytes, NULL));
    steno_frame_pool_free(pool);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    helper_remove(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->file);
    g_free(fixture);
    return 0;
}

/* All that the reader gives, in one text; NULL when the file cannot be opened. */
static char *contents(const guint8 *data, gsize bytes, guint *frames, guint64 *skipped)
{
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open_memory(data, bytes, NULL);
    StenoCaptureFrame frame;
    if (!reader)
        return NULL;
    GString *text = g_string_new(steno_codec_name(steno_capture_reader_codec(reader)));
    *frames = 0;
    while (steno_capture_reader_next(reader, &frame)) {
        g_string_append_printf(text, "\n%" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %d%d%d ",
                               frame.rtp_ts, frame.wall_us, frame.arrival_us, frame.keyframe, frame.decodable,
                               frame.encrypted);
        g_string_append_len(text, (const char *)frame.payload, (gssize)frame.payload_bytes);
        (*frames)++;
    }
    *skipped = steno_capture_reader_skipped(reader);
    return g_string_free(text, FALSE);
}

static void every_flipped_bit_is_found_or_does_no_harm(void **state)
{
    const Fixture *fixture = *state;
    guint frames, least = FRAMES;
    guint64 skipped;
    g_autofree char *whole = contents(fixture->file, fixture->bytes, &frames, &skipped);
    assert_int_equal(frames, FRAMES);
    assert_int_equal(skipped, 0);
    for (gsize bit = 0; bit < fixture->bytes * 8; bit += 3) {
        fixture->file[bit / 8] ^= (guint8)(1 << bit % 8);
        g_autofree char *damaged = contents(fixture->file, fixture->bytes, &frames, &skipped);
        if (damaged && skipped == 0 && strcmp(damaged, whole) != 0)
            fail_msg("bit %d of byte 0x%zx: nobody saw it", (int)(bit % 8), bit / 8);
        if (damaged)
            least = MIN(least, frames);
        fixture->file[bit / 8] ^= (guint8)(1 << bit % 8);
    }
    assert_int_equal(least, FRAMES - 16); /* 500 ms at 30 frames a second, and the first of the next 33 ms */
}

/* Files of recorders that wrote no checksums: here, with something else (Void) in their place. */
static void files_without_checksums_are_read(void **state)
{
    const Fixture *fixture = *state;
    guint frames, changed = 0;
    guint64 skipped;
    g_autofree char *whole = contents(fixture->file, fixture->bytes, &frames, &skipped);
    for (gsize i = 0; i + 6 < fixture->bytes; i++) {
        gboolean in_tracks = memcmp(fixture->file + i, "\x16\x54\xAE\x6B", 4) == 0;
        if (!in_tracks && memcmp(fixture->file + i, "\x1F\x43\xB6\x75", 4) != 0)
            continue;
        assert_int_equal(fixture->file[i + 8], 0xBF);
        fixture->file[i + 8] = 0xEC;
        changed++;
    }
    assert_int_equal(changed, 1 + 4);
    g_autofree char *old = contents(fixture->file, fixture->bytes, &frames, &skipped);
    assert_string_equal(old, whole);
    assert_int_equal(skipped, 0);
}

/* What a participant put into a picture is not taken for a cluster when the real one around it is damaged. */
static void a_cluster_within_a_frame_is_none(void **state)
{
    const Fixture *fixture = *state;
    guint frames;
    guint64 skipped;
    guint8 *payload = memmem(fixture->file, fixture->bytes, "frame number 20", 15);
    assert_non_null(payload);
    memcpy(payload, "\x1F\x43\xB6\x75\x10\x00\x00\x04", 8);
    g_free(contents(fixture->file, fixture->bytes, &frames, &skipped));
    assert_int_equal(frames, FRAMES - 15);
    assert_true(skipped > 15 * 60);
}

static void checksums_are_those_of_iso_3309(void **state)
{
    (void)state;
    StenoCrc32 crc32;
    guint8 data[64];
    steno_crc32_init(&crc32);
    assert_int_equal(steno_crc32(&crc32, (const guint8 *)"123456789", 9), 0xCBF43926);
    for (guint i = 0; i < sizeof data; i++)
        data[i] = (guint8)(i * 151 + 7);
    for (gsize bytes = 0; bytes <= sizeof data; bytes++) {
        guint32 value = 0xffffffffu; /* bit by bit */
        for (gsize i = 0; i < bytes * 8; i++)
            value = value >> 1 ^ ((value ^ data[i / 8] >> i % 8) & 1 ? 0xEDB88320u : 0);
        assert_int_equal(steno_crc32(&crc32, data, bytes), ~value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_found_or_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(files_without_checksums_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cluster_within_a_frame_is_none, setup, teardown),
        cmocka_unit_test(checksums_are_those_of_iso_3309),
    };
    return cmocka_run_group_tests_name("capture_damage", tests, NULL, NULL);
}
