#include "digest.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#define CHUNK_BYTES (1024 * 1024)

static int pump(int fd, EVP_MD_CTX *digest, DigestEach each, gpointer user, gint64 *bytes, GError **error)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(digest, chunk, (size_t)n) != 1)
            return EIO;
        if (each && !each(user, chunk, (gsize)n, error))
            return -1;
        *bytes += n;
    }
}

int digest_fd(int fd, DigestEach each, gpointer user, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes,
              GError **error)
{
    guint8 raw[EVP_MAX_MD_SIZE];
    unsigned raw_bytes = 0;
    *bytes = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int failed = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 ? 0 : EIO;
    if (!failed)
        failed = pump(fd, digest, each, user, bytes, error);
    if (!failed && EVP_DigestFinal_ex(digest, raw, &raw_bytes) != 1)
        failed = EIO;
    EVP_MD_CTX_free(digest);
    for (unsigned i = 0; !failed && i < raw_bytes; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", raw[i]);
    return failed;
}

gboolean steno_storage_digest(const char *path, char hex[STENO_STORAGE_SHA256_HEX_BYTES], gint64 *bytes, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 ? errno : digest_fd(fd, NULL, NULL, hex, bytes, NULL);
    if (fd >= 0)
        close(fd);
    return !failed || steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", path, g_strerror(failed));
}
