/* HashiCorp Vault and OpenBao, KV version 2. */
#include "source_vault.h"

#include "source_http.h"

#include "steno/base/error.h"

#include <jansson.h>
#include <string.h>

#define WHAT "the vault"
/* Rotated keys are new versions, of which it does not tell. */
#define POLL_S 30
/* Around the key set: lease, metadata, escapes. */
#define ENVELOPE_MAX_BYTES (1024 * 1024)
#define WORDS_MAX_BYTES 200

typedef struct {
    const SourceSettings *settings;
    KeyHttp *http;
    char *url;
} Vault;

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static json_t *parse(const SourceBuffer *body)
{
    return body->bytes ? json_loadb(body->data, body->bytes, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static int dump_piece(const char *data, size_t bytes, void *user)
{
    return source_buffer_append(user, data, bytes) ? 0 : -1;
}

static StenoSecret *text_of(const json_t *data, GError **error)
{
    g_auto(SourceBuffer) buffer = {.max_bytes = STENO_CONTENT_KEYS_MAX_BYTES};
    const json_t *text = json_object_get(data, "keys_json");
    gboolean fits;
    if (text && (!json_is_string(text) || json_object_size(data) != 1)) {
        steno_error_set(error, STENO_ERROR_KEYS_INVALID,
                        "the vault's secret has a member keys_json, which must be text, and its only member");
        return NULL;
    }
    if (text)
        fits = source_buffer_append(&buffer, json_string_value(text), json_string_length(text));
    else
        fits = json_dump_callback(data, dump_piece, &buffer, JSON_COMPACT) == 0;
    if (fits)
        return source_buffer_steal(&buffer);
    steno_error_set(error, STENO_ERROR_KEYS_INVALID, "the vault's secret is larger than %d bytes",
                    STENO_CONTENT_KEYS_MAX_BYTES);
    return NULL;
}

SourceOutcome vault_take_secret(const SourceBuffer *body, StenoSecret **text, GError **error)
{
    json_t *answer = parse(body);
    const json_t *version = json_object_get(answer, "data");
    const json_t *data = json_object_get(version, "data");
    SourceOutcome outcome = SOURCE_TROUBLE;
    if (json_is_object(data)) {
        *text = text_of(data, error);
        outcome = *text ? SOURCE_FOUND : SOURCE_TROUBLE;
    } else if (json_is_null(data)) {
        outcome = SOURCE_ABSENT;
    } else {
        /* The parser's own words would show what is written there. */
        steno_error_set(
            error, STENO_ERROR_KEYS_INVALID,
            "the vault's answer holds no secret of a KV v2 engine (data.data): is key_mount such an engine, "
            "and are numbers above 2^63 written as text?");
    }
    json_decref(answer);
    return outcome;
}

char *vault_first_error(const SourceBuffer *body)
{
    json_t *answer = parse(body);
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    char *words = json_is_string(first) && json_string_length(first) > 0
                      ? g_strndup(json_string_value(first), WORDS_MAX_BYTES)
                      : NULL;
    json_decref(answer);
    for (char *at = words; at && *at; at++)
        if (!g_ascii_isprint(*at))
            *at = ' ';
    return words;
}

/* A wrong address looks like a missing secret, but that it says why. */
static SourceOutcome judge(const KeyHttpReply *reply, GError **error)
{
    g_autofree char *words = reply->status ? vault_first_error(reply->body) : NULL;
    if (reply->status == 404 && words) {
        steno_error_set(error, STENO_ERROR_KEY_SOURCE,
                        "the vault at %s answered with HTTP status 404: is key_mount "
                        "right?",
                        reply->where);
    } else {
        SourceOutcome outcome = key_http_judge(reply, WHAT, error);
        if (outcome != SOURCE_TROUBLE)
            return outcome;
    }
    if (words) {
        g_autofree char *masked = steno_log_redact(words);
        g_autofree char *before = g_strdup((*error)->message);
        g_free((*error)->message);
        (*error)->message = g_strdup_printf("%s (it says: %s)", before, masked);
    }
    return SOURCE_TROUBLE;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void on_reply(const KeyHttpReply *reply, SourceAnswered answered, gpointer user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = NULL;
    SourceOutcome outcome = reply->status == 200 ? vault_take_secret(reply->body, &text, &error) : judge(reply, &error);
    const SourceAnswer answer = {.outcome = outcome, .text = text, .error = error, .wait_s = reply->wait_s};
    answered(user, &answer);
}

static void vault_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)question;
    Vault *vault = opened;
    char *token = g_strdup_printf("x-vault-token: %s", steno_secret_text(vault->settings->secret));
    /* Vault's own proxy wants it, as a guard against requests that a page was tricked into. */
    struct curl_slist *headers = curl_slist_append(NULL, "x-vault-request: true");
    headers = curl_slist_append(headers, token);
    source_wipe_free(token);
    const KeyHttpRequest request = {.what = WHAT,
                                    .url = vault->url,
                                    .allow_http = TRUE,
                                    .headers = headers,
                                    .max_bytes = STENO_CONTENT_KEYS_MAX_BYTES + ENVELOPE_MAX_BYTES};
    key_http_send(vault->http, &request, on_reply, answered, user);
}

/* ---- the vault --------------------------------------------------------------------------------------------------- */

static void append_part(GString *url, const char *part)
{
    if (!part)
        return;
    g_string_append_c(url, '/');
    g_string_append_uri_escaped(url, part, NULL, FALSE);
}

/* Mount and prefix may have several parts, and are configured; app and channel are one each. */
static void append_parts(GString *url, const char *parts)
{
    g_auto(GStrv) split = g_strsplit(parts ? parts : "", "/", -1);
    for (guint i = 0; split[i]; i++) {
        if (split[i][0])
            append_part(url, split[i]);
    }
}

static char *url_of(const SourceSettings *settings)
{
    GString *url = g_string_new(settings->url);
    while (url->len > 0 && url->str[url->len - 1] == '/')
        g_string_truncate(url, url->len - 1);
    g_string_append(url, "/v1");
    append_parts(url, settings->mount);
    append_part(url, "data");
    append_parts(url, settings->prefix);
    append_part(url, settings->app);
    append_part(url, settings->channel);
    return g_string_free(url, FALSE);
}

static gpointer vault_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    (void)changed, (void)user;
    Vault *vault = g_new0(Vault, 1);
    vault->settings = settings;
    vault->url = url_of(settings);
    vault->http = key_http_new(settings, context);
    return vault;
}

