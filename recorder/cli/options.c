/* What was given on the command line, by a command's table. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ------------------------------------------------------------------------------------------------------ */

const CliOption *cli_common_options(void)
{
    static const CliOption options[] = {
        {"json", 0, CLI_FLAG, NULL, "tell the result, or what went wrong, as JSON on standard output"},
        {"log-level", 0, CLI_TEXT, "error|warning|notice|info|debug|trace", "how much is logged (default: notice)"},
        {"help", 'h', CLI_FLAG, NULL, "tell this"},
        {NULL},
    };
    return options;
}

const CliOption *cli_remote_options(void)
{
    static const CliOption options[] = {
        {"socket", 0, CLI_TEXT, "FILE", "stenod's Unix socket (default: $STENO_SOCKET, or /run/steno/api.sock)"},
        {"server", 0, CLI_TEXT, "URL", "stenod on another machine, https://host:8443 ($STENO_SERVER)"},
        {"key-file", 0, CLI_TEXT, "FILE",
         "with --server: a file with the line key_id:secret, mode 0600 ($STENO_KEY_FILE)"},
        {"ca-file", 0, CLI_TEXT, "FILE", "with --server: trust these certificates, PEM ($STENO_CA_FILE)"},
        {NULL},
    };
    return options;
}

/* The row's words, with its default behind them. */
static const char *describe(const StenoJobField *field)
{
    if (!field->default_text[0])
        return field->words;
    g_autofree char *words = g_strdup_printf("%s (default: %s)", field->words, field->default_text);
    return g_intern_string(words);
}

static CliOption option_of_field(const StenoJobField *field)
{
    CliOption option = {field->option, 0, CLI_TEXT, field->argument, describe(field)};
    if (field->kind == STENO_JOB_KIND_BOOL)
        option.kind = CLI_FLAG;
    else if (field->kind == STENO_JOB_KIND_LIST)
        option.kind = CLI_LIST;
    return option;
}

CliOption *cli_own_options(const CliCommand *command, gsize *count)
{
    GArray *options = g_array_new(TRUE, TRUE, sizeof(CliOption));
    for (const StenoJobField *field = steno_job_fields(); command->job_options && field->name; field++) {
        if (field->option[0]) {
            CliOption option = option_of_field(field);
            g_array_append_val(options, option);
        }
    }
    for (const CliOption *option = command->options; option && option->name; option++)
        g_array_append_val(options, *option);
    *count = options->len;
    return (CliOption *)(void *)g_array_free(options, FALSE);
}

