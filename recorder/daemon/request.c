/* A start request as a whole: the parts together, and against the configuration. */
#include "request.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/log.h"
#include "steno/base/safe_name.h"

#include <string.h>

void request_free(Request *request)
{
    if (!request)
        return;
    g_free(request->app);
    g_free(request->platform);
    g_free(request->channel);
    g_free(request->profile);
    steno_secret_unref(request->token);
    g_strfreev(request->audio);
    g_strfreev(request->video);
    g_free(request->outputs);
    g_free(request->output_audio);
    g_strfreev(request->storages);
    json_decref(request->labels);
    g_free(request->webhook);
    g_free(request->content);
    g_free(request->keys);
    steno_secret_unref(request->key_set);
    g_free(request);
}

static Request *request_new(void)
{
    Request *request = g_new0(Request, 1);
    g_autoptr(StenoJobSpec) defaults = steno_job_spec_new();
    request->profile = g_strdup("default");
    request->token_source = REQUEST_TOKEN_NONE;
    request->outputs = g_strdup(defaults->outputs);
    request->output_audio = g_strdup(defaults->audio);
    request->max_duration_s = defaults->max_duration_s;
    request->max_idle_s = defaults->max_idle_s;
    request->max_height = defaults->max_height;
    request->labels = json_object();
    return request;
}

