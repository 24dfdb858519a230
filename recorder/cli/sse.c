/* The event stream's form: fields of lines, an event ends with an empty line. */
#include "client.h"

#include <string.h>

struct CliSse {
    CliSseEvent event;
    gpointer user;
    GString *line, *data;
    char *id, *type;
    gboolean after_cr, has_data;
};

CliSse *cli_sse_new(CliSseEvent event, gpointer user)
{
    CliSse *sse = g_new0(CliSse, 1);
    sse->event = event;
    sse->user = user;
    sse->line = g_string_new(NULL);
    sse->data = g_string_new(NULL);
    return sse;
}

void cli_sse_free(CliSse *sse)
{
    if (!sse)
        return;
    g_string_free(sse->line, TRUE);
    g_string_free(sse->data, TRUE);
    g_free(sse->id);
    g_free(sse->type);
    g_free(sse);
}

static gboolean dispatch(CliSse *sse)
{
    gboolean go_on = TRUE;
    if (sse->has_data)
        go_on = sse->event(sse->user, sse->id, sse->type ? sse->type : "message", sse->data->str);
    g_string_truncate(sse->data, 0);
    sse->has_data = FALSE;
    g_clear_pointer(&sse->type, g_free);
    return go_on;
}

static gboolean end_line(CliSse *sse)
{
    char *line = sse->line->str;
    if (!line[0])
        return dispatch(sse);
    char *value = strchr(line, ':');
    if (value == line)
        return TRUE; /* a comment, which keeps the connection alive */
    if (value)
        *value++ = '\0';
    else
        value = line + strlen(line);
    if (*value == ' ')
        value++;
    if (strcmp(line, "data") == 0) {
        if (sse->has_data)
            g_string_append_c(sse->data, '\n');
        g_string_append(sse->data, value);
        sse->has_data = TRUE;
    } else if (strcmp(line, "event") == 0) {
        g_free(sse->type);
        sse->type = g_strdup(value);
    } else if (strcmp(line, "id") == 0) {
        g_free(sse->id);
        sse->id = g_strdup(value);
    }
    return TRUE;
}

gboolean cli_sse_feed(CliSse *sse, const char *bytes, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        char c = bytes[i];
        gboolean second = sse->after_cr && c == '\n';
        sse->after_cr = c == '\r';
        if (second)
            continue;
        if (c != '\n' && c != '\r') {
            if (sse->line->len + sse->data->len >= CLI_SSE_LINE_MAX_BYTES)
                return FALSE;
            g_string_append_c(sse->line, c);
            continue;
        }
        gboolean go_on = end_line(sse);
        g_string_truncate(sse->line, 0);
        if (!go_on)
            return FALSE;
    }
    return TRUE;
}
