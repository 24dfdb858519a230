#include "line.h"

#include "steno/base/error.h"

#include <errno.h>
#include <stdio.h>

/* A line without its end, into the buffer of AUDIT_LINE_MAX_BYTES. Returns what is wrong with it, NULL for nothing. */
static const char *read_line(FILE *file, char *line, gsize *bytes)
{
    int c;
    *bytes = 0;
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (*bytes == AUDIT_LINE_MAX_BYTES)
            return "it is longer than a line can be";
        line[(*bytes)++] = (char)c;
    }
    return c == EOF && *bytes > 0 ? "it is cut: it has no line end" : NULL;
}

static char *verify_lines(FILE *file, char *line, AuditLink *last)
{
    AuditLink link;
    gsize bytes;
    for (;;) {
        int c = getc_unlocked(file);
        if (c == EOF)
            return NULL;
        (void)ungetc(c, file);
        const char *cut = read_line(file, line, &bytes);
        if (cut)
            return g_strdup(cut);
        char *fault = audit_line_check(line, bytes, last, &link);
        if (fault)
            return fault;
        *last = link;
    }
}

gboolean steno_audit_verify(const char *path, guint64 *entries, char **last_hash, GError **error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return steno_error_set_errno(error, errno, "reading the audit log %s", path);
    AuditLink last;
    audit_link_init(&last);
    g_autofree char *line = g_malloc(AUDIT_LINE_MAX_BYTES);
    g_autofree char *fault = verify_lines(file, line, &last);
    gboolean unread = ferror(file) != 0;
    int saved_errno = errno;
    (void)fclose(file);
    if (unread)
        return steno_error_set_errno(error, saved_errno, "reading the audit log %s", path);
    if (fault) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED, "the audit log %s: line %" G_GUINT64_FORMAT ": %s",
                    path, last.n + 1, fault);
        return FALSE;
    }
    if (entries)
        *entries = last.n;
    if (last_hash)
        *last_hash = g_strdup(last.hash);
    return TRUE;
}
