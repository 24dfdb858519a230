#include "webhooks_http.h"

#include "target_guard.h"

#include "steno/base/error.h"
#include "steno/base/version.h"
#include "steno/http.h"

#include <curl/curl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 10000
/* A name is not asked for again for so long, unless sending fails: a busy recording has many events a second. */
#define ADDRESSES_KEPT_US (30 * G_USEC_PER_SEC)

struct WebhookHttp {
    const StenoConfigWebhook *settings;
    char *host; /* to be looked up; NULL when the URL has an address */
    char *port;
    char *addresses; /* what was looked up last, as CURLOPT_RESOLVE has it; or NULL */
    gint64 addresses_until_mono_us;
    StenoHttpMulti *multi;
    GHashTable *posts; /* a set of Post */
};

typedef struct {
    WebhookHttp *http;
    CURL *easy;
    struct curl_slist *headers, *addresses;
    char *body;
    GCancellable *lookup; /* while one runs */
    guint lookup_timer;
    gint64 deadline_mono_us;
    gsize answer_bytes;
    gboolean too_long;
    const char *refused; /* by the guard: what kind of address */
    gboolean opened;     /* a socket that it allowed */
    WebhookAnswered answered;
    gpointer user;
    char message[CURL_ERROR_SIZE];
} Post;

/* A lookup outlives a request that is dropped: GLib calls back all the same. */
typedef struct {
    Post *post;
    GCancellable *cancellable;
} Lookup;

/* ---- what curl asks for ------------------------------------------------------------------------------------------ */

/* Headers and body alike are counted and dropped. Less than all ends the transfer. */
static size_t on_answer(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    Post *post = user;
    post->answer_bytes += size * count;
    post->too_long = post->answer_bytes > WEBHOOK_ANSWER_MAX_BYTES;
    return post->too_long ? 0 : size * count;
}

/* Where the name really led to is known only here: a guard on names could be led around by DNS. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    Post *post = user;
    const char *why = target_guard_refuses(&address->addr, post->http->settings->allow_private);
    if (why) {
        post->refused = why;
        return CURL_SOCKET_BAD;
    }
    post->opened = TRUE;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static void post_free(gpointer data)
{
    Post *post = data;
    if (post->lookup) {
        g_cancellable_cancel(post->lookup);
        g_object_unref(post->lookup);
    }
    if (post->lookup_timer)
        g_source_remove(post->lookup_timer);
    steno_http_multi_remove(post->http->multi, post->easy);
    curl_easy_cleanup(post->easy);
    curl_slist_free_all(post->headers);
    curl_slist_free_all(post->addresses);
    g_free(post->body);
    g_free(post);
}

static void finish(Post *post, const WebhookAnswer *answer)
{
    /* The request is gone before the next one is made: curl then uses its connection again. */
    WebhookAnswered answered = post->answered;
    gpointer user = post->user;
    g_hash_table_steal(post->http->posts, post);
    post_free(post);
    answered(user, answer);
}

static char *words_of(const Post *post, CURLcode code, long status)
{
    gint64 timeout_s = post->http->settings->timeout_s;
    if (post->refused && !post->opened)
        return g_strdup_printf("its address is %s, which webhooks are not sent to (allow_private = true allows it)",
                               post->refused);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return g_strdup_printf("%s within %" G_GINT64_FORMAT " s",
                               status > 0 ? "it did not end its answer" : "no answer", timeout_s);
    if (code != CURLE_OK)
        return g_strdup(post->message[0] ? post->message : curl_easy_strerror(code));
    if (status >= 300 && status < 400)
        return g_strdup_printf("it answered %ld, and redirects are not followed: configure the URL that it leads to",
                               status);
    return g_strdup_printf("it answered %ld", status);
}

static void on_ended(gpointer user, CURLcode code)
{
    Post *post = user;
    WebhookAnswer answer = {0};
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_getinfo(post->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer.retry_after_s = retry_after_s;
    /* The status of an answer that is too long to be read is a status all the same; sending it again helps nobody. */
    if (code == CURLE_WRITE_ERROR && post->too_long)
        code = CURLE_OK;
    answer.delivered = code == CURLE_OK && answer.status >= 200 && answer.status < 300;
    g_autofree char *words = answer.delivered ? NULL : words_of(post, code, answer.status);
    answer.words = words;
    if (code != CURLE_OK)
        post->http->addresses_until_mono_us = 0;
    finish(post, &answer);
}

static CURL *new_easy(Post *post)
{
    const StenoConfigWebhook *settings = post->http->settings;
    CURL *easy = steno_http_easy_new(settings->url, settings->allow_http, settings->ca_file);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(post->body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, post);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, post);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->message);
    return easy;
}

