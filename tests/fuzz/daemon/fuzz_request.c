/*
 * Any JSON as the body of a start request, and as a change of one. What is refused names a place; what is accepted
 * survives the journal unchanged, and makes a job.
 */
#include "daemon_config.h"
#include "request.h"

#include "steno/base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(gboolean good)
{
    if (!good)
        abort();
}

static const StenoConfig *config(void)
{
    static StenoConfig *made;
    if (!made) {
        g_autofree char *folder = g_dir_make_tmp("steno-fuzz-request-XXXXXX", NULL);
        made = daemon_config_new(folder);
        /* Secrets are read anew for each job: not a thousand times a second here. */
        StenoConfigPlatform *platform = made->platforms->pdata[0];
        g_free(platform->token_secret_file);
        platform->token_secret_file = NULL;
        for (guint i = 0; i < made->key_sources->len; i++)
            g_clear_pointer(&((StenoConfigKeys *)made->key_sources->pdata[i])->secret_file, g_free);
        for (guint i = 0; i < made->apps->len; i++)
            g_clear_pointer(&((StenoConfigApp *)made->apps->pdata[i])->output_key_file, g_free);
        g_autofree char *command = g_strdup_printf("rm -rf '%s'", folder);
        (void)g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    }
    return made;
}

static void check_message(const GError *error)
{
    require(error->domain == STENO_ERROR);
    require(error->code == STENO_ERROR_USAGE || error->code == STENO_ERROR_NOT_FOUND ||
            error->code == STENO_ERROR_OFF_THE_RECORD);
    require(g_utf8_validate(error->message, -1, NULL));
    require((error->message[0] == '/' || error->message[0] == ':') && strstr(error->message, ": ") != NULL);
}

/* Where keys were given, that is all the journal is told. What is in them, the content room's own fuzzer reads. */
static void check_content(const Request *request, const json_t *json)
{
    const json_t *content = json_object_get(json, "content");
    require(json_is_null(content) == !request_has_content(request));
    require(!request->key_set || g_strcmp0(json_string_value(json_object_get(content, "keys")), "inline") == 0);
    require(!json_object_get(content, "secret") && !json_object_get(content, "salt"));
}

static void check_accepted(const Request *request)
{
    g_autoptr(GError) error = NULL;
    json_t *json = request_to_json(request);
    require(json_is_object(json));
    check_content(request, json);
    g_autoptr(Request) again = request_from_journal(json, &error);
    require(again != NULL);
    json_t *json_again = request_to_json(again);
    require(json_equal(json, json_again));
    json_decref(json_again);
    json_decref(json);
    g_autoptr(StenoJobSpec) spec = request_to_spec(request, config(), "01M808DRYVTQSDQAQGF0MY705X", FALSE, &error);
    require(spec != NULL);
    /* A name may have dots in it, but leads nowhere else. */
    require(!strstr(spec->url, "/.."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *body = json_loadb((const char *)data, bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!body)
        return 0;
    g_autoptr(Request) request = request_from_json(config(), body, NULL, &error);
    if (!request)
        check_message(error);
    else
        check_accepted(request);
    g_autoptr(GError) refused = NULL;
    json_t *least = json_pack("{s:s, s:s, s:s}", "app", "clinic", "platform", "janus-1", "channel", "1");
    g_autoptr(Request) changed = request_from_json(config(), least, NULL, NULL);
    if (request_patch(changed, config(), body, &refused))
        check_accepted(changed);
    else
        check_message(refused);
    json_decref(least);
    /* Nothing of a key is left in what the digest is made of. */
    request_content_strip(body);
    const json_t *content = json_object_get(body, "content");
    require(!request || (!json_object_get(content, "secret") && !json_is_object(json_object_get(content, "keys"))));
    json_decref(body);
    return 0;
}
