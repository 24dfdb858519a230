/* libcurl's multi interface on a GMainContext: curl tells which sockets and which time to watch, GLib watches. */
#include "http.h"

#include "steno/base/error.h"

#include <curl/curl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 5

struct StenoHttp {
    guint references; /* one of the owner, one while a `done` runs */
    CURLM *multi;     /* NULL once freed by its owner */
    GMainContext *context;
    char *ca_file;
    StenoGeofence *geofence;
    const StenoLog *log;
    struct curl_slist *headers;
    GSource *timer;
    GHashTable *requests; /* a set of Request */
};

typedef struct {
    StenoHttp *http;
    CURL *easy;
    char *body;
    GString *answer;
    StenoHttpDone done;
    gpointer user;
    GDestroyNotify destroy;
    gboolean refused, opened; /* by the geofence; a socket that it allowed */
    char message[CURL_ERROR_SIZE];
} Request;

/* ---- sockets and time -------------------------------------------------------------------------------------------- */

static void dispatch_finished(StenoHttp *http);

static void act(StenoHttp *http, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(http->multi, fd, events, &running);
    dispatch_finished(http);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer user)
{
    int events = 0;
    if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR))
        events |= CURL_CSELECT_IN;
    if (condition & G_IO_OUT)
        events |= CURL_CSELECT_OUT;
    if (condition & G_IO_ERR)
        events |= CURL_CSELECT_ERR;
    act(user, fd, events);
    return G_SOURCE_CONTINUE; /* curl takes the source away when it is done with the socket */
}

static void source_clear(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_source)
{
    (void)easy;
    StenoHttp *http = user;
    GSource *source = socket_source;
    source_clear(&source);
    if (what != CURL_POLL_REMOVE) {
        GIOCondition condition = G_IO_HUP | G_IO_ERR;
        if (what & CURL_POLL_IN)
            condition |= G_IO_IN;
        if (what & CURL_POLL_OUT)
            condition |= G_IO_OUT;
        source = g_unix_fd_source_new(fd, condition);
        g_source_set_callback(source, G_SOURCE_FUNC(on_ready), http, NULL);
        g_source_attach(source, http->context);
    }
    curl_multi_assign(http->multi, fd, source);
    return 0;
}

static gboolean on_time(gpointer user)
{
    StenoHttp *http = user;
    source_clear(&http->timer);
    act(http, CURL_SOCKET_TIMEOUT, 0);
    return G_SOURCE_REMOVE;
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    StenoHttp *http = user;
    source_clear(&http->timer);
    if (timeout_ms >= 0) {
        http->timer = g_timeout_source_new((guint)timeout_ms);
        g_source_set_callback(http->timer, on_time, http, NULL);
        g_source_attach(http->timer, http->context);
    }
    return 0;
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    Request *request = user;
    gsize bytes = size * count;
    if (request->answer->len + bytes > STENO_HTTP_BODY_MAX_BYTES)
        return 0;
    g_string_append_len(request->answer, data, (gssize)bytes);
    return bytes;
}

/* Where the name really led to is known only here: a geofence on names could be led around by DNS. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    Request *request = user;
    if (!steno_geofence_allows_address(request->http->geofence, &address->addr)) {
        request->refused = TRUE;
        return CURL_SOCKET_BAD;
    }
    request->opened = TRUE;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static StenoError error_of(const Request *request, CURLcode code)
{
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
        return STENO_ERROR_TLS;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return STENO_ERROR_USAGE;
    case CURLE_WRITE_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
        return STENO_ERROR_PROTOCOL;
    default:
        return request->refused && !request->opened ? STENO_ERROR_GEOFENCE : STENO_ERROR_UNREACHABLE;
    }
}

static void set_error(Request *request, CURLcode code, GError **error)
{
    StenoError kind = error_of(request, code);
    const char *what = request->message[0] ? request->message : curl_easy_strerror(code);
    if (code == CURLE_WRITE_ERROR)
        what = "its answer is longer than 1 MiB";
    const char *hint = "check the URL, and that the server is up";
    if (kind == STENO_ERROR_TLS)
        hint = "check the server's certificate, or pass --ca-file";
    else if (kind == STENO_ERROR_GEOFENCE)
        hint = "its address is in none of the --allow-media-cidr networks";
    else if (kind == STENO_ERROR_PROTOCOL)
        hint = "is this the URL of the platform's HTTP interface?";
    g_set_error(error, STENO_ERROR, kind, "cannot talk to the platform: %s (%s)", what, hint);
}

static void request_free(gpointer data)
{
    Request *request = data;
    if (request->easy) {
        if (request->http->multi)
            curl_multi_remove_handle(request->http->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    if (request->body) {
        steno_secret_wipe(request->body, strlen(request->body));
        g_free(request->body);
    }
    g_string_free(request->answer, TRUE);
    if (request->destroy)
        request->destroy(request->user);
    g_free(request);
}

static CURL *new_easy(StenoHttp *http, Request *request, const char *url, guint timeout_ms)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_PROXY,
                     ""); /* none of the environment either: the geofence would see its address only */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->message);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    if (http->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
    }
    return easy;
}