static void set_text(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

/* ---- the parts --------------------------------------------------------------------------------------------------- */

static gboolean read_subscribe(Request *request, const json_t *value, GError **error)
{
    static const char *const members[] = {"audio", "video", "max_height", NULL};
    if (!request_members(value, "/subscribe", members, error))
        return FALSE;
    const json_t *audio = json_object_get(value, "audio"), *video = json_object_get(value, "video");
    const json_t *height = json_object_get(value, "max_height");
    return (!audio || request_subscription(audio, "/subscribe/audio", &request->audio, error)) &&
           (!video || request_subscription(video, "/subscribe/video", &request->video, error)) &&
           (!height || request_number(height, "/subscribe/max_height", "max_height", &request->max_height, error));
}

static gboolean read_outputs(Request *request, const json_t *value, GError **error)
{
    static const char *const members[] = {"type", "audio", NULL};
    static const char *const types[] = {"participant", "track", NULL};
    static const char *const audios[] = {"copy", "aac", NULL};
    const char *type = "participant", *audio = "copy";
    if (json_array_size(value) != 1)
        return request_fault(error, "/outputs", "must be a list of exactly one output");
    const json_t *output = json_array_get(value, 0);
    if (!request_members(output, "/outputs/0", members, error))
        return FALSE;
    const json_t *as = json_object_get(output, "audio");
    if (!request_one_of(json_object_get(output, "type"), "/outputs/0/type", types, &type, error) ||
        (as && !request_one_of(as, "/outputs/0/audio", audios, &audio, error)))
        return FALSE;
    set_text(&request->outputs, type);
    set_text(&request->output_audio, audio);
    return TRUE;
}

/* Where it goes, and in which pieces. */
static gboolean read_storing(Request *request, const json_t *body, GError **error)
{
    static const char *const stores[] = {"all", "first", NULL};
    const json_t *storages = json_object_get(body, "storages"), *store = json_object_get(body, "store");
    const json_t *rotate = json_object_get(body, "rotate_s"), *join = json_object_get(body, "rotate_join");
    const char *word = "all";
    if ((storages && !request_storages(storages, &request->storages, error)) ||
        (store && !request_one_of(store, "/store", stores, &word, error)) ||
        (rotate && !request_number(rotate, "/rotate_s", "rotate_s", &request->rotate_s, error)) ||
        (join && !request_boolean(join, "/rotate_join", &request->rotate_join, error)))
        return FALSE;
    request->store_first = word[0] == 'f';
    if (request->rotate_s > 0 && request->rotate_s < STENO_JOB_ROTATE_MIN_S)
        return request_fault(error, "/rotate_s", "is %d, but must be 0 or at least %d", (int)request->rotate_s,
                             STENO_JOB_ROTATE_MIN_S);
    return TRUE;
}

static gboolean read_place(Request *request, const json_t *body, GError **error)
{
    const char *app, *platform, *channel, *profile = "default";
    const json_t *profile_json = json_object_get(body, "profile");
    for (const char *const *name = (const char *const[]){"app", "platform", "channel", NULL}; *name; name++) {
        g_autofree char *pointer = g_strdup_printf("/%s", *name);
        if (!json_object_get(body, *name))
            return request_fault(error, pointer, "is missing");
    }
    if (!request_name(json_object_get(body, "app"), "/app", STENO_CONFIG_NAME_MAX_BYTES, &app, error) ||
        !request_name(json_object_get(body, "platform"), "/platform", STENO_CONFIG_NAME_MAX_BYTES, &platform, error) ||
        !request_text(json_object_get(body, "channel"), "/channel", REQUEST_CHANNEL_MAX_BYTES, &channel, error) ||
        (profile_json && !request_name(profile_json, "/profile", REQUEST_PROFILE_MAX_BYTES, &profile, error)))
        return FALSE;
    set_text(&request->app, app);
    set_text(&request->platform, platform);
    set_text(&request->channel, channel);
    set_text(&request->profile, profile);
    return TRUE;
}

static gboolean read_limits(Request *request, const json_t *body, GError **error)
{
    const json_t *duration = json_object_get(body, "max_duration_s"), *idle = json_object_get(body, "max_idle_s");
    return (!duration ||
            request_number(duration, "/max_duration_s", "max_duration_s", &request->max_duration_s, error)) &&
           (!idle || request_number(idle, "/max_idle_s", "max_idle_s", &request->max_idle_s, error));
}

static Request *read_all(const json_t *body, GError **error)
{
    static const char *const members[] = {"app",         "platform", "channel",  "profile",    "token",
                                          "subscribe",   "outputs",  "storages", "store",      "rotate_s",
                                          "rotate_join", "labels",   "webhook",  "max_idle_s", "max_duration_s",
                                          "start_at",    "content",  NULL};
    if (!json_is_object(body)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_USAGE, ": the request's body must be a JSON object");
        return NULL;
    }
    g_autoptr(Request) request = request_new();
    const json_t *token = json_object_get(body, "token"), *subscribe = json_object_get(body, "subscribe");
    const json_t *outputs = json_object_get(body, "outputs"), *start_at = json_object_get(body, "start_at");
    const json_t *labels = json_object_get(body, "labels"), *webhook = json_object_get(body, "webhook");
    const char *webhook_name = NULL;
    if (!request_members(body, "", members, error) || !read_place(request, body, error) ||
        (token && !request_token(token, &request->token_source, &request->token, error)) ||
        (subscribe && !read_subscribe(request, subscribe, error)) ||
        (outputs && !read_outputs(request, outputs, error)) || !read_storing(request, body, error) ||
        (labels && !request_labels(labels, &request->labels, error)) || !read_limits(request, body, error) ||
        !request_content_read(request, json_object_get(body, "content"), error) ||
        (start_at && !json_is_null(start_at) && !request_time(start_at, "/start_at", &request->start_at_us, error)) ||
        (webhook && !json_is_null(webhook) &&
         !request_name(webhook, "/webhook", STENO_CONFIG_NAME_MAX_BYTES, &webhook_name, error)))
        return NULL;
    request->webhook = g_strdup(webhook_name);
    return g_steal_pointer(&request);
}

/* ---- against the configuration ----------------------------------------------------------------------------------- */

static gboolean check_token(const Request *request, const StenoConfigPlatform *platform, GError **error)
{
    if (request->token_source == REQUEST_TOKEN_GIVEN && !request->token)
        return request_fault(error, "/token/value", "is missing");
    if (request->token_source == REQUEST_TOKEN_MINT && !platform->token_secret_file)
        return request_fault(error, "/token/source",
                             "is 'mint', but platform '%s' has no token_secret_file to mint tokens with",
                             platform->name);
    return TRUE;
}

static gboolean check_platform(Request *request, const StenoConfig *config, const StenoConfigApp *app,
                               gboolean token_told, GError **error)
{
    const StenoConfigPlatform *platform = steno_config_platform(config, request->platform);
    if (!platform || !steno_config_app_has(app->platforms, TRUE, request->platform))
        return request_fault(error, "/platform", "app '%s' has no platform '%s'", app->name, request->platform);
    if (strcmp(platform->connector, "sdp") == 0) {
        /* The channel names a file there. */
        g_autofree char *safe = steno_safe_name(request->channel);
        if (strcmp(safe, request->channel) != 0)
            return request_fault(error, "/channel", "is not the name of a session description (as in '%s')", safe);
    }
    if (!token_told)
        request->token_source = platform->token_secret_file ? REQUEST_TOKEN_MINT : REQUEST_TOKEN_NONE;
    return check_token(request, platform, error);
}

