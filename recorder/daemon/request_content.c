/*
 * A request's "content": the channel's own encryption, where its keys come from, and what may not be recorded at all.
 * Keys that were given go into locked memory and nowhere else: the journal is told "inline".
 */
#include "request.h"

#include "steno/base/error.h"
#include "steno/content.h"

#include <stdlib.h>
#include <string.h>

#define INLINE "inline"
#define KEYS_POINTER "/content/keys"

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static void set_text(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

static gboolean read_format(Request *request, const json_t *value, GError **error)
{
    const char *format = json_string_value(value);
    if (format && (strcmp(format, "none") == 0 || steno_content_format(format))) {
        set_text(&request->content, format);
        return TRUE;
    }
    g_autofree char *words = g_strjoinv(", ", (char **)steno_content_format_names());
    return request_fault(error, "/content/format", "must be one of: none, %s", words);
}

static void take_key_set(Request *request, const json_t *set)
{
    char *text = json_dumps(set, JSON_COMPACT);
    gsize bytes = strlen(text);
    steno_secret_unref(request->key_set);
    request->key_set = steno_secret_new(text, bytes);
    steno_secret_wipe(text, bytes);
    free(text);
    set_text(&request->keys, INLINE);
}

static gboolean read_keys(Request *request, const json_t *value, GError **error)
{
    const char *name;
    if (json_is_object(value)) {
        take_key_set(request, value);
        return TRUE;
    }
    if (!json_is_string(value))
        return request_fault(error, KEYS_POINTER,
                             "must be the name of a key source, \"" STENO_CONFIG_KEYS_LATER
                             "\", or an object: a key set");
    if (!request_name(value, KEYS_POINTER, STENO_CONFIG_NAME_MAX_BYTES, &name, error))
        return FALSE;
    set_text(&request->keys, name);
    return TRUE;
}

/* One key for everybody, as its own members. */
static gboolean read_secret(Request *request, const json_t *value, GError **error)
{
    json_t *secret = json_object_get(value, "secret"), *salt = json_object_get(value, "salt");
    if (salt && !secret)
        return request_fault(error, "/content/salt", "is given without a secret, but must be with it");
    if (!secret)
        return TRUE;
    if (json_object_get(value, "keys"))
        return request_fault(error, "/content/secret", "is given beside keys, but must be instead of them");
    json_t *key = json_pack("{s:O}", "secret", secret);
    if (salt)
        json_object_set(key, "salt", salt);
    json_t *set = json_pack("{s:[o]}", "keys", key);
    take_key_set(request, set);
    json_decref(set);
    return TRUE;
}

gboolean request_content_read(Request *request, const json_t *value, GError **error)
{
    static const char *const members[] = {"format", "keys", "secret", "salt", "fail_on_undecryptable_s", NULL};
    if (!value)
        return TRUE;
    if (json_is_null(value)) {
        set_text(&request->content, "none");
        return TRUE;
    }
    if (!request_members(value, "/content", members, error))
        return FALSE;
    const json_t *format = json_object_get(value, "format"), *keys = json_object_get(value, "keys");
    const json_t *fail = json_object_get(value, "fail_on_undecryptable_s");
    return (!format || read_format(request, format, error)) && (!keys || read_keys(request, keys, error)) &&
           read_secret(request, value, error) &&
           (!fail || request_number(fail, "/content/fail_on_undecryptable_s", "fail_on_undecryptable_s",
                                    &request->fail_on_undecryptable_s, error));
}

void request_content_strip(json_t *body)
{
    json_t *content = json_object_get(body, "content");
    if (!json_is_object(json_object_get(content, "keys")) && !json_object_get(content, "secret"))
        return;
    json_object_set_new(content, "keys", json_string(INLINE));
    (void)json_object_del(content, "secret");
    (void)json_object_del(content, "salt");
}

/* ---- against the configuration ----------------------------------------------------------------------------------- */

static gboolean check_none(const json_t *asked, GError **error)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)asked, name, value) {
        if (strcmp(name, "format") == 0)
            continue;
        g_autofree char *pointer = g_strdup_printf("/content/%s", name);
        return request_fault(error, pointer, "is given, but there is no format: give one beside it");
    }
    return TRUE;
}

static gboolean check_source(const Request *request, const StenoConfig *config, const StenoConfigApp *app,
                             GError **error)
{
    if (!request->keys)
        return request_fault(error, KEYS_POINTER,
                             "is missing: the channel is encrypted (%s), and app '%s' has no keys of its own; name a "
                             "key source, give the keys, or say \"" STENO_CONFIG_KEYS_LATER "\" to record it sealed",
                             request->content, app->name);
    if (request->key_set || strcmp(request->keys, STENO_CONFIG_KEYS_LATER) == 0)
        return TRUE;
    if (!steno_config_key_source(config, request->keys) || !steno_config_app_has(app->key_sources, TRUE, request->keys))
        return request_fault(error, KEYS_POINTER, "app '%s' has no key source '%s'", app->name, request->keys);
    return TRUE;
}

