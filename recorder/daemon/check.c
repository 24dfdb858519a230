/*
 * Is it there, and does it let us in? Asks a platform in a thread as much as nobody notices, and puts, gets and deletes
 * a file in a storage.
 */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/storage.h"
#include "steno/token.h"

#include <curl/curl.h>
#include <glib/gstdio.h>
#include <string.h>

#define CHECK_TIMEOUT_S 10L
#define ANSWER_MAX_BYTES (64 * 1024)

/* One check under way; its own copy of everything. */
typedef struct {
    Ask *ask;
    StenoConfig *config; /* keeps the platform */
    const StenoConfigPlatform *platform;
    StenoStore *store;
    char *channel;
    json_t *checks;
    gboolean ok;
} Check;

static void check_free(gpointer data)
{
    Check *check = data;
    steno_config_unref(check->config);
    if (check->store)
        steno_store_unref(check->store);
    g_free(check->channel);
    json_decref(check->checks);
    g_free(check);
}

static gboolean add(Check *check, const char *name, gboolean ok, const char *detail)
{
    g_autofree char *shown = steno_log_redact(detail);
    json_array_append_new(check->checks,
                          json_pack("{s:s, s:b, s:s}", "name", name, "ok", ok, "detail", shown ? shown : ""));
    check->ok &= ok;
    return ok;
}

static void on_checked(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    (void)user;
    Check *check = g_task_get_task_data(G_TASK(result));
    Ask *ask = check->ask;
    const char *name = check->platform ? check->platform->name : steno_store_name(check->store);
    if (ask->daemon)
        ask->reply->body = json_pack("{s:s, s:b, s:O}", "name", name, "ok", check->ok, "checks", check->checks);
    ask_done(ask);
}

static gboolean run_check(Ask *ask, const StenoConfigPlatform *platform, StenoStore *store, const char *channel,
                          GTaskThreadFunc function)
{
    Check *check = g_new0(Check, 1);
    check->ask = ask;
    check->config = steno_config_ref(ask->daemon->config);
    check->platform = platform;
    check->store = store ? steno_store_ref(store) : NULL;
    check->channel = g_strdup(channel);
    check->checks = json_array();
    check->ok = TRUE;
    GTask *task = g_task_new(NULL, NULL, on_checked, NULL);
    g_task_set_task_data(task, check, check_free);
    g_task_run_in_thread(task, function);
    g_object_unref(task);
    return FALSE;
}

/* ---- storage ----------------------------------------------------------------------------------------------------- */

#define PROBE_TEXT "Steno was here to see whether it may write.\n"

