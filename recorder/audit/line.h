/* One line of the audit log: made and checked here alone. */
#ifndef STENO_AUDIT_LINE_H
#define STENO_AUDIT_LINE_H

#include "steno/audit.h"

/* A longer line is no line of ours: reading never needs more memory than this. */
#define AUDIT_LINE_MAX_BYTES 65536
#define AUDIT_HASH_BYTES 65

/* A place in the chain: the number and hash of a line. */
typedef struct {
    guint64 n; /* 0: before the first line */
    char hash[AUDIT_HASH_BYTES];
} AuditLink;

/* Before the first line. */
void audit_link_init(AuditLink *link);
/*
 * The line that follows `last`, with its line end; *next is its link. A detail that makes it too long is left out, and
 * that is told in its place. Caller frees.
 */
char *audit_line_new(const StenoAuditEntry *entry, const AuditLink *last, AuditLink *next, gsize *bytes);
/*
 * Whether the line (without its end) is whole and, with `last`, follows it. *link is the line's. Returns what is wrong
 * with it (caller frees), NULL when nothing is.
 */
char *audit_line_check(const char *line, gsize bytes, const AuditLink *last, AuditLink *link);

#endif
