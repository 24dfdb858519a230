/*
 * steno backup: what stenod knows, copied while it runs. Each file keeps its path, owner and mode below the backup, so
 * that putting it back is `tar -C /`.
 */
#include "cli.h"

#include "steno/audit.h"
#include "steno/base/file.h"
#include "steno/config.h"
#include "steno/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUMS "SHA256SUMS"
#define PARTIAL ".partial"
#define CHUNK_BYTES (256 * 1024)
/* Folders of key files: deeper than <app>/<channel>.json nobody puts them. */
#define TREE_DEPTH_MAX 8

typedef struct {
    const StenoConfig *config;
    char *folder; /* being filled: <where it goes>.partial */
    GString *sums;
    gint64 recordings;
    guint files;
    gint64 bytes;
} Backup;

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* The folders that lead to a path, each with the mode and the owner that it has outside. */
static gboolean make_folders(const Backup *backup, const char *folder, GError **error)
{
    g_autofree char *inside = g_strconcat(backup->folder, folder, NULL);
    g_autofree char *parent = g_path_get_dirname(folder);
    struct stat status;
    if (strcmp(folder, "/") == 0 || g_file_test(inside, G_FILE_TEST_IS_DIR))
        return TRUE;
    if (!make_folders(backup, parent, error))
        return FALSE;
    if (stat(folder, &status) != 0)
        return steno_error_set_errno(error, errno, "looking at %s", folder);
    /* Ours to fill; the rights that others have outside they have here, too. */
    if (g_mkdir(inside, 0700) != 0 || (geteuid() == 0 && chown(inside, status.st_uid, status.st_gid) != 0) ||
        chmod(inside, (status.st_mode & 07777) | 0700) != 0)
        return steno_error_set_errno(error, errno, "making the folder %s", inside);
    return TRUE;
}

/* What is whole of a file that grows line by line. */
static gsize whole_lines(const char *data, gsize bytes)
{
    const char *newline = bytes ? memrchr(data, '\n', bytes) : NULL;
    return newline ? (gsize)(newline - data) + 1 : 0;
}

typedef struct {
    int from, to;
    GChecksum *sum;
    gint64 bytes;
} Stream;

static gboolean put(Stream *stream, const char *data, gsize bytes)
{
    g_checksum_update(stream->sum, (const guchar *)data, (gssize)bytes);
    stream->bytes += (gint64)bytes;
    return steno_file_write(stream->to, data, bytes);
}

/* FALSE with errno. by_lines: what stands behind the last line's end is being written, and left out. */
static gboolean pour(Stream *stream, gboolean by_lines)
{
    g_autofree char *buffer = g_malloc(2 * CHUNK_BYTES);
    gsize held = 0;
    for (;;) {
        gssize n = steno_file_read(stream->from, buffer + held, CHUNK_BYTES);
        if (n < 0)
            return FALSE;
        gsize have = held + (gsize)n, give = by_lines ? whole_lines(buffer, have) : have;
        held = have - give;
        if (!put(stream, buffer, give))
            return FALSE;
        if (n == 0)
            return TRUE;
        if (held > CHUNK_BYTES) {
            errno = EFBIG;
            return FALSE;
        }
        memmove(buffer, buffer + give, held);
    }
}

static void note_sum(Backup *backup, const char *path, gint64 bytes, GChecksum *sum)
{
    g_string_append_printf(backup->sums, "%s  %s\n", g_checksum_get_string(sum), path + 1);
    backup->files++;
    backup->bytes += bytes;
}

static gboolean copy_open(Backup *backup, const char *path, int from, gboolean by_lines, GError **error)
{
    g_autofree char *inside = g_strconcat(backup->folder, path, NULL);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    struct stat status;
    if (fstat(from, &status) != 0 || (!S_ISREG(status.st_mode) && (errno = EINVAL)))
        return steno_error_set_errno(error, errno, "copying %s, which must be a file", path);
    int to = open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0)
        return errno == EEXIST || steno_error_set_errno(error, errno, "making %s", inside);
    Stream stream = {.from = from, .to = to, .sum = sum};
    gboolean good = pour(&stream, by_lines) && (geteuid() != 0 || fchown(to, status.st_uid, status.st_gid) == 0) &&
                    fchmod(to, status.st_mode & 0777) == 0 && fsync(to) == 0;
    int saved_errno = errno;
    close(to);
    if (!good)
        return steno_error_set_errno(error, saved_errno, "copying %s to %s", path, inside);
    note_sum(backup, path, stream.bytes, sum);
    return TRUE;
}

/* open_flags: O_NOFOLLOW where stenod's user could have put a link to what is not its own. */
static gboolean copy_file(Backup *backup, const char *path, int open_flags, gboolean by_lines, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | open_flags);
    if (from < 0)
        return steno_error_set_errno(error, errno, "reading %s", path);
    gboolean good = make_folders(backup, parent, error) && copy_open(backup, path, from, by_lines, error);
    close(from);
    return good;
}

