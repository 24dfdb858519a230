#include "transfer.h"

#include "steno/http.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 10000
#define UPLOAD_BUFFER_BYTES (2L * 1024 * 1024)
#define DOWNLOAD_BUFFER_BYTES (512L * 1024)
/* A limit is kept evenly in pieces of this size. */
#define PACE_BYTES (64 * 1024)
#define HEADERS_MAX_BYTES (64 * 1024)

struct S3Session {
    StenoStore *store;
    const S3Guard *guard;
    CURLM *multi;
    GPtrArray *running; /* of S3Transfer * */
    GPtrArray *spare;   /* of CURL *, made for the endpoint */
    gint woken;
};

/* ---- what curl asks for ------------------------------------------------------------------------------------------ */

static void moved(S3Transfer *transfer)
{
    transfer->moved_mono_us = g_get_monotonic_time();
}

static size_t read_body(S3Transfer *transfer, char *data, gsize room)
{
    const S3Send *send = &transfer->send;
    gsize bytes = (gsize)MIN((gint64)room, send->bytes - transfer->sent_bytes);
    if (bytes == 0)
        return 0;
    if (send->body) {
        memcpy(data, send->body + transfer->sent_bytes, bytes);
    } else {
        ssize_t n;
        do
            n = pread(send->fd, data, bytes, send->offset + transfer->sent_bytes);
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
            g_free(transfer->words);
            transfer->words = g_strdup(n < 0 ? g_strerror(errno) : "it is shorter than it was");
            transfer->short_source = TRUE;
            return CURL_READFUNC_ABORT;
        }
        bytes = (gsize)n;
    }
    transfer->sent_bytes += (gint64)bytes;
    moved(transfer);
    return bytes;
}

static size_t on_read(char *data, size_t size, size_t count, void *user)
{
    S3Transfer *transfer = user;
    gsize room = size * count;
    gint64 left = transfer->send.bytes - transfer->sent_bytes;
    if (!transfer->send.paced || left <= 0 || store_settings(transfer->session->store)->max_bytes_per_s == 0)
        return read_body(transfer, data, room);
    if (transfer->pause_mono_us > g_get_monotonic_time())
        return CURL_READFUNC_PAUSE;
    transfer->pause_mono_us = 0;
    if (transfer->paid_bytes == 0) {
        transfer->paid_bytes = (gsize)MIN(MIN((gint64)room, left), PACE_BYTES);
        gint64 wait_us = store_pace(transfer->session->store, transfer->paid_bytes);
        if (wait_us > 0) {
            transfer->pause_mono_us = g_get_monotonic_time() + wait_us;
            return CURL_READFUNC_PAUSE;
        }
    }
    size_t n = read_body(transfer, data, MIN(room, transfer->paid_bytes));
    if (n <= transfer->paid_bytes)
        transfer->paid_bytes -= n;
    return n;
}

/* A connection that was kept and is closed by now: curl sends the request again on a new one. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    S3Transfer *transfer = user;
    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    transfer->sent_bytes = offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    S3Transfer *transfer = user;
    gsize bytes = size * count;
    moved(transfer);
    transfer->header_bytes += bytes;
    if (transfer->header_bytes > HEADERS_MAX_BYTES) {
        transfer->too_long = TRUE;
        return 0;
    }
    g_autofree char *line = g_strndup(data, bytes);
    char *colon = strchr(line, ':');
    if (g_str_has_prefix(line, "HTTP/")) {
        g_hash_table_remove_all(transfer->headers); /* what came before was a 100 Continue's */
    } else if (colon) {
        *colon = '\0';
        g_hash_table_replace(transfer->headers, g_ascii_strdown(g_strstrip(line), -1), g_strdup(g_strstrip(colon + 1)));
    }
    return bytes;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    S3Transfer *transfer = user;
    gsize bytes = size * count;
    long status = 0;
    moved(transfer);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->status = (guint)status;
    if (transfer->send.take && (status == 200 || status == 206)) {
        transfer->ended_early = !transfer->send.take(transfer->send.user, transfer, (const guint8 *)data, bytes);
        return transfer->ended_early ? 0 : bytes;
    }
    if (transfer->body->len + bytes > transfer->send.answer_max_bytes) {
        transfer->too_long = TRUE;
        return 0;
    }
    g_byte_array_append(transfer->body, (const guint8 *)data, (guint)bytes);
    return bytes;
}