gboolean request_content_check(Request *request, const StenoConfig *config, const StenoConfigApp *app,
                               const json_t *asked, GError **error)
{
    if (!request->content)
        set_text(&request->content, app->content);
    if (strcmp(request->content, "none") == 0)
        return check_none(asked, error);
    if (!request->keys)
        set_text(&request->keys, app->keys);
    if (!check_source(request, config, app, error))
        return FALSE;
    if (steno_content_format_is_insecure(steno_content_format(request->content)) && !app->allow_insecure_modes)
        return request_fault(error, "/content/format",
                             "is '%s', which tells nobody that a frame was changed; app '%s' does not allow that "
                             "(allow_insecure_modes)",
                             request->content, app->name);
    gboolean later = strcmp(request->keys, STENO_CONFIG_KEYS_LATER) == 0;
    if (!json_object_get(asked, "fail_on_undecryptable_s"))
        request->fail_on_undecryptable_s = later ? 0 : app->fail_on_undecryptable_s;
    else if (later && request->fail_on_undecryptable_s > 0)
        return request_fault(error, "/content/fail_on_undecryptable_s",
                             "is given, but with keys that come later nothing can be decrypted before");
    return TRUE;
}

gboolean request_content_check_keys(const Request *request, GError **error)
{
    if (!request->key_set)
        return TRUE;
    g_autoptr(StenoContentKeys) keys =
        steno_content_keys_parse(steno_content_format(request->content), steno_secret_text(request->key_set),
                                 steno_secret_bytes(request->key_set), "the request", error);
    if (!keys)
        g_prefix_error(error, KEYS_POINTER ": ");
    return keys != NULL;
}

/* Janus reads the number at the beginning of a room's name, where rooms have numbers: "0017" and "17x" are room 17. */
static gboolean is_room(const char *pattern, const StenoConfigPlatform *platform, const char *channel)
{
    gint64 number = g_ascii_strtoll(channel, NULL, 10);
    g_autofree char *room = g_strdup_printf("%" G_GINT64_FORMAT, number);
    return platform && strcmp(platform->connector, "janus") == 0 && number != 0 &&
           g_pattern_match_simple(pattern, room);
}

gboolean request_may_be_recorded(const StenoConfig *config, const Request *request, GError **error)
{
    const StenoConfigApp *app = steno_config_app(config, request->app);
    const StenoConfigPlatform *platform = steno_config_platform(config, request->platform);
    for (char **pattern = app ? app->never_record : NULL; pattern && *pattern; pattern++) {
        if (!g_pattern_match_simple(*pattern, request->channel) && !is_room(*pattern, platform, request->channel))
            continue;
        g_set_error(error, STENO_ERROR, STENO_ERROR_OFF_THE_RECORD,
                    "/channel: app '%s' never records channel '%s' (never_record has '%s')", app->name,
                    request->channel, *pattern);
        return FALSE;
    }
    return TRUE;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

gboolean request_has_content(const Request *request)
{
    return request->content && strcmp(request->content, "none") != 0;
}

json_t *request_content_to_json(const Request *request)
{
    if (!request_has_content(request))
        return json_null();
    return json_pack("{s:s, s:s?, s:I}", "format", request->content, "keys", request->keys, "fail_on_undecryptable_s",
                     (json_int_t)request->fail_on_undecryptable_s);
}

static gboolean set_source(const Request *request, const StenoConfig *config, StenoJobSpec *spec, GError **error)
{
    const StenoConfigKeys *source = steno_config_key_source(config, request->keys);
    if (!source) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                    "the configuration has no key source '%s' any more: put it back, and reload", request->keys);
        return FALSE;
    }
    set_text(&spec->content_keys, source->type);
    set_text(&spec->key_path, source->path);
    set_text(&spec->key_url, source->url);
    set_text(&spec->key_mount, source->mount);
    set_text(&spec->key_prefix, source->prefix);
    set_text(&spec->key_ca_file, source->ca_file);
    set_text(&spec->key_client_certificate_file, source->client_certificate_file);
    return steno_config_secret(source->client_key_file, &spec->key_client_key, error) &&
           steno_config_secret(source->secret_file, &spec->key_secret, error);
}

static gboolean set_outputs(const StenoConfigApp *app, StenoJobSpec *spec, GError **error)
{
    set_text(&spec->output_encryption, app->output_encryption);
    g_strfreev(spec->output_recipients);
    spec->output_recipients = g_strdupv(app->output_recipients);
    return steno_config_secret(app->output_key_file, &spec->output_key, error);
}

gboolean request_content_into_spec(const Request *request, const StenoConfig *config, StenoJobSpec *spec,
                                   GError **error)
{
    const StenoConfigApp *app = steno_config_app(config, request->app);
    if (!app) {
        /* How its files are to be encrypted is not known without it. */
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                    "the configuration has no app '%s' any more: put it back, and reload", request->app);
        return FALSE;
    }
    if (!set_outputs(app, spec, error))
        return FALSE;
    if (!request_has_content(request))
        return TRUE;
    set_text(&spec->content, request->content);
    spec->allow_insecure_modes = app->allow_insecure_modes;
    spec->fail_on_undecryptable_s = request->fail_on_undecryptable_s;
    spec->key_once = strcmp(app->inline_keys, "once") == 0;
    if (strcmp(request->keys, INLINE) != 0 && strcmp(request->keys, STENO_CONFIG_KEYS_LATER) != 0)
        return set_source(request, config, spec, error);
    set_text(&spec->content_keys, request->keys);
    spec->key_set = request->key_set ? steno_secret_ref(request->key_set) : NULL;
    return TRUE;
}
