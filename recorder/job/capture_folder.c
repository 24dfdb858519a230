#include "capture_folder.h"

#include "steno/base/error.h"
#include "steno/job.h"
#include "steno/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define ENDING "ending.json"
#define ENDING_NEW ".ending.json.tmp"
/* A capture that is being forgotten: <spool>/.stored-<id>. */
#define STORED_PREFIX ".stored-"

/* ---- what is there ----------------------------------------------------------------------------------------------- */

json_t *job_capture_recording(const char *capture, GError **error)
{
    g_autofree char *path = g_build_filename(capture, "recording.json", NULL);
    json_error_t why;
    json_t *recording = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(recording)) {
        json_decref(recording);
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                    "'%s' is no capture: cannot read its recording.json (%s)", capture, why.text);
        return NULL;
    }
    return recording;
}

gint64 job_capture_zero(const char *capture)
{
    json_t *recording = job_capture_recording(capture, NULL);
    gint64 zero_wall_us = json_integer_value(json_object_get(recording, "zero"));
    json_decref(recording);
    return zero_wall_us;
}

char *job_capture_setting(const char *capture, const char *name)
{
    json_t *recording = job_capture_recording(capture, NULL);
    char *value = g_strdup(json_string_value(json_object_get(recording, name)));
    json_decref(recording);
    return value;
}

static int compare_numbers(gconstpointer a, gconstpointer b)
{
    guint left = *(const guint *)a, right = *(const guint *)b;
    return left < right ? -1 : left > right;
}

GArray *job_capture_part_numbers(const char *capture)
{
    GArray *numbers = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GDir) dir = g_dir_open(capture, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        guint part;
        if (sscanf(name, "part-%u", &part) == 1 && part > 0)
            g_array_append_val(numbers, part);
    }
    g_array_sort(numbers, compare_numbers);
    return numbers;
}

guint job_capture_parts(const char *capture)
{
    g_autoptr(GArray) numbers = job_capture_part_numbers(capture);
    return numbers->len > 0 ? g_array_index(numbers, guint, numbers->len - 1) : 0;
}

char *job_capture_key(const char *capture, GError **error)
{
    json_t *recording = job_capture_recording(capture, error);
    if (!recording)
        return NULL;
    const char *id = json_string_value(json_object_get(recording, "id"));
    const char *channel = json_string_value(json_object_get(recording, "channel"));
    gint64 zero_wall_us = json_integer_value(json_object_get(recording, "zero"));
    char *key = NULL;
    if (id && zero_wall_us > 0)
        key = steno_storage_recording_key(channel && channel[0] ? channel : "channel", zero_wall_us, id);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "the recording.json of '%s' lacks id or zero",
                    capture);
    json_decref(recording);
    return key;
}

void steno_job_captures(const char *spool, void (*found)(gpointer user, const char *capture, const json_t *recording),
                        gpointer user)
{
    g_autoptr(GDir) dir = g_dir_open(spool, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *capture = g_build_filename(spool, name, NULL);
        json_t *recording = name[0] == '.' ? NULL : job_capture_recording(capture, NULL);
        if (recording)
            found(user, capture, recording);
        json_decref(recording);
    }
}

int job_capture_lock(const char *capture, GError **error)
{
    int fd = open(capture, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "'%s' is no capture: %s", capture,
                    g_strerror(errno));
        return -1;
    }
    /* A file system that has no locks is no reason to keep a recording from its owner. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return fd;
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                "the capture '%s' is being assembled or stored by another process", capture);
    close(fd);
    return -1;
}

/* ---- the ending -------------------------------------------------------------------------------------------------- */

static gboolean sync_folder(const char *folder, GError **error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return !failed || steno_error_set_errno(error, failed, "writing the folder '%s' to disk", folder);
}

static int write_new(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    gssize bytes = write(fd, text, strlen(text));
    int failed = bytes < 0 ? errno : (gsize)bytes < strlen(text) ? ENOSPC : fsync(fd) != 0 ? errno : 0;
    close(fd);
    return failed;
}

gboolean job_ending_write(const char *capture, const char *end_reason, const GError *cause, GError **error)
{
    g_autofree char *path = g_build_filename(capture, ENDING, NULL);
    g_autofree char *new_path = g_build_filename(capture, ENDING_NEW, NULL);
    json_t *ending = json_pack("{s:s, s:o}", "end_reason", end_reason, "error", steno_error_to_json(cause));
    char *text = json_dumps(ending, JSON_COMPACT);
    json_decref(ending);
    int failed = write_new(new_path, text);
    free(text);
    if (!failed && g_rename(new_path, path) != 0)
        failed = errno;
    if (failed) {
        (void)g_unlink(new_path);
        return steno_error_set_errno(error, failed, "writing '%s'", path);
    }
    return sync_folder(capture, error);
}

json_t *job_ending_read(const char *capture)
{
    g_autofree char *path = g_build_filename(capture, ENDING, NULL);
    json_t *ending = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_string(json_object_get(ending, "end_reason")))
        return ending;
    json_decref(ending);
    return NULL;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

static gboolean is_capture_file(const char *name)
{
    static const char *const names[] = {
        "recording.json", ".recording.json.tmp", "events.jsonl", "recorder.lock", ENDING, ENDING_NEW};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return TRUE;
    }
    return g_str_has_prefix(name, "track-");
}

static gboolean is_capture_folder(const char *name)
{
    return g_str_has_prefix(name, "part-") || strcmp(name, "out") == 0;
}

/* Removes the files of a folder, those that are a capture's or `everything`, and the folder when it is empty then. */
static gboolean remove_folder(const char *path, gboolean everything, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        gboolean is_folder = g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK);
        if (is_folder && is_capture_folder(name)) {
            if (!remove_folder(child, strcmp(name, "out") == 0, error))
                return FALSE;
        } else if (!is_folder && (everything || is_capture_file(name)) && g_unlink(child) != 0) {
            return steno_error_set_errno(error, errno, "cannot remove '%s'", child);
        }
    }
    if (g_rmdir(path) != 0 && errno != ENOENT)
        return steno_error_set_errno(error, errno, "cannot remove the capture '%s'", path);
    return TRUE;
}

gboolean job_capture_remove(const char *capture, GError **error)
{
    return remove_folder(capture, FALSE, error);
}

static char *stored_path(const char *capture)
{
    g_autofree char *spool = g_path_get_dirname(capture);
    g_autofree char *id = g_path_get_basename(capture);
    return g_strdup_printf("%s/" STORED_PREFIX "%s", spool, id);
}

gboolean steno_job_capture_forget(const char *capture, GError **error)
{
    g_autofree char *stored = stored_path(capture);
    g_autofree char *spool = g_path_get_dirname(capture);
    if (g_rename(capture, stored) != 0)
        return steno_error_set_errno(error, errno, "cannot rename the capture '%s'", capture);
    /* Before the first file goes: a machine that stops here must not come up with the old name and half of the files.
     */
    return sync_folder(spool, error) && remove_folder(stored, FALSE, error);
}

void job_capture_forget_rest(const char *capture)
{
    g_autofree char *stored = stored_path(capture);
    if (g_file_test(stored, G_FILE_TEST_IS_DIR))
        (void)remove_folder(stored, FALSE, NULL);
}
