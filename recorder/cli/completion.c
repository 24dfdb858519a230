/* steno completion: what shells offer, out of the commands' tables. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

typedef enum { OFFER_NOTHING, OFFER_FILES, OFFER_FOLDERS, OFFER_IDS, OFFER_WORDS } Offer;

/* What stands for an argument or an operand of this name. */
static Offer offer_of(const char *argument)
{
    if (!argument || !argument[0])
        return OFFER_NOTHING;
    if (strstr(argument, "ID") == argument || strstr(argument, "[ID") == argument)
        return OFFER_IDS;
    if (strcmp(argument, "DIR") == 0 || strcmp(argument, "CAPTURE") == 0 || strcmp(argument, "FOLDER") == 0)
        return OFFER_FOLDERS;
    if (strcmp(argument, "FILE") == 0 || strcmp(argument, "[FILE]") == 0)
        return OFFER_FILES;
    return strchr(argument, '|') && !strchr(argument, '@') ? OFFER_WORDS : OFFER_NOTHING;
}

/* "a|b" → "a b" */
static char *words_of(const char *argument)
{
    return g_strdelimit(g_strdup(argument), "|", ' ');
}

/* An option's argument is no operand: "ID" there is something else's. */
static Offer offer_of_option(const CliOption *option)
{
    Offer offer = option->kind == CLI_FLAG ? OFFER_NOTHING : offer_of(option->argument);
    return offer == OFFER_IDS ? OFFER_NOTHING : offer;
}

/* First words of commands, each once. */
static GPtrArray *first_words(void)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        g_autofree char *word = g_strndup((*command)->name, strcspn((*command)->name, " "));
        if (!g_ptr_array_find_with_equal_func(words, word, g_str_equal, NULL))
            g_ptr_array_add(words, g_steal_pointer(&word));
    }
    return words;
}

/* Second words of a group, with a space before each; "" for what is no group. */
static char *second_words(const char *first)
{
    GString *words = g_string_new(NULL);
    gsize bytes = strlen(first);
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        if (strncmp((*command)->name, first, bytes) == 0 && (*command)->name[bytes] == ' ')
            g_string_append_printf(words, " %s", (*command)->name + bytes + 1);
    }
    return g_string_free(words, FALSE);
}

typedef void (*OptionPrinter)(GString *text, const CliCommand *command, const CliOption *option);

