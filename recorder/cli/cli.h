/*
 * What the commands of `steno` share. A command is one row: from it come its parser, its --help, its part of steno(1)
 * and the shells' completion. So no option is documented twice, or not at all.
 */
#ifndef STENO_CLI_H
#define STENO_CLI_H

#include "steno/base/error.h"
#include "steno/base/job.h"
#include "steno/base/log.h"

/* ---- commands ---------------------------------------------------------------------------------------------------- */

typedef enum { CLI_FLAG, CLI_TEXT, CLI_INT, CLI_LIST } CliKind;

typedef struct {
    const char *name; /* without "--" */
    char letter;      /* the short one, 0 for none */
    CliKind kind;
    const char *argument; /* its name in the help; FILE and DIR are completed as such, a|b|c as these words */
    const char *words;
    gint64 minimum, maximum; /* of an INT */
} CliOption;

typedef struct CliCall CliCall;

typedef struct {
    const char *name;               /* "start", or "key add" */
    const char *words;              /* one line for `steno --help` */
    const char *operands;           /* as in the usage line: "ID [FILE…]" */
    int operands_min, operands_max; /* -1: as many as one likes */
    const char *summary;
    const char *examples;     /* a line each, indented by two */
    const char *codes;        /* slugs of the errors that are likely (besides those of every command); NULL: all */
    const char *code_words;   /* lines on exit codes that are no error's, or NULL */
    const CliOption *options; /* ends with a row without a name */
    gboolean remote;          /* talks to stenod: has the options of the connection */
    gboolean job_options;     /* has the options of job_fields.def */
    /* Returns the exit code; or sets an error, which is told, and whose exit code it then is. */
    int (*run)(CliCall *call, GError **error);
} CliCommand;

/* All commands in the order of the help; ends with NULL. */
const CliCommand *const *cli_commands(void);
/* Options that every command has, and those of a command that talks to stenod. */
const CliOption *cli_common_options(void);
const CliOption *cli_remote_options(void);
/* A command's own options, those of the job's table among them. Caller frees the array alone. */
CliOption *cli_own_options(const CliCommand *command, gsize *count);
/* The exit codes of a command, or of all, as lines of "code words". Caller frees. */
char *cli_describe_exit_codes(const CliCommand *command);
/* `steno …`: finds the command and runs it. */
int cli_main(int argc, char **argv);

/* ---- a command's call -------------------------------------------------------------------------------------------- */

struct CliCall {
    const CliCommand *command;
    GHashTable *values; /* option name → GPtrArray of char *, as often as it was given */
    char **operands;
    gboolean json;
    gboolean stdin_taken; /* one secret was read from it */
};

/* Parses; --help prints and ends. Returns -1 to go on, else the exit code. */
int cli_parse(const CliCommand *command, int argc, char **argv, CliCall *call);
void cli_call_clear(CliCall *call);

/* What was given; asking for an option that the command does not have is a fault of the program. Lent. */
gboolean cli_flag(const CliCall *call, const char *name);
const char *cli_text(const CliCall *call, const char *name); /* NULL: not given */
gint64 cli_int(const CliCall *call, const char *name, gint64 fallback);
char **cli_texts(const CliCall *call, const char *name); /* NULL-terminated, never NULL */

/*
 * The secret that an option names: "@FILE", "-" (standard input, once), or with bare_path FILE itself. Anything else is
 * refused without being repeated.
 */
StenoSecret *cli_read_secret(CliCall *call, const char *option, const char *value, gboolean bare_path, GError **error);

/* ---- times ------------------------------------------------------------------------------------------------------- */

#define CLI_DURATION_MAX_S 31536000

/* "1h30m", "90m", "30s", "1d", "90" (seconds) → seconds; 0 … CLI_DURATION_MAX_S. USAGE naming the option. */
gboolean cli_parse_duration(const char *option, const char *text, gint64 *seconds, GError **error);
/*
 * RFC 3339, "HH:MM[:SS]" (its next occurrence) or "YYYY-MM-DD HH:MM[:SS]" (both in the zone) → RFC 3339 in UTC, which
 * the caller frees. USAGE naming the option: no such form, or no such time (a day without it, clocks that go forward).
 */
char *cli_parse_time(const char *option, const char *text, gint64 now_us, GTimeZone *zone, GError **error);
/* RFC 3339 → "2026-11-21 20:55:40" in the local zone; "" for NULL. Caller frees. */
char *cli_local_time(const char *rfc3339);
/* "1:02:03". Caller frees. */
char *cli_format_duration(gint64 ms);

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* Is standard output a terminal; may it be coloured (NO_COLOR, TERM)? */
gboolean cli_terminal(void);
gboolean cli_colour(void);
/* Text of others (names, channels) without what would move the cursor or ring the bell. Caller frees. */
char *cli_printable(const char *text);
/* One JSON line, redacted, on standard output; takes the reference. */
void cli_print_json(json_t *value);
/* An answer of the API, as it came. Borrows. */
void cli_print_answer(const json_t *value);
/* "steno: <message>", redacted, on standard error; returns the exit code. */
int cli_fail(const GError *error);
int cli_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* One line on standard error (a terminal), five times a second; whole -1: not known. *told_us: zero at first. */
void cli_progress(const char *name, gint64 have, gint64 whole, gint64 *told_us);
void cli_progress_end(void);

/* Columns that fit what is in them. */
typedef struct CliTable CliTable;
/* heads: NULL-terminated, lent for as long as the table; flexible: the column that is cut on a narrow terminal. */
CliTable *cli_table_new(const char *const *heads, guint flexible);
/* One row: as many strings (NULL: nothing) as there are heads. Copied. */
void cli_table_add(CliTable *table, ...);
/* plain: tab separated, without heads. width: columns of the terminal, 0 for any. Caller frees. */
char *cli_table_format(const CliTable *table, gboolean plain, guint width);
void cli_table_free(CliTable *table);
/* Prints and frees. */
void cli_table_print(CliTable *table, gboolean plain);

/* Members of an answer: "" for what is absent or null. Lent. */
const char *cli_member(const json_t *object, const char *name);
gint64 cli_number(const json_t *object, const char *name);

/* ---- the commands ------------------------------------------------------------------------------------------------ */

extern const CliCommand cli_start, cli_record, cli_list, cli_show, cli_watch, cli_stop, cli_pause, cli_resume,
    cli_update, cli_files, cli_get, cli_delete, cli_key_init, cli_key_add, cli_key_list, cli_key_revoke,
    cli_webhook_list, cli_webhook_enable, cli_storage_list, cli_storage_retry, cli_audit_verify, cli_backup, cli_check,
    cli_doctor, cli_assemble, cli_verify, cli_token_janus, cli_completion;

/* Completion of a shell ("bash", "zsh", "fish"), or NULL for another one; steno(1) as roff. Caller frees. */
char *cli_print_completion(const char *shell);
char *cli_print_manual(void);

#endif
