#include "journal_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of SQLite's file header (https://www.sqlite.org/fileformat.html §1.3). */
#define HEADER_BYTES 100
#define HEADER_MAGIC "SQLite format 3"
#define HEADER_WRITE_VERSION 18
#define HEADER_READ_VERSION 19
#define HEADER_USER_VERSION 60
#define HEADER_APPLICATION_ID 68

static const char *const companions[] = {"-wal", "-shm", "-journal"};

static gboolean fail(GError **error, const char *doing, const char *path)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_JOURNAL, "%s %s: %s", doing, path, g_strerror(errno));
    return FALSE;
}

gboolean journal_sync_parent(const char *path, GError **error)
{
    if (steno_file_sync_parent(path))
        return TRUE;
    fail(error, "writing to disk the folder of the journal", path);
    return FALSE;
}

static char *free_name(const char *path)
{
    g_autofree char *time = steno_clock_format_compact(steno_clock_wall_us());
    for (unsigned i = 1;; i++) {
        g_autofree char *suffix = i > 1 ? g_strdup_printf("-%u", i) : g_strdup("");
        g_autofree char *name = g_strdup_printf("%s.damaged-%s%s", path, time, suffix);
        if (!g_file_test(name, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&name);
    }
}

gboolean journal_set_aside(const char *path, char **new_name, GError **error)
{
    g_autofree char *name = free_name(path);
    /* The database first: what is left of a crash in between is known by having no database. */
    if (g_rename(path, name) != 0 && errno != ENOENT)
        return fail(error, "setting aside the damaged journal", path);
    for (gsize i = 0; i < G_N_ELEMENTS(companions); i++) {
        g_autofree char *from = g_strconcat(path, companions[i], NULL);
        g_autofree char *to = g_strconcat(name, companions[i], NULL);
        if (g_rename(from, to) != 0 && errno != ENOENT)
            return fail(error, "setting aside the damaged journal's", from);
    }
    if (!journal_sync_parent(path, error))
        return FALSE;
    *new_name = g_steal_pointer(&name);
    return TRUE;
}

static gboolean has_companion(const char *path)
{
    for (gsize i = 0; i < G_N_ELEMENTS(companions); i++) {
        g_autofree char *name = g_strconcat(path, companions[i], NULL);
        struct stat status;
        if (stat(name, &status) == 0 && status.st_size > 0)
            return TRUE;
    }
    return FALSE;
}

static guint32 big_endian(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

/* What SQLite would not call damage: a file of other format versions is read-only for it, or somebody else's fault. */
static char *header_damage(int fd, guint32 *version)
{
    guint8 header[HEADER_BYTES];
    ssize_t n = pread(fd, header, sizeof header, 0);
    if (n < (ssize_t)sizeof header)
        return g_strdup("it is cut");
    if (memcmp(header, HEADER_MAGIC, sizeof HEADER_MAGIC) != 0)
        return g_strdup("it is no SQLite database");
    if (header[HEADER_WRITE_VERSION] > 2 || header[HEADER_READ_VERSION] > 2)
        return g_strdup("it is of an unknown version of SQLite's format");
    if (big_endian(header + HEADER_APPLICATION_ID) == JOURNAL_APPLICATION_ID)
        *version = big_endian(header + HEADER_USER_VERSION);
    return NULL;
}

gboolean journal_prepare_file(const char *path, gboolean *fresh, guint32 *version, char **damage, GError **error)
{
    struct stat status;
    if (lstat(path, &status) != 0 && errno == ENOENT && has_companion(path)) {
        *damage = g_strdup("the file is gone, but not the write-ahead log beside it");
        return TRUE;
    }
    /* Here and not by SQLite, for the mode: what it makes beside the file gets the same. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && (errno = EINVAL)) ||
        ((status.st_mode & 0777) != 0600 && fchmod(fd, 0600) != 0)) {
        fail(error, "opening the journal", path);
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    *fresh = status.st_size == 0;
    if (!*fresh)
        *damage = header_damage(fd, version);
    /* Closing drops this process's locks on the file, so that SQLite must not have it open yet. */
    close(fd);
    return !*fresh || journal_sync_parent(path, error);
}