/* All that the command takes, one after the other. */
static CliOption *all_options(const CliCommand *command, gsize *count)
{
    gsize n = 0;
    CliOption *own = cli_own_options(command, &n);
    GArray *options = g_array_new(TRUE, TRUE, sizeof(CliOption));
    g_array_append_vals(options, own, (guint)n);
    g_free(own);
    for (const CliOption *option = cli_remote_options(); command->remote && option->name; option++)
        g_array_append_val(options, *option);
    for (const CliOption *option = cli_common_options(); option->name; option++)
        g_array_append_val(options, *option);
    *count = options->len;
    return (CliOption *)(void *)g_array_free(options, FALSE);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static void help_of(const char *title, const CliOption *options, gsize count)
{
    if (count == 0)
        return;
    printf("\n%s:\n", title);
    for (gsize i = 0; i < count; i++) {
        const CliOption *option = &options[i];
        g_autofree char *left =
            g_strdup_printf("%c%c%s--%s%s%s", option->letter ? '-' : ' ', option->letter ? option->letter : ' ',
                            option->letter ? ", " : "  ", option->name, option->kind == CLI_FLAG ? "" : "=",
                            option->kind == CLI_FLAG ? "" : option->argument);
        if (g_utf8_strlen(left, -1) > 30)
            printf("  %s\n  %-30s  %s\n", left, "", option->words);
        else
            printf("  %-30s  %s\n", left, option->words);
    }
}

static gsize count_of(const CliOption *options)
{
    gsize count = 0;
    while (options[count].name)
        count++;
    return count;
}

static void print_help(const CliCommand *command)
{
    gsize count = 0;
    g_autofree CliOption *own = cli_own_options(command, &count);
    g_autofree char *codes = cli_describe_exit_codes(command);
    printf("Usage: steno %s [OPTION…]%s%s\n\n%s\n", command->name, command->operands[0] ? " " : "", command->operands,
           command->summary);
    help_of("Options", own, count);
    if (command->remote)
        help_of("Connection", cli_remote_options(), count_of(cli_remote_options()));
    help_of("Common options", cli_common_options(), count_of(cli_common_options()));
    printf("\nExample:\n%s\nExit codes:\n%s", command->examples, codes);
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

static const CliOption *find_option(const CliOption *options, const char *name)
{
    for (; options->name; options++) {
        if (strcmp(options->name, name) == 0 || (name[0] && !name[1] && name[0] == options->letter))
            return options;
    }
    return NULL;
}

/* GLib would take the locale's encoding, which is ASCII for cron: UTF-8 is asked for, but in names of files. */
static gboolean check_utf8(const CliOption *option, const char *value, GError **error)
{
    if (option->kind == CLI_FLAG || g_utf8_validate(value, -1, NULL) || strstr(option->argument, "FILE") ||
        strcmp(option->argument, "DIR") == 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--%s is not UTF-8", option->name);
    return FALSE;
}

static gboolean check_int(const CliOption *option, const char *value, GError **error)
{
    gint64 number = 0;
    if (g_ascii_string_to_signed(value, 10, option->minimum, option->maximum, &number, NULL))
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                "--%s is '%s', but must be a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, option->name,
                value, option->minimum, option->maximum);
    return FALSE;
}

typedef struct {
    CliCall *call;
    const CliOption *options;
} Parse;

static gboolean on_option(const char *name, const char *value, gpointer user, GError **error)
{
    Parse *parse = user;
    const CliOption *option = find_option(parse->options, name + strspn(name, "-"));
    if (!option)
        return FALSE;
    if (!check_utf8(option, value, error) || (option->kind == CLI_INT && !check_int(option, value, error)))
        return FALSE;
    GPtrArray *given = g_hash_table_lookup(parse->call->values, option->name);
    if (!given) {
        given = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(given, NULL);
        g_hash_table_insert(parse->call->values, (gpointer)option->name, given);
    }
    g_ptr_array_insert(given, (gint)given->len - 1, g_strdup(value ? value : ""));
    return TRUE;
}

static gboolean wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean parse_words(CliCall *call, const CliOption *options, gsize count, int argc, char **argv, GError **error)
{
    Parse parse = {call, options};
    GOptionGroup *group = g_option_group_new("steno", "", "", &parse, NULL);
    for (gsize i = 0; i < count; i++) {
        const GOptionEntry entries[] = {
            {options[i].name, options[i].letter,
             options[i].kind == CLI_FLAG ? G_OPTION_FLAG_NO_ARG : G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
             (gpointer)on_option, "", NULL},
            {NULL},
        };
        g_option_group_add_entries(group, entries);
    }
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    g_auto(GStrv) words = g_new0(char *, (gsize)argc + 1);
    for (int i = 0; i < argc; i++)
        words[i] = g_strdup(argv[i]);
    if (!g_option_context_parse_strv(context, &words, error))
        return FALSE;
    gsize first = words[0] ? 1 : 0;
    if (words[first] && strcmp(words[first], "--") == 0)
        first++;
    call->operands = g_strdupv(words + first);
    return TRUE;
}

static gboolean set_log_level(const char *name, GError **error)
{
    StenoLogLevel level;
    if (!name)
        return TRUE;
    if (!steno_log_level_from_name(name, &level)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "--log-level is '%s', but must be one of: error, warning, notice, info, debug, trace", name);
        return FALSE;
    }
    steno_log_set_level(level);
    /* Our children say as much as we do. */
    g_setenv("STENO_LOG_LEVEL", name, TRUE);
    return TRUE;
}

static int check_operands(const CliCommand *command, char **operands)
{
    int count = (int)g_strv_length(operands);
    if (count < command->operands_min)
        return cli_usage_error("`steno %s` needs: %s; see `steno %s --help`", command->name, command->operands,
                               command->name);
    if (command->operands_max >= 0 && count > command->operands_max)
        return cli_usage_error("'%s' was not expected; see `steno %s --help`", operands[command->operands_max],
                               command->name);
    return -1;
}

int cli_parse(const CliCommand *command, int argc, char **argv, CliCall *call)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strdup_printf("steno %s", command->name);
    g_set_prgname(name);
    if (wants_help(argc, argv)) {
        print_help(command);
        return 0;
    }
    call->command = command;
    call->values = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
    gsize count = 0;
    g_autofree CliOption *options = all_options(command, &count);
    if (!parse_words(call, options, count, argc, argv, &error)) {
        if (error->domain == STENO_ERROR)
            return cli_fail(error);
        return cli_usage_error("%s; `steno %s --help` tells what there is", error->message, command->name);
    }
    call->json = cli_flag(call, "json");
    if (!set_log_level(cli_text(call, "log-level"), &error))
        return cli_fail(error);
    return check_operands(command, call->operands);
}

void cli_call_clear(CliCall *call)
{
    g_clear_pointer(&call->values, g_hash_table_unref);
    g_clear_pointer(&call->operands, g_strfreev);
}

/* ---- what was given ---------------------------------------------------------------------------------------------- */

static GPtrArray *values_of(const CliCall *call, const char *name)
{
    GPtrArray *values = g_hash_table_lookup(call->values, name);
    if (values)
        return values;
    gsize count = 0;
    g_autofree CliOption *options = all_options(call->command, &count);
    if (!find_option(options, name))
        g_error("`steno %s` has no option --%s", call->command->name, name);
    return NULL;
}

gboolean cli_flag(const CliCall *call, const char *name)
{
    return values_of(call, name) != NULL;
}

const char *cli_text(const CliCall *call, const char *name)
{
    GPtrArray *values = values_of(call, name);
    return values ? g_ptr_array_index(values, values->len - 2) : NULL;
}

gint64 cli_int(const CliCall *call, const char *name, gint64 fallback)
{
    const char *text = cli_text(call, name);
    return text ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

char **cli_texts(const CliCall *call, const char *name)
{
    static char *nothing[] = {NULL};
    GPtrArray *values = values_of(call, name);
    return values ? (char **)values->pdata : nothing;
}

StenoSecret *cli_read_secret(CliCall *call, const char *option, const char *value, gboolean bare_path, GError **error)
{
    gboolean from_stdin = strcmp(value, "-") == 0;
    if (from_stdin && call->stdin_taken) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "only one secret can come from standard input");
        return NULL;
    }
    call->stdin_taken |= from_stdin;
    if (from_stdin)
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
