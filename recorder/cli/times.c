/* Durations and times, as people and crontabs write them. */
#include "cli.h"

#include <string.h>

static gint64 unit_seconds(char unit)
{
    switch (unit) {
    case 'd':
        return 86400;
    case 'h':
        return 3600;
    case 'm':
        return 60;
    case 's':
        return 1;
    default:
        return 0;
    }
}

gboolean cli_parse_duration(const char *option, const char *text, gint64 *seconds, GError **error)
{
    gint64 total = 0, last_unit = G_MAXINT64;
    const char *at = text;
    while (*at) {
        gint64 number = 0;
        gsize digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 9)
            break;
        for (gsize i = 0; i < digits; i++)
            number = number * 10 + (at[i] - '0');
        at += digits;
        gint64 unit = *at ? unit_seconds(*at) : 1;
        /* "30m1h" is a slip, and so is "1h30", which is an hour and a half to one and 30 s to the other. */
        if (unit == 0 || unit >= last_unit || (!*at && last_unit != G_MAXINT64))
            break;
        last_unit = unit;
        total += number * unit;
        if (!*at || !*++at) {
            if (total > CLI_DURATION_MAX_S)
                break;
            *seconds = total;
            return TRUE;
        }
    }
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                "%s is '%s', but must be a duration such as 1h, 90m, 30s, 1h30m or 45 (seconds), at most 365d", option,
                text);
    return FALSE;
}

typedef struct {
    int year, month, day, hour, minute, second;
} Parts;

/* As many digits as asked for, and then the one that ends them (0: nothing more). */
static gboolean digits(const char **at, guint count, const char *ends, int *value)
{
    *value = 0;
    for (guint i = 0; i < count; i++, (*at)++) {
        if (!g_ascii_isdigit(**at))
            return FALSE;
        *value = *value * 10 + (**at - '0');
    }
    if (**at == '\0')
        return strchr(ends, '$') != NULL;
    if (**at == '$' || !strchr(ends, **at))
        return FALSE;
    (*at)++;
    return TRUE;
}

static gboolean clock_part(const char *at, Parts *parts)
{
    if (!digits(&at, 2, ":", &parts->hour) || !digits(&at, 2, ":$", &parts->minute))
        return FALSE;
    if (at[-1] == ':' && (!digits(&at, 2, "$", &parts->second)))
        return FALSE;
    return parts->hour < 24 && parts->minute < 60 && parts->second < 60;
}

static gboolean date_part(const char **at, Parts *parts)
{
    return digits(at, 4, "-", &parts->year) && digits(at, 2, "-", &parts->month) && digits(at, 2, " T", &parts->day);
}

/* NULL where the zone has no such time. */
static GDateTime *local_time(GTimeZone *zone, const Parts *parts)
{
    GDateTime *time =
        g_date_time_new(zone, parts->year, parts->month, parts->day, parts->hour, parts->minute, parts->second);
    if (time && (g_date_time_get_hour(time) != parts->hour || g_date_time_get_minute(time) != parts->minute)) {
        g_date_time_unref(time);
        return NULL;
    }
    return time;
}

/* Today, or tomorrow when it has passed. */
static GDateTime *next_occurrence(GTimeZone *zone, Parts *parts, gint64 now_us)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(now_us / G_USEC_PER_SEC);
    g_autoptr(GDateTime) now = g_date_time_to_timezone(utc, zone);
    for (int days = 0; days < 2; days++) {
        g_autoptr(GDateTime) day = g_date_time_add_days(now, days);
        g_date_time_get_ymd(day, &parts->year, &parts->month, &parts->day);
        GDateTime *time = local_time(zone, parts);
        if (!time || g_date_time_compare(time, now) > 0)
            return time;
        g_date_time_unref(time);
    }
    return NULL;
}

char *cli_parse_time(const char *option, const char *text, gint64 now_us, GTimeZone *zone, GError **error)
{
    Parts parts = {0};
    const char *clock = text;
    g_autoptr(GDateTime) time = NULL;
    gboolean known = TRUE;
    if (clock_part(text, &parts)) {
        time = next_occurrence(zone, &parts, now_us);
    } else if (memset(&parts, 0, sizeof parts), date_part(&clock, &parts) && clock_part(clock, &parts)) {
        time = local_time(zone, &parts);
    } else if (strlen(text) >= strlen("2026-11-21T19:55:40Z") && text[10] == 'T') {
        time = g_date_time_new_from_iso8601(text, NULL);
        known = time != NULL;
    } else {
        known = FALSE;
    }
    if (time) {
        g_autoptr(GDateTime) utc = g_date_time_to_utc(time);
        return g_strdup_printf("%04d-%02d-%02dT%02d:%02d:%02dZ", g_date_time_get_year(utc), g_date_time_get_month(utc),
                               g_date_time_get_day_of_month(utc), g_date_time_get_hour(utc),
                               g_date_time_get_minute(utc), g_date_time_get_second(utc));
    }
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                known ? "%s is '%s', but there is no such time in this time zone (%s)"
                      : "%s is '%s', but must be a time: 08:30, \"2026-11-22 08:30\" (both local) or "
                        "2026-11-22T08:30:00Z%.0s",
                option, text, g_time_zone_get_identifier(zone));
    return NULL;
}

char *cli_local_time(const char *rfc3339)
{
    g_autoptr(GDateTime) utc = rfc3339 && rfc3339[0] ? g_date_time_new_from_iso8601(rfc3339, NULL) : NULL;
    if (!utc)
        return g_strdup(rfc3339 ? rfc3339 : "");
    g_autoptr(GDateTime) local = g_date_time_to_local(utc);
    return g_date_time_format(local, "%Y-%m-%d %H:%M:%S");
}

char *cli_format_duration(gint64 ms)
{
    gint64 s = ms / 1000;
    return g_strdup_printf("%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}
