#include "cut.h"

#include "steno/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fits a processor's second cache, so that the second digest finds the bytes there. */
#define CHUNK_BYTES (128 * 1024)

struct S3Cutter {
    S3CutterOptions options;
    GThread *thread;
    GCancellable *stop;
    GMutex lock; /* of what follows */
    GCond taken;
    GQueue cuts; /* of S3Cut * */
    GError *error;
    char whole_hex[65];
};

/* ---- one piece --------------------------------------------------------------------------------------------------- */

static void print_hex(char *hex, const guint8 *digest, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static gboolean read_piece(int fd, const S3Cut *cut, S3Checksum *const *digests, guint n, GCancellable *cancellable,
                           GError **error)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);
    for (gint64 done = 0; done < cut->bytes;) {
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted");
            return FALSE;
        }
        ssize_t got = pread(fd, chunk, (size_t)MIN((gint64)CHUNK_BYTES, cut->bytes - done), cut->offset + done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED,
                        "reading the file at byte %" G_GINT64_FORMAT ": %s", cut->offset + done,
                        got < 0 ? g_strerror(errno) : "it is shorter than it was");
            return FALSE;
        }
        for (guint i = 0; i < n; i++)
            if (digests[i])
                s3_checksum_add(digests[i], chunk, (gsize)got);
        done += got;
    }
    return TRUE;
}

gboolean s3_cut(int fd, S3Cut *cut, gboolean with_md5, S3Checksum *whole, GCancellable *cancellable, GError **error)
{
    guint8 digest[S3_CHECKSUM_MAX_BYTES];
    gboolean counts = cut->kind != S3_CHECKSUM_NONE && cut->kind != S3_CHECKSUM_SHA256;
    S3Checksum *sha256 = s3_checksum_begin(S3_CHECKSUM_SHA256);
    S3Checksum *checksum = counts ? s3_checksum_begin(cut->kind) : NULL;
    S3Checksum *md5 = with_md5 && cut->kind != S3_CHECKSUM_MD5 ? s3_checksum_begin(S3_CHECKSUM_MD5) : NULL;
    S3Checksum *const digests[] = {sha256, checksum, md5, whole};
    gboolean read = read_piece(fd, cut, digests, G_N_ELEMENTS(digests), cancellable, error);
    s3_checksum_end(sha256, digest);
    print_hex(cut->sha256_hex, digest, 32);
    if (checksum)
        s3_checksum_end(checksum, cut->checksum);
    else
        memcpy(cut->checksum, digest, 32);
    cut->has_md5 = md5 || cut->kind == S3_CHECKSUM_MD5;
    if (md5)
        s3_checksum_end(md5, digest);
    if (cut->has_md5)
        memcpy(cut->md5, md5 ? digest : cut->checksum, sizeof cut->md5);
    return read;
}

char *s3_cut_checksum(const S3Cut *cut)
{
    return cut->kind == S3_CHECKSUM_NONE ? NULL : g_base64_encode(cut->checksum, s3_checksum_bytes(cut->kind));
}

char *s3_cut_md5_hex(const S3Cut *cut)
{
    char hex[2 * sizeof cut->md5 + 1];
    print_hex(hex, cut->md5, sizeof cut->md5);
    return cut->has_md5 ? g_strdup(hex) : NULL;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Waits for room, then hands over. FALSE: it is to stop. */
static gboolean hand_over(S3Cutter *cutter, const S3Cut *cut)
{
    g_mutex_lock(&cutter->lock);
    while (cutter->cuts.length >= cutter->options.ahead && !g_cancellable_is_cancelled(cutter->stop))
        g_cond_wait(&cutter->taken, &cutter->lock);
    g_queue_push_tail(&cutter->cuts, g_memdup2(cut, sizeof *cut));
    g_mutex_unlock(&cutter->lock);
    cutter->options.ready(cutter->options.user);
    return !g_cancellable_is_cancelled(cutter->stop);
}

static void cut_all(S3Cutter *cutter, S3Checksum *whole)
{
    const S3CutterOptions *options = &cutter->options;
    guint8 digest[S3_CHECKSUM_MAX_BYTES];
    GError *error = NULL;
    gboolean goes_on = TRUE;
    for (gint64 offset = 0; offset < options->bytes && goes_on; offset += options->part_bytes) {
        S3Cut cut = {
            .offset = offset, .bytes = MIN(options->part_bytes, options->bytes - offset), .kind = options->kind};
        gboolean is_last = offset + cut.bytes == options->bytes;
        gboolean with_md5 = options->with_md5 || (is_last && options->last_with_md5);
        goes_on = s3_cut(options->fd, &cut, with_md5, whole, cutter->stop, &error);
        if (is_last) {
            s3_checksum_end(g_steal_pointer(&whole), digest);
            print_hex(cutter->whole_hex, digest, 32); /* read only after the last part was taken */
        }
        if (goes_on)
            goes_on = hand_over(cutter, &cut);
    }
    s3_checksum_free(whole);
    if (error) {
        g_mutex_lock(&cutter->lock);
        cutter->error = error;
        g_mutex_unlock(&cutter->lock);
        options->ready(options->user);
    }
}

static gpointer run(gpointer user)
{
    cut_all(user, s3_checksum_begin(S3_CHECKSUM_SHA256));
    return NULL;
}

S3Cutter *s3_cutter_new(const S3CutterOptions *options)
{
    S3Cutter *cutter = g_new0(S3Cutter, 1);
    cutter->options = *options;
    cutter->stop = g_cancellable_new();
    g_mutex_init(&cutter->lock);
    g_cond_init(&cutter->taken);
    g_queue_init(&cutter->cuts);
    cutter->thread = g_thread_new("cut", run, cutter);
    return cutter;
}

void s3_cutter_free(S3Cutter *cutter)
{
    if (!cutter)
        return;
    g_cancellable_cancel(cutter->stop);
    g_mutex_lock(&cutter->lock);
    g_cond_signal(&cutter->taken);
    g_mutex_unlock(&cutter->lock);
    g_thread_join(cutter->thread);
    g_queue_clear_full(&cutter->cuts, g_free);
    g_clear_error(&cutter->error);
    g_object_unref(cutter->stop);
    g_mutex_clear(&cutter->lock);
    g_cond_clear(&cutter->taken);
    g_free(cutter);
}

gboolean s3_cutter_take(S3Cutter *cutter, S3Cut *cut, GError **error)
{
    g_mutex_lock(&cutter->lock);
    g_autofree S3Cut *taken = g_queue_pop_head(&cutter->cuts);
    if (taken)
        g_cond_signal(&cutter->taken);
    else if (cutter->error)
        g_propagate_error(error, g_steal_pointer(&cutter->error));
    g_mutex_unlock(&cutter->lock);
    if (taken)
        *cut = *taken;
    return taken != NULL;
}

const char *s3_cutter_whole_hex(const S3Cutter *cutter)
{
    return cutter->whole_hex;
}
