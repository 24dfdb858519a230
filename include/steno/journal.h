/*
 * journal: what was asked and what happened. One interface; SQLite now (WAL, synchronous=FULL), PostgreSQL for a fleet.
 *
 * All from one thread. What a function has returned TRUE for is on disk. JOURNAL errors when it can't be read or
 * written (full disk, I/O): nothing of the call is in it then, unless it was the sync that failed and the process is
 * killed before its next write. Times are µs of the wall clock. No secret ever goes in.
 *
 * Writes to a recording are fenced (reference: one owner, an epoch that only grows): a row that another owner took is
 * not written, and the call fails with CONFLICT.
 */
#ifndef STENO_JOURNAL_H
#define STENO_JOURNAL_H

#include <glib.h>
#include <jansson.h>

#define STENO_JOURNAL_PAGE_MAX 1000
/* Rows that one …_prune() removes, so that the main loop is not held up (7 ms on the build machine). */
#define STENO_JOURNAL_PRUNE_MAX 1000

/* Of its schema (user_version of the file, at byte 60 of it): one more with each migration. Packages read it here. */
#define STENO_JOURNAL_VERSION 2

typedef struct StenoJournal StenoJournal;

typedef enum {
    STENO_JOURNAL_OPENED,
    STENO_JOURNAL_MADE,     /* there was none */
    STENO_JOURNAL_MIGRATED, /* it was of an earlier version; a copy of that is beside it (.v<N>) */
    STENO_JOURNAL_SET_ASIDE /* it was damaged: renamed to <path>.damaged-<time>, and a new one made */
} StenoJournalHow;

/*
 * how may be NULL. JOURNAL: it is of a later version (says which), in use by another process (its pid and owner are
 * told), or can't be made. All rows are the owner's afterwards: who has the file's lock owns what is in it. Takes about
 * 15 ms a thousand recordings (quick_check).
 */
StenoJournal *steno_journal_open(const char *path, const char *owner, StenoJournalHow *how, GError **error);
/*
 * A copy for a backup, of a journal that another process may be writing meanwhile: as it is at one moment, in one file,
 * 0600, checked. Nobody is held up, and no lock is taken. Opened, the copy goes on with numbers of events that nobody
 * was told yet, and is one whose owner looks in the storages for what came after it (steno_journal_copied_us). `to`
 * must not be there; it is removed again on failure. *recordings: how many are in it. JOURNAL: there is none, it is
 * damaged, of a later version, or can't be written.
 */
gboolean steno_journal_copy(const char *path, const char *to, gint64 *recordings, GError **error);
/* After SET_ASIDE: what was wrong, and where the damaged one is now; words for the log. Else NULL. */
const char *steno_journal_damage(const StenoJournal *journal);
void steno_journal_close(StenoJournal *journal);

/*
 * Groups the calls in between to one write to disk. On failure of any of them: roll back. After a JOURNAL error nothing
 * more is written, and the commit fails; a refusal (CONFLICT, NOT_FOUND, …) leaves only its own call out. A commit that
 * failed has rolled back.
 */
gboolean steno_journal_begin(StenoJournal *journal, GError **error);
gboolean steno_journal_commit(StenoJournal *journal, GError **error);
void steno_journal_rollback(StenoJournal *journal);

/* ---- marks: what was done once and for all ----------------------------------------------------------------------- */

/* *marked: does the journal have the mark? name is a word of ours ("rebuilt"). */
gboolean steno_journal_marked(StenoJournal *journal, const char *name, gboolean *marked, GError **error);
/* In the transaction that is open, if one is. Idempotent. */
gboolean steno_journal_mark(StenoJournal *journal, const char *name, GError **error);
/* What is in the storages was looked through, and the journal knows it. */
#define STENO_JOURNAL_MARK_WHOLE "rebuilt"
/* *copied_us: when the journal, which was whole, was copied for a backup and is this copy; 0: it is none. */
gboolean steno_journal_copied_us(StenoJournal *journal, gint64 *copied_us, GError **error);

/* ---- recordings -------------------------------------------------------------------------------------------------- */