static void vault_close(gpointer opened)
{
    Vault *vault = opened;
    key_http_free(vault->http);
    g_free(vault->url);
    g_free(vault);
}

static gboolean is_way(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text ? text : "", "/", -1);
    for (guint i = 0; parts[i]; i++) {
        if (strcmp(parts[i], ".") == 0 || strcmp(parts[i], "..") == 0)
            return FALSE;
    }
    return TRUE;
}

/* It becomes a line of the request. */
static gboolean is_token(const StenoSecret *secret)
{
    const char *text = secret ? steno_secret_text(secret) : "";
    for (const char *at = text; *at; at++) {
        if (!g_ascii_isgraph(*at))
            return FALSE;
    }
    return secret && text[0] && strlen(text) == steno_secret_bytes(secret);
}

static gboolean vault_check(const StenoJobSpec *job, GError **error)
{
    if (!key_http_check(job, TRUE, error))
        return FALSE;
    if (strchr(job->key_url, '?'))
        return steno_error_set(error, STENO_ERROR_USAGE, "key_url is the vault's address, and must have no query");
    if (!is_token(job->key_secret))
        return steno_error_set(error, STENO_ERROR_USAGE, "key_secret must be the vault's token, on one line");
    if (!job->key_mount || !job->key_mount[0] || !is_way(job->key_mount) || !is_way(job->key_prefix))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_mount must name the KV v2 engine, and neither it nor key_prefix may have a part "
                               "'.' or '..'");
    return source_check_names(job->app, job->channel, error);
}

const SourceKind source_vault = {.name = "vault",
                                 .parallel = 1,
                                 .poll_s = POLL_S,
                                 .open = vault_open,
                                 .close = vault_close,
                                 .ask = vault_ask,
                                 .check = vault_check};
