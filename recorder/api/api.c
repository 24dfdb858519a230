/* The API's thread: libwebsockets' loop, messages of other threads, and a tick a second. */
#include "server.h"

#include "tls.h"

#include "certificate.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

/* ---- lws --------------------------------------------------------------------------------------------------------- */

static void handle_messages(StenoApi *api);

static StenoApi *api_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/*
 * lws is used for what is below HTTP: sockets, TLS, time. Its own HTTP parser joins "//" and "..", decodes "%2f" before
 * anybody sees it, has no chunked bodies, and answers bad requests in words of its own.
 */
static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t bytes)
{
    StenoApi *api;
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        api = api_of(wsi);
        api->tls_context = user;
        return tls_set_up(user, api->certificate_file, api->private_key_file, api->config->api.client_ca_file,
                          &api->tls_error)
                   ? 0
                   : 1;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        handle_messages(api_of(wsi));
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE:
        /* A listening socket, or a storage's pipe. */
        if (lws_get_opaque_user_data(wsi))
            download_ready(lws_get_opaque_user_data(wsi));
        else
            listen_accept(api_of(wsi), wsi);
        return 0;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        if (lws_get_opaque_user_data(wsi))
            download_unwatched(lws_get_opaque_user_data(wsi));
        return 0;
    case LWS_CALLBACK_RAW_ADOPT:
        ((Connection *)lws_get_opaque_user_data(wsi))->wsi = wsi;
        return 0;
    case LWS_CALLBACK_SSL_INFO:
        connection_shaken(lws_get_opaque_user_data(wsi), wsi);
        return 0;
    case LWS_CALLBACK_RAW_RX:
        connection_received(lws_get_opaque_user_data(wsi), in, bytes);
        return 0;
    case LWS_CALLBACK_RAW_WRITEABLE:
        return connection_writable(lws_get_opaque_user_data(wsi));
    case LWS_CALLBACK_RAW_CLOSE:
        connection_closed(lws_get_opaque_user_data(wsi));
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "steno", .callback = on_lws, .rx_buffer_size = 16 * 1024, .tx_packet_size = CHUNK_BYTES},
    {0},
};

static void on_lws_log(int level, const char *line)
{
    (void)level;
    g_autofree char *text = g_strchomp(g_strdup(line));
    steno_debug(NULL, "libwebsockets: %s", text);
}

static struct lws_vhost *make_vhost(StenoApi *api, const char *name, gboolean tls)
{
    struct lws_context_creation_info info = {0};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.vhost_name = name;
    info.options = LWS_SERVER_OPTION_ONLY_RAW;
    if (tls)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    info.ssl_info_event_mask = SSL_CB_HANDSHAKE_DONE;
    info.timeout_secs = (unsigned int)api->config->api.idle_timeout_s;
    return lws_create_vhost(api->lws, &info);
}

