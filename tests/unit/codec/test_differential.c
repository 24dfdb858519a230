/*
 * The same RTP packets to libavformat's depacketizers and to ours: what comes out has to be the same, byte by byte.
 *
 * Packets are made by libavformat's RTP muxer and by tests/lib/packetize.c from what real encoders give, with a change
 * of the picture size in the middle and a sequence number that wraps. libavformat hands out H.264 and H.265 through its
 * parsers, which cut the stream into access units, with 4-byte start codes as we do; so nothing has to be normalized.
 * Only against the encoder's own output start codes (3 or 4 bytes) and AV1's obu_size (any length) are normalized.
 * H.265's parser leaves the first zero of a 4-byte start code to the access unit before: it is put where it belongs.
 * libavformat 5.1 has no RTP for AV1: there the encoder's own OBUs are all there is to compare with.
 */
#include "clip.h"
#include "harness.h"
#include "packets.h"

#include <libavformat/avformat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BUFFER_BYTES 2048

typedef struct {
    gint64 ts;
    GBytes *data;
} Frame;

static void frame_free(gpointer data)
{
    Frame *frame = data;
    g_bytes_unref(frame->data);
    g_free(frame);
}

static GPtrArray *frames_new(void)
{
    return g_ptr_array_new_with_free_func(frame_free);
}

static void frames_add(GPtrArray *frames, gint64 ts, const guint8 *data, gsize bytes)
{
    Frame *frame = g_new0(Frame, 1);
    *frame = (Frame){ts, g_bytes_new(data, bytes)};
    g_ptr_array_add(frames, frame);
}

/* ---- taking them apart ------------------------------------------------------------------------------------------- */

typedef struct {
    const GPtrArray *packets;
    guint at;
} Feed;

static int feed(void *user, uint8_t *data, int room)
{
    Feed *from = user;
    if (from->at == from->packets->len)
        return AVERROR_EOF;
    gsize bytes;
    gconstpointer packet = g_bytes_get_data(g_ptr_array_index(from->packets, from->at++), &bytes);
    g_assert((int)bytes <= room);
    memcpy(data, packet, bytes);
    return (int)bytes;
}

static int swallow(void *user, uint8_t *data, int bytes)
{
    (void)user, (void)data;
    return bytes;
}

static int feed_text(void *user, uint8_t *data, int room)
{
    const char **text = user;
    const int bytes = MIN((int)strlen(*text), room);
    if (bytes == 0)
        return AVERROR_EOF;
    memcpy(data, *text, (gsize)bytes);
    *text += bytes;
    return bytes;
}

static AVIOContext *io_new(void *user, int (*read)(void *, uint8_t *, int))
{
    AVIOContext *io = avio_alloc_context(av_malloc(BUFFER_BYTES), BUFFER_BYTES, 0, user, read, swallow, NULL);
    io->direct = 1; /* it writes its receiver reports into what it reads from */
    return io;
}

static void io_free(AVIOContext *io)
{
    av_freep(&io->buffer);
    avio_context_free(&io);
}

/* What libavformat makes of the packets, by an SDP demuxer that reads them from us. */
static GPtrArray *demux_by_libavformat(const Clip *clip, const GPtrArray *packets)
{
    static const char *const maps[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = "opus/48000/2", [STENO_CODEC_PCMU] = "PCMU/8000", [STENO_CODEC_PCMA] = "PCMA/8000",
        [STENO_CODEC_VP8] = "VP8/90000",     [STENO_CODEC_VP9] = "VP9/90000",  [STENO_CODEC_H264] = "H264/90000",
        [STENO_CODEC_H265] = "H265/90000",
    };
    const guint8 *first = g_bytes_get_data(g_ptr_array_index(packets, 0), NULL);
    const guint payload_type = first[1] & 0x7f;
    g_autofree char *sdp = g_strdup_printf("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                                           "m=%s 5004 RTP/AVP %u\r\na=rtpmap:%u %s\r\n",
                                           steno_codec_is_video(clip->codec) ? "video" : "audio", payload_type,
                                           payload_type, maps[clip->codec]);
    const char *text = sdp;
    Feed from = {.packets = packets};
    AVFormatContext *demuxer = avformat_alloc_context();
    AVIOContext *sdp_io = io_new(&text, feed_text), *rtp_io = io_new(&from, feed);
    demuxer->pb = sdp_io;
    demuxer->flags |= AVFMT_FLAG_CUSTOM_IO;
    AVDictionary *options = NULL;
    av_dict_set(&options, "sdp_flags", "custom_io", 0);
    g_assert(avformat_open_input(&demuxer, "clip.sdp", av_find_input_format("sdp"), &options) == 0);
    av_dict_free(&options);
    demuxer->pb = rtp_io;
    GPtrArray *frames = frames_new();
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(demuxer, packet) >= 0) {
        frames_add(frames, packet->pts, packet->data, (gsize)packet->size);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&demuxer);
    io_free(sdp_io);
    io_free(rtp_io);
    return frames;
}