/* One row. Strings are owned by the struct; JSON members are objects or NULL, owned too. */
typedef struct {
    char *id, *app, *platform, *channel;
    char *profile;    /* two recordings of one channel at a time need different ones; "default" */
    char *state;      /* DESIGN §7 */
    char *desired;    /* "record", "stop" */
    char *webhook;    /* or NULL */
    char *end_reason; /* or NULL */
    json_t *request;  /* as asked for, without secrets; see daemon/request.h */
    json_t *labels;   /* strings by name */
    json_t *error;    /* {"code", "message"} or NULL */
    json_t *detail;   /* participants, tracks, counts, files, storages: what GET shows; or NULL */
    gint64 created_us, updated_us;
    gint64 start_at_us; /* not before; 0: at once */
    gint64 started_us;  /* the recording's zero; 0: not yet */
    gint64 ended_us;    /* 0: not yet */
    /* How far the recorder's events are in the journal: the last one's part and number (session.h). */
    guint event_part, event_seq;
    gint64 epoch;        /* fencing; kept by the journal */
    gint64 files_bytes;  /* of its stored files, for the retention; 0 when deleted */
    gboolean legal_hold; /* never deleted by the retention */
} StenoJournalRecording;

StenoJournalRecording *steno_journal_recording_new(void);
void steno_journal_recording_free(StenoJournalRecording *recording);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoJournalRecording, steno_journal_recording_free)

/* Adds a row of ours; sets updated_us, epoch and, when it is 0, created_us. CONFLICT for an id there is.
 * ALREADY_RECORDING (message: the other's id, and nothing else) when (app, platform, channel, profile) has one that is
 * neither completed nor failed. */
gboolean steno_journal_recording_add(StenoJournal *journal, StenoJournalRecording *recording, GError **error);
/* Writes all members but id, app, created_us. Sets updated_us. CONFLICT when it is another owner's, NOT_FOUND when it
 * is not there, ALREADY_RECORDING as above. */
gboolean steno_journal_recording_save(StenoJournal *journal, StenoJournalRecording *recording, GError **error);
/* NULL without an error: there is none. */
StenoJournalRecording *steno_journal_recording_get(StenoJournal *journal, const char *id, GError **error);
/* Removes the row, its events, deliveries and idempotency keys. NOT_FOUND, CONFLICT. */
gboolean steno_journal_recording_forget(StenoJournal *journal, const char *id, GError **error);
/* All of ours that are neither completed nor failed, oldest first. NULL on error. */
GPtrArray *steno_journal_recordings_unfinished(StenoJournal *journal, GError **error);

typedef struct {
    const char *app;                          /* NULL: every */
    const char *const *states;                /* NULL-terminated, or NULL: every */
    const char *channel, *platform;           /* NULL: every */
    const char *label, *label_value;          /* has this label (with this value); NULL: every */
    gint64 created_from_us, created_until_us; /* 0: open */
    gboolean oldest_first;
    gint64 with_files; /* only those with files_bytes > 0 */
} StenoJournalFilter;

/*
 * A page, newest first, of at most `count`. page_token NULL: from the start; *next_token (caller frees) NULL at the
 * end. USAGE for a token that is not ours. What is added meanwhile does not shift pages.
 */
GPtrArray *steno_journal_recordings_list(StenoJournal *journal, const StenoJournalFilter *filter, guint count,
                                         const char *page_token, char **next_token, GError **error);

/* Sum of files_bytes of an app. -1 on error. */
gint64 steno_journal_files_bytes(StenoJournal *journal, const char *app, GError **error);

/* ---- lease ------------------------------------------------------------------------------------------------------- */

/* Renews the lease of all our unfinished rows, until now + lease_s. */
gboolean steno_journal_renew(StenoJournal *journal, gint64 lease_s, GError **error);

/* ---- events: the outbox ------------------------------------------------------------------------------------------ */

typedef struct {
    gint64 seq;               /* of the whole journal; only grows. SSE's id */
    char *id;                 /* "msg_" and a ULID: webhook-id */
    char *recording_id, *app; /* recording_id NULL: of the server */
    char *type;               /* "recording.started" */
    gint64 created_us;
    json_t *data;
} StenoJournalEvent;

