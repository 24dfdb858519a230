/* Fills a journal with recordings that have ended, as years of use do: bench-journal-fill JOURNAL COUNT. */
#include "steno/base/clock.h"
#include "steno/base/job.h"
#include "steno/journal.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_US ((gint64)24 * 3600 * G_USEC_PER_SEC)

static StenoJournalRecording *ended(int number, gint64 now_us)
{
    StenoJournalRecording *recording = steno_journal_recording_new();
    g_autofree char *id = steno_job_new_id();
    recording->id = g_strdup(id);
    recording->app = g_strdup(number % 2 ? "clinic" : "court");
    recording->platform = g_strdup("janus-1");
    recording->channel = g_strdup_printf("%d", 1000 + number % 500);
    recording->profile = g_strdup("default");
    recording->state = g_strdup(number % 50 ? "completed" : "failed");
    recording->desired = g_strdup("stop");
    recording->end_reason = g_strdup("stopped");
    recording->request =
        json_pack("{s:s, s:s, s:s}", "app", recording->app, "platform", "janus-1", "channel", recording->channel);
    recording->labels = json_pack("{s:o}", "case", json_sprintf("%d", number % 1000));
    recording->detail = json_pack("{s:[{s:s, s:s}], s:[{s:s, s:i, s:s}]}", "participants", "id", "1", "name", "alice",
                                  "files", "name", "alice.webm", "bytes", 1000000, "sha256",
                                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    recording->created_us = recording->started_us = now_us - number * (DAY_US / 100);
    recording->ended_us = recording->started_us + (gint64)3600 * G_USEC_PER_SEC;
    recording->files_bytes = 1000000;
    return recording;
}

int main(int argc, char **argv)
{
    StenoJournalHow how;
    g_autoptr(GError) error = NULL;
    if (argc != 3)
        return 2;
    StenoJournal *journal = steno_journal_open(argv[1], "test", &how, &error);
    gboolean good = journal && steno_journal_begin(journal, &error);
    for (int i = atoi(argv[2]); good && i > 0; i--) {
        g_autoptr(StenoJournalRecording) recording = ended(i, steno_clock_wall_us());
        good = steno_journal_recording_add(journal, recording, &error) &&
               steno_journal_event_add(journal, recording->id, recording->app, "recording.completed", recording->detail,
                                       NULL, &error);
    }
    good = good && steno_journal_commit(journal, &error);
    if (!good)
        fprintf(stderr, "bench-journal-fill: %s\n", error->message);
    steno_journal_close(journal);
    return good ? 0 : 1;
}
