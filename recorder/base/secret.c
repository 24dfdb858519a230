#include "steno/base/secret.h"

#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* One mapping a secret: whole pages of its own, so that lock and dump flags cover nothing else. */
struct StenoSecret {
    gatomicrefcount references;
    gsize bytes;
    gsize mapped_bytes;
    guint8 data[];
};

StenoSecret *steno_secret_new(const void *data, gsize bytes)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    gsize mapped_bytes = (sizeof(StenoSecret) + bytes + 1 + page - 1) / page * page;
    StenoSecret *secret = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secret == MAP_FAILED)
        g_error("out of memory for a secret of %" G_GSIZE_FORMAT " bytes", bytes);
    /* Without the right to lock (RLIMIT_MEMLOCK) the secret still works; the process then has no core and no dump of
     * it. */
    if (mlock(secret, mapped_bytes) != 0)
        steno_debug(NULL, "cannot lock memory of a secret: %s", g_strerror(errno));
    (void)madvise(secret, mapped_bytes, MADV_DONTDUMP);
    g_atomic_ref_count_init(&secret->references);
    secret->bytes = bytes;
    secret->mapped_bytes = mapped_bytes;
    if (bytes && data)
        memcpy(secret->data, data, bytes);
    return secret;
}

StenoSecret *steno_secret_ref(StenoSecret *secret)
{
    if (secret)
        g_atomic_ref_count_inc(&secret->references);
    return secret;
}

void steno_secret_unref(StenoSecret *secret)
{
    if (!secret || !g_atomic_ref_count_dec(&secret->references))
        return;
    gsize mapped_bytes = secret->mapped_bytes;
    steno_secret_wipe(secret->data, secret->bytes);
    (void)munmap(secret, mapped_bytes);
}

const char *steno_secret_text(const StenoSecret *secret)
{
    return (const char *)secret->data;
}

const guint8 *steno_secret_data(const StenoSecret *secret)
{
    return secret->data;
}

gsize steno_secret_bytes(const StenoSecret *secret)
{
    return secret->bytes;
}

guint8 *steno_secret_buffer(StenoSecret *secret)
{
    return secret->data;
}

static int open_secret(const char *path, GError **error)
{
    if (strcmp(path, "-") == 0)
        return dup(STDIN_FILENO);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "cannot read the secret file '%s': %s", path,
                    g_strerror(errno));
        return -1;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0037)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "the secret file '%s' can be read or written by others (mode %04o): chmod 0600 it", path,
                    (unsigned)status.st_mode & 07777);
        close(fd);
        return -1;
    }
    return fd;
}

StenoSecret *steno_secret_read_file(const char *path, GError **error)
{
    int fd = open_secret(path, error);
    if (fd < 0)
        return NULL;
    gsize room = STENO_SECRET_FILE_MAX_BYTES + 1;
    char *buffer = g_malloc(room);
    (void)mlock(buffer, room);
    gssize bytes = steno_file_read(fd, buffer, room);
    int saved_errno = errno;
    close(fd);
    while (bytes > 0 && (buffer[bytes - 1] == '\n' || buffer[bytes - 1] == '\r'))
        bytes--;
    StenoSecret *secret = NULL;
    const char *source = strcmp(path, "-") == 0 ? "standard input" : path;
    if (bytes < 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "cannot read the secret from '%s': %s", source,
                    g_strerror(saved_errno));
    else if (bytes == 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "there is no secret in '%s': it is empty", source);
    else if (bytes > STENO_SECRET_FILE_MAX_BYTES)
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "'%s' is larger than %d bytes: that is no secret", source,
                    STENO_SECRET_FILE_MAX_BYTES);
    else
        secret = steno_secret_new(buffer, (gsize)bytes);
    steno_secret_wipe(buffer, room);
    (void)munlock(buffer, room);
    g_free(buffer);
    if (secret)
        steno_log_hide_secret(steno_secret_text(secret));
    return secret;
}

void steno_secret_wipe(void *data, gsize bytes)
{
    explicit_bzero(data, bytes);
}

gboolean steno_secret_equal(const guint8 *a, const guint8 *b, gsize bytes)
{
    volatile guint8 difference = 0;
    for (gsize i = 0; i < bytes; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

/* Jansson's strings hold tokens on their way into locked memory. */
static void free_wiped(void *block)
{
    if (block)
        steno_secret_wipe(block, malloc_usable_size(block));
    free(block);
}

void steno_secret_protect_process(void)
{
    json_set_alloc_funcs(malloc, free_wiped);
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