/* The formats that come out have the sizes of the clip, each where it changes. */
static void check_format(const Clip *clip, const StenoFrame *format, guint frame)
{
    if (!steno_codec_is_video(clip->codec)) {
        assert_int_equal(frame, 0);
        assert_int_equal(format->format.clock_hz, clip->time_base.den);
        assert_int_equal(format->format.channels, clip->codec == STENO_CODEC_OPUS ? 2 : 1);
        return;
    }
    const guint half = frame < clip->changed_at ? 0 : 1;
    assert_int_equal(frame, half ? clip->changed_at : 0);
    assert_int_equal(format->format.width, clip->width[half]);
    assert_int_equal(format->format.height, clip->height[half]);
    assert_true((format->payload_bytes > 0) == (clip->codec >= STENO_CODEC_H264));
}

static GPtrArray *demux_by_us(const Clip *clip, const GPtrArray *packets)
{
    Harness harness;
    harness_init(&harness, clip->codec, NULL);
    packets_push(&harness, packets);
    GPtrArray *frames = frames_new();
    guint formats = 0;
    const StenoFrame *frame;
    while ((frame = harness_next(&harness))) {
        if (frame->kind == STENO_FRAME_FORMAT) {
            check_format(clip, frame, frames->len);
            formats++;
            continue;
        }
        assert_int_equal(frame->kind, STENO_FRAME_MEDIA);
        assert_true(frame->decodable);
        if (frames->len < clip->packets->len) {
            const AVPacket *packet = g_ptr_array_index(clip->packets, frames->len);
            assert_int_equal(frame->keyframe, (packet->flags & AV_PKT_FLAG_KEY) != 0);
        }
        frames_add(frames, frame->rtp_ts, frame->payload, frame->payload_bytes);
    }
    assert_int_equal(formats, steno_codec_is_video(clip->codec) ? 2 : 1);
    assert_int_equal(steno_depacketizer_stats(harness.depacketizer)->damaged, 0);
    harness_clear(&harness);
    return frames;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* Annex B with 3-byte or 4-byte start codes → 4-byte ones. */
static GByteArray *normalize_start_codes(const guint8 *data, gsize bytes)
{
    GByteArray *out = g_byte_array_new();
    for (gsize i = 0; i < bytes; i++) {
        if (i + 3 <= bytes && data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1) {
            if (out->len > 0 && out->data[out->len - 1] == 0)
                g_byte_array_set_size(out, out->len - 1);
            g_byte_array_append(out, (const guint8[]){0, 0, 0, 1}, 4);
            i += 2;
        } else {
            g_byte_array_append(out, data + i, 1);
        }
    }
    return out;
}

/* Low-overhead OBUs → the same without temporal delimiters and with the shortest obu_size. */
static GByteArray *normalize_obus(const guint8 *data, gsize bytes)
{
    GByteArray *out = g_byte_array_new();
    for (gsize at = 0; at < bytes;) {
        const gsize begin = at;
        const gsize header = data[at] & 0x04 ? 2 : 1;
        gsize size = 0;
        at += header;
        for (guint shift = 0;; shift += 7) {
            size |= (gsize)(data[at] & 0x7f) << shift;
            if (!(data[at++] & 0x80))
                break;
        }
        if ((data[begin] >> 3 & 15) != 2) {
            g_byte_array_append(out, data + begin, header);
            gsize rest = size;
            do {
                const guint8 byte = (rest & 0x7f) | (rest > 0x7f ? 0x80 : 0);
                g_byte_array_append(out, &byte, 1);
                rest >>= 7;
            } while (rest > 0);
            g_byte_array_append(out, data + at, size);
        }
        at += size;
    }
    return out;
}

static GPtrArray *encoded(const Clip *clip)
{
    GPtrArray *frames = frames_new();
    for (guint i = 0; i < clip->packets->len; i++) {
        const AVPacket *packet = g_ptr_array_index(clip->packets, i);
        g_autoptr(GByteArray) bytes = NULL;
        if (clip->codec == STENO_CODEC_H264 || clip->codec == STENO_CODEC_H265)
            bytes = normalize_start_codes(packet->data, (gsize)packet->size);
        else if (clip->codec == STENO_CODEC_AV1)
            bytes = normalize_obus(packet->data, (gsize)packet->size);
        if (bytes)
            frames_add(frames, packet->pts, bytes->data, bytes->len);
        else
            frames_add(frames, packet->pts, packet->data, (gsize)packet->size);
    }
    return frames;
}

/* A zero at the end of an access unit belongs to the start code of the next one: no NAL unit ends with a zero. */
static void move_zeros(GPtrArray *frames)
{
    for (guint i = 0; i < frames->len; i++) {
        Frame *frame = g_ptr_array_index(frames, i);
        gsize bytes;
        const guint8 *data = g_bytes_get_data(frame->data, &bytes);
        while (bytes > 0 && data[bytes - 1] == 0)
            bytes--;
        GByteArray *whole = normalize_start_codes(data, bytes);
        g_bytes_unref(frame->data);
        frame->data = g_byte_array_free_to_bytes(whole);
    }
}

static void compare(const char *what, const GPtrArray *expected, const GPtrArray *got)
{
    assert_true(got->len > 0);
    if (expected->len != got->len)
        fail_msg("%s: %u frames expected, %u came", what, expected->len, got->len);
    const Frame *first_expected = g_ptr_array_index(expected, 0), *first_got = g_ptr_array_index(got, 0);
    for (guint i = 0; i < got->len; i++) {
        const Frame *a = g_ptr_array_index(expected, i), *b = g_ptr_array_index(got, i);
        if (!g_bytes_equal(a->data, b->data))
            fail_msg("%s: frame %u differs (%zu and %zu bytes)", what, i, g_bytes_get_size(a->data),
                     g_bytes_get_size(b->data));
        if (a->ts != AV_NOPTS_VALUE && first_expected->ts != AV_NOPTS_VALUE &&
            a->ts - first_expected->ts != b->ts - first_got->ts)
            fail_msg("%s: frame %u has another time: %" G_GINT64_FORMAT " after %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT
                     " after %" G_GINT64_FORMAT,
                     what, i, a->ts, first_expected->ts, b->ts, first_got->ts);
    }
}

/* How many RTP packets the muxer put several of libavcodec's audio packets into, is its own matter: join them. */
static GPtrArray *joined(GPtrArray *frames)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (guint i = 0; i < frames->len; i++) {
        const Frame *frame = g_ptr_array_index(frames, i);
        gsize bytes;
        const guint8 *data = g_bytes_get_data(frame->data, &bytes);
        g_byte_array_append(all, data, bytes);
    }
    g_ptr_array_unref(frames);
    GPtrArray *one = frames_new();
    frames_add(one, 0, all->data, all->len);
    return one;
}

