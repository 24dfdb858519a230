#include "janus_api.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define REQUEST_TIMEOUT_S 10
#define POLL_TIMEOUT_S 45 /* Janus answers after 30 s; cutting a poll short loses the event that was on its way */
#define EVENT_TIMEOUT_US (15 * G_USEC_PER_SEC) /* from the ack to the event: Janus gathers candidates meanwhile */
#define POLL_RETRY_MS 250
#define POLL_GRACE_US (5 * G_USEC_PER_SEC) /* a network's hiccup, which the session survives */

struct JanusApi {
    guint references;
    gboolean dead;
    StenoHttp *http;
    GMainContext *context;
    const char *base_url;
    JanusCredentials *credentials;
    const StenoLog *log;
    const JanusApiEvents *events;
    gpointer user;

    gint64 session; /* 0: none yet */
    guint32 prefix; /* of our transactions */
    guint count;
    GHashTable *waiting; /* transaction → Waiting */
    GSource *retry;
    gint64 poll_failed_mono_us; /* since when polls fail; 0: they do not */
};

typedef struct {
    JanusReplied replied;
    gpointer user;
    gint64 until_mono_us;
} Waiting;

/* One HTTP request on its way; holds a reference to the api. */
typedef struct {
    JanusApi *api;
    char *transaction; /* NULL: the long poll */
} Call;

static void api_unref(JanusApi *api)
{
    if (--api->references > 0)
        return;
    g_hash_table_unref(api->waiting);
    g_free(api);
}

static Call *call_new(JanusApi *api, const char *transaction)
{
    Call *call = g_new0(Call, 1);
    call->api = api;
    call->transaction = g_strdup(transaction);
    api->references++;
    return call;
}

static void call_free(gpointer data)
{
    Call *call = data;
    api_unref(call->api);
    g_free(call->transaction);
    g_free(call);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static GError *error_of_code(JanusApi *api, int code, const char *reason)
{
    GError *error = NULL;
    if (code == JANUS_UNAUTHORIZED) {
        if (!janus_credentials_check(api->credentials, &error))
            return error;
        gboolean shown = janus_credentials_core(api->credentials) || janus_credentials_api_secret(api->credentials);
        return g_error_new(STENO_ERROR, STENO_ERROR_TOKEN_REFUSED, "Janus refused %s (403 %s): pass %s",
                           shown ? "the token or API secret" : "to talk without a token or API secret", reason,
                           shown ? "the right one" : "--token, --token-secret-file or --api-secret-file");
    }
    if (code == JANUS_UNAUTHORIZED_PLUGIN)
        return g_error_new(STENO_ERROR, STENO_ERROR_TOKEN_REFUSED,
                           "Janus refused the token for its VideoRoom (405 %s): it needs the descriptor "
                           "janus.plugin.videoroom",
                           reason);
    if (code == JANUS_SESSION_NOT_FOUND || code == JANUS_HANDLE_NOT_FOUND)
        return g_error_new(STENO_ERROR, STENO_ERROR_CONNECTION_LOST,
                           "Janus does not know our session any more (%d %s): it was restarted or could not be reached",
                           code, reason);
    if (code == JANUS_PLUGIN_NOT_FOUND)
        return g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL,
                           "this Janus has no VideoRoom plug-in (460 %s): enable janus.plugin.videoroom", reason);
    return g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL, "Janus answered with an error: %d %s", code, reason);
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

/* Ends the transaction. The api may be freed by whom it tells: hold a reference. */
static void reply(JanusApi *api, const char *transaction, const JanusReply *what)
{
    gpointer key = NULL, value = NULL;
    if (api->dead || !transaction || !g_hash_table_steal_extended(api->waiting, transaction, &key, &value))
        return;
    g_free(key);
    Waiting *waiting = value;
    if (waiting->replied)
        waiting->replied(waiting->user, what);
    else if (what->error)
        steno_debug(api->log, "%s", what->error->message);
    g_free(waiting);
}

static void reply_error(JanusApi *api, const char *transaction, int code, const GError *error)
{
    JanusReply what = {.code = code, .error = error};
    reply(api, transaction, &what);
}

