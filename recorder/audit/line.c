#include "line.h"

#include "steno/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

/* Of one text of an entry: with each byte escaped (six for one), seven of them stay below AUDIT_LINE_MAX_BYTES. */
#define TEXT_MAX_BYTES 1024

/* The one form of a line: only so is each of its bytes under the hash. */
#define FORM (JSON_COMPACT | JSON_SORT_KEYS)

void audit_link_init(AuditLink *link)
{
    link->n = 0;
    (void)g_strlcpy(link->hash, NO_HASH, sizeof link->hash);
}

/* object has no "hash". */
static gboolean hash_of(const json_t *object, char hash[AUDIT_HASH_BYTES])
{
    char *text = json_dumps(object, FORM);
    if (!text)
        return FALSE;
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    (void)g_strlcpy(hash, hex, AUDIT_HASH_BYTES);
    free(text);
    return TRUE;
}

/* ---- make -------------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *name, const char *text)
{
    g_autofree char *valid = text ? g_utf8_make_valid(text, (gssize)strnlen(text, TEXT_MAX_BYTES)) : NULL;
    json_object_set_new(object, name, valid ? json_string(valid) : json_null());
}

static char *finish(json_t *object, AuditLink *next, gsize *bytes)
{
    (void)json_object_del(object, "hash");
    (void)hash_of(object, next->hash);
    set_text(object, "hash", next->hash);
    char *text = json_dumps(object, FORM);
    char *line = g_strconcat(text, "\n", NULL);
    free(text);
    *bytes = strlen(line);
    return line;
}

char *audit_line_new(const StenoAuditEntry *entry, const AuditLink *last, AuditLink *next, gsize *bytes)
{
    g_autofree char *time = steno_clock_format(steno_clock_wall_us());
    json_t *object = json_object();
    next->n = last->n + 1;
    json_object_set_new(object, "n", json_integer((json_int_t)next->n));
    set_text(object, "time", time);
    set_text(object, "actor", entry->actor);
    set_text(object, "role", entry->role);
    set_text(object, "address", entry->address);
    set_text(object, "action", entry->action);
    set_text(object, "app", entry->app);
    set_text(object, "target", entry->target);
    set_text(object, "result", entry->result);
    json_object_set_new(object, "detail", entry->detail ? json_deep_copy(entry->detail) : json_null());
    set_text(object, "previous", last->hash);
    char *line = finish(object, next, bytes);
    if (*bytes > AUDIT_LINE_MAX_BYTES) {
        g_free(line);
        json_object_set_new(object, "detail", json_pack("{s:s}", "omitted", "too long for the audit log"));
        line = finish(object, next, bytes);
    }
    json_decref(object);
    return line;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static char *check_object(json_t *object, const char *line, gsize bytes, const AuditLink *last, AuditLink *link)
{
    const json_t *n = json_object_get(object, "n");
    g_autofree char *hash = g_strdup(json_string_value(json_object_get(object, "hash")));
    g_autofree char *previous = g_strdup(json_string_value(json_object_get(object, "previous")));
    if (!json_is_integer(n) || json_integer_value(n) < 1 || !hash || !previous)
        return g_strdup("it has no n, hash and previous");
    char *form = json_dumps(object, FORM);
    gboolean same = form && strlen(form) == bytes && memcmp(form, line, bytes) == 0;
    free(form);
    if (!same)
        return g_strdup("it is not written as Steno writes it: it was changed");
    (void)json_object_del(object, "hash");
    if (!hash_of(object, link->hash) || strcmp(link->hash, hash) != 0)
        return g_strdup("its hash is not that of its words: it was changed");
    link->n = (guint64)json_integer_value(n);
    if (last && link->n != last->n + 1)
        return g_strdup_printf("its n is %" G_GUINT64_FORMAT ", but must be %" G_GUINT64_FORMAT
                               ": lines were taken out or put in",
                               link->n, last->n + 1);
    if (last && strcmp(previous, last->hash) != 0)
        return g_strdup("its previous is not the hash of the line before: that was changed");
    return NULL;
}

char *audit_line_check(const char *line, gsize bytes, const AuditLink *last, AuditLink *link)
{
    json_error_t why;
    json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);
    char *fault = NULL;
    if (!json_is_object(object))
        fault = g_strdup_printf("it is no JSON object%s%s", object ? "" : ": ", object ? "" : why.text);
    else
        fault = check_object(object, line, bytes, last, link);
    json_decref(object);
    return fault;
}
