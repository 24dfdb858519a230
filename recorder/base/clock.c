#include "steno/base/clock.h"

/* Seconds between 1900 (NTP) and 1970 (Unix). */
#define NTP_UNIX_SECONDS G_GUINT64_CONSTANT(2208988800)

gint64 steno_clock_wall_us(void)
{
    return g_get_real_time();
}

gint64 steno_clock_mono_us(void)
{
    return g_get_monotonic_time();
}

gint64 steno_clock_mono_to_wall_us(gint64 mono_us)
{
    static gsize taken = 0;
    static gint64 offset_us;
    if (g_once_init_enter(&taken)) {
        offset_us = g_get_real_time() - g_get_monotonic_time();
        g_once_init_leave(&taken, 1);
    }
    return mono_us + offset_us;
}

gint64 steno_clock_ntp_to_wall_us(guint64 ntp)
{
    gint64 seconds = (gint64)(ntp >> 32) - (gint64)NTP_UNIX_SECONDS;
    gint64 fraction_us = (gint64)(((ntp & 0xffffffffu) * G_USEC_PER_SEC + (G_GUINT64_CONSTANT(1) << 31)) >> 32);
    return seconds * G_USEC_PER_SEC + fraction_us;
}

guint64 steno_clock_wall_us_to_ntp(gint64 wall_us)
{
    gint64 seconds = wall_us / G_USEC_PER_SEC;
    gint64 us = wall_us % G_USEC_PER_SEC;
    if (us < 0) {
        us += G_USEC_PER_SEC;
        seconds--;
    }
    return (((guint64)seconds + NTP_UNIX_SECONDS) << 32) | (((guint64)us << 32) / G_USEC_PER_SEC);
}

static char *format_utc(gint64 wall_us, const char *format)
{
    gint64 seconds = wall_us / G_USEC_PER_SEC;
    if (wall_us % G_USEC_PER_SEC < 0)
        seconds--;
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    return time ? g_date_time_format(time, format) : g_strdup("");
}

char *steno_clock_format(gint64 wall_us)
{
    g_autofree char *seconds = format_utc(wall_us, "%Y-%m-%dT%H:%M:%S");
    gint64 ms = (wall_us % G_USEC_PER_SEC + G_USEC_PER_SEC) % G_USEC_PER_SEC / 1000;
    return g_strdup_printf("%s.%03dZ", seconds, (int)ms);
}

char *steno_clock_format_compact(gint64 wall_us)
{
    return format_utc(wall_us, "%Y%m%dT%H%M%SZ");
}
