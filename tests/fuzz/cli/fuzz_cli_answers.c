/*
 * Any bytes as an event stream, in two pieces; what comes out as a time, a duration and a cell of a table. What is told
 * does not depend on where it was cut, and nothing that is printed moves the cursor.
 */
#include "client.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static gboolean on_event(gpointer user, const char *id, const char *type, const char *data)
{
    g_string_append_printf(user, "%s\x1f%s\x1f%s\x1e", id ? id : "", type, data);
    return strcmp(type, "end") != 0;
}

static char *feed(const char *text, gsize bytes, gsize cut)
{
    GString *told = g_string_new(NULL);
    CliSse *sse = cli_sse_new(on_event, told);
    if (cli_sse_feed(sse, text, cut))
        (void)cli_sse_feed(sse, text + cut, bytes - cut);
    cli_sse_free(sse);
    return g_string_free(told, FALSE);
}

static void check_printable(const char *text)
{
    g_autofree char *printable = cli_printable(text);
    for (const char *at = printable; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (g_unichar_iscntrl(c) || c == 0x202e)
            abort();
    }
}

static void check_forms(const char *text, GTimeZone *zone)
{
    gint64 seconds = -1;
    if (cli_parse_duration("--for", text, &seconds, NULL) && (seconds < 0 || seconds > CLI_DURATION_MAX_S))
        abort();
    g_autofree char *utc = cli_parse_time("--at", text, G_GINT64_CONSTANT(1795291200) * G_USEC_PER_SEC, zone, NULL);
    g_autoptr(GDateTime) time = utc ? g_date_time_new_from_iso8601(utc, NULL) : NULL;
    if (utc && !time)
        abort();
    g_free(cli_local_time(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const heads[] = {"A", "B", NULL};
    if (bytes < 2 || bytes > 65536)
        return 0;
    g_autofree char *text = g_strndup((const char *)data + 1, bytes - 1);
    g_autofree char *whole = feed((const char *)data + 1, bytes - 1, bytes - 1);
    g_autofree char *pieces = feed((const char *)data + 1, bytes - 1, data[0] % bytes);
    if (strcmp(whole, pieces) != 0)
        abort();
    g_autoptr(GTimeZone) zone = g_time_zone_new_utc();
    check_printable(text);
    check_forms(text, zone);
    CliTable *table = cli_table_new(heads, 0);
    cli_table_add(table, text, whole);
    g_free(cli_table_format(table, FALSE, data[0]));
    g_autofree char *plain = cli_table_format(table, TRUE, 0);
    g_auto(GStrv) lines = g_strsplit(plain, "\n", -1);
    if (g_strv_length(lines) != 2)
        abort();
    cli_table_free(table);
    return 0;
}
