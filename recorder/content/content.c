#include "format.h"

/* The order in which help and errors name them. The names are the rows' own (a test holds them against each other). */
#define FORMATS(ROW)                                                                                                   \
    ROW(content_sframe, "sframe")                                                                                      \
    ROW(content_sframe_packet, "sframe-packet")                                                                        \
    ROW(content_livekit, "livekit")                                                                                    \
    ROW(content_jitsi, "jitsi")                                                                                        \
    ROW(content_aes_128_gcm, "aes-128-gcm")                                                                            \
    ROW(content_aes_256_gcm, "aes-256-gcm")                                                                            \
    ROW(content_aes_128_gcm2, "aes-128-gcm2")                                                                          \
    ROW(content_aes_256_gcm2, "aes-256-gcm2")                                                                          \
    ROW(content_aes_128_xts, "aes-128-xts")                                                                            \
    ROW(content_aes_256_xts, "aes-256-xts")                                                                            \
    ROW(content_aes_128_ecb, "aes-128-ecb")                                                                            \
    ROW(content_sm4_128_ecb, "sm4-128-ecb")

static const StenoContentFormat *const formats[] = {
#define ROW(row, name) &row,
    FORMATS(ROW)
#undef ROW
};

static const char *const names[] = {
#define ROW(row, name) name,
    FORMATS(ROW)
#undef ROW
        NULL,
};

const StenoContentFormat *steno_content_format(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (g_strcmp0(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

const char *steno_content_format_name(const StenoContentFormat *format)
{
    return format->name;
}

StenoContentUnit steno_content_format_unit(const StenoContentFormat *format)
{
    return format->unit;
}

gboolean steno_content_format_is_insecure(const StenoContentFormat *format)
{
    return format->insecure;
}

const char *const *steno_content_format_names(void)
{
    return names;
}

const char *steno_content_outcome_name(StenoContentOutcome outcome)
{
    switch (outcome) {
    case STENO_CONTENT_NO_KEY:
        return "no-key";
    case STENO_CONTENT_BAD_KEY:
        return "bad-key";
    case STENO_CONTENT_OPENED:
    case STENO_CONTENT_CLEAR:
    case STENO_CONTENT_INJECTED:
        break;
    }
    return NULL;
}
