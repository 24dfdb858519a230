/* Options, secrets and errors, the same way in every command. */
#include "cli.h"

#include "steno/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_fail(const GError *error)
{
    g_autofree char *words = steno_log_redact(error->message);
    fprintf(stderr, "steno: %s\n", words);
    return steno_error_exit_code(error);
}

int cli_usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "steno: %s\n", words);
    return 2;
}

void cli_print_json(json_t *value)
{
    char *line = json_dumps(value, JSON_COMPACT);
    g_autofree char *redacted = steno_log_redact(line);
    puts(redacted);
    fflush(stdout);
    free(line);
    json_decref(value);
}

static gboolean wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return TRUE;
    }
    return FALSE;
}

int cli_parse(const char *summary, const char *operands, const char *description, GOptionGroup *group, int argc,
              char **argv, char ***rest)
{
    g_autofree char *name = g_strdup_printf("steno %s", argv[0]);
    g_set_prgname(name);
    g_autoptr(GOptionContext) context = g_option_context_new(operands);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, description);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    if (wants_help(argc, argv)) {
        g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
        fputs(help, stdout);
        return 0;
    }
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) copy = g_new0(char *, (gsize)argc + 1);
    for (int i = 0; i < argc; i++)
        copy[i] = g_strdup(argv[i]);
    if (!g_option_context_parse_strv(context, &copy, &error)) {
        if (error->domain == STENO_ERROR)
            return cli_fail(error);
        return cli_usage_error("%s; `steno %s --help` tells what there is", error->message, argv[0]);
    }
    *rest = g_strdupv(copy + (copy[0] ? 1 : 0));
    return -1;
}

StenoSecret *cli_read_secret(const char *option, const char *value, gboolean bare_path, GError **error)
{
    if (strcmp(value, "-") == 0)
        return steno_secret_read_file("-", error);
    if (value[0] == '@' && value[1])
        return steno_secret_read_file(value + 1, error);
    if (bare_path)
        return steno_secret_read_file(value, error);
    g_set_error(
        error, STENO_ERROR, STENO_ERROR_USAGE,
        "%s takes no secret on the command line, where everybody on this machine can read it: put it into a file "
        "(mode 0600) and give %s @FILE, or give %s - and write it to standard input. What was given should be "
        "considered known to others",
        option, option, option);
    return NULL;
}

gboolean cli_apply_common(const CliCommon *common, GError **error)
{
    StenoLogLevel level;
    if (!common->log_level)
        return TRUE;
    if (!steno_log_level_from_name(common->log_level, &level)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "--log-level is '%s', but must be one of: error, warning, notice, info, debug, trace",
                    common->log_level);
        return FALSE;
    }
    steno_log_set_level(level);
    /* Our children say as much as we do. */
    g_setenv("STENO_LOG_LEVEL", common->log_level, TRUE);
    return TRUE;
}

char *cli_describe_exit_codes(void)
{
    GString *text = g_string_new("Exit codes:\n   0  it is done\n");
    for (int code = 1; code < 128; code++) {
        for (unsigned i = 0; i < STENO_ERROR_COUNT; i++) {
            GError error = {.domain = STENO_ERROR, .code = (gint)i};
            if (steno_error_exit_code(&error) == code)
                g_string_append_printf(text, "  %2d  %s\n", code, steno_error_words((StenoError)i));
        }
    }
    return g_string_free(text, FALSE);
}
