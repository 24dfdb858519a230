/* The commands about storages: what there is, how it does, and once more, please. */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <string.h>

static gboolean may_see(const StenoDaemon *daemon, const Ask *ask, const char *name)
{
    return command_may_see(daemon, ask, G_STRUCT_OFFSET(StenoConfigApp, storages), TRUE, name);
}

const StenoConfigStorage *command_storage(StenoDaemon *daemon, Ask *ask)
{
    const char *name = ask_text(ask, "name");
    const StenoConfigStorage *storage = steno_config_storage(daemon->config, name);
    if (storage && may_see(daemon, ask, name))
        return storage;
    command_refuse(ask, STENO_ERROR_NOT_FOUND, "there is no storage '%s'", name);
    return NULL;
}

static json_t *bytes_or_null(gint64 bytes)
{
    return bytes >= 0 ? json_integer(bytes) : json_null();
}

/* Of another app's recordings nobody learns, not even how many wait. */
static void add_uploads(const StenoDaemon *daemon, const Ask *ask, const char *name, json_t *json)
{
    StoringCount count;
    json_t *blocked = json_null();
    storing_count(daemon, name, ask->request->actor.app, &count);
    if (count.blocked > 0)
        blocked = json_pack("{s:o, s:o}", "since", recording_time(count.blocked_since_us), "error",
                            count.blocked_error ? json_deep_copy(count.blocked_error) : json_null());
    json_object_set_new(json, "blocked", blocked);
    json_object_set_new(json, "uploads",
                        json_pack("{s:i, s:i, s:i, s:i}", "waiting", (int)count.waiting, "storing", (int)count.storing,
                                  "retrying", (int)count.retrying, "blocked", (int)count.blocked));
}

static json_t *describe(const StenoDaemon *daemon, const Ask *ask, const StenoConfigStorage *storage)
{
    ProbedStorage probed = {.free_bytes = -1, .total_bytes = -1};
    g_autofree char *uri = steno_store_uri(stores_find(daemon->stores, storage->name), "");
    (void)prober_storage(daemon->prober, storage->name, &probed);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", storage->name, "type", storage->type, "uri", uri, "free_bytes",
                  bytes_or_null(probed.free_bytes), "total_bytes", bytes_or_null(probed.total_bytes));
    add_uploads(daemon, ask, storage->name, json);
    return json;
}

gboolean command_storage_list(StenoDaemon *daemon, Ask *ask)
{
    json_t *list = json_array();
    const GPtrArray *storages = daemon->config->storages;
    for (guint i = 0; i < storages->len; i++) {
        const StenoConfigStorage *storage = storages->pdata[i];
        if (may_see(daemon, ask, storage->name))
            json_array_append_new(list, describe(daemon, ask, storage));
    }
    ask->reply->body = json_pack("{s:o}", "storages", list);
    return TRUE;
}

gboolean command_storage_retry(StenoDaemon *daemon, Ask *ask)
{
    const StenoConfigStorage *storage = command_storage(daemon, ask);
    const char *app = ask->request->actor.app;
    g_autoptr(GPtrArray) jobs = g_ptr_array_new();
    GHashTableIter iter;
    const Recording *recording;
    json_int_t retried = 0;
    if (!storage)
        return TRUE;
    /* A job that is told may tell us in turn. */
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        if (recording->job && !recording->ended && (!app || strcmp(app, recording->row->app) == 0))
            g_ptr_array_add(jobs, recording->job);
    }
    for (guint i = 0; i < jobs->len; i++)
        retried += steno_job_store_retry(jobs->pdata[i], storage->name);
    ask->reply->body = json_pack("{s:I}", "retried", retried);
    return TRUE;
}
