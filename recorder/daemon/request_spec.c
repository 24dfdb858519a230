/* From a checked request to the job that a recorder is given: the platform's settings and secrets come in here. */
#include "request.h"

#include "steno/base/error.h"
#include "steno/base/log.h"

#include <string.h>

static char **subscription(char *const *participants)
{
    static const char *const nobody[] = {"none", NULL};
    if (!participants)
        return g_new0(char *, 1);
    return g_strdupv((char **)(participants[0] ? participants : (char *const *)nobody));
}

void request_into_spec(const Request *request, StenoJobSpec *spec)
{
    spec->max_duration_s = request->max_duration_s;
    spec->max_idle_s = request->max_idle_s;
    spec->max_height = request->max_height;
    g_strfreev(spec->subscribe_audio);
    g_strfreev(spec->subscribe_video);
    spec->subscribe_audio = subscription(request->audio);
    spec->subscribe_video = subscription(request->video);
    if (request->token_source != REQUEST_TOKEN_GIVEN || !request->token)
        return;
    /* One or the other: a token that was given is not renewed by minting. */
    steno_log_hide_secret(steno_secret_text(request->token));
    steno_secret_unref(spec->token);
    spec->token = steno_secret_ref(request->token);
    steno_secret_unref(g_steal_pointer(&spec->token_secret));
}

static gboolean read_secrets(const Request *request, const StenoConfigPlatform *platform, StenoJobSpec *spec,
                             GError **error)
{
    return (request->token_source != REQUEST_TOKEN_MINT ||
            steno_config_secret(platform->token_secret_file, &spec->token_secret, error)) &&
           steno_config_secret(platform->api_secret_file, &spec->api_secret, error) &&
           steno_config_secret(platform->pin_file, &spec->pin, error) &&
           steno_config_secret(platform->turn_password_file, &spec->turn_password, error);
}

static void set_platform(const StenoConfigPlatform *platform, const char *channel, StenoJobSpec *spec)
{
    g_autofree char *file = g_strconcat(channel, ".sdp", NULL);
    spec->platform = g_strdup(platform->connector);
    spec->platform_name = g_strdup(platform->name);
    spec->url =
        strcmp(platform->connector, "sdp") == 0 ? g_build_filename(platform->url, file, NULL) : g_strdup(platform->url);
    spec->ca_file = g_strdup(platform->ca_file);
    spec->token_ttl_s = platform->token_ttl_s;
    spec->allow_visible = platform->allow_visible;
    spec->reconnect_s = platform->reconnect_s;
    spec->stun = g_strdup(platform->stun);
    g_strfreev(spec->turn);
    spec->turn = g_strdupv(platform->turn);
    spec->turn_user = g_strdup(platform->turn_user);
    g_strfreev(spec->allow_media_cidr);
    spec->allow_media_cidr = g_strdupv(platform->allow_media_cidr);
    spec->dtls_legacy_suites = platform->dtls_legacy_suites;
    spec->loopback = platform->loopback;
}

StenoJobSpec *request_to_spec(const Request *request, const StenoConfig *config, const char *id, gboolean paused,
                              GError **error)
{
    const StenoConfigPlatform *platform = steno_config_platform(config, request->platform);
    if (!platform) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "the configuration has no platform '%s' any more",
                    request->platform);
        return NULL;
    }
    g_autoptr(StenoJobSpec) spec = steno_job_spec_new();
    set_platform(platform, request->channel, spec);
    spec->id = g_strdup(id);
    spec->app = g_strdup(request->app);
    spec->channel = g_strdup(request->channel);
    spec->paused = paused;
    g_free(spec->outputs);
    spec->outputs = g_strdup(request->outputs);
    g_free(spec->audio);
    spec->audio = g_strdup(request->output_audio);
    spec->rotate_s = request->rotate_s;
    spec->rotate_join = request->rotate_join;
    g_autofree char *labels = json_dumps(request->labels, JSON_COMPACT | JSON_SORT_KEYS);
    spec->labels = g_strdup(labels);
    if (!read_secrets(request, platform, spec, error) || !request_content_into_spec(request, config, spec, error))
        return NULL;
    request_into_spec(request, spec);
    return steno_job_spec_check(spec, error) ? g_steal_pointer(&spec) : NULL;
}
