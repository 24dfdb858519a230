/* HTTP to stenod. */
#include "client.h"

#include "steno/base/clock.h"
#include "steno/base/version.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_DEFAULT "/run/steno/api.sock"
#define CONNECT_TIMEOUT_MS 10000
#define SILENCE_DEFAULT_S 60
#define RETRY_PAUSE_US 100000
/* What 429 asks us to wait is waited for, up to this. */
#define RETRY_AFTER_MAX_S 10

struct CliClient {
    char *socket;     /* or NULL */
    char *base;       /* "https://host:8443", or "http://stenod" over the socket */
    char *ca_file;    /* or NULL */
    char *key_id;     /* or NULL */
    StenoSecret *key; /* with key_id */
    gint64 patience_ms;
};

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static const char *setting(const CliCall *call, const char *option, const char *variable)
{
    const char *text = cli_text(call, option);
    if (!text)
        text = g_getenv(variable);
    return text && text[0] ? text : NULL;
}

static gboolean read_key(CliClient *client, const char *file, GError **error)
{
    g_autoptr(StenoSecret) line = steno_secret_read_file(file, error);
    if (!line)
        return FALSE;
    const char *text = steno_secret_text(line), *colon = strchr(text, ':');
    if (!colon || colon == text || !colon[1] || strpbrk(text, " \t\r\n")) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "the key file '%s' must hold one line, key_id:secret, as `steno key add` prints it", file);
        return FALSE;
    }
    client->key_id = g_strndup(text, (gsize)(colon - text));
    client->key = steno_secret_new(colon + 1, strlen(colon + 1));
    steno_log_hide_secret(colon + 1);
    return TRUE;
}

static gboolean set_server(CliClient *client, CliCall *call, const char *server, GError **error)
{
    const char *key_file = setting(call, "key-file", "STENO_KEY_FILE");
    client->ca_file = g_strdup(setting(call, "ca-file", "STENO_CA_FILE"));
    client->base = strstr(server, "://") ? g_strdup(server) : g_strconcat("https://", server, NULL);
    g_autofree char *scheme = g_uri_parse_scheme(client->base);
    while (g_str_has_suffix(client->base, "/"))
        client->base[strlen(client->base) - 1] = '\0';
    if (g_strcmp0(scheme, "https") != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "--server is '%s', but must begin with https://: credentials and recordings do not go in clear",
                    server);
        return FALSE;
    }
    if (!key_file) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "--server needs an API key: give --key-file (or STENO_KEY_FILE), a file with the line "
                    "key_id:secret; `steno key add` on that machine makes one");
        return FALSE;
    }
    return read_key(client, key_file, error);
}

CliClient *cli_client_new(CliCall *call, GError **error)
{
    g_autoptr(CliClient) client = g_new0(CliClient, 1);
    client->patience_ms = CLI_CONNECT_RETRY_MS;
    const char *server = cli_text(call, "server"), *socket_path = cli_text(call, "socket");
    if (server && socket_path) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "give --server or --socket, not both");
        return NULL;
    }
    /* An option is nearer than a variable. */
    if (!server && !socket_path)
        server = setting(call, "server", "STENO_SERVER");
    if (server) {
        if (!set_server(client, call, server, error))
            return NULL;
        return g_steal_pointer(&client);
    }
    const char *path = setting(call, "socket", "STENO_SOCKET");
    client->socket = g_strdup(path ? path : SOCKET_DEFAULT);
    client->base = g_strdup("http://stenod");
    if (strlen(client->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "the socket's path '%s' is longer than the system allows",
                    client->socket);
        return NULL;
    }
    return g_steal_pointer(&client);
}

void cli_client_free(CliClient *client)
{
    if (!client)
        return;
    g_free(client->socket);
    g_free(client->base);
    g_free(client->ca_file);
    g_free(client->key_id);
    g_clear_pointer(&client->key, steno_secret_unref);
    g_free(client);
}

gboolean cli_client_is_remote(const CliClient *client)
{
    return !client->socket;
}

void cli_client_set_patience(CliClient *client, gint64 ms)
{
    client->patience_ms = ms;
}

/* ---- what went wrong --------------------------------------------------------------------------------------------- */

/* Connected, or -1 with errno. */
static int connect_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

