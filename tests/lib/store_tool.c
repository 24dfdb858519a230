/*
 * store-tool CONFIG STORE VERB …: one call of a storage, for tests. A line of JSON on standard output; exit code 0 when
 * it was done.
 */
#include "steno/base/error.h"
#include "steno/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "store-tool CONFIG STORE put SRC KEY [--sha HEX] [--memo DIR] [--replace] | verify KEY BYTES SHA [--contents] |\n"
    "  read KEY | fetch KEY OFFSET LENGTH | stat KEY | list PREFIX | remove KEY | orphans PREFIX | presign KEY | "
    "check\n";

typedef struct {
    StenoStore *store;
    char **words; /* after the verb */
    int n;
    json_t *told; /* what is told beside ok and error */
} Tool;

static const char *option(const Tool *tool, const char *name)
{
    for (int i = 0; i < tool->n; i++)
        if (strcmp(tool->words[i], name) == 0)
            return i + 1 < tool->n ? tool->words[i + 1] : "";
    return NULL;
}

static gint64 number(const char *text)
{
    return g_ascii_strtoll(text, NULL, 10);
}

static void on_progress(gpointer user, gint64 bytes_stored, const GError *trouble)
{
    Tool *tool = user;
    json_object_set_new(tool->told, "bytes_stored", json_integer(bytes_stored));
    if (trouble) {
        json_int_t times = json_integer_value(json_object_get(tool->told, "troubles"));
        json_object_set_new(tool->told, "troubles", json_integer(times + 1));
        json_object_set_new(tool->told, "trouble", json_string(trouble->message));
        fprintf(stderr, "trouble: %s\n", trouble->message);
    }
}

static gboolean do_put(Tool *tool, GError **error)
{
    const char *sha = option(tool, "--sha");
    struct stat status;
    if (stat(tool->words[0], &status) != 0)
        return steno_error_set_errno(error, errno, "looking at %s", tool->words[0]);
    StenoPut put = {.source = tool->words[0],
                    .key = tool->words[1],
                    .bytes = status.st_size,
                    .sha256_hex = sha,
                    .replace = option(tool, "--replace") != NULL,
                    .memo_folder = option(tool, "--memo"),
                    .progress = on_progress,
                    .user = tool};
    return steno_store_put(tool->store, &put, error);
}

static gboolean do_verify(Tool *tool, GError **error)
{
    return steno_store_verify(tool->store, tool->words[0], number(tool->words[1]), tool->words[2],
                              option(tool, "--contents") ? STENO_PROOF_CONTENTS : STENO_PROOF_STORED, NULL, error);
}

static gboolean do_read(Tool *tool, GError **error)
{
    g_autoptr(GBytes) bytes = steno_store_read(tool->store, tool->words[0], 1024 * 1024, NULL, error);
    if (!bytes)
        return FALSE;
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    g_autofree char *base64 = g_base64_encode((const guchar *)data, n);
    json_object_set_new(tool->told, "base64", json_string(base64));
    return TRUE;
}

typedef struct {
    GChecksum *sha256;
    gint64 bytes;
} Fetched;

static gboolean take(gpointer user, const guint8 *data, gsize bytes, GError **error)
{
    (void)error;
    Fetched *fetched = user;
    g_checksum_update(fetched->sha256, data, (gssize)bytes);
    fetched->bytes += (gint64)bytes;
    return TRUE;
}

static gboolean do_fetch(Tool *tool, GError **error)
{
    Fetched fetched = {g_checksum_new(G_CHECKSUM_SHA256), 0};
    gboolean done = steno_store_fetch(tool->store, tool->words[0], number(tool->words[1]), number(tool->words[2]), take,
                                      &fetched, NULL, error);
    json_object_set_new(tool->told, "sha256", json_string(g_checksum_get_string(fetched.sha256)));
    json_object_set_new(tool->told, "bytes", json_integer(fetched.bytes));
    g_checksum_free(fetched.sha256);
    return done;
}

