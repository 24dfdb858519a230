/* steno record: one recording in the foreground. */
#include "cli.h"

#include "steno/base/error.h"
#include "steno/job.h"

#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A recorder that dies this often in a row is not started again. */
#define RESTARTS_MAX 20

typedef struct {
    CliCommon common;
    char *output, *spool;
    gboolean keep_capture;
    StenoJobSpec *spec;
    gboolean stdin_taken;

    GMainLoop *loop;
    StenoJob *job;
    gboolean terminal, line_open;
    char *state;
    guint signals;
    int exit_code;
} Record;

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const StenoJobField *field_of_option(const char *option)
{
    while (*option == '-')
        option++;
    for (const StenoJobField *field = steno_job_fields(); field->name; field++) {
        if (strcmp(field->option, option) == 0)
            return field;
    }
    return NULL;
}

static gboolean on_secret(Record *record, const StenoJobField *field, const char *option, const char *value,
                          GError **error)
{
    StenoSecret **member = (StenoSecret **)(void *)((char *)record->spec + field->offset);
    if (strcmp(value, "-") == 0 && record->stdin_taken) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "only one secret can come from standard input");
        return FALSE;
    }
    record->stdin_taken |= strcmp(value, "-") == 0;
    StenoSecret *secret = cli_read_secret(option, value, g_str_has_suffix(option, "-file"), error);
    if (!secret)
        return FALSE;
    steno_secret_unref(*member);
    *member = secret;
    return TRUE;
}

static gboolean on_job_option(const char *option, const char *value, gpointer user, GError **error)
{
    Record *record = user;
    const StenoJobField *field = field_of_option(option);
    if (!field)
        return FALSE;
    if (field->kind == STENO_JOB_KIND_SECRET)
        return on_secret(record, field, option, value, error);
    if (steno_job_spec_set(record->spec, field, value ? value : "", error))
        return TRUE;
    g_prefix_error(error, "--%s: ", field->option);
    return FALSE;
}

/* The row's words, with its default behind them. */
static const char *describe(const StenoJobField *field)
{
    if (!field->default_text[0])
        return field->words;
    g_autofree char *words = g_strdup_printf("%s (default: %s)", field->words, field->default_text);
    return g_intern_string(words);
}

static GOptionGroup *option_group(Record *record)
{
    GOptionGroup *group = g_option_group_new("record", "", "", record, NULL);
    for (const StenoJobField *field = steno_job_fields(); field->name; field++) {
        if (!field->option[0])
            continue;
        GOptionEntry entries[] = {
            {field->option, 0, field->kind == STENO_JOB_KIND_BOOL ? G_OPTION_FLAG_NO_ARG : 0, G_OPTION_ARG_CALLBACK,
             (gpointer)on_job_option, describe(field), field->argument[0] ? field->argument : NULL},
            {NULL},
        };
        g_option_group_add_entries(group, entries);
    }
    const GOptionEntry own[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &record->output,
         "folder for finished recordings (default: recordings)", "DIR"},
        {"spool", 0, 0, G_OPTION_ARG_FILENAME, &record->spool, "folder for captures (default: OUTPUT/.spool)", "DIR"},
        {"keep-capture", 0, 0, G_OPTION_ARG_NONE, &record->keep_capture, "keep the capture when the files are stored",
         NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &record->common.json, "tell everything as JSON lines on standard output",
         NULL},
        {"log-level", 0, 0, G_OPTION_ARG_STRING, &record->common.log_level,
         "error, warning, notice (default), info, debug or trace", "LEVEL"},
        {NULL},
    };
    g_option_group_add_entries(group, own);
    return group;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void end_line(Record *record)
{
    if (record->line_open)
        fputc('\n', stderr);
    record->line_open = FALSE;
}

static gint64 number_of(const json_t *event, const char *name)
{
    return json_integer_value(json_object_get(event, name));
}

static void print_stats(Record *record, const json_t *event)
{
    gint64 seconds = number_of(event, "duration_ms") / 1000;
    gint64 packets = number_of(event, "packets"), lost = number_of(event, "lost");
    g_autofree char *bytes = g_format_size((guint64)number_of(event, "bytes"));
    fprintf(stderr, "\r\033[K%s %02d:%02d:%02d  %d participants  %d tracks  %s  loss %.2f %%", record->state,
            (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60), (int)number_of(event, "participants"),
            (int)number_of(event, "tracks"), bytes,
            packets + lost > 0 ? 100.0 * (double)lost / (double)(packets + lost) : 0.0);
    fflush(stderr);
    record->line_open = TRUE;
}

static void on_event(gpointer user, json_t *event)
{
    Record *record = user;
    const char *name = json_string_value(json_object_get(event, "event"));
    if (record->common.json) {
        /* States come by on_state, for those of the job too. */
        if (g_strcmp0(name, "state") != 0)
            cli_print_json(json_incref(event));
    } else if (g_strcmp0(name, "stats") == 0 && record->terminal) {
        print_stats(record, event);
    }
    const json_t *error = json_object_get(event, "error");
    if (g_strcmp0(name, "state") == 0 && json_is_object(error) && !record->common.json) {
        end_line(record);
        fprintf(stderr, "steno: %s\n", json_string_value(json_object_get(error, "message")));
    }
}

