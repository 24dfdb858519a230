/*
 * LD_PRELOAD: fails the Nth operation on storage of one program, with an errno of choice: writes, syncs, renames, opens
 * for writing, folders, and calls of SQLite.
 *
 *   STENO_FAULT_PROGRAM  comm of the program it is for; others are left alone
 *   STENO_FAULT_BELOW    only files below this folder
 *   STENO_FAULT_AT       N, from 1; 0: count only
 *   STENO_FAULT_COUNT    so many in a row fail (default 1; 0: all from the Nth on)
 *   STENO_FAULT_ONCE     a file that is written to with the first failure; where something is in it already, nothing
 *                        fails: the program that is run again finds the disk well
 *   STENO_FAULT_ERRNO    28 (ENOSPC) or 5 (EIO)
 *   STENO_FAULT_LOG      each run of the program adds the number of its operations, and what was failed
 *
 * Both files are opened at the start: a confined program opens nothing outside of its folder later.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* sqlite3.h's, so that programs without SQLite need none. */
struct sqlite3;
struct sqlite3_stmt;
typedef int ExecCallback(void *, int, char **, char **);
int sqlite3_step(struct sqlite3_stmt *statement);
int sqlite3_exec(struct sqlite3 *db, const char *sql, ExecCallback *callback, void *user, char **words);
int sqlite3_prepare_v3(struct sqlite3 *db, const char *sql, int bytes, unsigned flags, struct sqlite3_stmt **statement,
                       const char **tail);
#define SQLITE_IOERR 10
#define SQLITE_FULL 13

static struct {
    int active, error;
    long at, count;
    const char *below;
    int log, once; /* -1: none */
    atomic_long seen;
} shim;

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void tell(const char *what, long number)
{
    if (shim.log < 0)
        return;
    char line[200];
    int bytes = snprintf(line, sizeof line, "%d %s %ld\n", (int)getpid(), what, number);
    if (REAL(write)(shim.log, line, (size_t)bytes) < 0)
        abort();
}