/* Gives the request to curl, with what is left of its time. */
static void start(Post *post)
{
    gint64 left_ms = MAX((post->deadline_mono_us - g_get_monotonic_time()) / 1000, 1);
    curl_easy_setopt(post->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    if (post->http->addresses)
        post->addresses = curl_slist_append(NULL, post->http->addresses);
    curl_easy_setopt(post->easy, CURLOPT_RESOLVE, post->addresses);
    steno_http_multi_add(post->http->multi, post->easy, post);
}

/* ---- looking the name up ----------------------------------------------------------------------------------------- */

/* "host:port:address,address": what curl then knows, without a lookup of its own. */
static char *resolve_entry(const WebhookHttp *http, GList *addresses)
{
    GString *entry = g_string_new(NULL);
    g_string_append_printf(entry, "%s:%s:", http->host, http->port);
    for (GList *at = addresses; at; at = at->next) {
        g_autofree char *address = g_inet_address_to_string(at->data);
        gboolean is6 = g_inet_address_get_family(at->data) == G_SOCKET_FAMILY_IPV6;
        g_string_append_printf(entry, is6 ? "%s[%s]" : "%s%s", at == addresses ? "" : ",", address);
    }
    return g_string_free(entry, FALSE);
}

static void lookup_ended(Post *post)
{
    g_clear_object(&post->lookup);
    if (post->lookup_timer)
        g_source_remove(post->lookup_timer);
    post->lookup_timer = 0;
}

static void on_looked_up(GObject *resolver, GAsyncResult *result, gpointer user)
{
    Lookup *lookup = user;
    g_autoptr(GError) error = NULL;
    GList *addresses = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, &error);
    if (!g_cancellable_is_cancelled(lookup->cancellable)) {
        Post *post = lookup->post;
        lookup_ended(post);
        if (addresses) {
            g_free(post->http->addresses);
            post->http->addresses = resolve_entry(post->http, addresses);
            post->http->addresses_until_mono_us = g_get_monotonic_time() + ADDRESSES_KEPT_US;
            start(post);
        } else {
            g_autofree char *words = g_strdup_printf("its name could not be looked up: %s", error->message);
            WebhookAnswer answer = {.words = words};
            finish(post, &answer);
        }
    }
    g_resolver_free_addresses(addresses);
    g_object_unref(lookup->cancellable);
    g_free(lookup);
}

static gboolean on_lookup_timeout(gpointer user)
{
    Post *post = user;
    post->lookup_timer = 0;
    g_autofree char *words = g_strdup_printf("its name was not found within %" G_GINT64_FORMAT " s (is the DNS up?)",
                                             post->http->settings->timeout_s);
    WebhookAnswer answer = {.words = words};
    finish(post, &answer);
    return G_SOURCE_REMOVE;
}

static void look_up(Post *post)
{
    g_autoptr(GResolver) resolver = g_resolver_get_default();
    Lookup *lookup = g_new0(Lookup, 1);
    post->lookup = g_cancellable_new();
    lookup->cancellable = g_object_ref(post->lookup);
    lookup->post = post;
    post->lookup_timer = g_timeout_add((guint)post->http->settings->timeout_s * 1000, on_lookup_timeout, post);
    g_resolver_lookup_by_name_async(resolver, post->http->host, post->lookup, on_looked_up, lookup);
}

void webhook_http_post(WebhookHttp *http, const char *const *headers, char *body, WebhookAnswered answered,
                       gpointer user)
{
    Post *post = g_new0(Post, 1);
    post->http = http;
    post->body = body;
    post->answered = answered;
    post->user = user;
    post->deadline_mono_us = g_get_monotonic_time() + http->settings->timeout_s * G_USEC_PER_SEC;
    post->headers = curl_slist_append(NULL, "Content-Type: application/json");
    post->headers = curl_slist_append(post->headers, "User-Agent: Steno/" STENO_VERSION);
    post->headers = curl_slist_append(post->headers, "Expect:");
    for (guint i = 0; headers[i]; i++)
        post->headers = curl_slist_append(post->headers, headers[i]);
    post->easy = new_easy(post);
    g_hash_table_add(http->posts, post);
    if (http->host && (!http->addresses || g_get_monotonic_time() > http->addresses_until_mono_us))
        look_up(post);
    else
        start(post);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CURLU, curl_url_cleanup)

/* The host, when it is a name, as it is asked for in DNS; and the port. The URL was checked. */
static void set_host(WebhookHttp *http)
{
    g_autoptr(CURLU) parts = curl_url();
    char *host = NULL, *port = NULL;
    if (curl_url_set(parts, CURLUPART_URL, http->settings->url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        http->port = g_strdup(port);
        if (host[0] != '[' && !g_hostname_is_ip_address(host))
            http->host = g_hostname_to_ascii(host);
    }
    curl_free(host);
    curl_free(port);
}

WebhookHttp *webhook_http_new(const StenoConfigWebhook *settings, GError **error)
{
    if (!target_guard_check_url(settings->url, settings->allow_http, error))
        return NULL;
    if (settings->ca_file && access(settings->ca_file, R_OK) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "its ca_file '%s' cannot be read", settings->ca_file);
        return NULL;
    }
    WebhookHttp *http = g_new0(WebhookHttp, 1);
    http->settings = settings;
    http->multi = steno_http_multi_new(NULL, (StenoHttpCeilings){.kept = WEBHOOK_CONNECTIONS_MAX}, on_ended);
    set_host(http);
    http->posts = g_hash_table_new_full(NULL, NULL, post_free, NULL);
    return http;
}

void webhook_http_free(WebhookHttp *http)
{
    if (!http)
        return;
    g_hash_table_unref(http->posts);
    steno_http_multi_free(http->multi);
    g_free(http->host);
    g_free(http->port);
    g_free(http->addresses);
    g_free(http);
}