static void on_state(gpointer user, const char *state)
{
    Record *record = user;
    if (g_strcmp0(record->state, state) == 0)
        return;
    g_free(record->state);
    record->state = g_strdup(state);
    if (record->common.json) {
        cli_print_json(json_pack("{s:s, s:s}", "event", "state", "state", state));
    } else {
        end_line(record);
        fprintf(stderr, "steno: %s\n", state);
    }
}

static void print_done(const Record *record, const char *folder, const char *capture, const char *end_reason,
                       const GError *error)
{
    if (record->common.json) {
        cli_print_json(json_pack("{s:s, s:s?, s:s?, s:s, s:o}", "event", "done", "folder", folder, "capture", capture,
                                 "end_reason", end_reason, "error", steno_error_to_json(error)));
        return;
    }
    if (error)
        (void)cli_fail(error);
    fprintf(stderr, "steno: ended: %s\n", end_reason);
    if (capture && error)
        fprintf(stderr, "steno: what was captured is kept in %s; `steno assemble %s` makes files of it\n", capture,
                capture);
    if (folder)
        puts(folder);
}

static void on_done(gpointer user, const char *folder, const char *capture, const char *end_reason, const GError *error)
{
    Record *record = user;
    end_line(record);
    print_done(record, folder, capture, end_reason, error);
    record->exit_code = steno_error_exit_code(error);
    g_main_loop_quit(record->loop);
}

static const StenoJobEvents job_events = {.state = on_state, .event = on_event, .done = on_done};

/* ---- running ----------------------------------------------------------------------------------------------------- */

static gboolean on_signal(gpointer user)
{
    Record *record = user;
    end_line(record);
    if (record->signals++ == 0) {
        if (!record->common.json)
            fprintf(stderr, "steno: finishing; a second Ctrl-C leaves at once and keeps the capture\n");
        steno_job_stop(record->job, "stopped");
        return G_SOURCE_CONTINUE;
    }
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, STENO_ERROR_INTERRUPTED,
                                                  "interrupted; what was captured is kept in the spool folder");
    record->exit_code = cli_fail(error);
    g_main_loop_quit(record->loop);
    return G_SOURCE_CONTINUE;
}

static int run(Record *record)
{
    g_autoptr(GError) error = NULL;
    record->spec->id = steno_job_new_id();
    const StenoJobPlace place = {
        .root = record->output ? record->output : "recordings",
        .spool = record->spool,
        .keep_capture = record->keep_capture,
        .restarts_max = RESTARTS_MAX,
    };
    g_autoptr(StenoLog) log = steno_log_new(NULL, "rec=%s", record->spec->id);
    record->terminal = isatty(STDERR_FILENO);
    record->loop = g_main_loop_new(NULL, FALSE);
    record->job = steno_job_start(record->spec, &place, log, &job_events, record, &error);
    if (!record->job) {
        g_main_loop_unref(record->loop);
        print_done(record, NULL, NULL, "join-failed", error);
        return steno_error_exit_code(error);
    }
    guint interrupt = g_unix_signal_add(SIGINT, on_signal, record);
    guint terminate = g_unix_signal_add(SIGTERM, on_signal, record);
    g_main_loop_run(record->loop);
    g_source_remove(interrupt);
    g_source_remove(terminate);
    steno_job_free(record->job);
    g_main_loop_unref(record->loop);
    return record->exit_code;
}

int cli_record(int argc, char **argv)
{
    Record record = {.spec = steno_job_spec_new()};
    g_autofree char *codes = cli_describe_exit_codes();
    g_autofree char *description = g_strconcat(
        "Example:\n"
        "  steno record --platform janus --url https://sfu.example/janus --channel 1234 \\\n"
        "      --token-secret-file janus.secret --output /srv/recordings --max-duration 3600\n"
        "\n"
        "Ctrl-C ends the recording and finishes its files. The folder of the files is printed on standard output.\n"
        "\n",
        codes, NULL);
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    int exit_code = cli_parse("Records a channel as a silent participant, and leaves finished files and a manifest.",
                              "", description, option_group(&record), argc, argv, &rest);
    if (exit_code < 0 && rest[0])
        exit_code =
            cli_usage_error("'%s' was not expected; every setting is an option, see `steno record --help`", rest[0]);
    if (exit_code < 0 && (!cli_apply_common(&record.common, &error) || !steno_job_spec_check(record.spec, &error)))
        exit_code = cli_fail(error);
    if (exit_code < 0)
        exit_code = run(&record);
    steno_job_spec_free(record.spec);
    g_free(record.output);
    g_free(record.spool);
    g_free(record.common.log_level);
    g_free(record.state);
    return exit_code;
}
