#include "manifest.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)

static gboolean digest_fd(int fd, EVP_MD_CTX *context, gint64 *bytes)
{
    g_autofree guint8 *buffer = g_malloc(READ_BYTES);
    *bytes = 0;
    for (;;) {
        ssize_t n = read(fd, buffer, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        EVP_DigestUpdate(context, buffer, (size_t)n);
        *bytes += n;
    }
}

gboolean manifest_digest(const char *path, char sha256[MANIFEST_SHA256_BYTES], gint64 *bytes, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "opening %s", path);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    gboolean sound = digest_fd(fd, context, bytes);
    int saved = errno;
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_DigestFinal_ex(context, digest, &length);
    EVP_MD_CTX_free(context);
    close(fd);
    for (unsigned int i = 0; i < length; i++)
        g_snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    return sound || steno_error_set_errno(error, saved, "reading %s", path);
}
