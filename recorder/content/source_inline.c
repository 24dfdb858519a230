/* Keys that came with the start request. */
#include "source_kind.h"

#include "steno/base/error.h"

static gpointer inline_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    (void)context, (void)changed, (void)user;
    return (gpointer)settings;
}

static void inline_close(gpointer opened)
{
    (void)opened;
}

static void inline_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)question;
    const SourceSettings *settings = opened;
    const SourceAnswer answer = {.outcome = settings->key_set ? SOURCE_FOUND : SOURCE_ABSENT,
                                 .text = settings->key_set};
    answered(user, &answer);
}

static gboolean inline_check(const StenoJobSpec *job, GError **error)
{
    if (job->key_set)
        return TRUE;
    return steno_error_set(error, STENO_ERROR_USAGE, "content_keys is inline, but there is no key_set");
}

const SourceKind source_inline = {.name = "inline",
                                  .parallel = 1,
                                  .open = inline_open,
                                  .close = inline_close,
                                  .ask = inline_ask,
                                  .check = inline_check};