static void tell_total(void)
{
    tell("total", atomic_load(&shim.seen));
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static int open_named(const char *name)
{
    const char *path = setting(name);
    return path ? REAL(open)(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

__attribute__((constructor)) static void begin(void)
{
    char name[17] = "";
    (void)prctl(PR_GET_NAME, name);
    const char *program = setting("STENO_FAULT_PROGRAM"), *at = setting("STENO_FAULT_AT");
    shim.below = setting("STENO_FAULT_BELOW");
    if (!program || !at || !shim.below || strncmp(name, program, 15) != 0)
        return;
    shim.active = 1;
    shim.at = atol(at);
    shim.count = setting("STENO_FAULT_COUNT") ? atol(setting("STENO_FAULT_COUNT")) : 1;
    shim.error = setting("STENO_FAULT_ERRNO") ? atoi(setting("STENO_FAULT_ERRNO")) : ENOSPC;
    shim.log = open_named("STENO_FAULT_LOG");
    shim.once = open_named("STENO_FAULT_ONCE");
    (void)atexit(tell_total);
}

static int falls(const char *what)
{
    long number = atomic_fetch_add(&shim.seen, 1) + 1;
    if (shim.at == 0 || number < shim.at || (shim.count > 0 && number >= shim.at + shim.count))
        return 0;
    struct stat status;
    if (shim.once >= 0 && number == shim.at) {
        if (fstat(shim.once, &status) == 0 && status.st_size > 0) {
            shim.at = 0;
            return 0;
        }
        if (REAL(write)(shim.once, "1", 1) < 0)
            abort();
    }
    tell(what, number);
    errno = shim.error;
    return 1;
}

static int path_concerned(const char *path)
{
    return shim.active && path && strncmp(path, shim.below, strlen(shim.below)) == 0;
}

static int fd_concerned(int fd)
{
    if (!shim.active)
        return 0;
    struct stat status;
    if (fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes <= 0)
        return 0;
    path[bytes] = '\0';
    return path_concerned(path);
}

static int at_concerned(int folder_fd, const char *path)
{
    return path && path[0] == '/' ? path_concerned(path) : folder_fd >= 0 && fd_concerned(folder_fd);
}

/* ---- what is failed ---------------------------------------------------------------------------------------------- */

#define FAIL_FD(result, name, fd, parameters, arguments)                                                               \
    result name parameters                                                                                             \
    {                                                                                                                  \
        if (fd_concerned(fd) && falls(#name))                                                                          \
            return -1;                                                                                                 \
        return REAL(name) arguments;                                                                                   \
    }

FAIL_FD(ssize_t, write, fd, (int fd, const void *data, size_t bytes), (fd, data, bytes))
FAIL_FD(ssize_t, pwrite, fd, (int fd, const void *data, size_t bytes, off_t at), (fd, data, bytes, at))
FAIL_FD(ssize_t, pwrite64, fd, (int fd, const void *data, size_t bytes, off64_t at), (fd, data, bytes, at))
FAIL_FD(ssize_t, writev, fd, (int fd, const struct iovec *pieces, int count), (fd, pieces, count))
FAIL_FD(int, fsync, fd, (int fd), (fd))
FAIL_FD(int, fdatasync, fd, (int fd), (fd))
FAIL_FD(int, ftruncate, fd, (int fd, off_t bytes), (fd, bytes))
FAIL_FD(int, ftruncate64, fd, (int fd, off64_t bytes), (fd, bytes))

int rename(const char *from, const char *to)
{
    if (path_concerned(to) && falls("rename"))
        return -1;
    return REAL(rename)(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (at_concerned(to_fd, to) && falls("renameat"))
        return -1;
    return REAL(renameat)(from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (at_concerned(to_fd, to) && falls("renameat2"))
        return -1;
    return REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    if (path_concerned(path) && falls("mkdir"))
        return -1;
    return REAL(mkdir)(path, mode);
}

int mkdirat(int folder_fd, const char *path, mode_t mode)
{
    if (at_concerned(folder_fd, path) && falls("mkdirat"))
        return -1;
    return REAL(mkdirat)(folder_fd, path, mode);
}

#define OPEN_MODE(flags, mode)                                                                                         \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

#define FAIL_OPEN(name)                                                                                                \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        OPEN_MODE(flags, mode)                                                                                         \
        if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && path_concerned(path) && falls(#name))                           \
            return -1;                                                                                                 \
        return REAL(name)(path, flags, mode);                                                                          \
    }

#define FAIL_OPENAT(name)                                                                                              \
    int name(int folder_fd, const char *path, int flags, ...)                                                          \
    {                                                                                                                  \
        OPEN_MODE(flags, mode)                                                                                         \
        if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && at_concerned(folder_fd, path) && falls(#name))                  \
            return -1;                                                                                                 \
        return REAL(name)(folder_fd, path, flags, mode);                                                               \
    }

FAIL_OPEN(open)
FAIL_OPEN(open64)
FAIL_OPENAT(openat)
FAIL_OPENAT(openat64)

/* ---- SQLite ------------------------------------------------------------------------------------------------------ */

/* SQLite calls itself through the same names: what it does inside of a call of ours is not a call of ours. */
static __thread int depth;

static int fails_in_sqlite(const char *what)
{
    return shim.active && depth == 0 && falls(what);
}

static int fault_of_sqlite(void)
{
    return shim.error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR;
}

int sqlite3_step(struct sqlite3_stmt *statement)
{
    if (fails_in_sqlite("sqlite3_step"))
        return fault_of_sqlite();
    depth++;
    int rc = REAL(sqlite3_step)(statement);
    depth--;
    return rc;
}

int sqlite3_exec(struct sqlite3 *db, const char *sql, ExecCallback *callback, void *user, char **words)
{
    if (fails_in_sqlite("sqlite3_exec")) {
        if (words)
            *words = NULL;
        return fault_of_sqlite();
    }
    depth++;
    int rc = REAL(sqlite3_exec)(db, sql, callback, user, words);
    depth--;
    return rc;
}

int sqlite3_prepare_v3(struct sqlite3 *db, const char *sql, int bytes, unsigned flags, struct sqlite3_stmt **statement,
                       const char **tail)
{
    if (fails_in_sqlite("sqlite3_prepare_v3")) {
        *statement = NULL;
        return fault_of_sqlite();
    }
    depth++;
    int rc = REAL(sqlite3_prepare_v3)(db, sql, bytes, flags, statement, tail);
    depth--;
    return rc;
}
