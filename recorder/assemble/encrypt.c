#include "encrypt.h"

#include "scratch.h"

#include "steno/base/error.h"
#include "steno/envelope.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define HEX_DIGITS (2 * MUX_CENC_BYTES)

struct Encrypt {
    StenoEnvelope *envelope; /* CMS; NULL: CENC */
    StenoSecret *cenc;       /* holds a MuxCenc */
    char kid[HEX_DIGITS + 1];
};

/* "KID:KEY", and perhaps the end of a line. */
static gboolean read_key(const StenoSecret *text, MuxCenc *cenc)
{
    const char *hex = text ? steno_secret_text(text) : "";
    gsize bytes = text ? steno_secret_bytes(text) : 0;
    while (bytes > 0 && (hex[bytes - 1] == '\n' || hex[bytes - 1] == '\r'))
        bytes--;
    if (bytes != 2 * HEX_DIGITS + 1 || hex[HEX_DIGITS] != ':')
        return FALSE;
    for (guint i = 0; i < MUX_CENC_BYTES; i++) {
        int digits[4] = {g_ascii_xdigit_value(hex[2 * i]), g_ascii_xdigit_value(hex[2 * i + 1]),
                         g_ascii_xdigit_value(hex[HEX_DIGITS + 1 + 2 * i]),
                         g_ascii_xdigit_value(hex[HEX_DIGITS + 2 + 2 * i])};
        if (digits[0] < 0 || digits[1] < 0 || digits[2] < 0 || digits[3] < 0)
            return FALSE;
        cenc->kid[i] = (guint8)(digits[0] << 4 | digits[1]);
        cenc->key[i] = (guint8)(digits[2] << 4 | digits[3]);
    }
    return TRUE;
}

static gboolean take_key(Encrypt *encrypt, const StenoSecret *text, GError **error)
{
    encrypt->cenc = steno_secret_new(NULL, sizeof(MuxCenc));
    MuxCenc *cenc = (MuxCenc *)(void *)steno_secret_buffer(encrypt->cenc);
    if (!read_key(text, cenc))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "the output key must be a key id and a key, as in KID:KEY, of 32 hex digits each");
    for (guint i = 0; i < MUX_CENC_BYTES; i++)
        g_snprintf(encrypt->kid + 2 * i, 3, "%02x", cenc->kid[i]);
    return TRUE;
}

Encrypt *encrypt_new(const StenoAssembleOptions *options, GError **error)
{
    if (options->encryption == STENO_OUTPUT_PLAIN)
        return NULL;
    g_autoptr(Encrypt) encrypt = g_new0(Encrypt, 1);
    if (options->encryption == STENO_OUTPUT_CENC)
        return take_key(encrypt, options->output_key, error) ? g_steal_pointer(&encrypt) : NULL;
    if (!options->recipients || !options->recipients[0]) {
        steno_error_set(error, STENO_ERROR_USAGE, "files can be encrypted only for somebody: name a recipient");
        return NULL;
    }
    encrypt->envelope = steno_envelope_new(options->recipients, error);
    return encrypt->envelope ? g_steal_pointer(&encrypt) : NULL;
}

void encrypt_free(Encrypt *encrypt)
{
    if (!encrypt)
        return;
    g_clear_pointer(&encrypt->envelope, steno_envelope_free);
    steno_secret_unref(encrypt->cenc);
    g_free(encrypt);
}

const MuxCenc *encrypt_cenc(const Encrypt *encrypt)
{
    return encrypt && encrypt->cenc ? (const MuxCenc *)(const void *)steno_secret_data(encrypt->cenc) : NULL;
}

gboolean encrypt_is_envelope(const Encrypt *encrypt)
{
    return encrypt && encrypt->envelope;
}

/* VP8 and G.711 have no place in MP4. libavformat writes AV1 under CENC as it is, in the clear. */
static gboolean is_possible(const PlanStream *stream)
{
    return stream->aac || stream->codec == STENO_CODEC_OPUS || stream->codec == STENO_CODEC_VP9 ||
           stream->codec == STENO_CODEC_H264 || stream->codec == STENO_CODEC_H265;
}

gboolean encrypt_plan(const Encrypt *encrypt, PlanOutput *output, GError **error)
{
    gboolean video = FALSE;
    if (!encrypt_cenc(encrypt))
        return TRUE;
    for (guint i = 0; i < output->streams->len; i++) {
        const PlanStream *stream = output->streams->pdata[i];
        video |= stream->video;
        if (!is_possible(stream))
            return steno_error_set(error, STENO_ERROR_USAGE,
                                   "%s cannot be encrypted within MP4 (cenc): choose cms, which encrypts any file%s",
                                   steno_codec_name(stream->codec), stream->video ? "" : ", or aac for the sound");
    }
    output->container = video ? PLAN_MP4 : PLAN_M4A;
    return TRUE;
}

gboolean encrypt_seal(const Encrypt *encrypt, const char *folder, const char *plain, const char *name,
                      MuxProgress progress, gpointer user, GError **error)
{
    g_autofree char *in = g_build_filename(folder, plain, NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *temporary = g_strdup_printf("%s/" SCRATCH_PREFIX "%s", folder, name);
    (void)g_unlink(temporary);
    gboolean sealed = steno_envelope_seal(encrypt->envelope, in, temporary, progress, user, error);
    (void)g_unlink(in);
    if (sealed && g_rename(temporary, path) != 0) {
        sealed = steno_error_set_errno(error, errno, "renaming %s", temporary);
        (void)g_unlink(temporary);
    }
    return sealed;
}

json_t *encrypt_describe(const Encrypt *encrypt, gint64 plain_bytes, const char *plain_sha256)
{
    if (!encrypt->envelope)
        return json_pack("{s:s, s:s}", "method", "cenc", "kid", encrypt->kid);
    json_t *recipients = json_array();
    for (const char *const *name = steno_envelope_recipients(encrypt->envelope); *name; name++)
        json_array_append_new(recipients, json_string(*name));
    return json_pack("{s:s, s:o, s:I, s:s}", "method", "cms", "recipients", recipients, "plain_size_bytes",
                     (json_int_t)plain_bytes, "plain_sha256", plain_sha256);
}
