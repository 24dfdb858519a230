#include "capture_folder.h"

#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/safe_name.h"
#include "steno/job.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

gboolean job_capture_flag(const char *capture, const char *name)
{
    json_t *recording = job_capture_recording(capture, NULL);
    gboolean value = json_is_true(json_object_get(recording, name));
    json_decref(recording);
    return value;
}

char **job_capture_list(const char *capture, const char *name)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    json_t *recording = job_capture_recording(capture, NULL);
    const json_t *item;
    size_t i;
    json_array_foreach (json_object_get(recording, name), i, item) {
        if (json_is_string(item))
            g_ptr_array_add(list, g_strdup(json_string_value(item)));
    }
    json_decref(recording);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_steal(list, NULL);
}

gboolean job_capture_is_finished(const char *folder)
{
    g_autofree char *recording = g_build_filename(folder, "recording.json", NULL);
    g_autofree char *manifest = g_build_filename(folder, "manifest.json", NULL);
    return !g_file_test(recording, G_FILE_TEST_EXISTS) && g_file_test(manifest, G_FILE_TEST_IS_REGULAR);
}

/* ---- parts and sections ------------------------------------------------------------------------------------------ */

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

json_t *job_capture_stored_section(const char *capture, guint section)
{
    g_autofree char *path = g_strdup_printf("%s/section-%04u.json", capture, section);
    json_t *stored = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json_object_get(stored, "manifest")))
        return stored;
    json_decref(stored);
    return NULL;
}

void job_capture_stored_sections(const char *capture, void (*found)(gpointer user, const json_t *stored), gpointer user)
{
    for (guint section = 1;; section++) {
        json_t *stored = job_capture_stored_section(capture, section);
        if (!stored)
            return;
        found(user, stored);
        json_decref(stored);
    }
}

static void take_last_part(gpointer user, const json_t *stored)
{
    guint *last = user;
    json_int_t part = json_integer_value(json_object_get(stored, "last_part"));
    *last = MAX(*last, (guint)CLAMP(part, 0, G_MAXINT));
}

guint job_capture_parts(const char *capture)
{
    g_autoptr(GArray) numbers = job_capture_part_numbers(capture);
    guint last = numbers->len > 0 ? g_array_index(numbers, guint, numbers->len - 1) : 0;
    job_capture_stored_sections(capture, take_last_part, &last);
    return last;
}

char *job_capture_out(const char *capture, guint section)
{
    return section ? g_strdup_printf("%s/out-%04u", capture, section) : g_build_filename(capture, "out", NULL);
}

char *job_capture_memo_folder(const char *capture, const char *store)
{
    g_autofree char *name = steno_safe_name(store);
    char *folder = g_build_filename(capture, UPLOADS, name, NULL);
    if (g_mkdir_with_parents(folder, 0700) != 0)
        g_clear_pointer(&folder, g_free);
    return folder;
}

/* ---- its place in storage ---------------------------------------------------------------------------------------- */

void recording_place_clear(RecordingPlace *place)
{
    g_free(place->app);
    g_free(place->channel);
    g_free(place->id);
    *place = (RecordingPlace){0};
}

void recording_place_set(RecordingPlace *place, const char *app, const char *channel, const char *id,
                         gint64 started_wall_us)
{
    recording_place_clear(place);
    place->app = g_strdup(app);
    place->channel = g_strdup(channel && channel[0] ? channel : "channel");
    place->id = g_strdup(id);
    place->started_wall_us = started_wall_us;
}

char *recording_place_folder(const RecordingPlace *place, const StenoStore *store)
{
    const StenoStorePlace where = recording_place(place);
    return steno_store_folder(store, &where);
}

StenoStorePlace recording_place(const RecordingPlace *place)
{
    return (StenoStorePlace){place->app, place->channel, place->started_wall_us, place->id};
}

