/*
 * Retention: days or bytes an app. Deletes only what is proven to be what the manifest says, and tells the audit.
 *
 * On the main thread; files are read and removed in a thread of their own, one recording at a time.
 */
#ifndef STENO_DAEMON_RETENTION_H
#define STENO_DAEMON_RETENTION_H

#include "steno/audit.h"
#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/daemon.h"
#include "steno/journal.h"
#include "steno/storage.h"

/* Deletions that may wait for their turn (asked for by people); more are refused with TOO_MANY_REQUESTS. */
#define RETENTION_WAITING_MAX 1000

typedef struct Retention Retention;

/* What could not be deleted is tried again so much later. */
#define RETENTION_LEFT_S 86400
/* Recordings that could not be deleted: with more of them the storage is broken, and nothing is deleted for a day. */
#define RETENTION_LEFT_MAX 10000
/* So many failures in a row (a storage that is not mounted?) end a look; the next is RETENTION_PAUSE_S later. */
#define RETENTION_FAILURES_MAX 10
#define RETENTION_PAUSE_S 600

/* The store of that name, lent; NULL when the configuration has none. On the main thread. */
typedef StenoStore *(*RetentionStore)(gpointer user, const char *name);

/*
 * Looks once a minute for what is too old or too much, when an app has a retention at all, a few rows at a time, so
 * that the main loop is never held up. What is on hold, or could not be proven, does not count against retention_bytes:
 * it must not make others go.
 */
Retention *retention_new(StenoConfig *config, StenoJournal *journal, StenoAudit *audit, const StenoLog *log,
                         RetentionStore store, gpointer user);
/* Each deletion that is not done is answered with SHUTTING_DOWN first; the next retention goes on with it. */
void retention_free(Retention *retention);
/* Looks now, unless it does already. */
void retention_look(Retention *retention);

/* Called once, from the main loop or from retention_free(), never from within retention_delete_files(). */
typedef void (*RetentionDone)(gpointer user, const GError *error);

/*
 * Deletes the files of a recording that has ended from its storages. actor (copied) is who asked; NULL is the retention
 * itself ("stenod").
 *
 * First each file is held against the manifest that lies beside it, in every one of its storages: by its contents
 * (local), or by what the server tells of it (S3). One that is not what the manifest says stays, and so do all others
 * of the recording then: VERIFY_FAILED. Nothing goes before it is in the audit ("file.delete"). Then the row, as it is
 * in the journal at that time, gets `deleted_at` at its files, state "deleted" at its storages and files_bytes 0, and
 * is saved. Manifests, signatures and timestamps stay. Done already is success.
 *
 * NOT_FOUND; CONFLICT when it runs, or is being deleted already; LEGAL_HOLD when it is on hold (also when that came
 * while its files were read), or younger than the app's retention_days and a person asks, or when a storage's Object
 * Lock forbids it (some files may be gone then: the next try goes on); STORAGE_*, JOURNAL.
 *
 * The storage's place is the row's detail.storages[].uri, which must be a folder of that store, with the recording's id
 * in its name. A storage that has nothing of it (state other than "stored" and without an uri) is passed over.
 */
void retention_delete_files(Retention *retention, const char *recording_id, const StenoActor *actor, RetentionDone done,
                            gpointer user);

#endif
