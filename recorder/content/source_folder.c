/* Key files, watched. */
#include "source_file.h"

/* Where a change is not told (a network mount), it is seen after this time. */
#define POLL_S 30

static gpointer folder_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    return key_file_new(settings, ".json", 0077, context, changed, user);
}

static void folder_close(gpointer opened)
{
    key_file_free(opened);
}

static void folder_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)question;
    g_auto(SourceBuffer) buffer = {.max_bytes = STENO_CONTENT_KEYS_MAX_BYTES};
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = NULL;
    SourceOutcome outcome = key_file_read(opened, &buffer, &error);
    if (outcome == SOURCE_FOUND) {
        key_file_accept(opened, FALSE);
        text = source_buffer_steal(&buffer);
    }
    const SourceAnswer answer = {.outcome = outcome, .text = text, .error = error};
    answered(user, &answer);
}

const SourceKind source_folder = {.name = "folder",
                                  .apart = STENO_CONTENT_READING,
                                  .parallel = 1,
                                  .poll_s = POLL_S,
                                  .open = folder_open,
                                  .close = folder_close,
                                  .ask = folder_ask,
                                  .check = key_file_check};