static void test_codec(void **state)
{
    const StenoCodec codec = (StenoCodec)GPOINTER_TO_UINT(*state);
    g_autoptr(Clip) clip = clip_new(codec, false);
    if (!clip)
        skip();
    const bool has_peer = codec != STENO_CODEC_AV1;
    const bool samples = codec == STENO_CODEC_PCMU || codec == STENO_CODEC_PCMA;
    GPtrArray *ways[] = {packets_by_us(clip, PACKETIZE_MAX_PAYLOAD), has_peer ? packets_by_libavformat(clip) : NULL};
    static const char *const names[] = {"packets of tests/lib/packetize.c", "packets of libavformat"};
    gsize bytes = 0;
    for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
        if (!ways[i]) {
            assert_false(has_peer);
            continue;
        }
        GPtrArray *ours = demux_by_us(clip, ways[i]);
        if (has_peer) {
            g_autoptr(GPtrArray) theirs = demux_by_libavformat(clip, ways[i]);
            if (codec == STENO_CODEC_H265)
                move_zeros(theirs);
            compare(names[i], theirs, ours);
        }
        g_autoptr(GPtrArray) source = encoded(clip);
        if (samples) {
            source = joined(g_steal_pointer(&source));
            ours = joined(ours);
        }
        compare("the encoder's own", source, ours);
        print_message("%s: %s: %u packets, %u frames\n", steno_codec_name(codec), names[i], ways[i]->len, ours->len);
        for (guint j = 0; j < ways[i]->len; j++)
            bytes += g_bytes_get_size(g_ptr_array_index(ways[i], j));
        g_ptr_array_unref(ours);
        g_ptr_array_unref(ways[i]);
    }
    print_message("%s: %zu bytes of RTP\n", steno_codec_name(codec), bytes);
}

