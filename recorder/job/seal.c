#include "seal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

/* Between two attempts at a timestamp. */
#define PAUSE_MS 1000

static GBytes *read_beside(const char *path, const char *suffix)
{
    g_autofree char *name = g_strconcat(path, suffix, NULL);
    char *data;
    gsize bytes;
    return g_file_get_contents(name, &data, &bytes, NULL) ? g_bytes_new_take(data, bytes) : NULL;
}

static gboolean is_signed(const char *path, const StenoSigner *signer)
{
    g_autoptr(GBytes) manifest = read_beside(path, "");
    g_autoptr(GBytes) signature = read_beside(path, STENO_PROOF_SIGNATURE_SUFFIX);
    return manifest && signature &&
           steno_proof_verify(steno_signer_public_pem(signer), g_bytes_get_data(manifest, NULL),
                              g_bytes_get_size(manifest), g_bytes_get_data(signature, NULL),
                              g_bytes_get_size(signature), NULL);
}

static gboolean is_stamped(const char *path, const StenoTimestampAuthority *timestamps)
{
    g_autoptr(GBytes) signature = read_beside(path, STENO_PROOF_SIGNATURE_SUFFIX);
    g_autoptr(GBytes) stamp = read_beside(path, STENO_PROOF_TIMESTAMP_SUFFIX);
    gint64 stamped_us;
    return signature && stamp &&
           steno_timestamp_verify(timestamps->ca_file, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature),
                                  g_bytes_get_data(stamp, NULL), g_bytes_get_size(stamp), &stamped_us, NULL);
}

/* Until it is tried again, or cancelled. */
static void pause_for(gint ms, GCancellable *cancellable)
{
    GPollFD fd;
    if (cancellable && g_cancellable_make_pollfd(cancellable, &fd)) {
        (void)g_poll(&fd, 1, ms);
        g_cancellable_release_fd(cancellable);
    }
}

static gboolean stamp(const char *path, const Sealing *sealing, GCancellable *cancellable, GError **unstamped)
{
    gint64 until_us = steno_clock_mono_us() + SEAL_STAMP_MAX_S * G_USEC_PER_SEC;
    for (guint i = 0; i < SEAL_STAMP_ATTEMPTS && !g_cancellable_is_cancelled(cancellable); i++) {
        if (i > 0)
            pause_for(PAUSE_MS, cancellable);
        if (i > 0 && steno_clock_mono_us() >= until_us)
            break;
        g_clear_error(unstamped);
        if (steno_timestamp_fetch(sealing->timestamps, path, unstamped))
            return TRUE;
    }
    return FALSE;
}

gboolean job_seal(const char *path, const Sealing *sealing, GCancellable *cancellable, gboolean *stamped,
                  GError **unstamped, GError **error)
{
    *stamped = FALSE;
    if (!sealing->signer)
        return TRUE;
    if (!is_signed(path, sealing->signer) && !steno_signer_sign(sealing->signer, path, error))
        return FALSE;
    if (!sealing->timestamps)
        return TRUE;
    *stamped = is_stamped(path, sealing->timestamps) || stamp(path, sealing, cancellable, unstamped);
    if (*stamped || !sealing->required)
        return TRUE;
    if (!g_cancellable_set_error_if_cancelled(cancellable, error))
        g_propagate_prefixed_error(error, g_error_copy(*unstamped), "a timestamp is required: ");
    return FALSE;
}
