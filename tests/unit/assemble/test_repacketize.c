/* Frames as packets again, through the depacketizers that know nothing of where they come from. */
#include "repacketize.h"
#include "scene.h"

#include "steno/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    StenoDepacketizer *depacketizer;
    StenoPacketPool *packets;
    GBytes *frame; /* the one that comes next */
    gint64 seq, rtp_ts;
    guint whole, formats, markers;
} Way;

static void on_frame(gpointer user, StenoFrame *frame)
{
    Way *way = user;
    way->formats += frame->kind == STENO_FRAME_FORMAT;
    assert_int_not_equal(frame->kind, STENO_FRAME_GAP);
    if (frame->kind == STENO_FRAME_MEDIA) {
        gsize bytes;
        const void *data = g_bytes_get_data(way->frame, &bytes);
        assert_int_equal(frame->payload_bytes, bytes);
        assert_memory_equal(frame->payload, data, bytes);
        assert_true(frame->decodable);
        way->whole++;
    }
    steno_frame_unref(frame);
}

static void on_payload(gpointer user, const guint8 *payload, gsize bytes, gboolean last)
{
    Way *way = user;
    StenoPacket *packet = steno_packet_new(way->packets);
    assert_true(bytes <= 1400);
    packet->seq = way->seq++;
    packet->rtp_ts = way->rtp_ts;
    packet->marker = last;
    packet->payload_offset = 0;
    packet->payload_bytes = (guint16)bytes;
    memcpy(packet->data, payload, bytes);
    way->markers += last != 0;
    assert_int_equal(steno_depacketizer_push(way->depacketizer, packet), 0);
    steno_packet_free(packet);
}

/* ffmpeg writes short start codes too; depacketizers write long ones alone. */
static GBytes *with_long_codes(const guint8 *data, gsize bytes)
{
    GByteArray *out = g_byte_array_new();
    for (gsize at = 0; at < bytes; at++) {
        static const guint8 zero;
        gboolean code = at + 3 <= bytes && memcmp(data + at, "\0\0\1", 3) == 0;
        if (code && (at == 0 || data[at - 1] != 0))
            g_byte_array_append(out, &zero, 1);
        g_byte_array_append(out, data + at, 1);
    }
    return g_byte_array_free_to_bytes(out);
}

static GBytes *frame_of(const Clip *clip, guint index)
{
    gsize bytes;
    const guint8 *data = g_bytes_get_data(clip->frames->pdata[index], &bytes);
    gboolean nals = clip->codec == STENO_CODEC_H264 || clip->codec == STENO_CODEC_H265;
    return nals ? with_long_codes(data, bytes) : g_bytes_ref(clip->frames->pdata[index]);
}

static void test_each_codec(void **state)
{
    (void)state;
    static const struct {
        StenoCodec codec;
        const char *encoder;
    } cases[] = {
        {STENO_CODEC_VP8, "-c:v libvpx -b:v 500k -g 30 -deadline realtime -auto-alt-ref 0"},
        {STENO_CODEC_VP9, "-c:v libvpx-vp9 -b:v 500k -g 30 -deadline realtime -cpu-used 8"},
        {STENO_CODEC_H264, SCENE_X264},
        {STENO_CODEC_H265,
         "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none:info=0"},
        {STENO_CODEC_AV1, "-pix_fmt yuv420p -c:v libaom-av1 -usage realtime -cpu-used 8 -g 30"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Clip *clip = clip_make(cases[i].codec, SCENE_PICTURES, cases[i].encoder);
        StenoFramePool *pool = steno_frame_pool_new(64 * 1024 * 1024);
        Way way = {.packets = steno_packet_pool_new(1)};
        const StenoDepacketizerConfig config = {.codec = cases[i].codec, .clock_hz = 90000, .track = 1};
        way.depacketizer = steno_depacketizer_new(&config, pool, on_frame, &way);
        for (guint f = 0; f < clip->frames->len; f++) {
            gsize bytes;
            g_autoptr(GBytes) frame = frame_of(clip, f);
            const void *data = g_bytes_get_data(frame, &bytes);
            way.frame = frame;
            way.rtp_ts = f * 3000;
            repacketize(cases[i].codec, data, bytes, on_payload, &way);
            assert_int_equal(way.whole, f + 1);
            assert_int_equal(way.markers, f + 1);
        }
        assert_true(way.seq > clip->frames->len); /* some were in pieces */
        assert_int_equal(way.formats, 1);
        steno_depacketizer_free(way.depacketizer);
        steno_packet_pool_free(way.packets);
        steno_frame_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_codec)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
