#include "line.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct StenoAudit {
    int fd;
    char *path;
    goffset bytes; /* of whole lines; what lies behind is of a write that failed */
    AuditLink last;
};

/* ---- append ------------------------------------------------------------------------------------------------------ */

/* Nothing but our lines may be in it, and its name must still lead to it. */
static gboolean check_file(StenoAudit *audit, GError **error)
{
    struct stat status;
    if (fstat(audit->fd, &status) != 0)
        return steno_error_set_errno(error, errno, "looking at the audit log %s", audit->path);
    if (status.st_nlink == 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED,
                    "writing the audit log %s: it was deleted: put it back, or restart stenod to begin a new one",
                    audit->path);
        return FALSE;
    }
    if (status.st_size < audit->bytes) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED,
                    "writing the audit log %s: it was cut from %" G_GOFFSET_FORMAT " to %" G_GOFFSET_FORMAT
                    " bytes by another program",
                    audit->path, audit->bytes, (goffset)status.st_size);
        return FALSE;
    }
    if (status.st_size > audit->bytes && ftruncate(audit->fd, audit->bytes) != 0)
        return steno_error_set_errno(error, errno, "cutting half a line off the audit log %s", audit->path);
    return TRUE;
}

static gboolean write_line(StenoAudit *audit, const char *line, gsize bytes, GError **error)
{
    if (!steno_file_write(audit->fd, line, bytes))
        return steno_error_set_errno(error, errno, "writing the audit log %s", audit->path);
    if (fdatasync(audit->fd) != 0)
        return steno_error_set_errno(error, errno, "writing the audit log %s to disk", audit->path);
    return TRUE;
}

gboolean steno_audit_append(StenoAudit *audit, const StenoAuditEntry *entry, GError **error)
{
    AuditLink next;
    gsize bytes;
    g_autofree char *line = audit_line_new(entry, &audit->last, &next, &bytes);
    if (!check_file(audit, error))
        return FALSE;
    if (!write_line(audit, line, bytes, error)) {
        /* Now, so that nobody reads what is not in the log; if that fails, before the next line. */
        if (ftruncate(audit->fd, audit->bytes) != 0)
            errno = 0;
        return FALSE;
    }
    audit->bytes += (goffset)bytes;
    audit->last = next;
    return TRUE;
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static gboolean sync_parent(const char *path, GError **error)
{
    return steno_file_sync_parent(path) ||
           steno_error_set_errno(error, errno, "writing to disk the folder of the audit log %s", path);
}

static int open_file(const char *path, goffset *bytes, GError **error)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &status) != 0) {
        steno_error_set_errno(error, errno, "opening the audit log %s", path);
    } else if (!S_ISREG(status.st_mode)) {
        steno_error_set_errno(error, EACCES, "opening the audit log %s, which is no file", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        steno_error_set_errno(error, EACCES, "opening the audit log %s, which another process writes", path);
    } else if (status.st_size > 0 || sync_parent(path, error)) {
        *bytes = status.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The end of the file: as much of it as two lines can be. Caller frees. */
static char *read_end(const StenoAudit *audit, gsize *bytes, GError **error)
{
    gsize want = (gsize)MIN(audit->bytes, 2 * (goffset)AUDIT_LINE_MAX_BYTES), got = 0;
    g_autofree char *end = g_malloc(want + 1);
    while (got < want) {
        ssize_t n = pread(audit->fd, end + got, want - got, audit->bytes - (goffset)(want - got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            steno_error_set_errno(error, n < 0 ? errno : EIO, "reading the end of the audit log %s", audit->path);
            return NULL;
        }
        got += (gsize)n;
    }
    *bytes = got;
    return g_steal_pointer(&end);
}

static gsize last_line_start(const char *text, gsize bytes)
{
    const char *newline = bytes > 0 ? memrchr(text, '\n', bytes - 1) : NULL;
    return newline ? (gsize)(newline - text) + 1 : 0;
}

/*
 * How many bytes at the end are a line that a crash tore: without its end, or with NULs where a page of it was not yet
 * on disk. It was not acknowledged, as each line is synced before its append returns.
 */
static gsize torn_bytes(const char *text, gsize bytes)
{
    if (bytes == 0)
        return 0;
    gsize start = last_line_start(text, bytes);
    if (text[bytes - 1] != '\n')
        return bytes - start;
    return memchr(text + start, 0, bytes - start) ? bytes - start : 0;
}

static gboolean cut(StenoAudit *audit, gsize torn, GError **error)
{
    StenoAuditEntry entry = {.actor = "stenod", .action = "audit.repaired", .result = "ok"};
    entry.detail = json_pack("{s:I}", "cut_bytes", (json_int_t)torn);
    gboolean told = steno_audit_append(audit, &entry, error); /* cuts what lies behind audit->bytes */
    json_decref(entry.detail);
    return told;
}

static gboolean find_end(StenoAudit *audit, GError **error)
{
    gsize bytes = 0;
    g_autofree char *end = read_end(audit, &bytes, error);
    if (!end)
        return FALSE;
    gsize torn = torn_bytes(end, bytes);
    g_autofree char *fault = NULL;
    audit->bytes -= (goffset)torn;
    bytes -= torn;
    if (torn > AUDIT_LINE_MAX_BYTES) {
        fault = g_strdup("it is longer than a line can be");
    } else if (bytes > 0) {
        gsize start = last_line_start(end, bytes);
        fault = audit_line_check(end + start, bytes - start - 1, NULL, &audit->last);
    }
    if (fault) {
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED,
            "opening the audit log %s: its last line is not one: %s: look at it with `steno audit verify`, then "
            "move it away so that a new one is begun",
            audit->path, fault);
        return FALSE;
    }
    return torn == 0 || cut(audit, torn, error);
}

StenoAudit *steno_audit_open(const char *path, GError **error)
{
    goffset bytes = 0;
    int fd = open_file(path, &bytes, error);
    if (fd < 0)
        return NULL;
    StenoAudit *audit = g_new0(StenoAudit, 1);
    audit->fd = fd;
    audit->path = g_strdup(path);
    audit->bytes = bytes;
    audit_link_init(&audit->last);
    if (!find_end(audit, error))
        g_clear_pointer(&audit, steno_audit_close);
    return audit;
}

void steno_audit_close(StenoAudit *audit)
{
    if (!audit)
        return;
    close(audit->fd);
    g_free(audit->path);
    g_free(audit);
}
