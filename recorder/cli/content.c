/* Channels' own encryption: what is asked for, and how it is shown. */
#include "client.h"

#include <string.h>

/* ---- steno start ------------------------------------------------------------------------------------------------- */

/* A key file as it is: stenod says what is wrong with it. */
static json_t *read_key_set(CliCall *call, const char *value, GError **error)
{
    g_autoptr(StenoSecret) text = cli_read_secret(call, "--keys", value, FALSE, error);
    json_error_t fault;
    if (!text)
        return NULL;
    json_t *set = json_loadb(steno_secret_text(text), steno_secret_bytes(text), JSON_REJECT_DUPLICATES, &fault);
    if (json_is_object(set))
        return set;
    /* The parser's own words quote what it reads. */
    if (set)
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID, "--keys: the key file is no JSON object");
    else
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_KEYS_INVALID,
            "--keys: the key file is no JSON (line %d, column %d); key ids above 9223372036854775807 are written "
            "as texts",
            fault.line, fault.column);
    json_decref(set);
    return NULL;
}

static gboolean is_name(const char *text)
{
    for (; *text; text++) {
        if (!g_ascii_isalnum(*text) && !strchr("._-", *text))
            return FALSE;
    }
    return TRUE;
}

static gboolean add_keys(CliCall *call, json_t *content, GError **error)
{
    const char *value = cli_text(call, "keys");
    if (!value)
        return TRUE;
    json_t *keys = NULL;
    if (value[0] == '@' || strcmp(value, "-") == 0)
        keys = read_key_set(call, value, error);
    else if (value[0] && is_name(value))
        keys = json_string(value);
    else
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_USAGE,
                            "--keys is neither the name of a key source, nor later, nor @FILE, nor - (standard input); "
                            "a key does not belong on the command line, where everybody on this machine can read it");
    if (!keys)
        return FALSE;
    json_object_set_new(content, "keys", keys);
    return TRUE;
}

gboolean cli_add_content(CliCall *call, json_t *request, GError **error)
{
    json_t *content = json_object();
    const char *format = cli_text(call, "content"), *fail = cli_text(call, "fail-on-undecryptable");
    gint64 seconds = 0;
    if (format)
        json_object_set_new(content, "format", json_string(format));
    gboolean read = add_keys(call, content, error) &&
                    (!fail || cli_parse_duration("--fail-on-undecryptable", fail, &seconds, error));
    if (read && fail)
        json_object_set_new(content, "fail_on_undecryptable_s", json_integer(seconds));
    if (read && json_object_size(content) > 0)
        json_object_set(request, "content", content);
    json_decref(content);
    return read;
}

/* ---- steno show, list, files ------------------------------------------------------------------------------------- */

char *cli_describe_content(const json_t *recording)
{
    const json_t *content = json_object_get(recording, "content");
    if (!json_is_object(content))
        return g_strdup("");
    return g_strdup_printf("%s, keys: %s%s", cli_member(content, "format"), cli_member(content, "keys"),
                           json_is_true(json_object_get(content, "sealed")) ? "; some frames are sealed" : "");
}

static const char *name_of(const json_t *recording, const char *participant)
{
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach (json_object_get(recording, "participants"), i, one) {
        if (strcmp(cli_member(one, "id"), participant) == 0 && cli_member(one, "name")[0])
            return cli_member(one, "name");
    }
    return participant;
}

char *cli_describe_undecryptable(const json_t *recording, const json_t *one)
{
    const char *kid = cli_member(one, "kid");
    g_autofree char *since = cli_local_time(cli_member(one, "since"));
    return g_strdup_printf("%s, track %d, key id %s: %s since %s", name_of(recording, cli_member(one, "participant")),
                           (int)cli_number(one, "track"), kid[0] ? kid : "unknown", cli_member(one, "cause"), since);
}

gboolean cli_is_undecryptable(const json_t *recording)
{
    return json_array_size(json_object_get(json_object_get(recording, "content"), "undecryptable")) > 0;
}

const char *cli_file_encryption(const json_t *file)
{
    return json_is_true(json_object_get(file, "sealed")) ? "sealed" : cli_member(file, "encryption");
}
