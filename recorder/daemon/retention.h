/* Retention: days or bytes an app. Deletes only what is verified in its storage, and tells the audit. */
#ifndef STENO_DAEMON_RETENTION_H
#define STENO_DAEMON_RETENTION_H

#include "steno/audit.h"
#include "steno/base/log.h"
#include "steno/config.h"
#include "steno/journal.h"

typedef struct Retention Retention;

/* Looks once a minute, a few recordings at a time, so that the main loop is never held up for long. */
Retention *retention_new(StenoConfig *config, StenoJournal *journal, StenoAudit *audit, const StenoLog *log);
void retention_free(Retention *retention);

/*
 * Deletes the files of a recording that has ended, from its storages, after a look that each is what the manifest says
 * (one that is not is left there and told: VERIFY_FAILED). LEGAL_HOLD for one on hold, or younger than retention_days
 * when `actor` is a person and the app's retention is a duty (retention_days > 0). Marks them deleted in the row and
 * saves it; audits. The manifest stays.
 */
gboolean retention_delete_files(StenoConfig *config, StenoJournal *journal, StenoAudit *audit,
                                StenoJournalRecording *recording, const char *actor, GError **error);

#endif
