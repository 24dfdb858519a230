#include "source_http.h"

#include "steno/base/error.h"
#include "steno/http.h"

#include <gio/gio.h>
#include <openssl/ssl.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS 10000
#define PER_HOST 8

struct KeyHttp {
    const SourceSettings *settings;
    StenoHttpMulti *multi;
    GQueue requests; /* of Request, under way */
};

typedef struct {
    KeyHttp *http;
    CURL *easy;
    struct curl_slist *headers;
    char *body, *where, *what;
    SourceBuffer answer;
    gboolean too_large;
    char words[CURL_ERROR_SIZE];
    KeyHttpDone done;
    SourceAnswered answered;
    gpointer user;
} Request;

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* What of the address may be told: a query may have a token. */
static char *shown(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED, NULL);
    return uri ? g_uri_to_string_partial(uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT)
               : g_strdup("(no address)");
}

/* Curl tells how long it took, each time another number: the same trouble would seem to be another one. */
static char *stable(const char *words)
{
    g_autoptr(GRegex) times = g_regex_new(" after [0-9]+ (ms|milliseconds)|[0-9]+ out of [0-9]+ ", 0, 0, NULL);
    return g_regex_replace_literal(times, words, -1, 0, "", 0, NULL);
}

static void set_failed(const Request *request, CURLcode code, GError **error)
{
    g_autofree char *words = stable(request->words[0] ? request->words : curl_easy_strerror(code));
    if (request->too_large)
        steno_error_set(error, STENO_ERROR_KEYS_INVALID, "%s at %s answered with more than %" G_GSIZE_FORMAT " bytes",
                        request->what, request->where, request->answer.max_bytes);
    else
        steno_error_set(error, STENO_ERROR_KEY_SOURCE, "cannot ask %s at %s: %s", request->what, request->where, words);
}

SourceOutcome key_http_judge(const KeyHttpReply *reply, const char *what, GError **error)
{
    guint status = reply->status;
    if (status == 0) {
        g_propagate_error(error, g_error_copy(reply->error));
        return SOURCE_TROUBLE;
    }
    if (status == 204 || status == 404)
        return SOURCE_ABSENT;
    const char *help = status == 401 || status == 403  ? ": it refuses us; is the secret or the certificate right, and "
                                                         "may this channel's keys be read with it?"
                       : status >= 300 && status < 400 ? ": redirects are not followed; configure the address it tells"
                       : status == 429 || status >= 500 ? ": it is asked again"
                                                        : "";
    steno_error_set(error, STENO_ERROR_KEY_SOURCE, "%s at %s answered with HTTP status %u%s", what, reply->where,
                    status, help);
    return SOURCE_TROUBLE;
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        steno_secret_wipe(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

static void request_free(Request *request)
{
    curl_easy_cleanup(request->easy);
    free_headers(request->headers);
    source_buffer_clear(&request->answer);
    g_free(request->body);
    g_free(request->where);
    g_free(request->what);
    g_free(request);
}

/* Curl's own copy is wiped, too: nobody reads it after us. */
static size_t on_bytes(char *data, size_t size, size_t count, void *user)
{
    Request *request = user;
    gsize bytes = size * count;
    request->too_large = !source_buffer_append(&request->answer, data, bytes);
    steno_secret_wipe(data, bytes);
    return request->too_large ? 0 : bytes;
}

static CURLcode on_tls(CURL *easy, void *context, void *user)
{
    (void)easy, (void)user;
    SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

static void on_ended(gpointer user, CURLcode code)
{
    Request *request = user;
    long status = 0;
    curl_off_t wait_s = 0;
    g_autoptr(GError) error = NULL;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &wait_s);
    if (code != CURLE_OK)
        set_failed(request, code, &error);
    const KeyHttpReply reply = {.status = code == CURLE_OK ? (guint)status : 0,
                                .body = &request->answer,
                                .wait_s = (guint)CLAMP(wait_s, 0, G_MAXINT),
                                .where = request->where,
                                .error = error};
    g_queue_remove(&request->http->requests, request);
    request->done(&reply, request->answered, request->user);
    request_free(request);
}

static void set_certificate(CURL *easy, const SourceSettings *settings)
{
    if (!settings->certificate_file || !settings->client_key)
        return;
    struct curl_blob key = {.data = (void *)steno_secret_data(settings->client_key),
                            .len = steno_secret_bytes(settings->client_key),
                            .flags = CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->certificate_file);
    curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
}

void key_http_send(KeyHttp *http, const KeyHttpRequest *what, KeyHttpDone done, SourceAnswered answered, gpointer user)
{
    Request *request = g_new0(Request, 1);
    request->http = http;
    request->headers = what->headers;
    request->body = g_strdup(what->body);
    request->where = shown(what->url);
    request->what = g_strdup(what->what);
    request->answer.max_bytes = what->max_bytes;
    request->done = done;
    request->answered = answered;
    request->user = user;
    CURL *easy = request->easy = steno_http_easy_new(what->url, what->allow_http, http->settings->ca_file);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->words);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    set_certificate(easy, http->settings);
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    }
    g_queue_push_tail(&http->requests, request);
    steno_http_multi_add(http->multi, easy, request);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

KeyHttp *key_http_new(const SourceSettings *settings, GMainContext *context)
{
    KeyHttp *http = g_new0(KeyHttp, 1);
    http->settings = settings;
    http->multi = steno_http_multi_new(context, (StenoHttpCeilings){.per_host = PER_HOST}, on_ended);
    return http;
}

void key_http_free(KeyHttp *http)
{
    Request *request;
    while ((request = g_queue_pop_head(&http->requests))) {
        steno_http_multi_remove(http->multi, request->easy);
        request_free(request);
    }
    steno_http_multi_free(http->multi);
    g_free(http);
}

static gboolean is_loopback(const char *host)
{
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(host);
    return strcmp(host, "localhost") == 0 || (address && g_inet_address_get_is_loopback(address));
}

gboolean key_http_check(const StenoJobSpec *job, gboolean allow_loopback_http, GError **error)
{
    g_autoptr(GUri) uri = job->key_url ? g_uri_parse(job->key_url, G_URI_FLAGS_ENCODED, NULL) : NULL;
    const char *scheme = uri ? g_uri_get_scheme(uri) : "", *host = uri ? g_uri_get_host(uri) : NULL;
    gboolean lawful =
        host && host[0] && !g_uri_get_userinfo(uri) && !g_uri_get_fragment(uri) &&
        (strcmp(scheme, "https") == 0 || (allow_loopback_http && strcmp(scheme, "http") == 0 && is_loopback(host)));
    if (!lawful)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_url must be the https address of where the content keys are%s, without a user, "
                               "password or fragment",
                               allow_loopback_http ? " (http of this machine alone)" : "");
    if (!job->key_client_certificate_file != !job->key_client_key)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_client_certificate_file and key_client_key belong together: give both or none");
    return TRUE;
}