void steno_journal_event_free(StenoJournalEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoJournalEvent, steno_journal_event_free)

/* data is borrowed. *event, when asked for, is the event as it is now in the journal. */
gboolean steno_journal_event_add(StenoJournal *journal, const char *recording_id, const char *app, const char *type,
                                 const json_t *data, StenoJournalEvent **event, GError **error);
/* At most `count` with seq > after, of the app (NULL: every) and recording (NULL: every). */
GPtrArray *steno_journal_events(StenoJournal *journal, gint64 after, const char *app, const char *recording_id,
                                guint count, GError **error);
/* The highest seq there is or was, also in a journal that was set aside; -1 on error. */
gint64 steno_journal_events_last(StenoJournal *journal, GError **error);
/* Forgets events created before, the oldest STENO_JOURNAL_PRUNE_MAX of them, but none that a delivery still needs:
 * those of a disabled endpoint stay until it is enabled, its cursor is moved, or the recording is forgotten. */
gboolean steno_journal_events_prune(StenoJournal *journal, gint64 created_before_us, GError **error);

/* ---- webhooks: a cursor a recording and endpoint ----------------------------------------------------------------- */

typedef struct {
    char *recording_id, *endpoint;
    gint64 cursor;     /* seq of the last event delivered or given up */
    guint attempts;    /* failed ones of the next event */
    gint64 next_at_us; /* not before */
} StenoJournalDelivery;

void steno_journal_delivery_free(StenoJournalDelivery *delivery);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoJournalDelivery, steno_journal_delivery_free)

/* The recording's events go to the endpoint from now on. Idempotent. */
gboolean steno_journal_delivery_add(StenoJournal *journal, const char *recording_id, const char *endpoint,
                                    GError **error);
/* Those with an event behind the cursor, whatever next_at_us is, earliest next_at_us first; not of disabled endpoints.
 */
GPtrArray *steno_journal_deliveries_waiting(StenoJournal *journal, guint count, GError **error);
gboolean steno_journal_delivery_save(StenoJournal *journal, const StenoJournalDelivery *delivery, GError **error);
/* An endpoint that said 410: nothing is sent to it until it is enabled again. */
gboolean steno_journal_endpoint_set_disabled(StenoJournal *journal, const char *endpoint, gboolean disabled,
                                             const char *why, GError **error);
/* [{"name", "disabled_at", "why"}] */
json_t *steno_journal_endpoints_disabled(StenoJournal *journal, GError **error);

/* ---- idempotency keys -------------------------------------------------------------------------------------------- */

/*
 * *recording_id is what the key of this app started (caller frees), NULL when it is new. IDEMPOTENCY_MISMATCH when it
 * was for another request (digest: hex SHA-256 of the body).
 */
gboolean steno_journal_idempotency_find(StenoJournal *journal, const char *app, const char *key, const char *digest,
                                        char **recording_id, GError **error);
gboolean steno_journal_idempotency_put(StenoJournal *journal, const char *app, const char *key, const char *digest,
                                       const char *recording_id, GError **error);
/* Kept for 24 h at least. At most STENO_JOURNAL_PRUNE_MAX a call. */
gboolean steno_journal_idempotency_prune(StenoJournal *journal, gint64 created_before_us, GError **error);

/* ---- API keys ---------------------------------------------------------------------------------------------------- */

typedef struct {
    char *id;                      /* "key_" and a ULID */
    char *app;                     /* NULL: every */
    char *role;                    /* "admin", "operator", "viewer" */
    char *label;                   /* for people */
    char sha256_hex[65];           /* of the secret */
    gint64 created_us, revoked_us; /* 0: good */
} StenoJournalKey;

void steno_journal_key_free(StenoJournalKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoJournalKey, steno_journal_key_free)

gboolean steno_journal_key_add(StenoJournal *journal, const StenoJournalKey *key, GError **error);
GPtrArray *steno_journal_keys(StenoJournal *journal, GError **error);
/* NOT_FOUND */
gboolean steno_journal_key_revoke(StenoJournal *journal, const char *id, GError **error);

#endif
