#include "digest.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#define CHUNK_BYTES (256 * 1024)

static int write_all(int fd, const guint8 *data, gsize bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        bytes -= (gsize)n;
    }
    return 0;
}

static int pump(int in, int out, EVP_MD_CTX *digest, gint64 *bytes, gboolean *writing)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);
    *bytes = 0;
    *writing = FALSE;
    for (;;) {
        ssize_t n = read(in, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(digest, chunk, (size_t)n) != 1)
            return EIO;
        int failed = out >= 0 ? write_all(out, chunk, (gsize)n) : 0;
        if (failed) {
            *writing = TRUE;
            return failed;
        }
        *bytes += n;
    }
}

int steno_digest_fd(int in, int out, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes, gboolean *writing)
{
    guint8 raw[EVP_MAX_MD_SIZE];
    unsigned raw_bytes = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int failed = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 ? 0 : EIO;
    if (!failed)
        failed = pump(in, out, digest, bytes, writing);
    if (!failed && EVP_DigestFinal_ex(digest, raw, &raw_bytes) != 1)
        failed = EIO;
    EVP_MD_CTX_free(digest);
    for (unsigned i = 0; !failed && i < raw_bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    return failed;
}

gboolean steno_storage_digest(const char *path, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes, GError **error)
{
    gboolean writing = FALSE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 ? errno : steno_digest_fd(fd, -1, hex, bytes, &writing);
    if (fd >= 0)
        close(fd);
    if (failed) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", path, g_strerror(failed));
        return FALSE;
    }
    return TRUE;
}