/* ---- seeds for the fuzzers --------------------------------------------------------------------------------------- */

#define SEED_BYTES 5000

static void seed_add(GByteArray *seed, guint8 flags, const guint8 *data, gsize bytes)
{
    g_byte_array_append(seed, (const guint8[]){flags, bytes & 0xff, bytes >> 8 & 0xff}, 3);
    g_byte_array_append(seed, data, (guint)bytes);
}

static GByteArray *seed_of_packets(guint8 options, const GPtrArray *packets)
{
    GByteArray *seed = g_byte_array_new();
    guint32 last_ts = 0;
    g_byte_array_append(seed, &options, 1);
    for (guint i = 0; i < packets->len && seed->len < SEED_BYTES; i++) {
        gsize bytes;
        const guint8 *packet = g_bytes_get_data(g_ptr_array_index(packets, i), &bytes);
        const guint32 ts = packets_ts(packet);
        seed_add(seed, (packet[1] & 0x80 ? 1 : 0) | (ts != last_ts ? 2 : 0), packet + 12, bytes - 12);
        last_ts = ts;
    }
    return seed;
}

static GByteArray *seed_of_frames(const Clip *clip)
{
    GByteArray *seed = g_byte_array_new();
    g_byte_array_append(seed, (const guint8[]){0}, 1);
    for (guint i = 0; i < clip->packets->len && seed->len < SEED_BYTES; i++) {
        const AVPacket *packet = g_ptr_array_index(clip->packets, i);
        seed_add(seed, 2, packet->data, (gsize)packet->size);
    }
    return seed;
}

/* FOLDER/WHAT_CODEC/NAME-N; takes the seed. */
static void seed_write(const char *folder, const char *what, StenoCodec codec, const char *name, guint way,
                       GByteArray *seed)
{
    g_autofree char *path = g_strdup_printf("%s/%s_%s/%s-%u", folder, what, steno_codec_name(codec), name, way);
    g_autoptr(GError) error = NULL;
    if (!g_file_set_contents(path, (const char *)seed->data, (gssize)seed->len, &error))
        g_error("%s", error->message);
    g_byte_array_unref(seed);
}

/* Writes the first packets and frames of each clip as inputs of tests/fuzz/codec. */
static void write_seeds(const char *folder)
{
    for (StenoCodec codec = STENO_CODEC_OPUS; codec < STENO_CODEC_COUNT; codec++) {
        g_autoptr(Clip) clip = codec != STENO_CODEC_PCMA ? clip_new(codec, true) : NULL;
        if (!clip)
            continue;
        const bool has_peer = codec != STENO_CODEC_AV1;
        GPtrArray *ways[] = {packets_by_us(clip, 300), has_peer ? packets_by_libavformat(clip) : NULL};
        for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
            if (!ways[way])
                continue;
            seed_write(folder, "codec", codec, "encoded", way, seed_of_packets(0, ways[way]));
            if (has_peer)
                seed_write(folder, "inspector", codec, "packets", way, seed_of_packets(4, ways[way]));
            g_ptr_array_unref(ways[way]);
        }
        seed_write(folder, "inspector", codec, "frames", 0, seed_of_frames(clip));
    }
}

/* libx265 does not give back all that it allocates for slices. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libx265\n";
}

int main(int argc, char **argv)
{
    av_log_set_level(AV_LOG_ERROR);
    if (argc == 3 && strcmp(argv[1], "--write-seeds") == 0) {
        write_seeds(argv[2]);
        return 0;
    }
#define CODEC_TEST(codec)                                                                                              \
    {                                                                                                                  \
#codec, test_codec, NULL, NULL, GUINT_TO_POINTER(STENO_CODEC_##codec)                                          \
    }
    const struct CMUnitTest tests[] = {
        CODEC_TEST(OPUS), CODEC_TEST(PCMU), CODEC_TEST(PCMA), CODEC_TEST(VP8),
        CODEC_TEST(VP9),  CODEC_TEST(H264), CODEC_TEST(H265), CODEC_TEST(AV1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
