#include "opus.h"

#include <string.h>

/* RFC 6716 §3.1, table 2: samples at 48 kHz of one frame of each configuration. */
static guint frame_samples(guint8 toc)
{
    guint config = toc >> 3;
    if (config < 12) /* SILK: 10, 20, 40, 60 ms */
        return (const guint[]){480, 960, 1920, 2880}[config & 3];
    if (config < 16) /* hybrid: 10, 20 ms */
        return config & 1 ? 960 : 480;
    return 120u << (config & 3); /* CELT: 2.5, 5, 10, 20 ms */
}

guint opus_packet_samples(const guint8 *data, gsize bytes)
{
    if (bytes < 1)
        return 0;
    guint frames;
    switch (data[0] & 3) {
    case 0:
        frames = 1;
        break;
    case 3:
        if (bytes < 2)
            return 0;
        frames = data[1] & 0x3f;
        break;
    default:
        frames = 2;
    }
    guint samples = frames * frame_samples(data[0]);
    return samples > OPUS_PACKET_MAX_SAMPLES ? 0 : samples;
}

gboolean opus_packet_is_stereo(const guint8 *data, gsize bytes)
{
    return bytes > 0 && (data[0] & 4);
}

guint opus_silence(guint8 out[OPUS_SILENCE_BYTES], guint64 max_samples, gboolean stereo)
{
    guint config = 31; /* CELT, full band, 20 ms */
    guint samples = 960;
    while (samples > max_samples && samples > OPUS_UNIT_SAMPLES) {
        config--;
        samples /= 2;
    }
    out[0] = (guint8)(config << 3 | (stereo ? 4 : 0)); /* code 0: one frame */
    out[1] = 0xff; /* the range coder reads the silence flag (RFC 6716 §4.3) as set */
    out[2] = 0xfe;
    return samples;
}

void opus_head(guint8 out[OPUS_HEAD_BYTES], guint channels)
{
    memcpy(out, "OpusHead", 8);
    out[8] = 1;
    out[9] = (guint8)channels;
    out[10] = out[11] = 0; /* pre-skip */
    const guint8 rest[] = {0x80, 0xbb, 0, 0 /* 48000 Hz */, 0, 0 /* gain */, 0 /* mapping: mono or stereo */};
    memcpy(out + 12, rest, sizeof rest);
}
