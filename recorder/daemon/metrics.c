/* Prometheus' text format. No label has more values than the house has states or commands. */
#include "daemon_internal.h"

#include "steno/base/version.h"

#include <string.h>

static void family(GString *text, const char *name, const char *type, const char *help)
{
    g_string_append_printf(text, "# HELP steno_%s %s\n# TYPE steno_%s %s\n", name, help, name, type);
}

static void single(GString *text, const char *name, const char *type, const char *help, guint64 value)
{
    family(text, name, type, help);
    g_string_append_printf(text, "steno_%s %" G_GUINT64_FORMAT "\n", name, value);
}

static void states(const StenoDaemon *daemon, GString *text)
{
    static const char *const names[] = {"queued",       "joining",    "recording", "paused",
                                        "reconnecting", "assembling", "storing"};
    guint n[G_N_ELEMENTS(names)] = {0};
    GHashTableIter iter;
    const Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        for (guint i = 0; i < G_N_ELEMENTS(names); i++)
            n[i] += strcmp(recording->row->state, names[i]) == 0;
    }
    family(text, "recordings", "gauge", "Recordings that have not ended, by state.");
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        g_string_append_printf(text, "steno_recordings{state=\"%s\"} %u\n", names[i], n[i]);
}

static void media(const StenoDaemon *daemon, GString *text)
{
    guint64 packets = daemon->counts.packets, lost = daemon->counts.lost, bytes = daemon->counts.bytes;
    guint64 sealed = daemon->counts.sealed, undecryptable = 0;
    GHashTableIter iter;
    const Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        if (recording->free_source)
            continue; /* counted among those that have ended */
        packets += (guint64)model_count(recording->model, "packets");
        lost += (guint64)model_count(recording->model, "lost");
        bytes += (guint64)model_count(recording->model, "bytes");
        sealed += (guint64)model_count(recording->model, "sealed");
        if (recording_records(recording))
            undecryptable += model_undecryptable_tracks(recording->model);
    }
    single(text, "packets_received_total", "counter", "RTP packets received.", packets);
    single(text, "packets_lost_total", "counter", "RTP packets lost for good.", lost);
    single(text, "capture_bytes_total", "counter", "Bytes of media captured.", bytes);
    single(text, "undecryptable_tracks", "gauge", "Tracks being recorded whose frames cannot be decrypted now.",
           undecryptable);
    single(text, "sealed_frames_total", "counter", "Frames captured encrypted, for want of their key.", sealed);
}

static void uploads(const StenoDaemon *daemon, GString *text)
{
    StoringCount count;
    storing_count(daemon, NULL, NULL, &count);
    family(text, "uploads", "gauge",
           "Recordings on their way to a storage, by state; one to two storages counts twice.");
    g_string_append_printf(text,
                           "steno_uploads{state=\"waiting\"} %u\nsteno_uploads{state=\"storing\"} %u\n"
                           "steno_uploads{state=\"retrying\"} %u\nsteno_uploads{state=\"blocked\"} %u\n",
                           count.waiting, count.storing, count.retrying, count.blocked);
    single(text, "upload_bytes_total", "counter", "Bytes stored since stenod started.", daemon->counts.upload_bytes);
    single(text, "upload_failures_total", "counter", "Times that storing failed and was put off.",
           daemon->counts.upload_failures);
    single(text, "upload_blocked_since_seconds", "gauge",
           "Unix time since when the oldest blocked recording is; 0: nothing is blocked.",
           (guint64)(count.blocked_since_us / G_USEC_PER_SEC));
}

static void disk(const StenoDaemon *daemon, GString *text)
{
    gint64 free_bytes, total_bytes;
    if (!disk_bytes(daemon->config->top.spool_dir, &free_bytes, &total_bytes))
        return;
    single(text, "disk_free_bytes", "gauge", "Free bytes of the spool's disk.", (guint64)free_bytes);
    single(text, "disk_total_bytes", "gauge", "Size of the spool's disk.", (guint64)total_bytes);
}

static void webhooks(const StenoDaemon *daemon, GString *text)
{
    WebhookCounts counts = {0};
    webhooks_counts(daemon->webhooks, &counts);
    single(text, "webhook_delivered_total", "counter", "Webhook requests that were accepted.", counts.delivered);
    single(text, "webhook_failed_total", "counter", "Webhook requests that failed.", counts.failed);
    single(text, "webhook_given_up_total", "counter", "Events given up after all retries.", counts.given_up);
    single(text, "webhooks_waiting", "gauge", "Deliveries with something to send.", counts.waiting);
}

static void commands(const StenoDaemon *daemon, GString *text)
{
    family(text, "commands_total", "counter", "Commands answered, by what was asked and how it went.");
    for (guint i = 0; i < STENO_COMMANDS; i++) {
        for (guint refused = 0; refused < 2; refused++) {
            if (daemon->counts.requests[i][refused] > 0)
                g_string_append_printf(text,
                                       "steno_commands_total{command=\"%s\",result=\"%s\"} %" G_GUINT64_FORMAT "\n",
                                       steno_command_row((StenoCommand)i)->action, refused ? "refused" : "ok",
                                       daemon->counts.requests[i][refused]);
        }
    }
}

gboolean command_metrics(StenoDaemon *daemon, Ask *ask)
{
    const DaemonCounts *counts = &daemon->counts;
    GString *text = g_string_new(NULL);
    family(text, "build_info", "gauge", "Version of stenod.");
    g_string_append(text, "steno_build_info{version=\"" STENO_VERSION "\"} 1\n");
    states(daemon, text);
    single(text, "recordings_started_total", "counter", "Recordings begun since stenod started.", counts->started);
    family(text, "recordings_ended_total", "counter", "Recordings ended since stenod started.");
    g_string_append_printf(text,
                           "steno_recordings_ended_total{result=\"completed\"} %" G_GUINT64_FORMAT
                           "\nsteno_recordings_ended_total{result=\"failed\"} %" G_GUINT64_FORMAT "\n",
                           counts->completed, counts->failed);
    single(text, "recorder_restarts_total", "counter", "Recorders that died and were started again.",
           counts->recorder_restarts);
    media(daemon, text);
    disk(daemon, text);
    uploads(daemon, text);
    webhooks(daemon, text);
    single(text, "journal_errors_total", "counter", "Times the journal could not be read or written.",
           counts->journal_errors);
    single(text, "journal_events_waiting", "gauge", "Events in memory that are not in the journal yet.",
           daemon->outbox.pending_events);
    single(text, "journal_events_dropped_total", "counter", "Events that were never written.", counts->events_dropped);
    single(text, "audit_errors_total", "counter", "Entries that could not be written to the audit log.",
           counts->audit_errors);
    single(text, "logins_refused_total", "counter", "Logins with wrong credentials.", counts->logins_refused);
    single(text, "assemblies_running", "gauge", "Assemblies that run.", daemon->assemblies_running);
    commands(daemon, text);
    ask->reply->text = g_string_free(text, FALSE);
    return TRUE;
}
