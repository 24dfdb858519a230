/* What the commands of `steno` share. */
#ifndef STENO_CLI_H
#define STENO_CLI_H

#include "steno/base/job.h"
#include "steno/base/log.h"

/* One command: `steno NAME …`. */
typedef struct {
    const char *name;
    const char *words;                 /* one line for `steno --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} CliCommand;

int cli_record(int argc, char **argv);
int cli_assemble(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_token(int argc, char **argv);

/* Parses options; --help prints and ends with 0. Returns -1 to go on, else the exit code. *rest: the operands, freed by
 * the caller. */
int cli_parse(const char *summary, const char *operands, const char *description, GOptionGroup *group, int argc,
              char **argv, char ***rest);

/* Prints "steno: <message>", redacted, to standard error, and returns the exit code. */
int cli_fail(const GError *error);
int cli_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);

/*
 * The secret that an option names: "@FILE", "-" (standard input), or with bare_path FILE itself. Anything else is
 * refused without being repeated.
 */
StenoSecret *cli_read_secret(const char *option, const char *value, gboolean bare_path, GError **error);

/* Prints one JSON line, redacted, on standard output; takes the reference. */
void cli_print_json(json_t *value);

/* Standard options of every command. */
typedef struct {
    gboolean json;
    char *log_level;
} CliCommon;
gboolean cli_apply_common(const CliCommon *common, GError **error);

/* The exit codes, from the table of errors, for --help. Caller frees. */
char *cli_describe_exit_codes(void);

#endif
