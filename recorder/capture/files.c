#include "files.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int steno_files_create(int folder_fd, const char *name, GError **error)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, CAPTURE_FILE_MODE);
    if (fd < 0)
        steno_error_set_errno(error, errno, "creating %s in the capture", name);
    return fd;
}

gboolean steno_files_write(int fd, const char *name, const void *data, gsize bytes, GError **error)
{
    return steno_file_write(fd, data, bytes) || steno_error_set_errno(error, errno, "writing %s of the capture", name);
}

gboolean steno_files_replace(int folder_fd, const char *name, const char *text, GError **error)
{
    g_autofree char *temporary = g_strdup_printf(".%s.tmp", name);
    (void)unlinkat(folder_fd, temporary, 0); /* of a run that was cut off */
    int fd = steno_files_create(folder_fd, temporary, error);
    if (fd < 0)
        return FALSE;
    gboolean written = steno_files_write(fd, name, text, strlen(text), error);
    if (written && fsync(fd) != 0)
        written = steno_error_set_errno(error, errno, "writing %s of the capture to disk", name);
    close(fd);
    if (written && renameat(folder_fd, temporary, folder_fd, name) != 0)
        written = steno_error_set_errno(error, errno, "renaming %s in the capture", name);
    if (!written) {
        (void)unlinkat(folder_fd, temporary, 0);
        return FALSE;
    }
    if (fsync(folder_fd) != 0)
        return steno_error_set_errno(error, errno, "writing the capture's folder to disk");
    return TRUE;
}

void steno_files_remove_part(const char *path)
{
    g_autofree char *events = g_build_filename(path, EVENTS_FILE, NULL);
    (void)unlink(events);
    (void)rmdir(path); /* not with a track file in it */
}

/* Another process may have made it: then that has seen to it that its name is on disk. */
int steno_files_open_folder(const char *path, gboolean fresh, GError **error)
{
    gboolean there = !fresh && g_file_test(path, G_FILE_TEST_IS_DIR);
    int made = fresh ? mkdir(path, CAPTURE_FOLDER_MODE) : g_mkdir_with_parents(path, CAPTURE_FOLDER_MODE);
    if (made != 0) {
        steno_error_set_errno(error, errno, "making the folder %s", path);
        return -1;
    }
    if (!there && !steno_file_sync_parent(path)) {
        steno_error_set_errno(error, errno, "writing the folder of %s to disk", path);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        steno_error_set_errno(error, errno, "opening the folder %s", path);
    return fd;
}
