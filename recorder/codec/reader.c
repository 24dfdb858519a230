#include "reader.h"

#include <string.h>

static const struct {
    const StenoReaderOps *reader;
    guint32 clock_hz;
} readers[STENO_CODEC_COUNT] = {
    [STENO_CODEC_OPUS] = {&steno_reader_opus, 48000}, [STENO_CODEC_PCMU] = {&steno_reader_g711, 8000},
    [STENO_CODEC_PCMA] = {&steno_reader_g711, 8000},  [STENO_CODEC_VP8] = {&steno_reader_vp8, 90000},
    [STENO_CODEC_VP9] = {&steno_reader_vp9, 90000},   [STENO_CODEC_H264] = {&steno_reader_h264, 90000},
    [STENO_CODEC_H265] = {&steno_reader_h265, 90000}, [STENO_CODEC_AV1] = {&steno_reader_av1, 90000},
};

const StenoReaderOps *steno_reader_find(StenoCodec codec, guint32 *clock_hz)
{
    if ((guint)codec >= G_N_ELEMENTS(readers))
        return NULL;
    *clock_hz = readers[codec].clock_hz;
    return readers[codec].reader;
}

char *steno_fmtp_value(const char *fmtp, const char *key)
{
    const gsize length = strlen(key);
    for (const char *at = fmtp; at && *at;) {
        while (*at == ' ' || *at == ';')
            at++;
        const gsize item = strcspn(at, ";");
        if (item > length && g_ascii_strncasecmp(at, key, length) == 0 && at[length] == '=')
            return g_strstrip(g_strndup(at + length + 1, item - length - 1));
        at += item;
    }
    return NULL;
}
