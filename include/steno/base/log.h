/*
 * The log: GLib's structured log with a prefix an object, and redaction in one place.
 *
 * Every message passes the redactor: secrets registered with steno_log_hide_secret(), and everything that looks like a
 * token, key, password or query string of a URL, come out as "***". Log once, by the one who decides what to do about
 * it; nothing per packet above TRACE.
 */
#ifndef STENO_BASE_LOG_H
#define STENO_BASE_LOG_H

#include <glib.h>

typedef enum {
    STENO_LOG_ERROR,   /* something was lost or given up */
    STENO_LOG_WARNING, /* we go on, but somebody should look */
    STENO_LOG_NOTICE,  /* milestones of a recording */
    STENO_LOG_INFO,    /* what happens in a channel */
    STENO_LOG_DEBUG,   /* for who debugs Steno; never per frame */
    STENO_LOG_TRACE,   /* may flood */
} StenoLogLevel;

/* A logger carries a prefix such as "rec=01J… track=3". Not copied: it is made from its parent and freed by its owner.
 */
typedef struct StenoLog StenoLog;

/* A child of parent (NULL: the root) whose prefix is the parent's and then the formatted words. Caller frees. */
StenoLog *steno_log_new(const StenoLog *parent, const char *format, ...) G_GNUC_PRINTF(2, 3);
void steno_log_free(StenoLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoLog, steno_log_free)

/* Writes one line to standard error. log may be NULL. Any thread. */
void steno_log(const StenoLog *log, StenoLogLevel level, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Levels above this are dropped. Default NOTICE; set once at start. */
void steno_log_set_level(StenoLogLevel level);
/* Takes the level from STENO_LOG_LEVEL, by which a program hands it to its children. */
void steno_log_set_level_from_environment(void);
/* "error", "warning", "notice", "info", "debug", "trace"; FALSE for anything else. */
gboolean steno_log_level_from_name(const char *name, StenoLogLevel *level);

/* From now on this string is written as "***". Kept in locked memory, at most STENO_LOG_SECRETS_MAX of them. Any
 * thread. */
#define STENO_LOG_SECRETS_MAX 64
void steno_log_hide_secret(const char *secret);

/* The text with everything secret masked. Caller frees. Used for error messages that leave the process as well. */
char *steno_log_redact(const char *text);

#define steno_error(log, ...) steno_log(log, STENO_LOG_ERROR, __VA_ARGS__)
#define steno_warning(log, ...) steno_log(log, STENO_LOG_WARNING, __VA_ARGS__)
#define steno_notice(log, ...) steno_log(log, STENO_LOG_NOTICE, __VA_ARGS__)
#define steno_info(log, ...) steno_log(log, STENO_LOG_INFO, __VA_ARGS__)
#define steno_debug(log, ...) steno_log(log, STENO_LOG_DEBUG, __VA_ARGS__)

#endif