/* {"id", "zero": µs, …} of recording.json; of a manifest {"id", "zero": text, "zero_us", …}. */
static json_t *describing(const char *capture, const char **zero, GError **error)
{
    *zero = "zero";
    if (!job_capture_is_finished(capture))
        return job_capture_recording(capture, error);
    g_autofree char *path = g_build_filename(capture, "manifest.json", NULL);
    json_t *manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    json_t *recording = json_incref(json_object_get(manifest, "recording"));
    *zero = "zero_us";
    json_decref(manifest);
    if (!recording)
        (void)steno_error_set(error, STENO_ERROR_CAPTURE_DAMAGED, "'%s' is no manifest", path);
    return recording;
}

gboolean job_capture_place(const char *capture, RecordingPlace *place, GError **error)
{
    const char *zero;
    json_t *recording = describing(capture, &zero, error);
    if (!recording)
        return FALSE;
    const char *id = json_string_value(json_object_get(recording, "id"));
    gint64 zero_wall_us = json_integer_value(json_object_get(recording, zero));
    gboolean whole = id && zero_wall_us > 0;
    if (whole)
        recording_place_set(place, json_string_value(json_object_get(recording, "app")),
                            json_string_value(json_object_get(recording, "channel")), id, zero_wall_us);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "what describes '%s' lacks id or %s", capture,
                    zero);
    json_decref(recording);
    return whole;
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

/* It may have been let go, and its folder renamed, before we held the lock. */
static gboolean is_still_there(int fd, const char *capture)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && lstat(capture, &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

int job_capture_lock(const char *capture, GError **error)
{
    int fd = open(capture, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A file system that has no locks is no reason to keep a recording from its owner. */
    gboolean busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0 && !busy && is_still_there(fd, capture))
        return fd;
    if (busy)
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                    "the capture '%s' is being assembled or stored by another process", capture);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "'%s' is no capture: %s", capture,
                    g_strerror(fd < 0 ? errno : ENOENT));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- the ending -------------------------------------------------------------------------------------------------- */

gboolean job_sync_folder(const char *folder, GError **error)
{
    return steno_file_sync_folder(folder) ||
           steno_error_set_errno(error, errno, "writing the folder '%s' to disk", folder);
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

static gboolean write_ending(const char *capture, json_t *ending, GError **error)
{
    g_autofree char *path = g_build_filename(capture, ENDING, NULL);
    g_autofree char *new_path = g_build_filename(capture, ENDING_NEW, NULL);
    char *text = json_dumps(ending, JSON_COMPACT);
    int failed = write_new(new_path, text);
    free(text);
    if (!failed && g_rename(new_path, path) != 0)
        failed = errno;
    if (failed) {
        (void)g_unlink(new_path);
        return steno_error_set_errno(error, failed, "writing '%s'", path);
    }
    return job_sync_folder(capture, error);
}

gboolean job_ending_write(const char *capture, const char *end_reason, const GError *cause, GError **error)
{
    json_t *ending = json_pack("{s:s, s:o}", "end_reason", end_reason, "error", steno_error_to_json(cause));
    gboolean written = write_ending(capture, ending, error);
    json_decref(ending);
    return written;
}

gboolean job_ending_assembled(const char *capture, const char *manifest_sha256, GError **error)
{
    json_t *ending = job_ending_read(capture);
    const char *known = json_string_value(json_object_get(ending, "assembled"));
    gboolean written = !ending || g_strcmp0(known, manifest_sha256) == 0;
    if (!written) {
        json_object_set_new(ending, "assembled", json_string(manifest_sha256));
        written = write_ending(capture, ending, error);
    }
    json_decref(ending);
    return written;
}

gboolean job_ending_is_assembled(const char *capture)
{
    g_autofree char *out = job_capture_out(capture, 0);
    g_autofree char *path = g_build_filename(out, "manifest.json", NULL), *text = NULL;
    gsize bytes;
    json_t *ending = job_ending_read(capture);
    const char *told = json_string_value(json_object_get(ending, "assembled"));
    gboolean is = FALSE;
    if (told && g_file_get_contents(path, &text, &bytes, NULL)) {
        g_autofree char *sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, bytes);
        is = strcmp(sha256, told) == 0;
    }
    json_decref(ending);
    return is;
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