static int on_progress(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    (void)down_all, (void)up_all;
    S3Transfer *transfer = user;
    if (down + up != transfer->moved_bytes || transfer->pause_mono_us)
        moved(transfer);
    transfer->moved_bytes = down + up;
    transfer->stalled =
        g_get_monotonic_time() - transfer->moved_mono_us > (gint64)transfer->send.quiet_s * G_USEC_PER_SEC;
    return transfer->stalled ? 1 : 0;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    S3Transfer *transfer = user;
    if (!s3_guard_allows_address(transfer->session->guard, &address->addr)) {
        g_autoptr(GSocketAddress) shown = g_socket_address_new_from_native(&address->addr, address->addrlen);
        g_free(transfer->refused);
        transfer->refused =
            G_IS_INET_SOCKET_ADDRESS(shown)
                ? g_inet_address_to_string(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(shown)))
                : g_strdup("no IP address");
        return CURL_SOCKET_BAD;
    }
    transfer->opened = TRUE;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the easy handle --------------------------------------------------------------------------------------------- */

static CURL *easy_new(const S3Session *session, gboolean direct)
{
    const StenoConfigStorage *settings = store_settings(session->store);
    CURL *easy = steno_http_easy_new("", settings->allow_http || direct, settings->ca_file);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, DOWNLOAD_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* who is interrupted does not wait for a name to be looked up */
#endif
    if (!direct && settings->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, settings->proxy);
    if (!direct && settings->client_certificate_file) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->client_certificate_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->client_key_file);
    }
    return easy;
}

/* Everything that differs between exchanges, since the handle was used before. */
static void prepare(S3Transfer *transfer)
{
    CURL *easy = transfer->easy;
    const S3Send *send = &transfer->send;
    curl_easy_setopt(easy, CURLOPT_URL, send->url);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* takes back NOBODY and UPLOAD */
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (strcmp(send->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (send->bytes >= 0) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)send->bytes);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, send->method);
    } else if (strcmp(send->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, send->method);
    }
    gint64 left_ms = 0;
    if (send->deadline_mono_us)
        left_ms = MAX((send->deadline_mono_us - g_get_monotonic_time()) / 1000, 1);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->slist);
    curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
}

static struct curl_slist *slist_of(const S3Pair *headers)
{
    /* No waiting for a 100 Continue, and no type that nobody gave. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (; headers && headers->name; headers++) {
        g_autofree char *line = g_strdup_printf("%s: %s", headers->name, headers->value);
        list = curl_slist_append(list, line);
        steno_secret_wipe(line, strlen(line));
    }
    return list;
}

static void slist_wipe(struct curl_slist *list)
{
    for (struct curl_slist *at = list; at; at = at->next)
        steno_secret_wipe(at->data, strlen(at->data));
    curl_slist_free_all(list);
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

S3Transfer *s3_transfer_start(S3Session *session, const S3Send *send, gpointer owner)
{
    S3Transfer *transfer = g_new0(S3Transfer, 1);
    transfer->session = session;
    transfer->send = *send;
    transfer->owner = owner;
    transfer->headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    transfer->body = g_byte_array_new();
    transfer->slist = slist_of(send->headers);
    moved(transfer);
    if (!send->direct && session->spare->len > 0)
        transfer->easy = g_ptr_array_steal_index_fast(session->spare, session->spare->len - 1);
    else
        transfer->easy = easy_new(session, send->direct);
    prepare(transfer);
    transfer->send.url = NULL; /* curl has a copy */
    transfer->send.headers = NULL;
    g_ptr_array_add(session->running, transfer);
    curl_multi_add_handle(session->multi, transfer->easy);
    return transfer;
}

/* Takes it out of curl; the handle is kept for the next one. */
static void detach(S3Transfer *transfer)
{
    if (!transfer->easy)
        return;
    S3Session *session = transfer->session;
    curl_multi_remove_handle(session->multi, transfer->easy);
    g_ptr_array_remove_fast(session->running, transfer);
    if (transfer->send.direct) {
        curl_easy_cleanup(transfer->easy);
    } else {
        curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
        curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, NULL);
        g_ptr_array_add(session->spare, transfer->easy);
    }
    transfer->easy = NULL;
}

void s3_transfer_free(S3Transfer *transfer)
{
    if (!transfer)
        return;
    detach(transfer);
    slist_wipe(transfer->slist);
    g_hash_table_unref(transfer->headers);
    if (transfer->body->len > 0)
        steno_secret_wipe(transfer->body->data, transfer->body->len);
    g_byte_array_unref(transfer->body);
    g_free(transfer->words);
    g_free(transfer->refused);
    g_free(transfer);
}

const char *s3_transfer_header(const S3Transfer *transfer, const char *name)
{
    return g_hash_table_lookup(transfer->headers, name);
}