static Request *request_new(StenoHttp *http, const char *url, char *body, guint timeout_ms)
{
    Request *request = g_new0(Request, 1);
    request->http = http;
    request->body = body;
    request->answer = g_string_new(NULL);
    request->easy = new_easy(http, request, url, timeout_ms);
    return request;
}

void steno_http_request(StenoHttp *http, const char *url, char *body, guint timeout_s, StenoHttpDone done,
                        gpointer user, GDestroyNotify destroy)
{
    Request *request = request_new(http, url, body, timeout_s * 1000);
    request->done = done;
    request->user = user;
    request->destroy = destroy;
    g_hash_table_add(http->requests, request);
    curl_multi_add_handle(http->multi, request->easy);
}

static void finish(Request *request, CURLcode code)
{
    g_autoptr(GError) error = NULL;
    StenoHttpAnswer answer = {.body = request->answer->str, .bytes = request->answer->len};
    if (code == CURLE_OK)
        curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    else
        set_error(request, code, &error);
    answer.error = error;
    request->done(request->user, &answer);
    request_free(request);
}

static void unref(StenoHttp *http)
{
    if (--http->references > 0)
        return;
    g_hash_table_unref(http->requests);
    g_main_context_unref(http->context);
    curl_slist_free_all(http->headers);
    g_clear_pointer(&http->geofence, steno_geofence_unref);
    g_free(http->ca_file);
    g_free(http);
}

static void dispatch_finished(StenoHttp *http)
{
    http->references++;
    CURLMsg *message;
    int left;
    while (http->multi && (message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        Request *request = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        curl_multi_remove_handle(http->multi, request->easy);
        g_hash_table_steal(http->requests, request); /* `done` may drop all others */
        finish(request, code);
    }
    unref(http);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

StenoHttp *steno_http_new(GMainContext *context, const char *ca_file, StenoGeofence *geofence, const StenoLog *log)
{
    StenoHttp *http = g_new0(StenoHttp, 1);
    http->references = 1;
    http->context = g_main_context_ref(context);
    http->ca_file = g_strdup(ca_file);
    http->geofence = geofence ? steno_geofence_ref(geofence) : NULL;
    http->log = log;
    http->requests = g_hash_table_new_full(NULL, NULL, request_free, NULL);
    http->headers = curl_slist_append(NULL, "Content-Type: application/json");
    http->headers = curl_slist_append(http->headers, "Expect:");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->multi = curl_multi_init();
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)STENO_HTTP_CONNECTIONS_MAX);
    return http;
}

void steno_http_drop_all(StenoHttp *http)
{
    g_hash_table_remove_all(http->requests);
}

void steno_http_free(StenoHttp *http)
{
    if (!http)
        return;
    steno_http_drop_all(http);
    CURLM *multi = g_steal_pointer(&http->multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(multi); /* closes idle connections; their sockets are not watched any more */
    source_clear(&http->timer);
    unref(http);
}

void steno_http_post_and_wait(StenoHttp *http, const char *url, char *body, guint timeout_ms)
{
    Request *request = request_new(http, url, body, timeout_ms);
    CURLcode code = curl_easy_perform(request->easy);
    if (code != CURLE_OK)
        steno_debug(http->log, "leaving: %s", curl_easy_strerror(code));
    curl_easy_cleanup(request->easy);
    request->easy = NULL;
    request_free(request);
}