/* Why the socket can't be connected to: errno, 0 when it can. */
static int socket_errno(const char *path)
{
    int fd = connect_socket(path);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

gint cli_client_peer(const CliClient *client)
{
    struct ucred peer = {0};
    socklen_t bytes = sizeof peer;
    int fd = client->socket ? connect_socket(client->socket) : -1;
    if (fd < 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        peer.pid = 0;
    close(fd);
    return peer.pid;
}

static void set_socket_error(const CliClient *client, const char *words, GError **error)
{
    int reason = socket_errno(client->socket);
    struct group *group = getgrnam("steno");
    if (reason == EACCES || reason == EPERM)
        g_set_error(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE, "no permission to talk to stenod at '%s': %s",
                    client->socket,
                    group ? "are you in the group steno? `sudo adduser $USER steno`, then log in again"
                          : "ask its administrator, or run this as root");
    else if (reason == ENOENT)
        g_set_error(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE,
                    "stenod cannot be reached: there is no socket '%s'. Is stenod running? `systemctl status stenod` "
                    "tells; another socket is given by --socket",
                    client->socket);
    else if (reason == ECONNREFUSED)
        g_set_error(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE,
                    "stenod cannot be reached: nobody answers at '%s'. Is stenod running? `systemctl status stenod` "
                    "tells",
                    client->socket);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE, "talking to stenod at '%s' failed: %s",
                    client->socket, reason ? g_strerror(reason) : words);
}

static void set_transport_error(const CliClient *client, CURLcode code, const char *details, GError **error)
{
    const char *words = details[0] ? details : curl_easy_strerror(code);
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        g_set_error(error, STENO_ERROR, STENO_ERROR_TLS,
                    "no TLS connection with stenod at %s: %s. A certificate of stenod's own making is trusted by "
                    "--ca-file with a copy of its tls/cert.pem",
                    client->base, words);
        return;
    default:
        break;
    }
    if (client->socket)
        set_socket_error(client, words, error);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE, "stenod cannot be reached at %s: %s",
                    client->base, words);
}

/* The words of a problem: its detail, and what its errors tell that the detail does not. */
static char *problem_words(const json_t *problem)
{
    const char *detail = cli_member(problem, "detail");
    detail += strspn(detail, ": "); /* of the request as a whole, whose pointer is "" */
    GString *words = g_string_new(detail[0] ? detail : cli_member(problem, "title"));
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (json_object_get(problem, "errors"), i, one) {
        const char *pointer = cli_member(one, "pointer"), *told = cli_member(one, "detail");
        if (!pointer[0])
            pointer = cli_member(one, "parameter");
        if (told[0] && !strstr(words->str, told))
            g_string_append_printf(words, "; %s: %s", pointer, told);
    }
    return g_string_free(words, FALSE);
}

static void set_problem(const CliExchange *exchange, GError **error)
{
    static const char prefix[] = "urn:steno:problem:";
    const char *type = cli_member(exchange->problem, "type");
    StenoError code;
    if (!g_str_has_prefix(type, prefix) || !steno_error_from_slug(type + strlen(prefix), &code)) {
        g_set_error(error, STENO_ERROR, exchange->status == 404 ? STENO_ERROR_NOT_FOUND : STENO_ERROR_PROTOCOL,
                    "%s %s was answered with HTTP %ld and no explanation; is this stenod, and of this version?",
                    exchange->method, exchange->path, exchange->status);
        return;
    }
    g_autofree char *words = problem_words(exchange->problem);
    g_set_error(error, STENO_ERROR, code, "%s", words[0] ? words : steno_error_words(code));
}

/* ---- one transfer ------------------------------------------------------------------------------------------------ */

typedef struct {
    CliExchange *exchange;
    CURL *curl;
    GString *body;
    gboolean opened, ended; /* by a callback */
    gint64 retry_after_s;
    char *redirect;
} Transfer;

static gboolean is_success(const Transfer *transfer)
{
    return transfer->exchange->status >= 200 && transfer->exchange->status < 300;
}

static size_t on_header(char *line, size_t one, size_t count, void *user)
{
    Transfer *transfer = user;
    CliExchange *exchange = transfer->exchange;
    gsize bytes = one * count;
    g_autofree char *text = g_strchomp(g_strndup(line, bytes));
    if (!text[0]) {
        curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
        if (is_success(transfer) && exchange->opened && !transfer->opened) {
            transfer->opened = TRUE;
            transfer->ended = !exchange->opened(exchange->user, exchange->status);
        }
        return transfer->ended ? 0 : bytes;
    }
    char *colon = strchr(text, ':');
    if (!colon)
        return bytes;
    *colon = '\0';
    g_autofree char *name = g_ascii_strdown(text, -1);
    const char *value = g_strstrip(colon + 1);
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
    if (strcmp(name, "retry-after") == 0)
        transfer->retry_after_s = g_ascii_strtoll(value, NULL, 10);
    if (exchange->header && is_success(transfer))
        exchange->header(exchange->user, name, value);
    return bytes;
}

