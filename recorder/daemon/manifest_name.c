#include "manifest_name.h"

#include "steno/proof.h"

#include <string.h>

#define SECTION_HEAD "manifest."
#define SECTION_TAIL ".json"
/* Sections are counted with three digits at least. */
#define SECTION_DIGITS_MIN 3
#define SECTION_DIGITS_MAX 10

/* How many bytes of it are a manifest's name; 0: it does not begin with one. */
static gsize section_name_bytes(const char *name)
{
    gsize head = strlen(SECTION_HEAD);
    if (!g_str_has_prefix(name, SECTION_HEAD))
        return 0;
    gsize digits = strspn(name + head, "0123456789");
    if (digits < SECTION_DIGITS_MIN || digits > SECTION_DIGITS_MAX ||
        !g_str_has_prefix(name + head + digits, SECTION_TAIL))
        return 0;
    return head + digits + strlen(SECTION_TAIL);
}

gboolean manifest_name_is_section(const char *name)
{
    gsize bytes = section_name_bytes(name);
    return bytes > 0 && !name[bytes];
}

const char *manifest_name_media_type(const char *name)
{
    static const struct {
        const char *suffix, *media_type;
    } rows[] = {
        {"", "application/json"},
        {STENO_PROOF_SIGNATURE_SUFFIX, "application/octet-stream"},
        {STENO_PROOF_TIMESTAMP_SUFFIX, "application/timestamp-reply"}, /* RFC 3161 §3.4 */
    };
    gsize bytes = g_str_has_prefix(name, MANIFEST_NAME) ? strlen(MANIFEST_NAME) : section_name_bytes(name);
    for (guint i = 0; bytes > 0 && i < G_N_ELEMENTS(rows); i++)
        if (strcmp(name + bytes, rows[i].suffix) == 0)
            return rows[i].media_type;
    return NULL;
}