static gboolean do_stat(Tool *tool, GError **error)
{
    gint64 bytes = 0, modified_us = 0;
    gboolean there = steno_store_stat(tool->store, tool->words[0], &bytes, &modified_us, NULL, error);
    json_object_set_new(tool->told, "bytes", json_integer(bytes));
    json_object_set_new(tool->told, "modified_us", json_integer(modified_us));
    return there;
}

static gboolean found(gpointer user, const char *key, gint64 bytes)
{
    json_array_append_new(user, json_pack("{s:s, s:I}", "key", key, "bytes", (json_int_t)bytes));
    return TRUE;
}

static gboolean do_list(Tool *tool, GError **error)
{
    json_t *objects = json_array();
    json_object_set_new(tool->told, "objects", objects);
    return steno_store_list(tool->store, tool->words[0], found, objects, NULL, error);
}

static gboolean do_remove(Tool *tool, GError **error)
{
    return steno_store_remove(tool->store, tool->words[0], TRUE, NULL, error);
}

static gboolean every(gpointer user, const char *key, gint64 begun_us)
{
    json_array_append_new(user, json_pack("{s:s, s:I}", "key", key, "begun_us", (json_int_t)begun_us));
    return TRUE;
}

static gboolean do_orphans(Tool *tool, GError **error)
{
    guint aborted = 0;
    json_t *uploads = json_array();
    json_object_set_new(tool->told, "uploads", uploads);
    gboolean done = steno_store_abort_orphans(tool->store, tool->words[0], every, uploads, &aborted, NULL, error);
    json_object_set_new(tool->told, "aborted", json_integer(aborted));
    return done;
}

static gboolean do_presign(Tool *tool, GError **error)
{
    GError *failed = NULL;
    g_autofree char *url = steno_store_presign(tool->store, tool->words[0], "a file.mp4", "video/mp4", NULL, &failed);
    json_object_set_new(tool->told, "url", url ? json_string(url) : json_null());
    if (failed)
        g_propagate_error(error, failed);
    return !failed;
}

static gboolean do_check(Tool *tool, GError **error)
{
    return steno_store_check(tool->store, NULL, error);
}

static const struct {
    const char *name;
    int words; /* at least */
    gboolean (*run)(Tool *tool, GError **error);
} verbs[] = {{"put", 2, do_put},         {"verify", 3, do_verify}, {"read", 1, do_read},     {"fetch", 3, do_fetch},
             {"stat", 1, do_stat},       {"list", 1, do_list},     {"remove", 1, do_remove}, {"orphans", 1, do_orphans},
             {"presign", 1, do_presign}, {"check", 0, do_check}};

static int tell(json_t *told, gboolean done, const GError *error)
{
    json_object_set_new(told, "ok", json_boolean(done));
    json_object_set_new(told, "error", steno_error_to_json(error));
    char *line = json_dumps(told, JSON_COMPACT);
    puts(line);
    free(line);
    json_decref(told);
    return done ? 0 : 1;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    Tool tool = {.told = json_object(), .words = argv + 4, .n = argc - 4};
    gboolean done = FALSE;
    guint verb = 0;
    while (argc >= 4 && verb < G_N_ELEMENTS(verbs) && strcmp(verbs[verb].name, argv[3]) != 0)
        verb++;
    if (argc < 4 || verb == G_N_ELEMENTS(verbs) || tool.n < verbs[verb].words) {
        fputs(usage, stderr);
        json_decref(tool.told);
        return 2;
    }
    g_autoptr(StenoConfig) config = steno_config_load(argv[1], &error);
    const StenoConfigStorage *settings = config ? steno_config_storage(config, argv[2]) : NULL;
    if (settings)
        tool.store = steno_store_open(config, settings, &error);
    else if (config)
        g_set_error(&error, STENO_ERROR, STENO_ERROR_CONFIG, "there is no storage %s in %s", argv[2], argv[1]);
    if (tool.store)
        done = verbs[verb].run(&tool, &error);
    steno_store_unref(tool.store);
    return tell(tool.told, done, error);
}