static size_t on_data(char *data, size_t one, size_t count, void *user)
{
    Transfer *transfer = user;
    CliExchange *exchange = transfer->exchange;
    gsize bytes = one * count;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
    if (is_success(transfer) && exchange->data) {
        transfer->ended = !exchange->data(exchange->user, data, bytes);
        return transfer->ended ? 0 : bytes;
    }
    if (transfer->body->len + bytes > CLI_ANSWER_MAX_BYTES)
        return 0;
    g_string_append_len(transfer->body, data, (gssize)bytes);
    return bytes;
}

static void set_connection(const CliClient *client, CURL *curl)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "steno/" STENO_VERSION);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->socket) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    }
    if (client->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
    if (client->key) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, client->key_id);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, steno_secret_text(client->key));
    }
}

static struct curl_slist *set_headers(const CliExchange *exchange, CURL *curl, const char *body)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (body)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (exchange->idempotency_key) {
        g_autofree char *line = g_strconcat("Idempotency-Key: ", exchange->idempotency_key, NULL);
        headers = curl_slist_append(headers, line);
    }
    for (char **more = exchange->headers; more && *more; more++)
        headers = curl_slist_append(headers, *more);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    return headers;
}

/* At a storage: nobody there is told who we are. */
static void set_elsewhere(const CliExchange *exchange, CURL *curl)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (exchange->storage_ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, exchange->storage_ca);
}

/* url: where a file is to be fetched instead, without our credentials; NULL: the exchange's own path. */
static CURLcode perform(const CliClient *client, Transfer *transfer, const char *url, const char *body, char *details)
{
    CliExchange *exchange = transfer->exchange;
    CURL *curl = curl_easy_init();
    g_autofree char *own = g_strconcat(client->base, exchange->path, NULL);
    transfer->curl = curl;
    transfer->opened = transfer->ended = FALSE;
    transfer->retry_after_s = 0;
    exchange->status = 0;
    g_string_truncate(transfer->body, 0);
    details[0] = '\0';
    if (url)
        set_elsewhere(exchange, curl);
    else
        set_connection(client, curl);
    curl_easy_setopt(curl, CURLOPT_URL, url ? url : own);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, exchange->method);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, details);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     (long)(exchange->silence_s ? exchange->silence_s : SILENCE_DEFAULT_S));
    if (body || strcmp(exchange->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)(body ? strlen(body) : 0));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
    }
    struct curl_slist *headers = set_headers(exchange, curl, body);
    CURLcode code = curl_easy_perform(curl);
    char *redirect = NULL;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &redirect);
    g_free(transfer->redirect);
    transfer->redirect = g_strdup(redirect);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return transfer->ended ? CURLE_OK : code;
}

/* Nothing reached stenod, or nothing that does harm twice. */
static gboolean may_repeat(const CliClient *client, const CliExchange *exchange, CURLcode code)
{
    gboolean harmless = strcmp(exchange->method, "GET") == 0 || exchange->idempotency_key;
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        /* Permission does not come by waiting. */
        return !client->socket || (socket_errno(client->socket) != EACCES);
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return harmless && exchange->status == 0;
    default:
        return FALSE;
    }
}

static gboolean is_being_replaced(const Transfer *transfer)
{
    return transfer->exchange->status == 503 && strstr(transfer->body->str, "urn:steno:problem:shutting-down");
}

/* Again and again while stenod is being replaced. */
static CURLcode perform_patiently(const CliClient *client, Transfer *transfer, const char *body, char *details)
{
    gint64 until_us = steno_clock_mono_us() + client->patience_ms * 1000;
    guint waited_for_rate = 0;
    for (;;) {
        CURLcode code = perform(client, transfer, NULL, body, details);
        if (code == CURLE_OK && transfer->exchange->status == 429 && transfer->retry_after_s > 0 &&
            transfer->retry_after_s <= RETRY_AFTER_MAX_S && waited_for_rate++ < 3) {
            g_usleep((gulong)transfer->retry_after_s * G_USEC_PER_SEC);
            continue;
        }
        gboolean again = code == CURLE_OK ? is_being_replaced(transfer) : may_repeat(client, transfer->exchange, code);
        if (!again || steno_clock_mono_us() >= until_us)
            return code;
        g_usleep(RETRY_PAUSE_US);
    }
}

