/* The local file that is put: what it is must be what it was when it was made. */
#include "sink.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean store_source_is(const StenoPut *put, gint64 bytes, const char *sha256_hex, GError **error)
{
    if (bytes != put->bytes)
        return steno_error_set(error, STENO_ERROR_SOURCE_DAMAGED,
                               "%s has %" G_GINT64_FORMAT " bytes, but had %" G_GINT64_FORMAT " when it was made",
                               put->source, bytes, put->bytes);
    if (sha256_hex && strcmp(sha256_hex, put->sha256_hex) != 0)
        return steno_error_set(error, STENO_ERROR_SOURCE_DAMAGED,
                               "%s has other contents than when it was made (SHA-256 %s, not %s)", put->source,
                               sha256_hex, put->sha256_hex);
    return TRUE;
}

int store_source_open(const StenoPut *put, GError **error)
{
    struct stat status;
    int fd = open(put->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        steno_error_set(error, STENO_ERROR_SOURCE_DAMAGED, "%s is not there any more", put->source);
        return -1;
    }
    if (fd < 0 || fstat(fd, &status) != 0)
        steno_error_set(error, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", put->source, g_strerror(errno));
    else if (!S_ISREG(status.st_mode))
        steno_error_set(error, STENO_ERROR_SOURCE_DAMAGED, "%s is no file", put->source);
    else if (store_source_is(put, status.st_size, NULL, error))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
