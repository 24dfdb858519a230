#include "steno/http.h"

#include <glib-unix.h>

struct StenoHttpMulti {
    guint references; /* one of the owner, one while `ended` runs */
    CURLM *curl;      /* NULL once freed by its owner */
    GMainContext *context;
    StenoHttpEnded ended;
    GSource *timer;
};

/* ---- what has ended ---------------------------------------------------------------------------------------------- */

static void unref(StenoHttpMulti *multi)
{
    if (--multi->references > 0)
        return;
    if (multi->context)
        g_main_context_unref(multi->context);
    g_free(multi);
}

static void dispatch_ended(StenoHttpMulti *multi)
{
    multi->references++;
    CURLMsg *message;
    int left;
    while (multi->curl && (message = curl_multi_info_read(multi->curl, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        char *user = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
        curl_multi_remove_handle(multi->curl, easy); /* ends the message's life, too */
        multi->ended(user, code);
    }
    unref(multi);
}

/* ---- sockets and time -------------------------------------------------------------------------------------------- */

static void act(StenoHttpMulti *multi, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(multi->curl, fd, events, &running);
    dispatch_ended(multi);
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
    StenoHttpMulti *multi = user;
    GSource *source = socket_source;
    source_clear(&source);
    if (what != CURL_POLL_REMOVE) {
        GIOCondition condition = G_IO_HUP | G_IO_ERR;
        if (what & CURL_POLL_IN)
            condition |= G_IO_IN;
        if (what & CURL_POLL_OUT)
            condition |= G_IO_OUT;
        source = g_unix_fd_source_new(fd, condition);
        g_source_set_callback(source, G_SOURCE_FUNC(on_ready), multi, NULL);
        g_source_attach(source, multi->context);
    }
    curl_multi_assign(multi->curl, fd, source);
    return 0;
}

static gboolean on_time(gpointer user)
{
    StenoHttpMulti *multi = user;
    source_clear(&multi->timer);
    act(multi, CURL_SOCKET_TIMEOUT, 0);
    return G_SOURCE_REMOVE;
}

static int on_timer(CURLM *curl, long timeout_ms, void *user)
{
    (void)curl;
    StenoHttpMulti *multi = user;
    source_clear(&multi->timer);
    if (timeout_ms >= 0) {
        multi->timer = g_timeout_source_new((guint)timeout_ms);
        g_source_set_callback(multi->timer, on_time, multi, NULL);
        g_source_attach(multi->timer, multi->context);
    }
    return 0;
}

/* ---- the multi --------------------------------------------------------------------------------------------------- */

StenoHttpMulti *steno_http_multi_new(GMainContext *context, StenoHttpCeilings ceilings, StenoHttpEnded ended)
{
    StenoHttpMulti *multi = g_new0(StenoHttpMulti, 1);
    multi->references = 1;
    multi->context = context ? g_main_context_ref(context) : NULL;
    multi->ended = ended;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi->curl = curl_multi_init();
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    if (ceilings.per_host)
        curl_multi_setopt(multi->curl, CURLMOPT_MAX_HOST_CONNECTIONS, (long)ceilings.per_host);
    if (ceilings.kept)
        curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, (long)ceilings.kept);
    return multi;
}

void steno_http_multi_free(StenoHttpMulti *multi)
{
    if (!multi)
        return;
    CURLM *curl = g_steal_pointer(&multi->curl);
    curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(curl); /* closes idle connections; their sockets are not watched any more */
    source_clear(&multi->timer);
    unref(multi);
}

void steno_http_multi_add(StenoHttpMulti *multi, CURL *easy, gpointer user)
{
    curl_easy_setopt(easy, CURLOPT_PRIVATE, user);
    curl_multi_add_handle(multi->curl, easy);
}

void steno_http_multi_remove(StenoHttpMulti *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
}

/* ---- the easy handle --------------------------------------------------------------------------------------------- */

CURL *steno_http_easy_new(const char *url, gboolean allow_http, const char *ca_file)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, allow_http ? "http,https" : "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | (allow_http ? CURLPROTO_HTTP : 0)));
#endif
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    return easy;
}
