/* The API's thread: its state, and what its files call of each other. Everything here happens on that thread. */
#ifndef STENO_API_SERVER_H
#define STENO_API_SERVER_H

#include "auth.h"
#include "http.h"
#include "limit.h"
#include "mailbox.h"
#include "metrics.h"
#include "routes.h"
#include "target.h"

#include "steno/api.h"
#include "steno/base/error.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>

/* The Unix socket's connections have a ceiling of their own, so that a flood from the net does not shut `steno` out. */
#define UNIX_CONNECTIONS_MAX 128
/* File descriptors that stenod needs for all else. */
#define DESCRIPTORS_KEPT 256
/* How long a client may take for its TLS handshake, a request's head, its body. */
#define REQUEST_TIMEOUT_US (10 * G_USEC_PER_SEC)
/* How long a client may read nothing of an answer. */
#define SEND_TIMEOUT_US (30 * G_USEC_PER_SEC)
/* How long a storage may send nothing of a file that goes through: its own patience ends before. */
#define STREAM_TIMEOUT_US (300 * G_USEC_PER_SEC)
/* After a last answer, so that it is not lost by what the client still sends (RFC 9112 §9.6). */
#define LINGER_US (2 * G_USEC_PER_SEC)
#define LINGER_MAX_BYTES (1024 * 1024)
/* A wrong login of an address that had many is answered after this. */
#define LOGIN_DELAY_US (1 * G_USEC_PER_SEC)
/* Wrong logins an address may make at once, and a second. */
#define LOGIN_BURST 20
#define LOGIN_RATE_PER_S 1.0
/* Wrong logins a second that are told to the daemon, of all addresses: each is a line of the audit log. */
#define LOGINS_TOLD_PER_S 20.0
/* Addresses and keys that are remembered. */
#define LIMIT_ENTRIES_MAX 16384
/* Written at once; read at once from a file. */
#define CHUNK_BYTES (64 * 1024)
/* How long steno_api_stop() lets open answers end. */
#define STOP_US (1500 * G_TIME_SPAN_MILLISECOND)

typedef struct Connection Connection;
typedef struct Sse Sse;

/* Connections of one kind: their ceiling, and those that do nothing, longest first. */
typedef struct {
    guint count, max;
    GQueue idle;
} Pool;

typedef struct {
    int fd;
    struct lws *wsi;
    gboolean is_unix, paused;
    char *path; /* of a Unix socket */
} Listener;

struct StenoApi {
    StenoConfig *config;
    StenoDaemon *daemon;
    StenoLog *log;
    Mailbox *mailbox;
    GThread *thread;
    struct lws_context *lws;
    struct lws_vhost *plain, *tls;
    SSL_CTX *tls_context; /* the vhost's */
    GError *tls_error;    /* of setting it up */
    char *certificate_file, *private_key_file;
    gid_t socket_group;
    GPtrArray *listeners;    /* of Listener * */
    GHashTable *connections; /* serial → Connection * */
    guint64 last_serial;
    Pool net, local;
    AuthKeys *keys;
    LimitTable *key_limits, *address_limits, *login_limits, *told_limits;
    Metrics metrics;
    guint sse_count;
    guint8 *chunk; /* CHUNK_BYTES, for reading files */
    lws_sorted_usec_list_t tick;
    gint64 stop_at_us; /* 0: not stopping */
};

typedef enum {
    CONNECTION_HEAD,  /* nothing yet, or a part of a request's head */
    CONNECTION_BODY,  /* of a request that may be made */
    CONNECTION_ASKED, /* the daemon is */
    CONNECTION_HELD,  /* a wrong login's answer waits */
    CONNECTION_SEND,
    CONNECTION_SSE,
    CONNECTION_LINGER
} ConnectionState;

struct Connection {
    StenoApi *api;
    struct lws *wsi;
    guint64 serial;
    Pool *pool;
    GList idle_link;
    gboolean is_idle, is_unix, killed, trusted;
    uid_t uid;
    char *address, *address_name;
    ConnectionState state;
    gint64 deadline_us; /* monotonic; 0: none */
    gboolean heard;     /* anything at all */
    gboolean reading;   /* as lws was last told */
    GString *in;
    gsize lingered_bytes;

    /* The request. */
    HttpHead head;
    Target target;
    RouteMatch match;
    json_t *arguments;
    char *key_id, *app;
    StenoRole role;
    LimitTable *limited_by; /* whose bucket was asked; NULL: none */
    LimitState limit;
    GString *body;
    HttpChunks chunks;
    gint64 began_us;
    gboolean body_unread; /* the client may still be sending it */