static const char *reason_of(json_t *object, const char *name)
{
    const char *reason = json_string_value(json_object_get(object, name));
    return reason ? reason : "no reason given";
}

/* A core answer or event with a transaction: its data, or the plug-in's, or an error of either. */
static void reply_message(JanusApi *api, const char *transaction, json_t *message)
{
    json_t *failure = json_object_get(message, "error");
    json_t *data = json_object_get(json_object_get(message, "plugindata"), "data");
    if (!data)
        data = json_object_get(message, "data");
    int code = (int)json_integer_value(json_object_get(failure, "code"));
    const char *reason = failure ? reason_of(failure, "reason") : NULL;
    if (!failure && json_object_get(data, "error_code")) {
        code = (int)json_integer_value(json_object_get(data, "error_code"));
        reason = reason_of(data, "error");
    }
    JanusReply what = {.data = data, .jsep = json_object_get(message, "jsep"), .code = code};
    g_autoptr(GError) error = NULL;
    if (reason)
        what.error = error = failure ? error_of_code(api, code, reason)
                                     : g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL, "%d %s", code, reason);
    reply(api, transaction, &what);
}

static json_t *parse(const StenoHttpAnswer *answer, GError **error)
{
    if (answer->error) {
        g_propagate_error(error, g_error_copy(answer->error));
        return NULL;
    }
    json_error_t where;
    json_t *message = answer->status == 200 ? json_loadb(answer->body, answer->bytes, 0, &where) : NULL;
    if (!json_is_object(message) && !json_is_array(message)) {
        json_decref(message);
        g_set_error(error, STENO_ERROR, STENO_ERROR_PROTOCOL,
                    "what answers (HTTP status %ld, %" G_GSIZE_FORMAT
                    " bytes) is not Janus: --url must be its HTTP API, "
                    "such as http://host:8088/janus",
                    answer->status, answer->bytes);
        return NULL;
    }
    return message;
}

static void lost(JanusApi *api, int code, const GError *error)
{
    if (!api->dead)
        api->events->lost(api->user, code, error);
}

static void poll_events(JanusApi *api);

