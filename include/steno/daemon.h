/*
 * daemon: many jobs. Admits, recovers, schedules assemblies, delivers webhooks, keeps retention, answers commands.
 *
 * Lives in the main thread (default main context). Other threads talk to it by steno_daemon_ask() alone.
 */
#ifndef STENO_DAEMON_H
#define STENO_DAEMON_H

#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/journal.h"

typedef struct StenoDaemon StenoDaemon;

typedef struct {
    /* All recordings have ended after steno_daemon_finish(). */
    void (*finished)(gpointer user);
} StenoDaemonEvents;

/* Opens journal and audit log, takes over what runs or lies there. config is referenced. CONFIG, JOURNAL, STORAGE_*. */
StenoDaemon *steno_daemon_start(StenoConfig *config, const StenoLog *log, const StenoDaemonEvents *events,
                                gpointer user, GError **error);
/* Takes nothing new, ends every recording (end_reason "shutdown"), assembles and stores; then `finished`. */
void steno_daemon_finish(StenoDaemon *daemon);
/* One line for `systemctl status`: "3 recording, 1 assembling". Caller frees. */
char *steno_daemon_status(const StenoDaemon *daemon);
/* Closes everything; recorders go on, and the next steno_daemon_start() takes them over. */
void steno_daemon_free(StenoDaemon *daemon);

/* ---- commands ---------------------------------------------------------------------------------------------------- */

typedef enum {
#define STENO_COMMAND(name, ...) STENO_COMMAND_##name,
#include "steno/commands.def"
#undef STENO_COMMAND
    STENO_COMMANDS
} StenoCommand;

typedef enum { STENO_ROLE_NOBODY, STENO_ROLE_VIEWER, STENO_ROLE_OPERATOR, STENO_ROLE_ADMIN } StenoRole;

/* One row of the table. */
typedef struct {
    const char *action;
    StenoRole role;
    gboolean audited;
    const char *method, *path, *words;
} StenoCommandRow;
const StenoCommandRow *steno_command_row(StenoCommand command);
/* "viewer", "operator", "admin"; FALSE for anything else. */
gboolean steno_role_from_name(const char *name, StenoRole *role);
const char *steno_role_name(StenoRole role);

/* Who asks. */
typedef struct {
    char *id;  /* key id, "uid:1000", "cert:CN"; NULL: nobody */
    char *app; /* bound to this one: everything else does not exist for it; NULL: every */
    StenoRole role;
    char *address; /* "192.0.2.7", "unix" */
} StenoActor;

typedef struct {
    StenoCommand command;
    StenoActor actor;
    /*
     * An object: the path's members ("id", "name"), the query's (strings, as they came: the daemon checks them),
     * "body" (any JSON), "idempotency_key". Unknown ones are refused.
     */
    json_t *arguments;
} StenoDaemonRequest;

StenoDaemonRequest *steno_daemon_request_new(StenoCommand command);
void steno_daemon_request_free(StenoDaemonRequest *request);

/* The contents of a file in a storage that is not on this machine. */
typedef struct StenoDaemonStream StenoDaemonStream;

typedef struct {
    /*
     * NULL: done. A message about one member of the request begins with its JSON pointer (RFC 6901) and ": ", as in
     * "/outputs/0/type: is 'mp3', but must be one of: participant, track"; about a query member with "?name: ".
     */
    GError *error;
    json_t *problem;           /* more members of the problem document, such as {"recording": id}; or NULL */
    json_t *body;              /* the answer, or NULL */
    char *text;                /* instead of body: plain text (metrics) */
    gboolean created;          /* 201 with Location rather than 200 */
    gboolean accepted;         /* 202: it goes on in the background */
    gboolean replayed;         /* the answer to an Idempotency-Key that was used before */
    char *location;            /* path of what was made, or NULL */
    char *redirect_url;        /* a file is to be fetched there; or NULL */
    int fd;                    /* a file to be sent, -1 for none; closed with the reply */
    StenoDaemonStream *stream; /* …or one that comes from its storage: steno_daemon_stream_begin(); or NULL */
    gint64 file_bytes, file_modified_us;
    char *file_name, *file_media_type, *file_sha256_hex; /* of a file; sha256 may be NULL */
} StenoDaemonReply;

/*
 * Begins to send bytes of the file from offset on: returns the read end of a pipe, which does not block and which the
 * caller closes (early, too: then it stops). Fewer bytes than asked for: it failed on the way (logged). Takes the
 * stream out of the reply's hands: *stream is NULL afterwards. Any thread; does not block. -1: INTERNAL.
 */
int steno_daemon_stream_begin(StenoDaemonStream **stream, gint64 offset, gint64 bytes, GError **error);

void steno_daemon_reply_free(StenoDaemonReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoDaemonReply, steno_daemon_reply_free)

/* On the main thread. Owns the reply. */
typedef void (*StenoDaemonReplied)(gpointer user, StenoDaemonReply *reply);

/* Any thread; takes the request. Exactly one reply follows, also when the daemon is being closed (SHUTTING_DOWN). */
void steno_daemon_ask(StenoDaemon *daemon, StenoDaemonRequest *request, StenoDaemonReplied replied, gpointer user);

/* ---- what the API must know without asking ----------------------------------------------------------------------- */

/* On the main thread; what is passed is lent. */
typedef struct {
    /* A new event is in the journal; line: its JSON as in GET /v1/events (steno_daemon_event_to_json()). */
    void (*event)(gpointer user, gint64 seq, const char *app, const char *type, const char *line);
    /* The API keys, all of them, whenever they change, and once at steno_daemon_watch(). Of StenoJournalKey *. */
    void (*keys)(gpointer user, GPtrArray *keys);
} StenoDaemonWatch;

/* {"type", "timestamp", "id", "seq", "data"}: what SSE and webhooks send. The caller owns it. */
json_t *steno_daemon_event_to_json(const StenoJournalEvent *event);

/* One watcher; NULL ends it. */
void steno_daemon_watch(StenoDaemon *daemon, const StenoDaemonWatch *watch, gpointer user);

#endif
