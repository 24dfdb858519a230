#include "http.h"

#include "steno/base/error.h"
#include "steno/http.h"

#include <curl/curl.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_S 5

struct StenoHttp {
    StenoHttpMulti *multi;
    char *ca_file;
    StenoGeofence *geofence;
    const StenoLog *log;
    struct curl_slist *headers;
    GHashTable *requests; /* a set of Request */
};

typedef struct {
    StenoHttp *http;
    CURL *easy; /* NULL once it has ended */
    char *body;
    GString *answer;
    StenoHttpDone done;
    gpointer user;
    GDestroyNotify destroy;
    gboolean refused, opened; /* by the geofence; a socket that it allowed */
    char message[CURL_ERROR_SIZE];
} Request;

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
        steno_http_multi_remove(request->http->multi, request->easy);
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
    CURL *easy = steno_http_easy_new(url, TRUE, http->ca_file);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->message);
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
    steno_http_multi_add(http->multi, request->easy, request);
}

static void on_ended(gpointer user, CURLcode code)
{
    Request *request = user;
    g_autoptr(GError) error = NULL;
    StenoHttpAnswer answer = {.body = request->answer->str, .bytes = request->answer->len};
    g_hash_table_steal(request->http->requests, request); /* `done` may drop all others */
    if (code == CURLE_OK)
        curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    else
        set_error(request, code, &error);
    answer.error = error;
    g_clear_pointer(&request->easy, curl_easy_cleanup); /* its headers are the client's, and `done` may free that */
    request->done(request->user, &answer);
    request_free(request);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

StenoHttp *steno_http_new(GMainContext *context, const char *ca_file, StenoGeofence *geofence, const StenoLog *log)
{
    StenoHttp *http = g_new0(StenoHttp, 1);
    http->ca_file = g_strdup(ca_file);
    http->geofence = geofence ? steno_geofence_ref(geofence) : NULL;
    http->log = log;
    http->requests = g_hash_table_new_full(NULL, NULL, request_free, NULL);
    http->headers = curl_slist_append(NULL, "Content-Type: application/json");
    http->headers = curl_slist_append(http->headers, "Expect:");
    http->multi = steno_http_multi_new(context, (StenoHttpCeilings){.per_host = STENO_HTTP_CONNECTIONS_MAX}, on_ended);
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
    steno_http_multi_free(http->multi);
    g_hash_table_unref(http->requests);
    curl_slist_free_all(http->headers);
    g_clear_pointer(&http->geofence, steno_geofence_unref);
    g_free(http->ca_file);
    g_free(http);
}

void steno_http_post_and_wait(StenoHttp *http, const char *url, char *body, guint timeout_ms)
{
    Request *request = request_new(http, url, body, timeout_ms);
    CURLcode code = curl_easy_perform(request->easy);
    if (code != CURLE_OK)
        steno_debug(http->log, "leaving: %s", curl_easy_strerror(code));
    g_clear_pointer(&request->easy, curl_easy_cleanup);
    request_free(request);
}