static void on_answer(gpointer user, const StenoHttpAnswer *answer)
{
    Call *call = user;
    JanusApi *api = call->api;
    if (api->dead)
        return;
    api->events->enter(api->user);
    g_autoptr(GError) error = NULL;
    json_t *message = parse(answer, &error);
    if (!message)
        reply_error(api, call->transaction, 0, error);
    else if (g_strcmp0(json_string_value(json_object_get(message, "janus")), "ack") != 0)
        reply_message(api, call->transaction, message);
    json_decref(message);
    gpointer owner = api->user;
    const JanusApiEvents *events = api->events;
    events->leave(owner);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

void janus_set_secret(json_t *object, const char *name, const char *secret)
{
    if (secret)
        json_object_set_new(object, name, json_string(secret));
}

/* jansson has no way to wipe what it frees. */
static void wipe_secrets(json_t *object)
{
    static const char *const names[] = {"token", "apisecret", "pin"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *secret = json_object_get(object, names[i]);
        if (json_is_string(secret))
            steno_secret_wipe((char *)json_string_value(secret), json_string_length(secret));
    }
}

/* Adds transaction and secrets, and turns it into text of exactly its size. Takes message. */
static char *serialize(JanusApi *api, json_t *message, const char *transaction)
{
    json_object_set_new(message, "transaction", json_string(transaction));
    janus_set_secret(message, "token", janus_credentials_core(api->credentials));
    janus_set_secret(message, "apisecret", janus_credentials_api_secret(api->credentials));
    gsize bytes = json_dumpb(message, NULL, 0, JSON_COMPACT);
    char *text = g_malloc(bytes + 1);
    json_dumpb(message, text, bytes, JSON_COMPACT);
    text[bytes] = '\0';
    wipe_secrets(message);
    wipe_secrets(json_object_get(message, "body"));
    json_decref(message);
    return text;
}

static char *url_of(const JanusApi *api, gint64 handle)
{
    GString *url = g_string_new(api->base_url);
    if (api->session)
        g_string_append_printf(url, "/%" G_GINT64_FORMAT, api->session);
    if (handle)
        g_string_append_printf(url, "/%" G_GINT64_FORMAT, handle);
    return g_string_free(url, FALSE);
}

/* Takes message. */
static void request(JanusApi *api, gint64 handle, json_t *message, JanusReplied replied, gpointer user)
{
    g_autofree char *transaction = g_strdup_printf("%08x-%u", api->prefix, ++api->count);
    g_autofree char *url = url_of(api, handle);
    char *body = serialize(api, message, transaction);
    Waiting *waiting = g_new0(Waiting, 1);
    waiting->replied = replied;
    waiting->user = user;
    waiting->until_mono_us = steno_clock_mono_us() + EVENT_TIMEOUT_US;
    g_hash_table_insert(api->waiting, g_strdup(transaction), waiting);
    steno_http_request(api->http, url, body, REQUEST_TIMEOUT_S, on_answer, call_new(api, transaction), call_free);
}

void janus_api_attach(JanusApi *api, JanusReplied replied, gpointer user)
{
    json_t *message = json_pack("{s:s, s:s}", "janus", "attach", "plugin", "janus.plugin.videoroom");
    request(api, 0, message, replied, user);
}

void janus_api_detach(JanusApi *api, gint64 handle)
{
    request(api, handle, json_pack("{s:s}", "janus", "detach"), NULL, NULL);
}

void janus_api_message(JanusApi *api, gint64 handle, json_t *body, json_t *jsep, JanusReplied replied, gpointer user)
{
    json_t *message = json_pack("{s:s, s:o}", "janus", "message", "body", body);
    if (jsep)
        json_object_set_new(message, "jsep", jsep);
    request(api, handle, message, replied, user);
}

static gboolean waits_with(gpointer key, gpointer value, gpointer user)
{
    (void)key;
    return ((Waiting *)value)->user == user;
}

void janus_api_forget(JanusApi *api, gpointer user)
{
    g_hash_table_foreach_remove(api->waiting, waits_with, user);
}

void janus_api_tick(JanusApi *api)
{
    gint64 now = steno_clock_mono_us();
    g_autoptr(GPtrArray) late = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, api->waiting);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (now > ((Waiting *)value)->until_mono_us)
            g_ptr_array_add(late, g_strdup(key));
    }
    if (late->len == 0)
        return;
    g_autoptr(GError) error = g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL, "Janus did not answer within %d s",
                                          (int)(EVENT_TIMEOUT_US / G_USEC_PER_SEC));
    api->references++;
    for (guint i = 0; i < late->len; i++)
        reply_error(api, g_ptr_array_index(late, i), 0, error);
    api_unref(api);
}

/* ---- the long poll ----------------------------------------------------------------------------------------------- */

static void handle_event(JanusApi *api, json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "janus"));
    const char *transaction = json_string_value(json_object_get(event, "transaction"));
    gint64 sender = json_integer_value(json_object_get(event, "sender"));
    if (g_strcmp0(kind, "keepalive") == 0 || g_strcmp0(kind, "ack") == 0)
        return;
    if (g_strcmp0(kind, "timeout") == 0 && !json_object_get(event, "sender")) {
        g_autoptr(GError) error =
            g_error_new(STENO_ERROR, STENO_ERROR_CONNECTION_LOST, "Janus ended our session: it did not hear from us");
        lost(api, 0, error);
    } else if (transaction && g_hash_table_contains(api->waiting, transaction)) {
        reply_message(api, transaction, event);
    } else {
        api->events->event(api->user, sender, event);
    }
}

static gboolean on_retry(gpointer user)
{
    JanusApi *api = user;
    g_clear_pointer(&api->retry, g_source_unref);
    poll_events(api);
    return G_SOURCE_REMOVE;
}

static void poll_failed(JanusApi *api, const GError *error)
{
    gint64 now = steno_clock_mono_us();
    if (api->poll_failed_mono_us == 0)
        api->poll_failed_mono_us = now;
    if (now - api->poll_failed_mono_us > POLL_GRACE_US) {
        lost(api, 0, error);
        return;
    }
    steno_debug(api->log, "the long poll failed, trying again: %s", error->message);
    api->retry = g_timeout_source_new(POLL_RETRY_MS);
    g_source_set_callback(api->retry, on_retry, api, NULL);
    g_source_attach(api->retry, api->context);
}

