#include "steno/base/log.h"

#include "steno/base/clock.h"
#include "steno/base/secret.h"

#include <string.h>
#include <unistd.h>

struct StenoLog {
    char *prefix; /* with a space at its end, or "" */
};

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", "trace"};

/* The one process-wide state of the house: what must be masked and how much is said is the same for all. */
static gint max_level = STENO_LOG_NOTICE;
static GMutex secrets_lock;
static StenoSecret *secrets[STENO_LOG_SECRETS_MAX];
static guint n_secrets;

/* A shorter one would mask ordinary words. */
#define SECRET_MIN_BYTES 4

StenoLog *steno_log_new(const StenoLog *parent, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *own = g_strdup_vprintf(format, args);
    va_end(args);
    StenoLog *log = g_new0(StenoLog, 1);
    log->prefix = g_strdup_printf("%s%s ", parent ? parent->prefix : "", own);
    return log;
}

void steno_log_free(StenoLog *log)
{
    if (!log)
        return;
    g_free(log->prefix);
    g_free(log);
}

void steno_log_set_level(StenoLogLevel level)
{
    g_atomic_int_set(&max_level, (gint)level);
}

void steno_log_set_level_from_environment(void)
{
    StenoLogLevel level;
    const char *name = g_getenv("STENO_LOG_LEVEL");
    if (name && steno_log_level_from_name(name, &level))
        steno_log_set_level(level);
}

gboolean steno_log_level_from_name(const char *name, StenoLogLevel *level)
{
    for (guint i = 0; i < G_N_ELEMENTS(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (StenoLogLevel)i;
            return TRUE;
        }
    }
    return FALSE;
}

void steno_log_hide_secret(const char *secret)
{
    gsize bytes = strlen(secret);
    if (bytes < SECRET_MIN_BYTES)
        return;
    g_mutex_lock(&secrets_lock);
    gboolean known = FALSE;
    for (guint i = 0; i < n_secrets && !known; i++)
        known = strcmp(steno_secret_text(secrets[i]), secret) == 0;
    if (!known) {
        /* Minted tokens come and go: the oldest make room, but for the first half, which are those given at the start.
         */
        if (n_secrets == STENO_LOG_SECRETS_MAX) {
            steno_secret_unref(secrets[STENO_LOG_SECRETS_MAX / 2]);
            memmove(&secrets[STENO_LOG_SECRETS_MAX / 2], &secrets[STENO_LOG_SECRETS_MAX / 2 + 1],
                    (STENO_LOG_SECRETS_MAX / 2 - 1) * sizeof secrets[0]);
            n_secrets--;
        }
        secrets[n_secrets++] = steno_secret_new(secret, bytes);
    }
    g_mutex_unlock(&secrets_lock);
}

/* Replaces each occurrence of needle by "***". */
static void mask_all(GString *text, const char *needle)
{
    gsize needle_bytes = strlen(needle);
    char *found;
    gsize from = 0;
    while ((found = strstr(text->str + from, needle))) {
        gsize at = (gsize)(found - text->str);
        steno_secret_wipe(found, needle_bytes);
        g_string_erase(text, (gssize)at, (gssize)needle_bytes);
        g_string_insert(text, (gssize)at, "***");
        from = at + 3;
    }
}

/* Masks the value that follows a marker, up to the first byte of `ends`. */
static void mask_after(GString *text, const char *marker, const char *ends)
{
    gsize from = 0;
    char *found;
    while ((found = strcasestr(text->str + from, marker))) {
        gsize at = (gsize)(found - text->str) + strlen(marker);
        gsize bytes = strcspn(text->str + at, ends);
        if (bytes > 0 && strncmp(text->str + at, "***", 3) != 0) {
            g_string_erase(text, (gssize)at, (gssize)bytes);
            g_string_insert(text, (gssize)at, "***");
        }
        from = at;
    }
}

/* The query of every URL. */
static void mask_queries(GString *text)
{
    gsize from = 0;
    char *found;
    while ((found = strstr(text->str + from, "://"))) {
        gsize at = (gsize)(found - text->str);
        gsize url_bytes = strcspn(text->str + at, " \t\"'<>");
        char *query = memchr(text->str + at, '?', url_bytes);
        if (query) {
            gsize query_at = (gsize)(query - text->str) + 1;
            g_string_erase(text, (gssize)query_at, (gssize)(at + url_bytes - query_at));
            g_string_insert(text, (gssize)query_at, "***");
        }
        from = at + 3;
    }
}

char *steno_log_redact(const char *plain)
{
    GString *text = g_string_new(plain);
    g_mutex_lock(&secrets_lock);
    for (guint i = 0; i < n_secrets; i++)
        mask_all(text, steno_secret_text(secrets[i]));
    g_mutex_unlock(&secrets_lock);
    mask_queries(text);
    static const char *const markers[] = {
        "token=", "apisecret=", "secret=", "password=", "pin=", "bearer ", "\"token\":\"", "inline:", "ice-pwd:"};
    for (guint i = 0; i < G_N_ELEMENTS(markers); i++)
        mask_after(text, markers[i], " \t\r\n&\"'|;,");
    return g_string_free(text, FALSE);
}

void steno_log(const StenoLog *log, StenoLogLevel level, const char *format, ...)
{
    if ((gint)level > g_atomic_int_get(&max_level))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *whole = g_strconcat(log ? log->prefix : "", message, NULL);
    g_autofree char *redacted = steno_log_redact(whole);
    g_autofree char *time = steno_clock_format(steno_clock_wall_us());
    g_autofree char *line = g_strdup_printf("%s %s %s\n", time, level_names[level], redacted);
    /* One write a line, so that lines of several threads and processes do not mix. A lost log line loses nothing else.
     */
    gssize written = write(STDERR_FILENO, line, strlen(line));
    (void)written;
}