    /* The answer. */
    GQueue out; /* of GBytes * */
    gsize out_bytes, out_offset;
    StenoDaemonReply *file;
    gint64 file_offset, file_left;
    int stream_fd;            /* the file comes from a storage through this pipe; -1: from disk */
    struct lws *stream_watch; /* lws' eye on the pipe (a descriptor of its own); NULL: none is needed any more */
    gboolean stream_awaited;  /* the client could take more, the pipe is empty */
    gboolean close_after;
    Sse *sse;
};

/* ---- connection.c ------------------------------------------------------------------------------------------------ */

Connection *connection_new(StenoApi *api, int fd, gboolean is_unix, const char *address);
/* Its TLS handshake is done. */
void connection_shaken(Connection *connection, struct lws *wsi);
void connection_received(Connection *connection, const char *data, gsize bytes);
/* -1: close it. */
int connection_writable(Connection *connection);
/* lws is done with it: forgets and frees. */
void connection_closed(Connection *connection);
/* lws closes it as soon as it can. It counts no more from now on. */
void connection_kill(Connection *connection);
void connection_check_time(Connection *connection, gint64 now_us);
/* Queues bytes (takes the reference) and sends when the client can take them. */
void connection_queue(Connection *connection, GBytes *bytes);
void connection_set_state(Connection *connection, ConnectionState state, gint64 timeout_us);
/* The message that a reply to this connection's ask has come. Takes the reply. */
void connection_replied(Connection *connection, StenoDaemonReply *reply);

/* ---- request.c: what becomes of a request ------------------------------------------------------------------------ */

/* The head is there: answers, asks the daemon, or waits for the body. */
void request_begin(Connection *connection);
/* The body is there. */
void request_perform(Connection *connection);
/* Asks the daemon; takes the arguments. */
void request_ask(Connection *connection, StenoCommand command, json_t *arguments);
/* Forgets the request; the connection may have another. */
void request_clear(Connection *connection);

/* ---- answer.c ---------------------------------------------------------------------------------------------------- */

/* An answer that is being made. */
typedef struct {
    int status;
    GString *headers;
} Answer;

Answer *answer_new(int status);
/* A header line, when the value is printable ASCII; else none. */
void answer_header(Answer *answer, const char *name, const char *value);
/* Sends the head and then `bytes` of body, which are appended by the caller (NULL type: no body; -1: until closed). */
void answer_send_head(Connection *connection, Answer *answer, const char *type, gint64 bytes);
/* Sends all of it; takes the answer and the body (which may be NULL). */
void answer_send(Connection *connection, Answer *answer, const char *type, GBytes *body);
/* Sends JSON; takes the reference. */
void answer_json(Connection *connection, Answer *answer, const char *type, json_t *json);
void answer_error(Connection *connection, const GError *error, const json_t *more);
void answer_error_code(Connection *connection, StenoError code, const char *detail);
/* A fault of HTTP itself, for which errors.def has no row. */
void answer_status(Connection *connection, int status, const char *detail);
/* What the daemon replied. Takes the reply. */
void answer_reply(Connection *connection, StenoDaemonReply *reply);

/* ---- download.c -------------------------------------------------------------------------------------------------- */

typedef enum { DOWNLOAD_PIECE, DOWNLOAD_WAIT, DOWNLOAD_CUT } DownloadResult;

/* Answers with the reply's file, or a part of it. Takes the reply. */
void download_send(Connection *connection, StenoDaemonReply *reply);
/*
 * The next piece of the file, in api->chunk, *bytes of it. WAIT: the storage has not sent it yet; it will be asked
 * again when it has. CUT: the file is shorter than was told.
 */
DownloadResult download_next(Connection *connection, gsize *bytes);
/* The pipe has something, or has ended: the client may be written to. */
void download_ready(Connection *connection);
/* lws does not look at the pipe any more. */
void download_unwatched(Connection *connection);
/* Lets go of the file; a storage that still sends stops. */
void download_end(Connection *connection);

/* ---- sse.c ------------------------------------------------------------------------------------------------------- */

void sse_begin(Connection *connection);
void sse_replied(Connection *connection, StenoDaemonReply *reply);
/* All that was queued has been sent. */
void sse_drained(Connection *connection);
void sse_event(StenoApi *api, const Message *message);
void sse_check_time(Connection *connection, gint64 now_us);
/* Forgets what it is, if it is one. */
void sse_end(Connection *connection);

/* ---- openapi.json, made of docs/openapi.yaml when building --------------------------------------------------------
 */

const char *openapi_json(gsize *bytes);

/* ---- listen.c ---------------------------------------------------------------------------------------------------- */

gboolean listen_open(StenoApi *api, GError **error);
/* Gives the listening sockets to lws. */
gboolean listen_start(StenoApi *api, GError **error);
void listen_accept(StenoApi *api, struct lws *wsi);
/* There may be room again. */
void listen_resume(StenoApi *api);
/* Takes nothing new. */
void listen_stop(StenoApi *api);
void listen_close(StenoApi *api);

#endif
