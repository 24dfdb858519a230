#include "range.h"

#include <string.h>

/* Up to 18 digits; moves *at behind them. -1: there are none. */
static gint64 read_number(const char **at)
{
    gsize digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 18)
        return -1;
    gint64 value = g_ascii_strtoll(*at, NULL, 10);
    *at += digits;
    return value;
}

RangeKind range_read(const char *header, gint64 file_bytes, gint64 *offset, gint64 *bytes)
{
    if (!header || g_ascii_strncasecmp(header, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    const char *at = header + 6;
    gint64 first = read_number(&at);
    if (*at != '-')
        return RANGE_WHOLE;
    at++;
    gint64 last = read_number(&at);
    if (*at || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return RANGE_WHOLE;
    if (first < 0) { /* the last so many bytes */
        if (last == 0 || file_bytes == 0)
            return RANGE_UNSATISFIABLE;
        *bytes = MIN(last, file_bytes);
        *offset = file_bytes - *bytes;
        return RANGE_PART;
    }
    if (first >= file_bytes)
        return RANGE_UNSATISFIABLE;
    if (last < 0 || last >= file_bytes)
        last = file_bytes - 1;
    *offset = first;
    *bytes = last - first + 1;
    return RANGE_PART;
}

gboolean range_etag_listed(const char *header, const char *etag)
{
    if (!header || !etag)
        return FALSE;
    const char *at = header;
    while (*at) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return TRUE;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (*at != '"')
            return FALSE;
        const char *end = strchr(at + 1, '"');
        if (!end)
            return FALSE;
        if ((gsize)(end + 1 - at) == strlen(etag) && memcmp(at, etag, strlen(etag)) == 0)
            return TRUE;
        at = end + 1;
    }
    return FALSE;
}

char *range_disposition(const char *file_name)
{
    const char *slash = strrchr(file_name, '/');
    const char *name = slash ? slash + 1 : file_name;
    g_autoptr(GString) plain = g_string_new(NULL);
    for (const char *c = name; *c; c++)
        g_string_append_c(plain, *c < ' ' || *c >= 0x7f || strchr("\"\\%;", *c) ? '_' : *c);
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    return g_strdup_printf("attachment; filename=\"%s\"; filename*=UTF-8''%s", plain->str, escaped);
}
