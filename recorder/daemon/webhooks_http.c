#include "webhooks_http.h"

#include "target_guard.h"

#include "steno/base/error.h"

#include <curl/curl.h>
#include <gio/gio.h>
#include <glib-unix.h>
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
    CURLM *multi;
    GSource *timer;
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

/* ---- sockets and time -------------------------------------------------------------------------------------------- */

static void dispatch_finished(WebhookHttp *http);

static void act(WebhookHttp *http, curl_socket_t fd, int events)
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
    WebhookHttp *http = user;
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
        g_source_attach(source, NULL);
    }
    curl_multi_assign(http->multi, fd, source);
    return 0;
}

static gboolean on_time(gpointer user)
{
    WebhookHttp *http = user;
    source_clear(&http->timer);
    act(http, CURL_SOCKET_TIMEOUT, 0);
    return G_SOURCE_REMOVE;
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    WebhookHttp *http = user;
    source_clear(&http->timer);
    if (timeout_ms >= 0) {
        http->timer = g_timeout_source_new((guint)timeout_ms);
        g_source_set_callback(http->timer, on_time, http, NULL);
        g_source_attach(http->timer, NULL);
    }
    return 0;
}

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
    curl_multi_remove_handle(post->http->multi, post->easy);
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

static void finish_transfer(Post *post, CURLcode code)
{
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

static void dispatch_finished(WebhookHttp *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        Post *post = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&post);
        finish_transfer(post, message->data.result);
    }
}

static void set_options(Post *post)
{
    const StenoConfigWebhook *settings = post->http->settings;
    CURL *easy = post->easy;
    curl_easy_setopt(easy, CURLOPT_URL, settings->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, settings->allow_http ? "http,https" : "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | (settings->allow_http ? CURLPROTO_HTTP : 0)));
#endif
    /* None of the environment either: the guard would see its address only. */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
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
    curl_easy_setopt(easy, CURLOPT_PRIVATE, post);
    if (settings->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
}

/* Gives the request to curl, with what is left of its time. */
static void start(Post *post)
{
    gint64 left_ms = MAX((post->deadline_mono_us - g_get_monotonic_time()) / 1000, 1);
    curl_easy_setopt(post->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    if (post->http->addresses)
        post->addresses = curl_slist_append(NULL, post->http->addresses);
    curl_easy_setopt(post->easy, CURLOPT_RESOLVE, post->addresses);
    curl_multi_add_handle(post->http->multi, post->easy);
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
    post->easy = curl_easy_init();
    set_options(post);
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
    curl_global_init(CURL_GLOBAL_DEFAULT);
    WebhookHttp *http = g_new0(WebhookHttp, 1);
    http->settings = settings;
    set_host(http);
    http->posts = g_hash_table_new_full(NULL, NULL, post_free, NULL);
    http->multi = curl_multi_init();
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)WEBHOOK_CONNECTIONS_MAX);
    return http;
}

void webhook_http_free(WebhookHttp *http)
{
    if (!http)
        return;
    g_hash_table_unref(http->posts);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(http->multi); /* closes idle connections; their sockets are not watched any more */
    source_clear(&http->timer);
    g_free(http->host);
    g_free(http->port);
    g_free(http->addresses);
    g_free(http);
}