static S3Outcome outcome_of(const S3Transfer *transfer, CURLcode code)
{
    if (transfer->too_long)
        return S3_TOO_LONG;
    if (transfer->short_source)
        return S3_SOURCE;
    if (transfer->ended_early)
        return S3_ENDED_EARLY;
    if (transfer->stalled || code == CURLE_OPERATION_TIMEDOUT)
        return S3_TIMED_OUT;
    if (transfer->refused && !transfer->opened)
        return S3_GUARDED;
    switch ((int)code) {
    case CURLE_OK:
        return S3_SENT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return S3_UNTRUSTED;
    default:
        return S3_SILENT;
    }
}

static void end(S3Transfer *transfer, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->status = (guint)status;
    transfer->outcome = outcome_of(transfer, code);
    const char *words = transfer->message[0] ? transfer->message : curl_easy_strerror(code);
    if (transfer->outcome == S3_TOO_LONG)
        words = "its answer is too long";
    else if (transfer->stalled)
        words = "nothing moved for too long";
    if (transfer->outcome != S3_SENT && !transfer->words)
        transfer->words = g_strdup(transfer->outcome == S3_GUARDED ? transfer->refused : words);
    detach(transfer);
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

S3Session *s3_session_new(StenoStore *store, const S3Guard *guard)
{
    S3Session *session = g_new0(S3Session, 1);
    session->store = store;
    session->guard = guard;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    session->multi = curl_multi_init();
    session->running = g_ptr_array_new();
    session->spare = g_ptr_array_new_with_free_func(curl_easy_cleanup);
    return session;
}

void s3_session_drop_all(S3Session *session)
{
    while (session->running->len > 0)
        s3_transfer_free(g_ptr_array_index(session->running, session->running->len - 1));
}

void s3_session_free(S3Session *session)
{
    s3_session_drop_all(session);
    g_ptr_array_unref(session->running);
    g_ptr_array_unref(session->spare);
    curl_multi_cleanup(session->multi);
    g_free(session);
}

void s3_session_wake(S3Session *session)
{
    g_atomic_int_set(&session->woken, 1);
    curl_multi_wakeup(session->multi);
}

guint s3_session_running(const S3Session *session)
{
    return session->running->len;
}

/* Lets those go on that have waited for their turn; returns when the next one may. */
static gint64 unpause(S3Session *session, gint64 until_mono_us)
{
    gint64 now_mono_us = g_get_monotonic_time();
    for (guint i = 0; i < session->running->len; i++) {
        S3Transfer *transfer = g_ptr_array_index(session->running, i);
        if (transfer->pause_mono_us && transfer->pause_mono_us <= now_mono_us)
            curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
        if (transfer->pause_mono_us)
            until_mono_us = MIN(until_mono_us, transfer->pause_mono_us);
    }
    return until_mono_us;
}

static S3Transfer *take_ended(S3Session *session)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(session->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *user = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
        S3Transfer *transfer = (S3Transfer *)(void *)user;
        end(transfer, code);
        return transfer;
    }
    return NULL;
}

S3Transfer *s3_session_next(S3Session *session, gint64 until_mono_us, GCancellable *cancellable)
{
    S3Transfer *ended = NULL;
    GPollFD fired = {.fd = -1};
    gboolean can_fire = cancellable && g_cancellable_make_pollfd(cancellable, &fired);
    for (;;) {
        int running;
        curl_multi_perform(session->multi, &running);
        ended = take_ended(session);
        gint64 next_mono_us = unpause(session, until_mono_us); /* also those that were paused just now */
        gint64 now_mono_us = g_get_monotonic_time();
        if (ended || now_mono_us >= until_mono_us || g_cancellable_is_cancelled(cancellable) ||
            g_atomic_int_compare_and_exchange(&session->woken, 1, 0))
            break;
        struct curl_waitfd extra = {.fd = fired.fd, .events = CURL_WAIT_POLLIN};
        /* Once a second at least, so that curl asks on_progress(). */
        gint64 wait_ms = CLAMP((next_mono_us - now_mono_us) / 1000 + 1, 0, 1000);
        curl_multi_poll(session->multi, &extra, can_fire ? 1 : 0, (int)wait_ms, NULL);
    }
    if (can_fire)
        g_cancellable_release_fd(cancellable);
    return ended;
}

gboolean s3_session_await(S3Session *session, const S3Transfer *transfer, GCancellable *cancellable)
{
    while (!g_cancellable_is_cancelled(cancellable)) {
        if (s3_session_next(session, G_MAXINT64, cancellable) == transfer)
            return TRUE;
    }
    return FALSE;
}