static gboolean take_answer(Transfer *transfer, json_t **answer, GError **error)
{
    CliExchange *exchange = transfer->exchange;
    json_t *json =
        transfer->body->len ? json_loadb(transfer->body->str, transfer->body->len, JSON_DECODE_ANY, NULL) : NULL;
    if (!is_success(transfer)) {
        exchange->problem = json;
        set_problem(exchange, error);
        return FALSE;
    }
    if (transfer->body->len && !json) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_PROTOCOL,
                    "%s %s was answered with something that is no JSON; is this stenod, and of this version?",
                    exchange->method, exchange->path);
        return FALSE;
    }
    if (answer)
        *answer = json;
    else
        json_decref(json);
    return TRUE;
}

/* ---- at a storage ------------------------------------------------------------------------------------------------ */

/* In clear only to this machine. */
static gboolean may_go_to(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
    const char *host = uri ? g_uri_get_host(uri) : NULL;
    if (!host || g_strcmp0(g_uri_get_scheme(uri), "https") == 0)
        return host != NULL;
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0;
}

static gboolean judge_storage(Transfer *transfer, CURLcode code, const char *details, GError **error)
{
    long status = transfer->exchange->status;
    if (code == CURLE_OK && is_success(transfer))
        return TRUE;
    if (code != CURLE_OK)
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE,
                    "the storage did not send the file: %s. Without --direct stenod fetches it for us",
                    details[0] ? details : curl_easy_strerror(code));
    else
        g_set_error(error, STENO_ERROR,
                    status == 404                    ? STENO_ERROR_NOT_FOUND
                    : status == 401 || status == 403 ? STENO_ERROR_STORAGE_DENIED
                    : status >= 500 || status == 429 ? STENO_ERROR_STORAGE_UNREACHABLE
                                                     : STENO_ERROR_STORAGE_FAILED,
                    "the storage answered the signed address with HTTP %ld", status);
    return FALSE;
}

/* What it is signed with is in the address: it is told to nobody else, and wiped. */
static gboolean go_direct(const CliClient *client, Transfer *transfer, GError **error)
{
    char details[CURL_ERROR_SIZE];
    char *url = g_steal_pointer(&transfer->redirect);
    gboolean good = FALSE;
    if (!url || !may_go_to(url))
        g_set_error(error, STENO_ERROR, STENO_ERROR_PROTOCOL,
                    "stenod sends us to the storage in clear (or nowhere at all); without --direct it fetches the file "
                    "for us");
    else
        good = judge_storage(transfer, perform(client, transfer, url, NULL, details), details, error);
    if (url)
        steno_secret_wipe(url, strlen(url));
    g_free(url);
    return good;
}

gboolean cli_client_exchange(CliClient *client, CliExchange *exchange, json_t **answer, GError **error)
{
    char details[CURL_ERROR_SIZE];
    char *body = exchange->body ? json_dumps(exchange->body, JSON_COMPACT) : NULL;
    Transfer transfer = {.exchange = exchange, .body = g_string_new(NULL)};
    CURLcode code = perform_patiently(client, &transfer, body, details);
    if (answer)
        *answer = NULL;
    gboolean good = code == CURLE_OK;
    if (!good)
        set_transport_error(client, code, details, error);
    else if (exchange->direct && exchange->status == 302)
        good = go_direct(client, &transfer, error);
    else
        good = take_answer(&transfer, answer, error);
    if (body)
        steno_secret_wipe(body, strlen(body)); /* it may hold a join token */
    free(body);
    g_string_free(transfer.body, TRUE);
    g_free(transfer.redirect);
    return good;
}

json_t *cli_client_ask(CliClient *client, const char *method, const char *path, const json_t *body, GError **error)
{
    CliExchange exchange = {.method = method, .path = path, .body = body};
    json_t *answer = NULL;
    gboolean good = cli_client_exchange(client, &exchange, &answer, error);
    json_decref(exchange.problem);
    if (!good)
        return NULL;
    return answer ? answer : json_object();
}