/* All that the app may use, in its order. */
static char **storages_of(const StenoConfig *config, const StenoConfigApp *app)
{
    if (app->storages[0])
        return g_strdupv(app->storages);
    char **names = g_new0(char *, config->storages->len + 1);
    for (guint i = 0; i < config->storages->len; i++)
        names[i] = g_strdup(((const StenoConfigStorage *)config->storages->pdata[i])->name);
    return names;
}

gboolean request_default_storages(const StenoConfig *config, const StenoConfigApp *app, char ***storages,
                                  gboolean *first, GError **error)
{
    g_auto(GStrv) names = storages_of(config, app);
    guint n = g_strv_length(names);
    if (n == 0)
        return request_fault(error, "/storages", "there is no storage in the configuration");
    if (strcmp(app->store, "one") == 0) {
        for (guint i = 1; i < n; i++)
            g_clear_pointer(&names[i], g_free);
    } else if (n > STENO_JOB_STORES_MAX) {
        return request_fault(error, "/storages",
                             "is missing: app '%s' has %u storages, of which at most %d can be named", app->name, n,
                             STENO_JOB_STORES_MAX);
    }
    *first = strcmp(app->store, "first") == 0;
    g_strfreev(*storages);
    *storages = g_steal_pointer(&names);
    return TRUE;
}

static gboolean check_storages(Request *request, const StenoConfig *config, const StenoConfigApp *app,
                               gboolean store_told, GError **error)
{
    gboolean first = FALSE;
    if (!request->storages) {
        if (!request_default_storages(config, app, &request->storages, &first, error))
            return FALSE;
        if (!store_told)
            request->store_first = first;
    }
    for (guint i = 0; request->storages[i]; i++) {
        const char *name = request->storages[i];
        if (steno_config_storage(config, name) && steno_config_app_has(app->storages, TRUE, name))
            continue;
        g_autofree char *pointer = g_strdup_printf("/storages/%u", i);
        return request_fault(error, pointer, "app '%s' has no storage '%s'", app->name, name);
    }
    return TRUE;
}

static void take_rotation(Request *request, const StenoConfigApp *app, const json_t *body)
{
    if (!json_object_get(body, "rotate_s"))
        request->rotate_s = app->rotate;
    if (!json_object_get(body, "rotate_join"))
        request->rotate_join = app->rotate_join;
}

static gboolean check_webhook(Request *request, const StenoConfig *config, const StenoConfigApp *app, gboolean told,
                              GError **error)
{
    if (!told)
        set_text(&request->webhook, app->webhook);
    if (!request->webhook || (steno_config_webhook(config, request->webhook) &&
                              (steno_config_app_has(app->webhooks, FALSE, request->webhook) || !told)))
        return TRUE;
    return request_fault(error, "/webhook", "app '%s' has no webhook '%s'", app->name, request->webhook);
}

static gboolean check_duration(Request *request, const StenoConfigApp *app, gboolean told, GError **error)
{
    gint64 most_s = app->max_duration_s;
    if (!told && most_s > 0)
        request->max_duration_s = most_s;
    if (most_s > 0 && (request->max_duration_s == 0 || request->max_duration_s > most_s))
        return request_fault(error, "/max_duration_s",
                             "is %" G_GINT64_FORMAT ", but app '%s' allows 1 to %" G_GINT64_FORMAT,
                             request->max_duration_s, app->name, most_s);
    return TRUE;
}

Request *request_from_json(const StenoConfig *config, const json_t *body, const char *actor_app, GError **error)
{
    g_autoptr(Request) request = read_all(body, error);
    if (!request)
        return NULL;
    const StenoConfigApp *app = steno_config_app(config, request->app);
    if (!app || (actor_app && strcmp(actor_app, request->app) != 0)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "/app: there is no app '%s'", request->app);
        return NULL;
    }
    if (request->start_at_us > steno_clock_wall_us() + REQUEST_START_AT_MAX_S * G_USEC_PER_SEC) {
        request_fault(error, "/start_at", "is more than a year ahead");
        return NULL;
    }
    if (!check_platform(request, config, app, json_object_get(body, "token") != NULL, error) ||
        !check_storages(request, config, app, json_object_get(body, "store") != NULL, error) ||
        !check_webhook(request, config, app, json_object_get(body, "webhook") != NULL, error) ||
        !check_duration(request, app, json_object_get(body, "max_duration_s") != NULL, error) ||
        !request_content_check(request, config, app, json_object_get(body, "content"), error) ||
        !request_may_be_recorded(config, request, error))
        return NULL;
    take_rotation(request, app, body);
    return g_steal_pointer(&request);
}

