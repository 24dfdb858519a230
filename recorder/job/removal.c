/* What goes of a capture, once it is proven in storage: all of it, or what a section has. */
#include "capture_folder.h"

#include "steno/base/error.h"
#include "steno/job.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

/* A capture that is being forgotten: <spool>/.stored-<id>. */
#define STORED_PREFIX ".stored-"
/* A part, or the files of a section, that are being removed: CAPTURE/.gone-part-0001. */
#define GONE_PREFIX ".gone-"

static gboolean is_capture_file(const char *name)
{
    static const char *const names[] = {
        "recording.json", ".recording.json.tmp", "events.jsonl", "recorder.lock", ENDING, ENDING_NEW};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return TRUE;
    }
    return g_str_has_prefix(name, "track-") || g_str_has_prefix(name, "section-") ||
           g_str_has_prefix(name, ".section-");
}

/* Folders in which everything is ours. */
static gboolean is_made_folder(const char *name)
{
    return strcmp(name, "out") == 0 || g_str_has_prefix(name, "out-") || strcmp(name, UPLOADS) == 0 ||
           g_str_has_prefix(name, GONE_PREFIX);
}

static gboolean is_capture_folder(const char *name)
{
    return g_str_has_prefix(name, "part-") || is_made_folder(name);
}

/* Removes the files of a folder, those that are a capture's or `everything`, and the folder when it is empty then. */
static gboolean remove_folder(const char *path, gboolean everything, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        gboolean is_folder = g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK);
        if (is_folder && (everything || is_capture_folder(name))) {
            if (!remove_folder(child, everything || is_made_folder(name), error))
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

gboolean job_folder_remove(const char *folder, GError **error)
{
    return remove_folder(folder, TRUE, error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

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
    return job_sync_folder(spool, error) && remove_folder(stored, FALSE, error);
}

void job_capture_forget_rest(const char *capture)
{
    g_autofree char *stored = stored_path(capture);
    if (g_file_test(stored, G_FILE_TEST_IS_DIR))
        (void)remove_folder(stored, FALSE, NULL);
}

/* ---- a section --------------------------------------------------------------------------------------------------- */

/* Away with its name, in one step. */
static gboolean rename_away(const char *capture, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(capture, name, NULL);
    g_autofree char *gone = g_strdup_printf("%s/" GONE_PREFIX "%s", capture, name);
    if (g_rename(path, gone) == 0 || errno == ENOENT)
        return TRUE;
    return steno_error_set_errno(error, errno, "cannot rename '%s'", path);
}

static gboolean remove_gone(const char *capture, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(capture, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(capture, name, NULL);
        if (g_str_has_prefix(name, GONE_PREFIX) && !remove_folder(path, TRUE, error))
            return FALSE;
    }
    return TRUE;
}

gboolean job_capture_forget_section(const char *capture, guint section, guint first_part, guint last_part,
                                    GError **error)
{
    g_autoptr(GArray) parts = job_capture_part_numbers(capture);
    gboolean renamed = TRUE;
    for (guint i = 0; i < parts->len && renamed; i++) {
        guint part = g_array_index(parts, guint, i);
        g_autofree char *name = g_strdup_printf("part-%04u", part);
        if (part >= first_part && part <= last_part)
            renamed = rename_away(capture, name, error);
    }
    /* Last: where it is, not all was removed. */
    g_autofree char *out = g_strdup_printf("out-%04u", section);
    return renamed && job_sync_folder(capture, error) && remove_gone(capture, error) &&
           rename_away(capture, out, error) && job_sync_folder(capture, error) && remove_gone(capture, error);
}