static gboolean put_probe(Check *check, const char *key, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *name = g_path_get_basename(key);
    g_autofree char *file = g_build_filename(check->config->top.state_dir, name, NULL);
    if (!g_file_set_contents(file, PROBE_TEXT, -1, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot write '%s': %s", file, why->message);
        return FALSE;
    }
    const StenoPut put = {.source = file, .key = key, .bytes = (gint64)strlen(PROBE_TEXT), .cancellable = cancellable};
    gboolean done = steno_store_put(check->store, &put, error);
    (void)g_unlink(file);
    return done;
}

static void check_removal(Check *check, const char *key, GCancellable *cancellable)
{
    g_autoptr(GError) error = NULL;
    if (steno_store_remove(check->store, key, FALSE, cancellable, &error))
        add(check, "delete", TRUE, "it is gone again");
    else if (g_error_matches(error, STENO_ERROR, STENO_ERROR_LEGAL_HOLD))
        add(check, "delete", TRUE, "the storage's lock keeps it, as it is told to");
    else
        add(check, "delete", FALSE, error->message);
}

static void check_storage(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Check *check = data;
    (void)source;
    g_autoptr(GError) error = NULL;
    g_autofree char *id = steno_job_new_id();
    g_autofree char *key = g_strconcat("steno-check-", id, NULL);
    if (!put_probe(check, key, cancellable, &error)) {
        add(check, "put", FALSE, error->message);
        g_task_return_boolean(task, TRUE);
        return;
    }
    add(check, "put", TRUE, "a file was written and proven");
    g_autoptr(GBytes) got = steno_store_read(check->store, key, sizeof PROBE_TEXT, cancellable, &error);
    gboolean same = got && g_bytes_get_size(got) == strlen(PROBE_TEXT) &&
                    memcmp(g_bytes_get_data(got, NULL), PROBE_TEXT, strlen(PROBE_TEXT)) == 0;
    add(check, "get", same, same ? "it is what was written" : error ? error->message : "it is not what was written");
    check_removal(check, key, cancellable);
    g_task_return_boolean(task, TRUE);
}

gboolean command_storage_check(StenoDaemon *daemon, Ask *ask)
{
    const StenoConfigStorage *storage = command_storage(daemon, ask);
    return storage ? run_check(ask, NULL, stores_find(daemon->stores, storage->name), NULL, check_storage) : TRUE;
}

/* ---- platform: HTTP ---------------------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    GString *body = user;
    if (body->len + size * n > ANSWER_MAX_BYTES)
        return 0;
    g_string_append_len(body, data, (gssize)(size * n));
    return size * n;
}

static CURL *new_handle(const Check *check, const char *url, GString *body, char *why)
{
    CURL *handle = curl_easy_init();
    why[0] = '\0';
    curl_easy_setopt(handle, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, CHECK_TIMEOUT_S);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (check->platform->ca_file)
        curl_easy_setopt(handle, CURLOPT_CAINFO, check->platform->ca_file);
    return handle;
}

/* GET, or POST of a request. NULL with *words why there was no JSON answer. */
static json_t *ask_platform(const Check *check, const char *url, const json_t *request, char **words)
{
    GString *body = g_string_new(NULL);
    char why[CURL_ERROR_SIZE];
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    CURL *handle = new_handle(check, url, body, why);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (text) {
        curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, text);
    }
    CURLcode code = curl_easy_perform(handle);
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    json_t *answer = code == CURLE_OK ? json_loadb(body->str, body->len, 0, NULL) : NULL;
    if (code != CURLE_OK)
        *words =
            g_strdup_printf("%s does not answer: %s", check->platform->name, why[0] ? why : curl_easy_strerror(code));
    else if (!answer)
        *words = g_strdup_printf("it answers HTTP %ld without JSON: is the url right?", status);
    if (text)
        steno_secret_wipe(text, strlen(text));
    free(text);
    curl_slist_free_all(headers);
    curl_easy_cleanup(handle);
    g_string_free(body, TRUE);
    return answer;
}

/* ---- platform: Janus --------------------------------------------------------------------------------------------- */

typedef struct {
    Check *check;
    StenoSecret *token, *api_secret;
} Janus;

/* Sends one request; TRUE when the answer is a success. *answer may be NULL. */
static gboolean ask_janus(const Janus *janus, const char *path, json_t *request, json_t **answer, char **words)
{
    g_autofree char *url = g_strconcat(janus->check->platform->url, path, NULL);
    g_autofree char *transaction = steno_job_new_id();
    json_object_set_new(request, "transaction", json_string(transaction));
    if (janus->token)
        json_object_set_new(request, "token", json_string(steno_secret_text(janus->token)));
    if (janus->api_secret)
        json_object_set_new(request, "apisecret", json_string(steno_secret_text(janus->api_secret)));
    *answer = ask_platform(janus->check, url, request, words);
    json_decref(request);
    const char *kind = json_string_value(json_object_get(*answer, "janus"));
    if (g_strcmp0(kind, "success") == 0 || g_strcmp0(kind, "ack") == 0)
        return TRUE;
    const char *reason = json_string_value(json_object_get(json_object_get(*answer, "error"), "reason"));
    if (!*words)
        *words = g_strdup_printf("it refused: %s", reason ? reason : "no reason given");
    return FALSE;
}

/* The id that a request made, 0 when it was refused (told as the check `name`). */
static json_int_t janus_make(const Janus *janus, const char *path, json_t *request, const char *name)
{
    json_t *answer = NULL;
    g_autofree char *words = NULL;
    json_int_t id = 0;
    if (ask_janus(janus, path, request, &answer, &words))
        id = json_integer_value(json_object_get(json_object_get(answer, "data"), "id"));
    if (id == 0)
        add(janus->check, name, FALSE, words ? words : "it answered without an id");
    json_decref(answer);
    return id;
}

/* Looks for the room without entering it. */
static void janus_look_for_room(const Janus *janus, const char *path)
{
    Check *check = janus->check;
    gint64 number;
    json_t *room = g_ascii_string_to_signed(check->channel, 10, 0, G_MAXINT64, &number, NULL)
                       ? json_integer(number)
                       : json_string(check->channel);
    json_t *answer = NULL;
    g_autofree char *words = NULL;
    gboolean ok = ask_janus(
        janus, path, json_pack("{s:s, s:{s:s, s:o}}", "janus", "message", "body", "request", "exists", "room", room),
        &answer, &words);
    const json_t *data = json_object_get(json_object_get(answer, "plugindata"), "data");
    gboolean exists = ok && json_is_true(json_object_get(data, "exists"));
    add(check, "channel", exists, exists ? "the room exists" : words ? words : "there is no such room");
    json_decref(answer);
}

