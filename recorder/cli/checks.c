/* Checks, as they are told. */
#include "checks.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    CheckResult result;
    char *name, *detail, *advice;
} Check;

struct CliChecks {
    GPtrArray *list;
};

static void check_free(gpointer data)
{
    Check *check = data;
    g_free(check->name);
    g_free(check->detail);
    g_free(check->advice);
    g_free(check);
}

CliChecks *checks_new(void)
{
    CliChecks *checks = g_new0(CliChecks, 1);
    checks->list = g_ptr_array_new_with_free_func(check_free);
    return checks;
}

void checks_add(CliChecks *checks, CheckResult result, const char *name, const char *advice, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    Check *check = g_new0(Check, 1);
    check->result = result;
    check->name = g_strdup(name);
    check->detail = steno_log_redact(words);
    check->advice = g_strdup(result == CHECK_GOOD ? NULL : advice);
    g_ptr_array_add(checks->list, check);
}

void checks_add_error(CliChecks *checks, const char *name, const char *advice, const GError *error)
{
    checks_add(checks, CHECK_BAD, name, advice, "%s", error->message);
}

void checks_add_answer(CliChecks *checks, const char *prefix, const char *advice, const json_t *answer)
{
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (json_object_get(answer, "checks"), i, one) {
        g_autofree char *name = g_strdup_printf("%s %s", prefix, cli_member(one, "name"));
        gboolean good = json_is_true(json_object_get(one, "ok"));
        checks_add(checks, good ? CHECK_GOOD : CHECK_BAD, name, advice, "%s", cli_member(one, "detail"));
    }
}

gboolean checks_ask(CliChecks *checks, CliClient *client, const char *kind, const char *name, const char *channel)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *prefix = g_strdup_printf("%s %s", strcmp(kind, "platforms") == 0 ? "platform" : "storage", name);
    g_autofree char *path = cli_path(kind, name, "check", NULL);
    json_t *request = channel ? json_pack("{s:s}", "channel", channel) : NULL;
    json_t *answer = cli_client_ask(client, "POST", path, request, &error);
    json_decref(request);
    if (answer)
        checks_add_answer(checks, prefix, NULL, answer);
    else
        checks_add_error(checks, prefix, NULL, error);
    json_decref(answer);
    return error == NULL;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void print_one(const Check *check, gboolean unicode, gboolean colour)
{
    static const char *const signs[] = {"✓", "!", "✗"}, *const words[] = {"ok  ", "note", "FAIL"};
    static const char *const colours[] = {"32", "33", "31"};
    const char *sign = (unicode ? signs : words)[check->result];
    g_autofree char *name = cli_printable(check->name);
    g_auto(GStrv) lines = g_strsplit(check->detail, "\n", -1);
    if (colour)
        printf("\033[%sm%s\033[0m %-22s", colours[check->result], sign, name);
    else
        printf("%s %-22s", sign, name);
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *line = cli_printable(lines[i]);
        if (i == 0)
            printf(" %s\n", line);
        else if (line[0])
            printf("    %s\n", line);
    }
    if (check->advice)
        printf("    → %s\n", check->advice);
}

static json_t *one_to_json(const Check *check)
{
    static const char *const results[] = {"ok", "warning", "failed"};
    return json_pack("{s:s, s:b, s:s, s:s, s:s?}", "name", check->name, "ok", check->result != CHECK_BAD, "result",
                     results[check->result], "detail", check->detail, "advice", check->advice);
}

int checks_print(CliChecks *checks, gboolean json)
{
    gboolean unicode = g_get_charset(NULL), colour = cli_colour();
    guint bad = 0;
    json_t *list = json_array();
    for (guint i = 0; i < checks->list->len; i++) {
        const Check *check = g_ptr_array_index(checks->list, i);
        bad += check->result == CHECK_BAD;
        if (json)
            json_array_append_new(list, one_to_json(check));
        else
            print_one(check, unicode, colour);
    }
    if (json) {
        json_t *answer = json_pack("{s:b, s:O}", "ok", bad == 0, "checks", list);
        cli_print_answer(answer);
        json_decref(answer);
    }
    json_decref(list);
    g_ptr_array_unref(checks->list);
    g_free(checks);
    return bad ? 1 : 0;
}
