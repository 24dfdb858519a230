/* steno(1), in mdoc(7). */
#include "cli.h"

#include <string.h>

/* mandoc wants input lines of at most 80 bytes. */
#define WIDTH 78

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void append_word(GString *page, const char *word, gsize bytes, gboolean at_start)
{
    if (at_start && (word[0] == '.' || word[0] == '\''))
        g_string_append(page, "\\&");
    for (const char *at = word; at < word + bytes; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == 0x2026)
            g_string_append(page, "...");
        else if (c == '\\')
            g_string_append(page, "\\e");
        else if (c < 0x80)
            g_string_append_c(page, (char)c);
        else
            g_string_append_printf(page, "\\[u%04X]", c);
    }
}

static gboolean ends_sentence(const char *word, gsize bytes)
{
    return bytes > 2 && (word[bytes - 1] == '.' || word[bytes - 1] == ':' || word[bytes - 1] == ';');
}

/* Words, filled to the width; a sentence begins on its own line, as mdoc has it. */
static void append_text(GString *page, const char *text)
{
    gsize column = 0;
    gboolean fresh = TRUE;
    for (const char *at = text + strspn(text, " \n"); *at; at += strspn(at, " \n")) {
        gsize bytes = strcspn(at, " \n");
        if (!fresh && column + 1 + bytes > WIDTH)
            fresh = TRUE, g_string_append_c(page, '\n');
        else if (!fresh)
            g_string_append_c(page, ' ');
        gsize before = page->len;
        append_word(page, at, bytes, fresh);
        column = fresh ? page->len - before : column + 1 + (page->len - before);
        fresh = FALSE;
        if (ends_sentence(at, bytes) && at[bytes]) {
            g_string_append_c(page, '\n');
            fresh = TRUE;
        }
        at += bytes;
    }
    if (!fresh)
        g_string_append_c(page, '\n');
}

/* As it stands: examples. */
static void append_literal(GString *page, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_string_append(page, ".Bd -literal -offset indent\n");
    for (guint i = 0; lines[i]; i++) {
        const char *line = g_str_has_prefix(lines[i], "  ") ? lines[i] + 2 : lines[i];
        if (!line[0])
            continue;
        append_word(page, line, strlen(line), TRUE);
        g_string_append_c(page, '\n');
    }
    g_string_append(page, ".Ed\n");
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void append_options(GString *page, const CliOption *options)
{
    if (!options->name)
        return;
    g_string_append(page, ".Bl -tag -width Ds\n");
    for (; options->name; options++) {
        g_string_append(page, ".It ");
        if (options->letter)
            g_string_append_printf(page, "Fl %c , ", options->letter);
        g_string_append_printf(page, "Fl -%s", options->name);
        if (options->kind != CLI_FLAG) {
            g_string_append(page, " Ns = Ns Ar ");
            append_word(page, options->argument, strlen(options->argument), FALSE);
        }
        g_string_append_c(page, '\n');
        append_text(page, options->words);
    }
    g_string_append(page, ".El\n");
}

static void append_command(GString *page, const CliCommand *command)
{
    gsize count = 0;
    g_autofree CliOption *own = cli_own_options(command, &count);
    g_string_append_printf(page, ".Ss steno %s", command->name);
    if (count)
        g_string_append(page, " Op Ar OPTION ...");
    if (command->operands[0]) {
        g_string_append(page, " Ar ");
        append_word(page, command->operands, strlen(command->operands), FALSE);
    }
    g_string_append_c(page, '\n');
    append_text(page, command->summary);
    if (command->remote)
        append_text(page, "It talks to stenod, and has the options of the connection.");
    append_options(page, own);
    append_literal(page, command->examples);
    if (command->code_words) {
        const char *words = command->code_words + strspn(command->code_words, " ");
        g_string_append(page, "Exit code\n");
        append_text(page, words);
    }
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static const char head[] = ".\\\" Made by steno-docs from the tables of recorder/cli: change it there.\n"
                           ".Dd November 22, 2026\n"
                           ".Dt STENO 1\n"
                           ".Os\n"
                           ".Sh NAME\n"
                           ".Nm steno\n"
                           ".Nd record real-time channels\n"
                           ".Sh SYNOPSIS\n"
                           ".Nm\n"
                           ".Ar COMMAND\n"
                           ".Op Ar OPTION ...\n"
                           ".Op Ar OPERAND ...\n"
                           ".Sh DESCRIPTION\n"
                           "Steno joins real-time channels as a silent participant, and writes finished\n"
                           "files to your own storage.\n"
                           ".Nm\n"
                           "asks the daemon\n"
                           ".Xr stenod 8\n"
                           "to record, looks after its recordings and fetches their files;\n"
                           ".Nm steno Cm record\n"
                           "records by itself, without a daemon.\n"
                           ".Pp\n"
                           "Data goes to standard output, messages to standard error.\n"
                           "Times are local, and UTC with\n"
                           ".Fl -plain\n"
                           "and\n"
                           ".Fl -json .\n"
                           "Secrets are taken from files and standard input only, never from the command\n"
                           "line or the environment.\n";

static const char environment[] = ".Sh ENVIRONMENT\n"
                                  ".Bl -tag -width Ds\n"
                                  ".It Ev STENO_SOCKET , STENO_SERVER , STENO_KEY_FILE , STENO_CA_FILE\n"
                                  "Where options of the connection that are not given come from.\n"
                                  ".It Ev NO_COLOR\n"
                                  "When it is not empty, nothing is coloured.\n"
                                  ".El\n"
                                  ".Sh FILES\n"
                                  ".Bl -tag -width Ds\n"
                                  ".It Pa /run/steno/api.sock\n"
                                  "Socket of\n"
                                  ".Xr stenod 8 ;\n"
                                  "root and the members of the group steno may use it.\n"
                                  ".It Pa /etc/steno/steno.conf\n"
                                  "Its configuration,\n"
                                  ".Xr steno.conf 5 .\n"
                                  ".El\n";

static const char tail[] = ".Sh SEE ALSO\n"
                           ".Xr crontab 5 ,\n"
                           ".Xr steno.conf 5 ,\n"
                           ".Xr stenod 8\n";

static void append_exit_status(GString *page)
{
    g_autofree char *codes = cli_describe_exit_codes(NULL);
    g_auto(GStrv) lines = g_strsplit(codes, "\n", -1);
    g_string_append(page, ".Sh EXIT STATUS\n"
                          "Codes below 10 are classes that any script may test; 10 to 29 mean that a\n"
                          "channel could not be joined or kept, 40 to 49 storage, 50 to 69 the daemon.\n"
                          ".Pp\n"
                          ".Bl -tag -width Ds -compact\n");
    for (guint i = 0; lines[i]; i++) {
        char *end = NULL;
        guint64 code = g_ascii_strtoull(lines[i], &end, 10);
        if (end == lines[i])
            continue;
        g_string_append_printf(page, ".It %d\n", (int)code);
        append_text(page, end);
    }
    g_string_append(page, ".El\n");
}

char *cli_print_manual(void)
{
    GString *page = g_string_new(head);
    g_string_append(page, ".Sh COMMANDS\n");
    for (const CliCommand *const *command = cli_commands(); *command; command++)
        append_command(page, *command);
    g_string_append(page, ".Sh OPTIONS OF THE CONNECTION\n");
    append_options(page, cli_remote_options());
    g_string_append(page, ".Sh OPTIONS OF EVERY COMMAND\n");
    append_options(page, cli_common_options());
    g_string_append(page, environment);
    append_exit_status(page);
    g_string_append(page, tail);
    return g_string_free(page, FALSE);
}