static void janus_let_in(const Janus *janus)
{
    json_int_t session = janus_make(janus, "", json_pack("{s:s}", "janus", "create"), "token");
    if (session == 0)
        return;
    g_autofree char *path = g_strdup_printf("/%" JSON_INTEGER_FORMAT, session);
    json_int_t handle = janus_make(
        janus, path, json_pack("{s:s, s:s}", "janus", "attach", "plugin", "janus.plugin.videoroom"), "token");
    if (handle != 0) {
        add(janus->check, "token", TRUE, janus->token ? "a minted token was accepted" : "let in without a token");
        g_autofree char *handle_path = g_strdup_printf("%s/%" JSON_INTEGER_FORMAT, path, handle);
        if (janus->check->channel)
            janus_look_for_room(janus, handle_path);
    }
    json_t *answer = NULL;
    g_autofree char *words = NULL;
    (void)ask_janus(janus, path, json_pack("{s:s}", "janus", "destroy"), &answer, &words);
    json_decref(answer);
}

static gboolean janus_secrets(Janus *janus)
{
    static const char *const descriptors[] = {"janus.plugin.videoroom", NULL};
    const StenoConfigPlatform *platform = janus->check->platform;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) secret = NULL;
    if (steno_config_secret(platform->api_secret_file, &janus->api_secret, &error) &&
        steno_config_secret(platform->token_secret_file, &secret, &error) &&
        (!secret || (janus->token = steno_token_mint_janus(secret, "janus", descriptors,
                                                           steno_clock_wall_us() / G_USEC_PER_SEC + 60, &error))))
        return TRUE;
    return add(janus->check, "token", FALSE, error->message);
}

static void check_janus(Check *check)
{
    Janus janus = {.check = check};
    g_autofree char *url = g_strconcat(check->platform->url, "/info", NULL), *words = NULL;
    json_t *info = ask_platform(check, url, NULL, &words);
    const char *name = json_string_value(json_object_get(info, "name"));
    const char *version = json_string_value(json_object_get(info, "version_string"));
    g_autofree char *detail = g_strdup_printf("%s %s", name ? name : "it answers", version ? version : "");
    if (add(check, "reachable", info != NULL, info ? g_strchomp(detail) : words) && janus_secrets(&janus))
        janus_let_in(&janus);
    json_decref(info);
    steno_secret_unref(janus.token);
    steno_secret_unref(janus.api_secret);
}

static void check_sdp(Check *check)
{
    g_autofree char *file = check->channel ? g_strconcat(check->channel, ".sdp", NULL) : NULL;
    g_autofree char *path = g_build_filename(check->platform->url, file, NULL);
    gboolean there = g_file_test(path, check->channel ? G_FILE_TEST_IS_REGULAR : G_FILE_TEST_IS_DIR);
    add(check, "reachable", there, there ? "it is there" : "there is no such folder or session description");
}

static void check_platform(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Check *check = data;
    (void)source;
    (void)cancellable;
    if (strcmp(check->platform->connector, "janus") == 0)
        check_janus(check);
    else
        check_sdp(check);
    g_task_return_boolean(task, TRUE);
}

gboolean command_platform_check(StenoDaemon *daemon, Ask *ask)
{
    static const char *const members[] = {"channel", NULL};
    const StenoConfigPlatform *platform = command_platform(daemon, ask);
    const json_t *body = json_object_get(ask->request->arguments, "body");
    const char *channel = NULL;
    if (!platform || (body && !request_members(body, "", members, &ask->reply->error)))
        return TRUE;
    const json_t *value = json_object_get(body, "channel");
    if (value && !request_text(value, "/channel", REQUEST_CHANNEL_MAX_BYTES, &channel, &ask->reply->error))
        return TRUE;
    if (channel && strcmp(platform->connector, "sdp") == 0 && (strchr(channel, '/') || channel[0] == '.'))
        return command_refuse(ask, STENO_ERROR_USAGE, "/channel: is not the name of a session description");
    return run_check(ask, platform, NULL, channel, check_platform);
}
