/* steno doctor: where content keys come from. */
#include "checks.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 5
/* Who may do what: nobody but the owner may read a key file; nobody else may change what keys are taken from. */
#define MODE_READ_BY_OTHERS 0077
#define MODE_WRITTEN_BY_OTHERS 0022

/* TRUE when there is one of the kind (S_IFDIR, S_IFREG) that others cannot use as they must not. */
static gboolean is_safe(CliChecks *checks, const char *name, const char *path, mode_t forbidden, mode_t kind)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        gboolean unseen = errno == EACCES;
        checks_add(checks, unseen ? CHECK_WARNING : CHECK_BAD, name,
                   unseen ? "run this with sudo to have it checked" : "make it, or correct key_sources", "%s: %s", path,
                   g_strerror(errno));
    } else if (kind && (status.st_mode & S_IFMT) != kind) {
        checks_add(checks, CHECK_BAD, name, "correct key_sources", "%s is no %s", path,
                   kind == S_IFDIR ? "folder" : "file");
    } else if (status.st_mode & forbidden) {
        g_autofree char *advice =
            g_strdup_printf("chmod %s '%s'", forbidden == MODE_READ_BY_OTHERS ? "0400" : "go-w", path);
        checks_add(checks, CHECK_BAD, name, advice, "%s can be %s by others (mode %04o)", path,
                   forbidden == MODE_READ_BY_OTHERS ? "read" : "changed", (unsigned)status.st_mode & 07777);
    } else {
        return TRUE;
    }
    return FALSE;
}

/* Counts the key files of an app; tells those that others can read. */
static guint check_files(CliChecks *checks, const char *name, const char *folder, const char *suffix, mode_t forbidden,
                         gboolean *safe)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *file;
    guint files = 0;
    while (dir && (file = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, file, NULL);
        if (!g_str_has_suffix(file, suffix))
            continue;
        files++;
        *safe = is_safe(checks, name, path, forbidden, S_IFREG) && *safe;
    }
    return files;
}

/* A folder of <app>/<channel><suffix>. */
static void check_folder(CliChecks *checks, const char *name, const char *path, const char *suffix, mode_t forbidden)
{
    gboolean safe = TRUE;
    guint files = 0;
    if (!is_safe(checks, name, path, MODE_WRITTEN_BY_OTHERS, S_IFDIR))
        return;
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    if (!dir) {
        checks_add(checks, CHECK_WARNING, name, "run this with sudo to have it checked", "%s cannot be read", path);
        return;
    }
    const char *app;
    while ((app = g_dir_read_name(dir))) {
        g_autofree char *folder = g_build_filename(path, app, NULL);
        if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
            continue;
        safe = is_safe(checks, name, folder, MODE_WRITTEN_BY_OTHERS, S_IFDIR) && safe;
        files += check_files(checks, name, folder, suffix, forbidden, &safe);
    }
    if (safe)
        checks_add(checks, CHECK_GOOD, name, NULL, "%s: %u channels' keys", path, files);
}

static void check_program(CliChecks *checks, const char *name, const char *path)
{
    if (!is_safe(checks, name, path, MODE_WRITTEN_BY_OTHERS, S_IFREG))
        return;
    struct stat status;
    if (stat(path, &status) == 0 && !(status.st_mode & 0111))
        checks_add(checks, CHECK_BAD, name, "make it executable", "%s is no program", path);
    else
        checks_add(checks, CHECK_GOOD, name, NULL, "%s is a program", path);
}

/* That somebody answers there; who it is, and whether we may ask, is seen by who asks for a key. */
static void check_service(CliChecks *checks, const char *name, const char *url)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_timeout(client, CONNECT_TIMEOUT_S);
    g_socket_client_set_enable_proxy(client, FALSE);
    guint16 port = g_str_has_prefix(url, "http:") ? 80 : 443;
    g_autoptr(GSocketConnection) connection = g_socket_client_connect_to_uri(client, url, port, NULL, &error);
    if (connection)
        checks_add(checks, CHECK_GOOD, name, NULL, "%s answers", url);
    else
        checks_add(checks, CHECK_BAD, name,
                   "see to it; recordings wait for their keys meanwhile, sealed: nothing is lost", "%s: %s", url,
                   error->message);
}

void doctor_key_sources(CliChecks *checks, const StenoConfig *config)
{
    for (guint i = 0; config && i < config->key_sources->len; i++) {
        const StenoConfigKeys *source = g_ptr_array_index(config->key_sources, i);
        g_autofree char *name = g_strdup_printf("key source %s", source->name);
        if (strcmp(source->type, "folder") == 0)
            check_folder(checks, name, source->path, ".json", MODE_READ_BY_OTHERS);
        else if (strcmp(source->type, "pkcs11") == 0)
            check_folder(checks, name, source->path, ".json.cms", MODE_WRITTEN_BY_OTHERS);
        else if (strcmp(source->type, "command") == 0)
            check_program(checks, name, source->path);
        else
            check_service(checks, name, source->url);
    }
}
