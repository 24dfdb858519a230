/* steno record: one recording in the foreground. */
#include "destination.h"

#include "steno/base/error.h"
#include "steno/job.h"

#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A recorder that dies this often in a row is not started again. */
#define RESTARTS_MAX 20
/* Announced media of which nothing is captured for so long: the recorder is started anew. */
#define STALL_S 10

typedef struct {
    CliCall *call;
    const char *spool;
    StenoStore *store;
    StenoSigner *signer; /* or NULL */
    gboolean keep_capture;
    StenoJobSpec *spec;

    GMainLoop *loop;
    StenoJob *job;
    gboolean terminal, line_open;
    char *state;
    guint signals;
    int exit_code;
} Record;

/* ---- options ----------------------------------------------------------------------------------------------------- */

static gboolean set_secret(Record *record, const StenoJobField *field, const char *value, GError **error)
{
    StenoSecret **member = (StenoSecret **)(void *)((char *)record->spec + field->offset);
    g_autofree char *option = g_strconcat("--", field->option, NULL);
    gboolean is_file = strcmp(field->argument, "FILE") == 0;
    StenoSecret *secret = cli_read_secret(record->call, option, value, is_file, error);
    if (!secret)
        return FALSE;
    steno_secret_unref(*member);
    *member = secret;
    return TRUE;
}

static gboolean set_field(Record *record, const StenoJobField *field, GError **error)
{
    for (char **value = cli_texts(record->call, field->option); *value; value++) {
        if (field->kind == STENO_JOB_KIND_SECRET) {
            if (!set_secret(record, field, *value, error))
                return FALSE;
        } else if (!steno_job_spec_set(record->spec, field, *value, error)) {
            g_prefix_error(error, "--%s: ", field->option);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean set_fields(Record *record, GError **error)
{
    for (const StenoJobField *field = steno_job_fields(); field->name; field++) {
        if (field->option[0] && !set_field(record, field, error))
            return FALSE;
    }
    return steno_job_spec_check(record->spec, error);
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
    if (record->call->json) {
        /* States come by on_state, for those of the job too. */
        if (g_strcmp0(name, "state") != 0)
            cli_print_json(json_incref(event));
    } else if (g_strcmp0(name, "stats") == 0 && record->terminal) {
        print_stats(record, event);
    }
    const json_t *error = json_object_get(event, "error");
    gboolean told = g_strcmp0(name, "state") == 0 || g_strcmp0(name, "storage") == 0;
    if (told && json_is_object(error) && !record->call->json) {
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
    if (record->call->json) {
        cli_print_json(json_pack("{s:s, s:s}", "event", "state", "state", state));
    } else {
        end_line(record);
        fprintf(stderr, "steno: %s\n", state);
    }
}

/* Are there files here of which others can be made with the keys? */
static gboolean is_sealed(const StenoJobResult *result)
{
    return result->uri && g_str_has_prefix(result->uri, "file://") &&
           json_is_true(json_object_get(json_object_get(result->manifest, "content"), "sealed"));
}

static void print_done(const Record *record, const StenoJobResult *result)
{
    g_autofree char *folder = destination_shown(result->uri);
    const GError *error = result->error;
    if (record->call->json) {
        cli_print_json(json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:o}", "event", "done", "folder", folder, "uri",
                                 result->uri, "capture", result->capture, "end_reason", result->end_reason, "error",
                                 steno_error_to_json(error)));
        return;
    }
    if (error)
        (void)cli_fail(error);
    fprintf(stderr, "steno: ended: %s\n", result->end_reason);
    if (result->capture && error)
        fprintf(stderr, "steno: what was captured is kept in %s; `steno assemble %s` makes files of it\n",
                result->capture, result->capture);
    if (is_sealed(result))
        fprintf(stderr,
                "steno: what could not be decrypted is sealed in %s; `steno assemble %s --keys FILE` makes files "
                "of it\n",
                folder, folder);
    if (folder)
        puts(folder);
}

static void on_done(gpointer user, const StenoJobResult *result)
{
    Record *record = user;
    end_line(record);
    print_done(record, result);
    record->exit_code = steno_error_exit_code(result->error);
    g_main_loop_quit(record->loop);
}

static const StenoJobEvents job_events = {.state = on_state, .event = on_event, .done = on_done};

/* ---- running ----------------------------------------------------------------------------------------------------- */

static gboolean on_signal(gpointer user)
{
    Record *record = user;
    end_line(record);
    if (record->signals++ == 0) {
        if (!record->call->json)
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
        .spool = record->spool,
        .stores = &record->store,
        .n_stores = 1,
        .signer = record->signer,
        .keep_capture = record->keep_capture,
        .restarts_max = RESTARTS_MAX,
        .stall_s = STALL_S,
    };
    g_autoptr(StenoLog) log = steno_log_new(NULL, "rec=%s", record->spec->id);
    record->terminal = isatty(STDERR_FILENO);
    record->loop = g_main_loop_new(NULL, FALSE);
    record->job = steno_job_start(record->spec, &place, log, &job_events, record, &error);
    if (!record->job) {
        g_main_loop_unref(record->loop);
        print_done(record, &(StenoJobResult){.end_reason = "join-failed", .error = error});
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

static int run_record(CliCall *call, GError **error)
{
    Record record = {
        .call = call,
        .spec = steno_job_spec_new(),
        .spool = cli_text(call, "spool"),
        .keep_capture = cli_flag(call, "keep-capture"),
    };
    int exit_code = 2;
    /* A storage is no place for captures. */
    if (!record.spool && cli_text(call, "storage"))
        record.spool = ".spool";
    if (set_fields(&record, error) && (record.store = destination_open(call, error)) &&
        destination_signer(call, &record.signer, error))
        exit_code = run(&record);
    steno_job_spec_free(record.spec);
    steno_signer_unref(record.signer);
    if (record.store)
        steno_store_unref(record.store);
    g_free(record.state);
    return exit_code;
}

static const CliOption record_options[] = {
    DESTINATION_OPTIONS,
    {"spool", 0, CLI_TEXT, "DIR", "folder for captures (default: OUTPUT/.spool; with --storage: .spool)"},
    {"keep-capture", 0, CLI_FLAG, NULL, "keep the capture when the files are stored"},
    {NULL},
};

const CliCommand cli_record = {
    .name = "record",
    .words = "record a channel here and now, without stenod",
    .operands = "",
    .summary = "Records a channel as a silent participant, and leaves finished files and a manifest. Ctrl-C ends the "
               "recording\n"
               "and finishes its files. The folder of the files is printed on standard output, or its s3:// address.",
    .examples = "  steno record --platform janus --url https://sfu.example/janus --channel 1234 \\\n"
                "      --token-secret-file janus.secret --output /srv/recordings --max-duration 3600\n"
                "  steno record --platform janus --url https://sfu.example/janus --channel 1234 \\\n"
                "      --storage archive --config steno.conf --signing-key signing.pem --rotate 1800\n"
                "  steno record --platform janus --url https://sfu.example/janus --channel 1234 --content livekit \\\n"
                "      --key-set channel-keys.json --output-encryption cms --recipient archive.pem\n"
                "  steno record --platform janus --url https://sfu.example/janus --channel 1234 --content sframe \\\n"
                "      --content-keys later    # sealed: `steno assemble FOLDER --keys FILE` makes the files\n",
    .options = record_options,
    .job_options = TRUE,
    .run = run_record,
};
