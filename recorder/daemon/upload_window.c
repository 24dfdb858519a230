#include "upload_window.h"

#include <stdio.h>
#include <time.h>

gboolean upload_window_is_open(const char *window, gint64 wall_us)
{
    int from_hour, from_minute, until_hour, until_minute;
    struct tm local;
    const time_t now = (time_t)(wall_us / G_USEC_PER_SEC);
    /* The configuration has checked its form. */
    if (!window || sscanf(window, "%d:%d-%d:%d", &from_hour, &from_minute, &until_hour, &until_minute) != 4 ||
        !localtime_r(&now, &local))
        return TRUE;
    int from = from_hour * 60 + from_minute, until = until_hour * 60 + until_minute;
    int at = local.tm_hour * 60 + local.tm_min;
    if (from == until)
        return TRUE;
    return from < until ? at >= from && at < until : at >= from || at < until;
}
