/* What retention.c (deleting) and retention_look.c (finding what is too old or too much) share. */
#ifndef STENO_DAEMON_RETENTION_PRIVATE_H
#define STENO_DAEMON_RETENTION_PRIVATE_H

#include "retention.h"

typedef struct Deletion Deletion;

/* Goes through the apps: first what is too old, then, when there is too much, what may not go, then the oldest. */
typedef struct {
    enum { LOOK_IDLE, LOOK_DAYS, LOOK_KEPT, LOOK_BYTES } phase;
    guint app; /* index in the configuration */
    GPtrArray *page;
    guint at; /* in the page */
    char *next_page;
    gint64 excess_bytes;
    guint failures; /* in a row */
    guint source;   /* the next step */
    guint timer;
    gint64 paused_mono_us; /* until then */
    GHashTable *left;      /* recording id → gint64 *, when it may be tried again (monotonic) */
} RetentionLook;

struct Retention {
    StenoConfig *config;
    StenoJournal *journal;
    StenoAudit *audit;
    const StenoLog *log;
    RetentionStore store;
    gpointer store_user;
    GQueue waiting;    /* of Deletion * */
    GQueue refused;    /* of Deletion *, with an error; answered in the next turn of the main loop */
    Deletion *running; /* or NULL */
    guint source;      /* takes the next one */
    RetentionLook look;
};

/* Deletes as stenod itself; `reason` (static) goes to the audit. */
void retention_delete_own(Retention *retention, const char *recording_id, const char *reason, RetentionDone done,
                          gpointer user);
/* Is it on hold? */
gboolean retention_is_held(const Retention *retention, const StenoJournalRecording *row);

void retention_look_start(Retention *retention);
void retention_look_stop(Retention *retention);

#endif
