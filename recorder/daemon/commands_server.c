/* The commands about stenod itself: what it is connected to, and how it is. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/version.h"

#include <string.h>

gboolean command_may_see(const StenoDaemon *daemon, const Ask *ask, gsize list_offset, gboolean all_when_empty,
                         const char *name)
{
    if (!ask->request->actor.app)
        return TRUE;
    const StenoConfigApp *app = steno_config_app(daemon->config, ask->request->actor.app);
    char *const *list = app ? *(char **const *)(const void *)((const char *)app + list_offset) : NULL;
    return app && steno_config_app_has(list, all_when_empty, name);
}

/* ---- platforms --------------------------------------------------------------------------------------------------- */

/* Without user, password and query: a URL may have a secret there. */
static char *public_url(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    return uri ? g_uri_to_string_partial(uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT)
               : g_strdup(url[0] == '/' ? url : "");
}

gboolean command_platform_list(StenoDaemon *daemon, Ask *ask)
{
    json_t *list = json_array();
    const GPtrArray *platforms = daemon->config->platforms;
    for (guint i = 0; i < platforms->len; i++) {
        const StenoConfigPlatform *platform = platforms->pdata[i];
        if (!command_may_see(daemon, ask, G_STRUCT_OFFSET(StenoConfigApp, platforms), TRUE, platform->name))
            continue;
        g_autofree char *url = public_url(platform->url);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:b}", "name", platform->name, "connector",
                                        platform->connector, "url", url, "mint", platform->token_secret_file != NULL));
    }
    ask->reply->body = json_pack("{s:o}", "platforms", list);
    return TRUE;
}

const StenoConfigPlatform *command_platform(StenoDaemon *daemon, Ask *ask)
{
    const char *name = ask_text(ask, "name");
    const StenoConfigPlatform *platform = steno_config_platform(daemon->config, name);
    if (platform && command_may_see(daemon, ask, G_STRUCT_OFFSET(StenoConfigApp, platforms), TRUE, name))
        return platform;
    command_refuse(ask, STENO_ERROR_NOT_FOUND, "there is no platform '%s'", name);
    return NULL;
}

/* ---- webhooks ---------------------------------------------------------------------------------------------------- */

gboolean command_webhook_list(StenoDaemon *daemon, Ask *ask)
{
    static const char *const none[] = {NULL};
    const char *const *names = NULL;
    g_autoptr(GError) error = NULL;
    if (ask->request->actor.app) {
        const StenoConfigApp *app = steno_config_app(daemon->config, ask->request->actor.app);
        names = app ? (const char *const *)app->webhooks : none;
    }
    json_t *list = webhooks_describe(daemon->webhooks, names, &error);
    outbox_judge_read(daemon, &error);
    if (list)
        ask->reply->body = json_pack("{s:o}", "webhooks", list);
    else
        ask->reply->error = g_steal_pointer(&error);
    return TRUE;
}

gboolean command_webhook_enable(StenoDaemon *daemon, Ask *ask)
{
    const char *name = ask_text(ask, "name");
    const char *const names[] = {name, NULL};
    g_autoptr(GError) error = NULL;
    if (!steno_config_webhook(daemon->config, name) ||
        !command_may_see(daemon, ask, G_STRUCT_OFFSET(StenoConfigApp, webhooks), FALSE, name))
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "there is no webhook '%s'", name);
    json_t *list = NULL;
    if (steno_journal_endpoint_set_disabled(daemon->journal, name, FALSE, "", &error)) {
        webhooks_wake(daemon->webhooks);
        list = webhooks_describe(daemon->webhooks, names, &error);
    }
    outbox_judge_read(daemon, &error);
    if (list)
        ask->reply->body = json_incref(json_array_get(list, 0));
    else
        ask->reply->error = g_steal_pointer(&error);
    json_decref(list);
    return TRUE;
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

gboolean command_live(StenoDaemon *daemon, Ask *ask)
{
    (void)daemon;
    ask->reply->body = json_pack("{s:b}", "live", 1);
    return TRUE;
}

gboolean command_version(StenoDaemon *daemon, Ask *ask)
{
    (void)daemon;
    ask->reply->body = json_pack("{s:s, s:s}", "name", "stenod", "version", STENO_VERSION);
    return TRUE;
}

static gboolean add_check(json_t *checks, const char *name, gboolean ok, const char *detail)
{
    json_array_append_new(checks, json_pack("{s:s, s:b, s:s}", "name", name, "ok", ok, "detail", detail));
    return ok;
}

static gboolean check_disk(const StenoDaemon *daemon, json_t *checks)
{
    double percent = disk_free_percent(daemon);
    double least = (double)daemon->config->limits.refuse_below_percent;
    g_autofree char *detail = g_strdup_printf("%.1f %% of the spool's disk is free, %g %% is needed", percent, least);
    return add_check(checks, "disk", percent >= least, detail);
}

static gboolean check_storages(const StenoDaemon *daemon, json_t *checks)
{
    gboolean ok = TRUE;
    for (guint i = 0; i < daemon->config->storages->len; i++) {
        const StenoConfigStorage *storage = daemon->config->storages->pdata[i];
        ProbedStorage probed = {0};
        (void)prober_storage(daemon->prober, storage->name, &probed);
        g_autofree char *name = g_strconcat("storage:", storage->name, NULL);
        ok &= add_check(checks, name, !probed.words,
                        probed.words    ? probed.words
                        : probed.looked ? "can be written"
                                        : "not looked at yet");
    }
    return ok;
}

static gboolean check_uploads(const StenoDaemon *daemon, json_t *checks)
{
    StoringCount count;
    storing_count(daemon, NULL, NULL, &count);
    if (count.blocked == 0)
        return add_check(checks, "uploads", TRUE, "nothing is blocked");
    const char *words = json_string_value(json_object_get(count.blocked_error, "message"));
    g_autofree char *since = steno_clock_format(count.blocked_since_us);
    g_autofree char *detail = g_strdup_printf("blocked since %s on storage %s: %s (recordings: %u)", since,
                                              count.blocked_storage, words ? words : "", count.blocked);
    return add_check(checks, "uploads", FALSE, detail);
}

/* Anybody may ask: paths and names of storages are for who has a key. */
static json_t *without_details(json_t *checks)
{
    size_t i;
    json_t *check;
    json_array_foreach (checks, i, check)
        json_object_set_new(check, "detail", json_string(""));
    return checks;
}

gboolean command_ready(StenoDaemon *daemon, Ask *ask)
{
    json_t *checks = json_array();
    const char *fault = daemon->outbox.fault;
    gboolean ok = add_check(checks, "journal", !fault, fault ? fault : "can be written");
    ok &= check_disk(daemon, checks);
    ok &= check_storages(daemon, checks);
    ok &= check_uploads(daemon, checks);
    if (daemon->finishing)
        ok = add_check(checks, "running", FALSE, "stenod is being stopped");
    if (ask->request->actor.role == STENO_ROLE_NOBODY)
        checks = without_details(checks);
    ask->reply->body = json_pack("{s:b, s:o}", "ready", ok, "checks", checks);
    return TRUE;
}