static void polled(JanusApi *api, const StenoHttpAnswer *answer)
{
    g_autoptr(GError) error = NULL;
    json_t *message = parse(answer, &error);
    json_t *failure = json_object_get(message, "error");
    if (!message) {
        poll_failed(api, error);
    } else if (failure) {
        int code = (int)json_integer_value(json_object_get(failure, "code"));
        error = error_of_code(api, code, reason_of(failure, "reason"));
        lost(api, code, error);
    } else {
        api->poll_failed_mono_us = 0;
        /* The next poll first: what the events lead to may take its time, and the server's queue is short. */
        poll_events(api);
        gsize i;
        json_t *event;
        if (json_is_object(message) && !api->dead)
            handle_event(api, message);
        json_array_foreach (message, i, event) {
            if (!api->dead)
                handle_event(api, event);
        }
    }
    json_decref(message);
}

static void on_poll(gpointer user, const StenoHttpAnswer *answer)
{
    JanusApi *api = ((Call *)user)->api;
    if (api->dead)
        return;
    gpointer owner = api->user;
    const JanusApiEvents *events = api->events;
    events->enter(owner);
    polled(api, answer);
    events->leave(owner);
}

static void append_secret(GString *url, const char *name, const char *secret)
{
    if (!secret)
        return;
    g_autofree char *escaped = g_uri_escape_string(secret, NULL, FALSE);
    g_string_append_printf(url, "&%s=%s", name, escaped);
    steno_secret_wipe(escaped, strlen(escaped));
}

/* Janus takes them in the query only: a GET has no body. */
static void poll_events(JanusApi *api)
{
    g_autofree char *place = url_of(api, 0);
    GString *url = g_string_sized_new(2 * 4096);
    g_string_append_printf(url, "%s?maxev=10", place);
    append_secret(url, "token", janus_credentials_core(api->credentials));
    append_secret(url, "apisecret", janus_credentials_api_secret(api->credentials));
    steno_http_request(api->http, url->str, NULL, POLL_TIMEOUT_S, on_poll, call_new(api, NULL), call_free);
    steno_secret_wipe(url->str, url->len);
    g_string_free(url, TRUE);
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

static void on_created(gpointer user, const JanusReply *what)
{
    JanusApi *api = user;
    gint64 session = json_integer_value(json_object_get(what->data, "id"));
    if (what->error) {
        lost(api, what->code, what->error);
    } else if (session <= 0) {
        g_autoptr(GError) error =
            g_error_new(STENO_ERROR, STENO_ERROR_PROTOCOL, "Janus made a session without telling its id: is it Janus?");
        lost(api, 0, error);
    } else {
        api->session = session;
        poll_events(api);
        api->events->created(api->user);
    }
}

JanusApi *janus_api_new(StenoHttp *http, GMainContext *context, const char *base_url, JanusCredentials *credentials,
                        const StenoLog *log, const JanusApiEvents *events, gpointer user)
{
    JanusApi *api = g_new0(JanusApi, 1);
    api->references = 1;
    api->http = http;
    api->context = context;
    api->base_url = base_url;
    api->credentials = credentials;
    api->log = log;
    api->events = events;
    api->user = user;
    api->prefix = g_random_int();
    api->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    request(api, 0, json_pack("{s:s}", "janus", "create"), on_created, api);
    return api;
}

void janus_api_destroy(JanusApi *api, guint timeout_ms)
{
    if (!api->session)
        return;
    g_autofree char *url = url_of(api, 0);
    char *body = serialize(api, json_pack("{s:s}", "janus", "destroy"), "leave");
    steno_http_post_and_wait(api->http, url, body, timeout_ms);
}

void janus_api_silence(JanusApi *api)
{
    api->dead = TRUE;
    if (api->retry) {
        g_source_destroy(api->retry);
        g_clear_pointer(&api->retry, g_source_unref);
    }
    g_hash_table_remove_all(api->waiting);
}

void janus_api_free(JanusApi *api)
{
    if (!api)
        return;
    janus_api_silence(api);
    api_unref(api);
}
