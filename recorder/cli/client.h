/*
 * The API's client: HTTP to stenod over its Unix socket, or HTTPS to another machine. Blocking; one thread.
 *
 * A stenod that is just being replaced (reload, upgrade) is waited for, up to CLI_CONNECT_RETRY_MS; a request is sent
 * again only when it was never sent, or when sending it twice does no harm.
 */
#ifndef STENO_CLI_CLIENT_H
#define STENO_CLI_CLIENT_H

#include "cli.h"

#define CLI_CONNECT_RETRY_MS 5000
/* An answer (not a file) larger than this is refused: 1,000 recordings with all their files are less. */
#define CLI_ANSWER_MAX_BYTES (64 * 1024 * 1024)

typedef struct CliClient CliClient;

/* From a remote command's options and environment. USAGE for settings that don't fit. */
CliClient *cli_client_new(CliCall *call, GError **error);
void cli_client_free(CliClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CliClient, cli_client_free)
/* Don't wait for a stenod that is not there (doctor tells about it instead). */
void cli_client_set_patience(CliClient *client, gint64 ms);
/* Is it a stenod on another machine? */
gboolean cli_client_is_remote(const CliClient *client);
/* The process at the other end of the Unix socket; 0 when there is none. */
gint cli_client_peer(const CliClient *client);

/* "/v1/recordings/ID/stop" of its parts, each escaped; ends with NULL. Caller frees. */
char *cli_path(const char *first, ...) G_GNUC_NULL_TERMINATED;
/* Appends ?name=value or &name=value. */
void cli_query(GString *path, const char *name, const char *value);

/* One request and its answer. */
typedef struct {
    const char *method, *path;
    const json_t *body;          /* or NULL */
    const char *idempotency_key; /* or NULL */
    char **headers;              /* more, "Name: value"; NULL-terminated, or NULL */
    gint64 silence_s;            /* give up when nothing comes for so long; 0: 60 s */
    /* What comes with a 2xx; NULL: it is kept and parsed. Returning FALSE ends the exchange without an error. */
    gboolean (*opened)(gpointer user, long status);
    gboolean (*data)(gpointer user, const char *bytes, gsize count);
    /* Each header of a 2xx, the name in lower case. */
    void (*header)(gpointer user, const char *name, const char *value);
    gpointer user;
    /* An answer that sends us to a storage is followed there, once, without any credentials of ours. Else it is an
     * error. storage_ca: trust these certificates for it, NULL: the system's. */
    gboolean direct;
    const char *storage_ca;

    long status;     /* of the answer, 0: none */
    json_t *problem; /* of an error, or NULL; the caller's */
} CliExchange;

/*
 * *answer (may be NULL): the body, the caller's; NULL where there was none. The error is the problem's, with its words;
 * DAEMON_UNREACHABLE, TLS, PROTOCOL; of a storage STORAGE_*, NOT_FOUND.
 */
gboolean cli_client_exchange(CliClient *client, CliExchange *exchange, json_t **answer, GError **error);
/* The same for a request without anything special. NULL on failure; an empty object for an empty answer. */
json_t *cli_client_ask(CliClient *client, const char *method, const char *path, const json_t *body, GError **error);

/* ---- lists ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *member;       /* of the answer: the array */
    const char *const *heads; /* ends with NULL */
    guint flexible;           /* the column that is cut on a narrow terminal */
    void (*add)(CliTable *table, const json_t *item, gboolean plain);
} CliListing;

/* GET path, as a table (of a command that has --plain) or, with --json, as it came. The exit code. */
int cli_list_answer(CliCall *call, const char *path, const CliListing *listing, GError **error);
/* A cell: plain is for programs. The caller frees them. */
char *cli_size(gint64 bytes, gboolean plain);
char *cli_time(const char *rfc3339, gboolean plain);

/* ---- events ------------------------------------------------------------------------------------------------------ */

typedef struct {
    /* The stream is open, or open again. FALSE ends. */
    gboolean (*opened)(gpointer user, GError **error);
    /* line: the event's JSON as it came. FALSE ends. */
    gboolean (*event)(gpointer user, const char *type, const char *line, GError **error);
} CliFollow;

/* Follows GET path (SSE) until a callback ends it, across restarts of stenod. after: Last-Event-ID, or NULL. */
gboolean cli_client_follow(CliClient *client, const char *path, const char *after, const CliFollow *follow,
                           gpointer user, GError **error);

/* The stream's form (https://html.spec.whatwg.org/#parsing-an-event-stream), in pieces as they come. */
typedef struct CliSse CliSse;
typedef gboolean (*CliSseEvent)(gpointer user, const char *id, const char *type, const char *data);
CliSse *cli_sse_new(CliSseEvent event, gpointer user);
/* FALSE when the callback ended it, or a line is longer than CLI_SSE_LINE_MAX_BYTES. */
#define CLI_SSE_LINE_MAX_BYTES (1024 * 1024)
gboolean cli_sse_feed(CliSse *sse, const char *bytes, gsize count);
void cli_sse_free(CliSse *sse);

/* ---- recordings -------------------------------------------------------------------------------------------------- */

gboolean cli_has_ended(const json_t *recording);
/* Is an event of this type a recording's last one? */
gboolean cli_is_end(const char *type);
/* Waits until it is completed or failed. NULL: why it could not be waited for. Caller owns the reference. */
json_t *cli_wait_ended(CliClient *client, const char *id, GError **error);
/* The error that a recording ended with, told with its channel; TRUE when it ended well. */
gboolean cli_check_result(const json_t *recording, GError **error);
/* Prints a recording, for people. */
void cli_print_recording(const json_t *recording);

/* ---- content.c: channels' own encryption ------------------------------------------------------------------------- */

/* --content, --keys, --fail-on-undecryptable into a start request. */
gboolean cli_add_content(CliCall *call, json_t *request, GError **error);
/* "livekit, keys: vault-1; some frames are sealed"; "" when there is none. Caller frees. */
char *cli_describe_content(const json_t *recording);
/* One of content.undecryptable, with its participant's name. Caller frees. */
char *cli_describe_undecryptable(const json_t *recording, const json_t *one);
gboolean cli_is_undecryptable(const json_t *recording);
/* "sealed", "cms", "cenc", or "". Lent. */
const char *cli_file_encryption(const json_t *file);

#endif