static void each_option(GString *text, const CliCommand *command, OptionPrinter print)
{
    gsize count = 0;
    g_autofree CliOption *own = cli_own_options(command, &count);
    for (gsize i = 0; i < count; i++)
        print(text, command, &own[i]);
    for (const CliOption *option = cli_remote_options(); command->remote && option->name; option++)
        print(text, command, option);
    for (const CliOption *option = cli_common_options(); option->name; option++)
        print(text, command, option);
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

static const char bash_head[] =
    "# bash completion of steno; made by `steno completion bash`\n"
    "_steno_ids() { COMPREPLY=($(compgen -W \"$(timeout 1 steno list --plain 2>/dev/null | cut -f1)\" -- \"$1\")); }\n"
    "_steno() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} second=\n"
    "    COMPREPLY=()\n"
    "    # --name=value comes as three words\n"
    "    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n";

static void bash_name(GString *text, const CliCommand *command, const CliOption *option)
{
    (void)command;
    g_string_append_printf(text, "--%s ", option->name);
}

static void bash_value(GString *text, const CliCommand *command, const CliOption *option)
{
    g_autofree char *letter = option->letter ? g_strdup_printf("|'%s:-%c'", command->name, option->letter) : NULL;
    g_autofree char *words = option->argument ? words_of(option->argument) : NULL;
    if (option->kind == CLI_FLAG)
        return;
    g_string_append_printf(text, "    '%s:--%s'%s) ", command->name, option->name, letter ? letter : "");
    switch (offer_of_option(option)) {
    case OFFER_FILES:
        g_string_append(text, "COMPREPLY=($(compgen -f -- \"$cur\"));");
        break;
    case OFFER_FOLDERS:
        g_string_append(text, "COMPREPLY=($(compgen -d -- \"$cur\"));");
        break;
    case OFFER_WORDS:
        g_string_append_printf(text, "COMPREPLY=($(compgen -W '%s' -- \"$cur\"));", words);
        break;
    default:
        break;
    }
    g_string_append(text, " return ;;\n");
}

static void bash_operand(GString *text, const CliCommand *command)
{
    g_autofree char *words = words_of(command->operands);
    switch (offer_of(command->operands)) {
    case OFFER_FILES:
        g_string_append_printf(text, "    '%s') COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", command->name);
        break;
    case OFFER_FOLDERS:
        g_string_append_printf(text, "    '%s') COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n", command->name);
        break;
    case OFFER_IDS:
        g_string_append_printf(text, "    '%s') _steno_ids \"$cur\" ;;\n", command->name);
        break;
    case OFFER_WORDS:
        g_string_append_printf(text, "    '%s') COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", command->name, words);
        break;
    default:
        break;
    }
}

static char *print_bash(void)
{
    GString *text = g_string_new(bash_head);
    g_autoptr(GPtrArray) first = first_words();
    g_string_append(text, "    if ((COMP_CWORD == 1)); then COMPREPLY=($(compgen -W '");
    for (guint i = 0; i < first->len; i++)
        g_string_append_printf(text, "%s ", (char *)g_ptr_array_index(first, i));
    g_string_append(text, "--help --version' -- \"$cur\")); return; fi\n    case $command in\n");
    for (guint i = 0; i < first->len; i++) {
        g_autofree char *second = second_words(g_ptr_array_index(first, i));
        if (second[0])
            g_string_append_printf(text, "    %s) second='%s' ;;\n", (char *)g_ptr_array_index(first, i), second + 1);
    }
    g_string_append(
        text, "    esac\n"
              "    if [[ $second ]]; then\n"
              "        if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W \"$second\" -- \"$cur\")); return; fi\n"
              "        command=\"$command ${COMP_WORDS[2]}\"\n"
              "    fi\n"
              "    case \"$command:$prev\" in\n");
    for (const CliCommand *const *command = cli_commands(); *command; command++)
        each_option(text, *command, bash_value);
    g_string_append(text, "    esac\n    if [[ $cur == -* ]]; then\n        case $command in\n");
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        g_string_append_printf(text, "        '%s') COMPREPLY=($(compgen -W '", (*command)->name);
        each_option(text, *command, bash_name);
        g_string_append(text, "' -- \"$cur\")) ;;\n");
    }
    g_string_append(text, "        esac\n        return\n    fi\n    case $command in\n");
    for (const CliCommand *const *command = cli_commands(); *command; command++)
        bash_operand(text, *command);
    g_string_append(text, "    esac\n}\ncomplete -o filenames -F _steno steno\n");
    return g_string_free(text, FALSE);
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

/* For a description within '…[…]': no quotes, no brackets, no colons. */
static char *zsh_words(const char *words)
{
    g_autofree char *plain = g_strdelimit(g_strdup(words), "[]", '|');
    g_auto(GStrv) parts = g_strsplit(plain, "'", -1);
    g_autofree char *quoted = g_strjoinv("'\\''", parts);
    g_auto(GStrv) colons = g_strsplit(quoted, ":", -1);
    return g_strjoinv("\\:", colons);
}

static const char *zsh_action(Offer offer)
{
    switch (offer) {
    case OFFER_FILES:
        return "_files";
    case OFFER_FOLDERS:
        return "_files -/";
    case OFFER_IDS:
        return "_steno_ids";
    default:
        return "";
    }
}

static void zsh_option(GString *text, const CliCommand *command, const CliOption *option)
{
    g_autofree char *words = zsh_words(option->words);
    g_autofree char *values = option->argument ? words_of(option->argument) : NULL;
    const char *repeat = option->kind == CLI_LIST ? "*" : "";
    (void)command;
    if (option->letter)
        g_string_append_printf(text, " \\\n            '(-%c --%s)'{-%c,--%s%s}'[%s]", option->letter, option->name,
                               option->letter, option->name, option->kind == CLI_FLAG ? "" : "=", words);
    else
        g_string_append_printf(text, " \\\n            '%s--%s%s[%s]", repeat, option->name,
                               option->kind == CLI_FLAG ? "" : "=", words);
    if (option->kind != CLI_FLAG) {
        Offer offer = offer_of_option(option);
        g_autofree char *choice = g_strdup_printf("(%s)", values);
        g_string_append_printf(text, ":value:%s", offer == OFFER_WORDS ? choice : zsh_action(offer));
    }
    g_string_append_c(text, '\'');
}

static void zsh_command(GString *text, const CliCommand *command)
{
    Offer offer = offer_of(command->operands);
    g_autofree char *words = words_of(command->operands), *choice = g_strdup_printf("(%s)", words);
    g_string_append_printf(text, "    '%s')\n        _arguments -S", command->name);
    each_option(text, command, zsh_option);
    if (command->operands[0])
        g_string_append_printf(text, " \\\n            '*:operand:%s'",
                               offer == OFFER_WORDS ? choice : zsh_action(offer));
    g_string_append(text, " ;;\n");
}

static char *print_zsh(void)
{
    GString *text = g_string_new("#compdef steno\n"
                                 "# zsh completion of steno; made by `steno completion zsh`\n"
                                 "_steno_ids() {\n"
                                 "    compadd -- $(timeout 1 steno list --plain 2>/dev/null | cut -f1)\n"
                                 "}\n"
                                 "_steno() {\n"
                                 "    local name=$words[2]\n"
                                 "    local -a first second\n"
                                 "    first=(\n");
    g_autoptr(GPtrArray) first = first_words();
    for (guint i = 0; i < first->len; i++)
        g_string_append_printf(text, "        %s\n", (char *)g_ptr_array_index(first, i));
    g_string_append(text, "    )\n    if ((CURRENT == 2)); then compadd -- $first --help --version; return; fi\n"
                          "    case $name in\n");
    for (guint i = 0; i < first->len; i++) {
        g_autofree char *second = second_words(g_ptr_array_index(first, i));
        if (second[0])
            g_string_append_printf(text, "    %s) second=(%s) ;;\n", (char *)g_ptr_array_index(first, i), second + 1);
    }
    g_string_append(text, "    esac\n"
                          "    if (($#second)); then\n"
                          "        if ((CURRENT == 3)); then compadd -- $second; return; fi\n"
                          "        name=\"$name $words[3]\"\n"
                          "        shift words; ((CURRENT--))\n"
                          "    fi\n"
                          "    shift words; ((CURRENT--))\n"
                          "    case $name in\n");
    for (const CliCommand *const *command = cli_commands(); *command; command++)
        zsh_command(text, *command);
    g_string_append(text, "    esac\n}\n_steno \"$@\"\n");
    return g_string_free(text, FALSE);
}

/* ---- fish -------------------------------------------------------------------------------------------------------- */

static const char fish_head[] = "# fish completion of steno; made by `steno completion fish`\n"
                                "function __steno_is\n"
                                "    set -l words (commandline -opc)\n"
                                "    set -e words[1]\n"
                                "    test (count $argv) -le (count $words); or return 1\n"
                                "    for i in (seq (count $argv))\n"
                                "        test $argv[$i] = $words[$i]; or return 1\n"
                                "    end\n"
                                "end\n"
                                "function __steno_first\n"
                                "    test (count (commandline -opc)) -eq 1\n"
                                "end\n"
                                "function __steno_second\n"
                                "    test (count (commandline -opc)) -eq 2; and __steno_is $argv\n"
                                "end\n"
                                "complete -c steno -f\n";

static char *fish_words(const char *words)
{
    g_auto(GStrv) slashes = g_strsplit(words, "\\", -1);
    g_autofree char *safe = g_strjoinv("\\\\", slashes);
    g_auto(GStrv) parts = g_strsplit(safe, "'", -1);
    return g_strjoinv("\\'", parts);
}

static void fish_option(GString *text, const CliCommand *command, const CliOption *option)
{
    g_autofree char *words = fish_words(option->words);
    g_autofree char *values = option->argument ? words_of(option->argument) : NULL;
    g_string_append_printf(text, "complete -c steno -n '__steno_is %s' -l %s", command->name, option->name);
    if (option->letter)
        g_string_append_printf(text, " -s %c", option->letter);
    Offer offer = offer_of_option(option);
    if (option->kind == CLI_FLAG)
        g_string_append(text, "");
    else if (offer == OFFER_FILES)
        g_string_append(text, " -rF");
    else if (offer == OFFER_FOLDERS)
        g_string_append(text, " -xa '(__fish_complete_directories)'");
    else if (offer == OFFER_WORDS)
        g_string_append_printf(text, " -xa '%s'", values);
    else
        g_string_append(text, " -x");
    g_string_append_printf(text, " -d '%s'\n", words);
}

static void fish_operand(GString *text, const CliCommand *command)
{
    g_autofree char *words = words_of(command->operands);
    g_autofree char *line = g_strdup_printf("complete -c steno -n '__steno_is %s'", command->name);
    switch (offer_of(command->operands)) {
    case OFFER_FILES:
        g_string_append_printf(text, "%s -F\n", line);
        break;
    case OFFER_FOLDERS:
        g_string_append_printf(text, "%s -a '(__fish_complete_directories)'\n", line);
        break;
    case OFFER_IDS:
        g_string_append_printf(text, "%s -a '(timeout 1 steno list --plain 2>/dev/null | cut -f1,2)'\n", line);
        break;
    case OFFER_WORDS:
        g_string_append_printf(text, "%s -a '%s'\n", line, words);
        break;
    default:
        break;
    }
}

static char *print_fish(void)
{
    GString *text = g_string_new(fish_head);
    for (const CliCommand *const *command = cli_commands(); *command; command++) {
        g_autofree char *words = fish_words((*command)->words);
        const char *space = strchr((*command)->name, ' ');
        if (space)
            g_string_append_printf(text,
                                   "complete -c steno -n __steno_first -a %.*s\n"
                                   "complete -c steno -n '__steno_second %.*s' -a %s -d '%s'\n",
                                   (int)(space - (*command)->name), (*command)->name, (int)(space - (*command)->name),
                                   (*command)->name, space + 1, words);
        else
            g_string_append_printf(text, "complete -c steno -n __steno_first -a %s -d '%s'\n", (*command)->name, words);
        each_option(text, *command, fish_option);
        fish_operand(text, *command);
    }
    return g_string_free(text, FALSE);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

char *cli_print_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        return print_bash();
    if (strcmp(shell, "zsh") == 0)
        return print_zsh();
    return strcmp(shell, "fish") == 0 ? print_fish() : NULL;
}

static int run_completion(CliCall *call, GError **error)
{
    g_autofree char *text = cli_print_completion(call->operands[0]);
    (void)error;
    if (!text)
        return cli_usage_error("'%s' is no shell that is known here: bash, zsh or fish", call->operands[0]);
    if (call->json)
        cli_print_json(json_pack("{s:s, s:s}", "shell", call->operands[0], "script", text));
    else
        fputs(text, stdout);
    return 0;
}

const CliCommand cli_completion = {
    .name = "completion",
    .words = "print a shell's completion",
    .operands = "bash|zsh|fish",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Prints what a shell needs to complete steno's commands, options and recordings.",
    .examples = "  source <(steno completion bash)\n"
                "  steno completion fish > ~/.config/fish/completions/steno.fish\n",
    .codes = "",
    .run = run_completion,
};
