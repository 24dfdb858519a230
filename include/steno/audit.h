/*
 * audit: who did what, when, from where, with which result. Append-only and hash-chained: nothing can be changed or
 * taken out of the middle without `steno audit verify` telling.
 *
 * The file is one JSON object a line, {"n": 1, "time": RFC 3339, "actor": …, "role": …, "address": …, "action": …,
 * "app": …, "target": …, "result": "ok" | an error's slug, "detail": {…}, "previous": hex, "hash": hex}; hash is the
 * SHA-256 of the line's object without "hash", serialised compact with sorted keys; previous is the hash of the line
 * before (64 zeros for the first). A torn last line (a crash) is completed away at opening, and told as an entry.
 */
#ifndef STENO_AUDIT_H
#define STENO_AUDIT_H

#include <glib.h>
#include <jansson.h>

typedef struct StenoAudit StenoAudit;

typedef struct {
    const char *actor;   /* key id, "uid:1000", "stenod" */
    const char *role;    /* or NULL */
    const char *address; /* IP address, "unix", or NULL */
    const char *action;  /* "recording.start", "key.add", "file.read", "file.delete", "login", … */
    const char *app;     /* or NULL */
    const char *target;  /* recording id, key id, file, or NULL */
    const char *result;  /* "ok" or an error's slug */
    json_t *detail;      /* borrowed, or NULL */
} StenoAuditEntry;

/* Opens (makes, 0600) the log and goes on with its chain. AUDIT_DAMAGED when its end is not a chain's, STORAGE_*. */
StenoAudit *steno_audit_open(const char *path, GError **error);
void steno_audit_close(StenoAudit *audit);
/*
 * Appends one line and syncs it (fdatasync). STORAGE_*: the entry is then not in the log; the caller refuses what it
 * was about, except where a recording would be lost by that. One thread.
 */
gboolean steno_audit_append(StenoAudit *audit, const StenoAuditEntry *entry, GError **error);

/* Reads the whole file. *entries: how many are good. AUDIT_DAMAGED with the number of the first line that is not. */
gboolean steno_audit_verify(const char *path, guint64 *entries, char **last_hash, GError **error);

#endif
