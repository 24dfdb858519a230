#include "steno/storage.h"

#include "steno/base/clock.h"
#include "steno/base/safe_name.h"

#include <string.h>

static const StenoSink *const sinks[] = {&steno_sink_local};

const StenoSink *steno_sink_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(sinks); i++)
        if (strcmp(sinks[i]->name, name) == 0)
            return sinks[i];
    return NULL;
}

char *steno_storage_recording_key(const char *channel, gint64 started_wall_us, const char *id)
{
    g_autofree char *safe_channel = steno_safe_name(channel);
    g_autofree char *safe_id = steno_safe_name(id);
    g_autofree char *utc = steno_clock_format_compact(started_wall_us);
    return g_strdup_printf("%s/%s_%s", safe_channel, utc, safe_id);
}