static gboolean copy_tree(Backup *backup, const char *folder, guint depth, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
    const char *name;
    if (!dir || !make_folders(backup, folder, error))
        return FALSE;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat status;
        if (lstat(path, &status) != 0)
            continue; /* it went away meanwhile */
        if (S_ISREG(status.st_mode) && !copy_file(backup, path, O_NOFOLLOW, FALSE, error))
            return FALSE;
        if (S_ISDIR(status.st_mode) && depth < TREE_DEPTH_MAX && !copy_tree(backup, path, depth + 1, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean copy_folder(Backup *backup, const char *folder, GError **error)
{
    return !g_file_test(folder, G_FILE_TEST_IS_DIR) || copy_tree(backup, folder, 0, error);
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static gboolean copy_journal(Backup *backup, GError **error)
{
    const char *state_dir = backup->config->top.state_dir;
    g_autofree char *path = g_build_filename(state_dir, "journal.sqlite", NULL);
    g_autofree char *inside = g_strconcat(backup->folder, path, NULL);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    struct stat status;
    if (!make_folders(backup, state_dir, error) || !steno_journal_copy(path, inside, &backup->recordings, error))
        return FALSE;
    int fd = open(inside, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    Stream stream = {.from = fd, .to = nowhere, .sum = sum};
    gboolean good = fd >= 0 && nowhere >= 0 && pour(&stream, FALSE) && stat(path, &status) == 0 &&
                    (geteuid() != 0 || fchown(fd, status.st_uid, status.st_gid) == 0) && fsync(fd) == 0;
    if (good)
        note_sum(backup, path, stream.bytes, sum);
    else
        steno_error_set_errno(error, errno, "reading the journal's copy %s", inside);
    if (fd >= 0)
        close(fd);
    if (nowhere >= 0)
        close(nowhere);
    return good;
}

/* A log that does not prove itself any more is worth keeping all the same: it is copied, and this is said. */
static gboolean copy_audit(Backup *backup, GError **error)
{
    g_autofree char *path = g_build_filename(backup->config->top.state_dir, "audit.jsonl", NULL);
    g_autofree char *inside = g_strconcat(backup->folder, path, NULL);
    g_autoptr(GError) damage = NULL;
    guint64 entries;
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    if (!copy_file(backup, path, O_NOFOLLOW, TRUE, error))
        return FALSE;
    if (!steno_audit_verify(inside, &entries, NULL, &damage))
        fprintf(stderr, "steno: the audit log was copied as it is, but: %s\n", damage->message);
    return TRUE;
}

static gboolean copy_state(Backup *backup, GError **error)
{
    static const char *const folders[] = {"tls", "signing", "storages"};
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *folder = g_build_filename(backup->config->top.state_dir, folders[i], NULL);
        if (!copy_folder(backup, folder, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean copy_config(Backup *backup, GError **error)
{
    for (guint i = 0; i < backup->config->files->len; i++) {
        g_autofree char *path = g_canonicalize_filename(backup->config->files->pdata[i], NULL);
        if (!copy_file(backup, path, 0, FALSE, error))
            return FALSE;
    }
    for (guint i = 0; i < backup->config->key_sources->len; i++) {
        const StenoConfigKeys *source = backup->config->key_sources->pdata[i];
        gboolean is_folder = strcmp(source->type, "folder") == 0 || strcmp(source->type, "pkcs11") == 0;
        if (is_folder && source->path && !copy_folder(backup, source->path, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean write_sums(const Backup *backup, GError **error)
{
    g_autofree char *path = g_build_filename(backup->folder, SUMS, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    gboolean good = fd >= 0 && steno_file_write(fd, backup->sums->str, backup->sums->len) && fsync(fd) == 0;
    if (!good)
        steno_error_set_errno(error, errno, "writing %s", path);
    if (fd >= 0)
        close(fd);
    return good;
}

static gboolean fill(Backup *backup, GError **error)
{
    return copy_journal(backup, error) && copy_audit(backup, error) && copy_state(backup, error) &&
           copy_config(backup, error) && write_sums(backup, error);
}

/* ---- whole, or not at all ---------------------------------------------------------------------------------------- */

static gboolean run_program(const char *const *argv, GError **error)
{
    g_autofree char *said = NULL;
    g_autoptr(GError) why = NULL;
    int status = 0;
    if (g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                     &said, &status, &why) &&
        g_spawn_check_wait_status(status, &why))
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "%s: %s%s%s", argv[0], why->message,
                said && said[0] ? ": " : "", said ? g_strchomp(said) : "");
    return FALSE;
}

static void remove_tree(const char *folder)
{
    const char *const argv[] = {"rm", "-rf", "--", folder, NULL};
    g_autoptr(GError) error = NULL;
    if (!run_program(argv, &error))
        fprintf(stderr, "steno: %s is left: %s\n", folder, error->message);
}

/* The folders keep the rights they have outside; the one that holds them all is not in it. */
static gboolean pack(const Backup *backup, const char *file, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(backup->folder, 0, error);
    const char *name;
    if (!dir)
        return FALSE;
    for (const char *const *word =
             (const char *const[]){"tar", "--create", "--file", file, "--directory", backup->folder, "--", NULL};
         *word; word++)
        g_ptr_array_add(argv, g_strdup(*word));
    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(argv, g_strdup(name));
    g_ptr_array_add(argv, NULL);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return steno_error_set_errno(error, errno, "making %s", file);
    gboolean packed = run_program((const char *const *)argv->pdata, error);
    if (packed && fsync(fd) != 0)
        packed = steno_error_set_errno(error, errno, "writing %s to disk", file);
    close(fd);
    if (!packed)
        (void)g_unlink(file);
    return packed;
}

static gboolean publish(const char *from, const char *to, GError **error)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0 &&
        /* A file system that does not know how (NFS): that nothing was there is known. */
        ((errno != EINVAL && errno != ENOSYS) || rename(from, to) != 0))
        return steno_error_set_errno(error, errno, "naming the backup %s", to);
    return steno_file_sync_parent(to) || steno_error_set_errno(error, errno, "writing the folder of %s to disk", to);
}

static gboolean make(Backup *backup, const char *to, GError **error)
{
    if (!g_str_has_suffix(to, ".tar"))
        return fill(backup, error) && publish(backup->folder, to, error);
    g_autofree char *file = g_strconcat(backup->folder, ".tar", NULL);
    if (!fill(backup, error) || !pack(backup, file, error))
        return FALSE;
    if (publish(file, to, error))
        return TRUE;
    (void)g_unlink(file);
    return FALSE;
}

static gboolean begin(Backup *backup, const char *to, GError **error)
{
    struct stat status;
    if (lstat(to, &status) == 0)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "%s is there already, and is not overwritten: give another name", to);
    backup->folder = g_strconcat(to, PARTIAL, NULL);
    if (g_mkdir(backup->folder, 0700) == 0)
        return TRUE;
    if (errno == EEXIST)
        return steno_error_set(error, STENO_ERROR_STORAGE_UNWRITABLE,
                               "%s is there: another backup is being made, or one was cut off: then remove it",
                               backup->folder);
    return steno_error_set_errno(error, errno, "making the folder %s", backup->folder);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void tell(const CliCall *call, const Backup *backup, const char *to)
{
    if (call->json) {
        cli_print_json(json_pack("{s:s, s:I, s:i, s:I}", "backup", to, "recordings", (json_int_t)backup->recordings,
                                 "files", (int)backup->files, "bytes", (json_int_t)backup->bytes));
        return;
    }
    printf("%s\n", to);
    if (!isatty(STDERR_FILENO))
        return; /* what cron would mail */
    fprintf(stderr,
            "steno: %u files; the journal knows %" G_GINT64_FORMAT
            " recordings. It holds secrets and keys, and neither recordings nor captures\n",
            backup->files, backup->recordings);
}

static int run_backup(CliCall *call, GError **error)
{
    const char *given = cli_text(call, "config"), *path = given ? given : STENO_CONFIG_DEFAULT_PATH;
    g_autoptr(StenoConfig) config = steno_config_load(path, error);
    if (!config)
        return 1;
    g_autofree char *to = g_canonicalize_filename(call->operands[0], NULL);
    Backup backup = {.config = config, .sums = g_string_new(NULL)};
    (void)umask(0077);
    gboolean begun = begin(&backup, to, error), made = begun && make(&backup, to, error);
    if (begun && (!made || g_str_has_suffix(to, ".tar")))
        remove_tree(backup.folder);
    if (made)
        tell(call, &backup, to);
    g_free(backup.folder);
    g_string_free(backup.sums, TRUE);
    return made ? 0 : 1;
}

static const CliOption backup_options[] = {
    {"config", 'c', CLI_TEXT, "FILE", "stenod's configuration (default: /etc/steno/steno.conf)"},
    {NULL},
};

const CliCommand cli_backup = {
    .name = "backup",
    .words = "copy what stenod knows, while it runs",
    .operands = "DIR|FILE.tar",
    .operands_min = 1,
    .operands_max = 1,
    .summary =
        "Copies the journal (API keys, recordings and where they are), the audit log, the signing key, stenod's own\n"
        "certificate, the configuration and every file that it names, secrets and folders of content keys among them;\n"
        "while stenod runs, on this machine, as root. The journal's copy is checked. The backup is made whole, or not "
        "at\n"
        "all, and nothing is overwritten. Neither recordings nor captures are in it, nor credentials of systemd's. It\n"
        "opens everything that stenod can open: keep it as safe as this machine.\n"
        "To put it back, also on another machine: stop stenod, remove journal.sqlite-wal and -shm, unpack, start. What "
        "was\n"
        "recorded since is found in the storages. API keys that were revoked since are good again: revoke them.",
    .examples = "  sudo steno backup /srv/backup/steno-$(date +%F).tar\n"
                "  sudo systemctl stop stenod\n"
                "  sudo rm -f /var/lib/steno/journal.sqlite-wal /var/lib/steno/journal.sqlite-shm\n"
                "  sudo tar -C / --exclude SHA256SUMS -xpf /srv/backup/steno-2026-11-22.tar\n"
                "  sudo systemctl start stenod\n",
    .codes = "config journal storage-unwritable storage-full storage-failed",
    .options = backup_options,
    .run = run_backup,
};