static gboolean make_lws(StenoApi *api, GError **error)
{
    struct lws_context_creation_info info = {0};
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.user = api;
    info.pt_serv_buf_size = 16 * 1024 + LWS_PRE; /* one TLS record */
    /* Half-done handshakes end by our own clock (connection_check_time); this is only a second rope. */
    info.timeout_secs = (unsigned int)api->config->api.idle_timeout_s;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    api->lws = lws_create_context(&info);
    if (!api->lws)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot start libwebsockets (out of memory?)");
    api->plain = make_vhost(api, "plain", FALSE);
    gboolean https = api->config->api.listen[0] != NULL;
    if (https)
        api->tls = make_vhost(api, "tls", TRUE);
    if (api->tls_error) {
        g_propagate_error(error, g_steal_pointer(&api->tls_error));
        return FALSE;
    }
    if (!api->plain || (https && !api->tls))
        return steno_error_set(error, STENO_ERROR_INTERNAL, "libwebsockets does not make a server");
    return TRUE;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void wake(gpointer user)
{
    StenoApi *api = user;
    lws_cancel_service(api->lws); /* the one thing that another thread may do with lws */
}

/* What is open ends: the daemon's answers can't come any more, since its thread waits for us. */
static void begin_stop(StenoApi *api)
{
    api->stop_at_us = steno_clock_mono_us() + STOP_US;
    listen_stop(api);
    g_autoptr(GList) all = g_hash_table_get_values(api->connections);
    for (GList *item = all; item; item = item->next) {
        Connection *connection = item->data;
        if (connection->state == CONNECTION_ASKED && !connection->killed && !connection->sse) {
            connection->close_after = TRUE;
            answer_error_code(connection, STENO_ERROR_SHUTTING_DOWN, "stenod is being stopped");
        } else if (connection->state != CONNECTION_SEND) {
            connection_kill(connection);
        }
    }
}

static void handle_message(StenoApi *api, Message *message)
{
    switch (message->kind) {
    case MESSAGE_REPLY: {
        Connection *connection = g_hash_table_lookup(api->connections, &message->connection);
        if (connection && !connection->killed)
            connection_replied(connection, g_steal_pointer(&message->reply));
        break;
    }
    case MESSAGE_EVENT:
        sse_event(api, message);
        break;
    case MESSAGE_KEYS:
        auth_keys_free(api->keys);
        api->keys = g_steal_pointer(&message->keys);
        break;
    case MESSAGE_STOP:
        begin_stop(api);
        break;
    }
    message_free(message);
}

static void handle_messages(StenoApi *api)
{
    Message *message;
    while ((message = mailbox_take(api->mailbox)))
        handle_message(api, message);
}

/* ---- the watch, on the main thread ------------------------------------------------------------------------------- */

static void on_event(gpointer user, gint64 seq, const char *app, const char *type, const char *line)
{
    StenoApi *api = user;
    Message *message = g_new0(Message, 1);
    message->kind = MESSAGE_EVENT;
    message->seq = seq;
    message->app = g_strdup(app);
    message->type = g_strdup(type);
    message->line = g_strdup(line);
    mailbox_post(api->mailbox, message);
}

static void on_keys(gpointer user, GPtrArray *keys)
{
    StenoApi *api = user;
    Message *message = g_new0(Message, 1);
    message->kind = MESSAGE_KEYS;
    message->keys = auth_keys_new(keys);
    mailbox_post(api->mailbox, message);
}

static const StenoDaemonWatch watch = {.event = on_event, .keys = on_keys};

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void on_tick(lws_sorted_usec_list_t *sul)
{
    StenoApi *api = lws_container_of(sul, StenoApi, tick);
    gint64 now_us = steno_clock_mono_us();
    g_autoptr(GList) all = g_hash_table_get_values(api->connections);
    for (GList *item = all; item; item = item->next)
        connection_check_time(item->data, now_us);
    listen_resume(api);
    lws_sul_schedule(api->lws, 0, &api->tick, on_tick, G_USEC_PER_SEC);
}

static gpointer run(gpointer user)
{
    StenoApi *api = user;
    lws_sul_schedule(api->lws, 0, &api->tick, on_tick, G_USEC_PER_SEC);
    while (api->stop_at_us == 0)
        lws_service(api->lws, 0);
    lws_sul_schedule(api->lws, 0, &api->tick, on_tick, 50 * G_TIME_SPAN_MILLISECOND);
    while (g_hash_table_size(api->connections) > 0 && steno_clock_mono_us() < api->stop_at_us) {
        lws_service(api->lws, 0);
        lws_sul_schedule(api->lws, 0, &api->tick, on_tick, 50 * G_TIME_SPAN_MILLISECOND);
    }
    lws_sul_schedule(api->lws, 0, &api->tick, on_tick, LWS_SET_TIMER_USEC_CANCEL);
    mailbox_close(api->mailbox);
    lws_context_destroy(g_steal_pointer(&api->lws));
    return NULL;
}

/* The API's thread takes no signals: they are the main thread's. */
static void start_thread(StenoApi *api)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    api->thread = g_thread_new("api", run, api);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

/* A connection may have a file open as well. */
static guint connections_max(StenoApi *api)
{
    struct rlimit limit;
    gint64 wanted = api->config->api.max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return (guint)wanted;
    gint64 possible = MAX(16, ((gint64)limit.rlim_cur - DESCRIPTORS_KEPT - UNIX_CONNECTIONS_MAX) / 2);
    if (possible < wanted)
        steno_warning(api->log,
                      "api.max_connections is %" G_GINT64_FORMAT
                      ", but the limit of open files allows %" G_GINT64_FORMAT,
                      wanted, possible);
    return (guint)MIN(wanted, possible);
}

static gboolean find_certificate(StenoApi *api, GError **error)
{
    const StenoConfigApi *config = &api->config->api;
    if (config->certificate_file) {
        api->certificate_file = g_strdup(config->certificate_file);
        api->private_key_file =
            g_strdup(config->private_key_file ? config->private_key_file : config->certificate_file);
        return TRUE;
    }
    gboolean made;
    g_autofree char *folder = g_build_filename(api->config->top.state_dir, "tls", NULL);
    if (!certificate_find(folder, &api->certificate_file, &api->private_key_file, &made, error))
        return FALSE;
    if (made)
        steno_notice(api->log, "made a certificate of our own: %s (clients must be told to trust it)",
                     api->certificate_file);
    return TRUE;
}

static StenoApi *api_new(StenoConfig *config, StenoDaemon *daemon, const StenoLog *log)
{
    const StenoConfigApi *keys = &config->api;
    StenoApi *api = g_new0(StenoApi, 1);
    api->config = steno_config_ref(config);
    api->daemon = daemon;
    api->log = steno_log_new(log, "api");
    api->mailbox = mailbox_new(wake, api);
    api->listeners = g_ptr_array_new();
    api->connections = g_hash_table_new(g_int64_hash, g_int64_equal);
    api->net.max = connections_max(api);
    api->local.max = UNIX_CONNECTIONS_MAX;
    g_queue_init(&api->net.idle);
    g_queue_init(&api->local.idle);
    api->key_limits = limit_new((double)keys->rate_per_s, (guint)keys->rate_burst, LIMIT_ENTRIES_MAX);
    api->address_limits = limit_new((double)keys->rate_per_s, (guint)keys->rate_burst, LIMIT_ENTRIES_MAX);
    api->login_limits = limit_new(LOGIN_RATE_PER_S, LOGIN_BURST, LIMIT_ENTRIES_MAX);
    api->told_limits = limit_new(LOGINS_TOLD_PER_S, (guint)LOGINS_TOLD_PER_S, 1);
    api->chunk = g_malloc(CHUNK_BYTES);
    return api;
}

static void api_free(StenoApi *api)
{
    mailbox_close(api->mailbox);
    if (api->lws)
        lws_context_destroy(api->lws);
    listen_close(api);
    g_hash_table_unref(api->connections);
    auth_keys_free(api->keys);
    limit_free(api->key_limits);
    limit_free(api->address_limits);
    limit_free(api->login_limits);
    limit_free(api->told_limits);
    mailbox_unref(api->mailbox);
    g_clear_error(&api->tls_error);
    g_free(api->certificate_file);
    g_free(api->private_key_file);
    g_free(api->chunk);
    steno_log_free(api->log);
    steno_config_unref(api->config);
    g_free(api);
}

StenoApi *steno_api_start(StenoConfig *config, StenoDaemon *daemon, const StenoLog *log, GError **error)
{
    StenoApi *api = api_new(config, daemon, log);
    gboolean https = config->api.listen[0] != NULL;
    if ((https && !find_certificate(api, error)) || !make_lws(api, error) || !listen_open(api, error) ||
        !listen_start(api, error)) {
        api_free(api);
        return NULL;
    }
    if (api->tls)
        tls_finish(api->tls_context);
    steno_daemon_watch(daemon, &watch, api);
    start_thread(api);
    for (gsize i = 0; config->api.listen[i]; i++)
        steno_notice(api->log, "listening at https://%s", config->api.listen[i]);
    if (config->api.socket)
        steno_notice(api->log, "listening at %s", config->api.socket);
    return api;
}

void steno_api_stop(StenoApi *api)
{
    if (!api)
        return;
    steno_daemon_watch(api->daemon, NULL, NULL);
    Message *message = g_new0(Message, 1);
    message->kind = MESSAGE_STOP;
    mailbox_post(api->mailbox, message);
    g_thread_join(api->thread);
    api_free(api);
}
