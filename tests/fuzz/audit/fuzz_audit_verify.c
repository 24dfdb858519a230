/*
 * An audit log of any bytes: verify tells the first bad line or that all are good; what opening takes for the end of a
 * chain is gone on with, and what was good before stays good.
 */
#include "steno/audit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char *path;

static void remove_file(void)
{
    (void)g_unlink(path);
}

static gboolean verify(guint64 *entries)
{
    g_autofree char *hash = NULL;
    g_autoptr(GError) error = NULL;
    gboolean good = steno_audit_verify(path, entries, &hash, &error);
    if (good == !!error || good != !!hash)
        abort();
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    if (fd < 0) {
        path = g_strdup("/dev/shm/steno-fuzz-audit-XXXXXX");
        fd = g_mkstemp(path);
        atexit(remove_file);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, bytes, 0) != (ssize_t)bytes)
        abort();
    guint64 before = 0, after = 0;
    gboolean good = verify(&before);
    StenoAuditEntry entry = {.actor = "a", .action = "b", .result = "ok"};
    g_autoptr(GError) error = NULL;
    StenoAudit *audit = steno_audit_open(path, &error);
    if (!audit != !!error || (good && !audit))
        abort();
    if (audit && !steno_audit_append(audit, &entry, NULL))
        abort();
    steno_audit_close(audit);
    if (good && (!verify(&after) || after != before + 1))
        abort();
    return 0;
}
