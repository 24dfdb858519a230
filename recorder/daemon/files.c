/* A recording's files: what its manifest names, and nothing else. */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *files_of(const StenoJournalRecording *row, const Recording *recording)
{
    /* Ended, but not written down yet: they are told nowhere. */
    const json_t *files = recording && recording->shown ? json_object_get(recording->shown, "files")
                                                        : json_object_get(row->detail, "files");
    return files ? json_deep_copy(files) : json_array();
}

gboolean command_file_list(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) row = NULL;
    if (command_find(daemon, ask, &recording, &row))
        ask->reply->body = json_pack("{s:o}", "files", files_of(recording ? recording->row : row, recording));
    return TRUE;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static const json_t *find_file(const json_t *files, const char *name)
{
    size_t i;
    const json_t *file;
    json_array_foreach (files, i, file) {
        if (g_strcmp0(json_string_value(json_object_get(file, "name")), name) == 0)
            return file;
    }
    return NULL;
}

/*
 * Opens `name`, which comes from a manifest, below a storage's root: the folder's and the file's own last steps must be
 * what they are said to be, so that a link that somebody put there leads nowhere.
 */
static int open_in(const char *folder, const char *name, struct stat *status, GError **error)
{
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = folder_fd >= 0 ? openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) : -1;
    int saved_errno = errno;
    if (folder_fd >= 0)
        close(folder_fd);
    if (fd < 0 && saved_errno == ENOENT) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "the file '%s' is not in its storage any more", name);
        return -1;
    }
    if (fd < 0) {
        steno_error_set_errno(error, saved_errno, "cannot open the file '%s' in its storage", name);
        return -1;
    }
    if (fstat(fd, status) != 0 || !S_ISREG(status->st_mode)) {
        close(fd);
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "'%s' in the storage is no file", name);
        return -1;
    }
    return fd;
}

static gboolean reply_file(Ask *ask, const StenoJournalRecording *row, const char *name, const char *type,
                           const char *sha256_hex)
{
    g_autofree char *folder = recording_folder(row);
    struct stat status;
    if (!folder)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no files in a storage");
    StenoDaemonReply *reply = ask->reply;
    reply->fd = open_in(folder, name, &status, &reply->error);
    if (reply->fd < 0)
        return TRUE;
    reply->file_bytes = status.st_size;
    reply->file_modified_us = status.st_mtim.tv_sec * G_USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
    reply->file_name = g_strdup(name);
    reply->file_media_type = g_strdup(type);
    reply->file_sha256_hex = g_strdup(sha256_hex);
    return TRUE;
}

gboolean command_file_open(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) found = NULL;
    const char *wanted = ask_text(ask, "name");
    if (!command_find(daemon, ask, &recording, &found))
        return TRUE;
    const StenoJournalRecording *row = recording ? recording->row : found;
    json_t *files = files_of(row, recording);
    const json_t *file = find_file(files, wanted);
    const char *deleted_at = json_string_value(json_object_get(file, "deleted_at"));
    const json_t *bytes = json_object_get(file, "bytes");
    if (!file)
        command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no file of this name");
    else if (deleted_at)
        command_refuse(ask, STENO_ERROR_NOT_FOUND, "the file was deleted at %s, by retention or by order", deleted_at);
    else
        reply_file(ask, row, json_string_value(json_object_get(file, "name")),
                   json_string_value(json_object_get(file, "media_type")),
                   json_string_value(json_object_get(file, "sha256")));
    /* A checksum of other contents must not go out with these. */
    if (ask->reply->fd >= 0 && ask->reply->file_bytes != json_integer_value(bytes))
        command_refuse(ask, STENO_ERROR_VERIFY_FAILED,
                       "the file in the storage has %" G_GINT64_FORMAT
                       " bytes, and its manifest says %" JSON_INTEGER_FORMAT ": it was changed",
                       ask->reply->file_bytes, json_integer_value(bytes));
    json_decref(files);
    return TRUE;
}

gboolean command_manifest(StenoDaemon *daemon, Ask *ask)
{
    Recording *recording;
    g_autoptr(StenoJournalRecording) found = NULL;
    if (!command_find(daemon, ask, &recording, &found))
        return TRUE;
    if (recording && !recording->free_source)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "the recording has no manifest yet: it has not ended");
    return reply_file(ask, recording ? recording->row : found, "manifest.json", "application/json", NULL);
}