Request *request_from_journal(const json_t *json, GError **error)
{
    g_autoptr(Request) request = read_all(json, error);
    if (request && !request->storages) {
        request_fault(error, "/storages", "is missing");
        return NULL;
    }
    if (request && request_has_content(request) && !request->keys) {
        request_fault(error, "/content/keys", "is missing");
        return NULL;
    }
    return g_steal_pointer(&request);
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

static gboolean check_patch(const Request *changed, const StenoConfig *config, const json_t *body, GError **error)
{
    const StenoConfigApp *app = steno_config_app(config, changed->app);
    const StenoConfigPlatform *platform = steno_config_platform(config, changed->platform);
    if (json_object_get(body, "token") && platform && !check_token(changed, platform, error))
        return FALSE;
    return !app || !json_object_get(body, "max_duration_s") || check_duration((Request *)changed, app, TRUE, error);
}

gboolean request_patch(Request *request, const StenoConfig *config, const json_t *body, GError **error)
{
    static const char *const members[] = {"token", "subscribe", "max_duration_s", "max_idle_s", "labels", NULL};
    if (!json_is_object(body)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_USAGE, ": the request's body must be a JSON object");
        return FALSE;
    }
    if (!request_members(body, "", members, error))
        return FALSE;
    json_t *before = request_to_json(request);
    g_autoptr(Request) changed = request_from_journal(before, error);
    json_decref(before);
    if (!changed)
        return FALSE;
    changed->token = steno_secret_ref(request->token);
    changed->key_set = steno_secret_ref(request->key_set);
    const json_t *token = json_object_get(body, "token"), *subscribe = json_object_get(body, "subscribe");
    const json_t *labels = json_object_get(body, "labels");
    if (token)
        steno_secret_unref(g_steal_pointer(&changed->token));
    if ((token && !request_token(token, &changed->token_source, &changed->token, error)) ||
        (subscribe && !read_subscribe(changed, subscribe, error)) ||
        (labels && !request_labels(labels, &changed->labels, error)) || !read_limits(changed, body, error) ||
        !check_patch(changed, config, body, error))
        return FALSE;
    Request swapped = *request;
    *request = *changed;
    *changed = swapped;
    return TRUE;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static json_t *names_to_json(char *const *names)
{
    json_t *list = json_array();
    for (; *names; names++)
        json_array_append_new(list, json_string(*names));
    return list;
}

static json_t *subscription_to_json(char *const *participants)
{
    if (!participants)
        return json_string("all");
    return participants[0] ? names_to_json(participants) : json_string("none");
}

json_t *request_to_json(const Request *request)
{
    static const char *const sources[] = {"mint", "given", "none"};
    g_autofree char *start_at = request->start_at_us > 0 ? steno_clock_format(request->start_at_us) : NULL;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s}, s:{s:o, s:o, s:I}, s:[{s:s, s:s}], s:o, s:s, s:I, s:b, s:I, s:I, s:s?, s:O, "
        "s:s?, s:o}",
        "app", request->app, "platform", request->platform, "channel", request->channel, "profile", request->profile,
        "token", "source", sources[request->token_source], "subscribe", "audio", subscription_to_json(request->audio),
        "video", subscription_to_json(request->video), "max_height", (json_int_t)request->max_height, "outputs", "type",
        request->outputs, "audio", request->output_audio, "storages", names_to_json(request->storages), "store",
        request->store_first ? "first" : "all", "rotate_s", (json_int_t)request->rotate_s, "rotate_join",
        request->rotate_join, "max_duration_s", (json_int_t)request->max_duration_s, "max_idle_s",
        (json_int_t)request->max_idle_s, "start_at", start_at, "labels", request->labels, "webhook", request->webhook,
        "content", request_content_to_json(request));
}

gboolean request_has_label(const json_t *labels, const char *name)
{
    return name && name[0] && json_object_get(labels, name) != NULL;
}
