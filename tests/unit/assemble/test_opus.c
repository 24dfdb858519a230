/* Lengths of packets against libavcodec's parser table, silence against its decoder. */
#include "opus.h"

#include "steno/base/safe_name.h"

#include <libavcodec/avcodec.h>
#include <libavutil/log.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_lengths(void **state)
{
    (void)state;
    static const guint of_config[32] = {480,  960, 1920, 2880, 480, 960, 1920, 2880, 480, 960, 1920,
                                        2880, 480, 960,  480,  960, 120, 240,  480,  960, 120, 240,
                                        480,  960, 120,  240,  480, 960, 120,  240,  480, 960};
    for (guint config = 0; config < 32; config++)
        for (guint code = 0; code < 4; code++) {
            guint8 packet[2] = {(guint8)(config << 3 | code), 3};
            guint frames = code == 0 ? 1 : code == 3 ? 3 : 2;
            guint samples = frames * of_config[config];
            assert_int_equal(opus_packet_samples(packet, 2), samples > 5760 ? 0 : samples);
        }
    assert_int_equal(opus_packet_samples((const guint8 *)"", 0), 0);
    assert_int_equal(opus_packet_samples((const guint8 *)"\x03", 1), 0);        /* no frame count */
    assert_int_equal(opus_packet_samples((const guint8 *)"\xfb\x07", 2), 0);    /* 140 ms */
    assert_int_equal(opus_packet_samples((const guint8 *)"\xfb\x06", 2), 5760); /* 120 ms */
}

/* Decodes to the samples it says, all of them zero. */
static void check_silence(AVCodecContext *decoder, const guint8 *data, guint samples)
{
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    assert_int_equal(av_new_packet(packet, OPUS_SILENCE_BYTES), 0);
    memcpy(packet->data, data, OPUS_SILENCE_BYTES);
    assert_int_equal(avcodec_send_packet(decoder, packet), 0);
    assert_int_equal(avcodec_receive_frame(decoder, frame), 0);
    assert_int_equal(frame->nb_samples, samples);
    for (int c = 0; c < frame->ch_layout.nb_channels; c++)
        for (int i = 0; i < frame->nb_samples; i++)
            assert_true(fabsf(((const float *)(void *)frame->extended_data[c])[i]) < 1e-6f);
    av_packet_free(&packet);
    av_frame_free(&frame);
}

static void test_silence(void **state)
{
    (void)state;
    static const char *const decoders[] = {"opus", "libopus"};
    for (guint d = 0; d < G_N_ELEMENTS(decoders); d++)
        for (guint stereo = 0; stereo < 2; stereo++) {
            const AVCodec *codec = avcodec_find_decoder_by_name(decoders[d]);
            assert_non_null(codec);
            AVCodecContext *decoder = avcodec_alloc_context3(codec);
            decoder->request_sample_fmt = AV_SAMPLE_FMT_FLTP;
            decoder->extradata = av_mallocz(OPUS_HEAD_BYTES + AV_INPUT_BUFFER_PADDING_SIZE);
            decoder->extradata_size = OPUS_HEAD_BYTES;
            opus_head(decoder->extradata, stereo + 1);
            assert_int_equal(avcodec_open2(decoder, codec, NULL), 0);
            static const guint wanted[] = {5000, 960, 480, 959, 240, 120, 121};
            static const guint got[] = {960, 960, 480, 480, 240, 120, 120};
            for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
                guint8 packet[OPUS_SILENCE_BYTES];
                assert_int_equal(opus_silence(packet, wanted[i], stereo), got[i]);
                assert_int_equal(opus_packet_samples(packet, sizeof packet), got[i]);
                assert_int_equal(opus_packet_is_stereo(packet, sizeof packet), stereo);
                if (decoder->sample_fmt == AV_SAMPLE_FMT_FLTP)
                    check_silence(decoder, packet, got[i]);
            }
            avcodec_free_context(&decoder);
        }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"Ann", "Ann"},
        {"Zoë Müller", "Zoë Müller"},
        {"../../etc/passwd", "_.._etc_passwd"},
        {"", "unnamed"},
        {"...", "unnamed"},
        {" -rf ", "rf"},
        {"a/b\\c:d*e?f\"g<h>i|j", "a_b_c_d_e_f_g_h_i_j"},
        {"tab\tnew\nline\x7f", "tab_new_line_"},
        {"\xff\xfe", "__"},
        {"evil\u202egnp.exe", "evil_gnp.exe"},
        {"con", "_con"},
        {"LPT1.txt", "_LPT1.txt"},
        {"console", "console"},
        {"e\u0301", "é"},
        {"name. .", "name"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *safe = steno_safe_name(names[i][0]);
        assert_string_equal(safe, names[i][1]);
    }
    g_autofree char *many = g_strnfill(300, 'x');
    g_autofree char *cut = steno_safe_name(many);
    assert_true(strlen(cut) <= STENO_SAFE_NAME_MAX_BYTES);
    GString *wide = g_string_new(NULL);
    for (guint i = 0; i < 100; i++)
        g_string_append(wide, "€");
    g_autofree char *cut_wide = steno_safe_name(wide->str);
    assert_true(strlen(cut_wide) <= STENO_SAFE_NAME_MAX_BYTES && g_utf8_validate(cut_wide, -1, NULL));
    g_string_free(wide, TRUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_names),
    };
    av_log_set_level(AV_LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
