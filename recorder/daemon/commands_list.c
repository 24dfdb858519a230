/* Lists: recordings by filters in pages, and the backlog of events. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

#define PAGE_DEFAULT 50
#define EVENTS_PAGE_DEFAULT 100

static const char *const state_names[] = {"queued",     "joining", "recording", "paused", "reconnecting",
                                          "assembling", "storing", "completed", "failed", NULL};

/* A filter with what it borrows. */
typedef struct {
    StenoJournalFilter filter;
    char **states, **label;
    guint count;
} List;

static void list_clear(List *list)
{
    g_strfreev(list->states);
    g_strfreev(list->label);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(List, list_clear)

static gboolean read_count(Ask *ask, const char *name, guint64 most, guint64 *count)
{
    const char *text = ask_text(ask, name);
    if (!text || g_ascii_string_to_unsigned(text, 10, 1, most, count, NULL))
        return TRUE;
    command_refuse(ask, STENO_ERROR_USAGE, "?%s: must be a number from 1 to %" G_GUINT64_FORMAT, name, most);
    return FALSE;
}

static gboolean read_states(Ask *ask, List *list)
{
    const char *text = ask_text(ask, "state");
    if (!text)
        return TRUE;
    list->states = g_strsplit(text, ",", -1);
    for (char **state = list->states; *state; state++) {
        if (!g_strv_contains(state_names, *state)) {
            g_autofree char *words = g_strjoinv(", ", (char **)state_names);
            command_refuse(ask, STENO_ERROR_USAGE, "?state: must be of: %s", words);
            return FALSE;
        }
    }
    list->filter.states = (const char *const *)list->states;
    return TRUE;
}

static gboolean read_time(Ask *ask, const char *name, gint64 *wall_us)
{
    json_t *value = json_object_get(ask->request->arguments, name);
    g_autofree char *pointer = g_strdup_printf("?%s", name);
    return !value || request_time(value, pointer, wall_us, &ask->reply->error);
}

static gboolean read_label(Ask *ask, List *list)
{
    const char *text = ask_text(ask, "label");
    if (!text)
        return TRUE;
    list->label = g_strsplit(text, ":", 2);
    if (!list->label[0] || !list->label[0][0]) {
        command_refuse(ask, STENO_ERROR_USAGE, "?label: must be NAME or NAME:VALUE");
        return FALSE;
    }
    list->filter.label = list->label[0];
    list->filter.label_value = list->label[1];
    return TRUE;
}

static gboolean read_order(Ask *ask, List *list)
{
    const char *text = ask_text(ask, "order");
    list->filter.oldest_first = g_strcmp0(text, "oldest") == 0;
    if (!text || list->filter.oldest_first || strcmp(text, "newest") == 0)
        return TRUE;
    command_refuse(ask, STENO_ERROR_USAGE, "?order: must be newest or oldest");
    return FALSE;
}

static gboolean read_list(Ask *ask, List *list)
{
    guint64 count = PAGE_DEFAULT;
    const char *bound = ask->request->actor.app;
    list->filter.app = bound ? bound : ask_text(ask, "app");
    list->filter.channel = ask_text(ask, "channel");
    list->filter.platform = ask_text(ask, "platform");
    if (!read_states(ask, list) || !read_time(ask, "created_from", &list->filter.created_from_us) ||
        !read_time(ask, "created_until", &list->filter.created_until_us) || !read_label(ask, list) ||
        !read_order(ask, list) || !read_count(ask, "page_size", STENO_JOURNAL_PAGE_MAX, &count))
        return FALSE;
    list->count = (guint)count;
    return TRUE;
}

/* Bound to another app than the one that is asked for: for them it has nothing. */
static gboolean asks_for_another_app(const Ask *ask)
{
    const char *bound = ask->request->actor.app, *app = ask_text(ask, "app");
    return bound && app && strcmp(bound, app) != 0;
}

static json_t *show_rows(const StenoDaemon *daemon, GPtrArray *rows, const List *list)
{
    json_t *shown = json_array();
    for (guint i = 0; i < rows->len; i++) {
        const StenoJournalRecording *row = rows->pdata[i];
        const Recording *recording = recording_find(daemon, row->id);
        json_t *json = recording_to_json(recording ? recording->row : row, recording);
        const char *state = json_string_value(json_object_get(json, "state"));
        /* The journal may be behind while it can't be written. */
        if (list->filter.states && !g_strv_contains(list->filter.states, state))
            json_decref(json);
        else
            json_array_append_new(shown, json);
    }
    return shown;
}

gboolean command_recording_list(StenoDaemon *daemon, Ask *ask)
{
    g_auto(List) list = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *next = NULL;
    if (!read_list(ask, &list))
        return TRUE;
    if (asks_for_another_app(ask)) {
        ask->reply->body = json_pack("{s:[], s:n}", "recordings", "next_page_token");
        return TRUE;
    }
    (void)outbox_flush(daemon, FALSE);
    g_autoptr(GPtrArray) rows = steno_journal_recordings_list(daemon->journal, &list.filter, list.count,
                                                              ask_text(ask, "page_token"), &next, &error);
    outbox_judge_read(daemon, &error);
    if (g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE))
        return command_refuse(ask, STENO_ERROR_USAGE, "?page_token: %s", error->message);
    if (!rows) {
        ask->reply->error = g_steal_pointer(&error);
        return TRUE;
    }
    ask->reply->body = json_pack("{s:o, s:s?}", "recordings", show_rows(daemon, rows, &list), "next_page_token", next);
    return TRUE;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

json_t *steno_daemon_event_to_json(const StenoJournalEvent *event)
{
    g_autofree char *timestamp = steno_clock_format(event->created_us);
    return json_pack("{s:s, s:s, s:s, s:I, s:o}", "type", event->type, "timestamp", timestamp, "id", event->id, "seq",
                     (json_int_t)event->seq, "data", event->data ? json_deep_copy(event->data) : json_object());
}

static gboolean read_after(Ask *ask, gint64 *after)
{
    const char *text = ask_text(ask, "after");
    if (!text || g_ascii_string_to_signed(text, 10, 0, G_MAXINT64, after, NULL))
        return TRUE;
    command_refuse(ask, STENO_ERROR_USAGE, "?after: must be the id of an event");
    return FALSE;
}

gboolean command_events(StenoDaemon *daemon, Ask *ask)
{
    guint64 count = EVENTS_PAGE_DEFAULT;
    gint64 after = 0;
    g_autoptr(GError) error = NULL;
    if (!read_count(ask, "count", STENO_JOURNAL_PAGE_MAX, &count) || !read_after(ask, &after))
        return TRUE;
    const char *bound = ask->request->actor.app;
    json_t *shown = json_array();
    ask->reply->body = json_pack("{s:o}", "events", shown);
    if (asks_for_another_app(ask))
        return TRUE;
    g_autoptr(GPtrArray) events = steno_journal_events(daemon->journal, after, bound ? bound : ask_text(ask, "app"),
                                                       ask_text(ask, "recording"), (guint)count, &error);
    outbox_judge_read(daemon, &error);
    for (guint i = 0; events && i < events->len; i++)
        json_array_append_new(shown, steno_daemon_event_to_json(events->pdata[i]));
    if (!events)
        ask->reply->error = g_steal_pointer(&error);
    return TRUE;
}
