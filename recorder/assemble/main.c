/* steno-assemble: one assembly or verification, as a process of its own: decoders stay out of the others. */
#include "steno/assemble.h"
#include "steno/base/error.h"

#include <libavutil/log.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    gboolean json;
} Console;

static void print_line(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static int fail(const Console *console, const GError *error)
{
    g_autofree char *words = steno_log_redact(error->message);
    if (console->json)
        print_line(json_pack("{s:o}", "error", steno_error_to_json(error)));
    else
        fprintf(stderr, "steno-assemble: %s\n", words);
    return steno_error_exit_code(error);
}

static void on_progress(gpointer user, double done)
{
    const Console *console = user;
    if (console->json)
        print_line(json_pack("{s:f}", "progress", done));
}

static void on_fault(gpointer user, const char *file, const char *words)
{
    const Console *console = user;
    if (console->json)
        print_line(json_pack("{s:{s:s, s:s}}", "fault", "file", file, "message", words));
    else
        printf("%s: %s\n", file, words);
}

static int assemble(Console *console, StenoAssembleOptions *options)
{
    g_autoptr(GError) error = NULL;
    options->progress = on_progress;
    options->user = console;
    if (!steno_assemble(options, NULL, &error))
        return fail(console, error);
    g_autofree char *name = steno_manifest_name(options->section);
    g_autofree char *path = g_build_filename(options->output, name, NULL);
    if (console->json)
        print_line(json_pack("{s:b, s:s}", "done", 1, "manifest", path));
    else
        printf("%s\n", path);
    return 0;
}

static void on_problem(gpointer user, const char *words)
{
    const Console *console = user;
    if (console->json)
        print_line(json_pack("{s:s}", "problem", words));
    else
        printf("problem: %s\n", words);
}

static int verify(Console *console, const char *folder)
{
    g_autoptr(GError) error = NULL;
    const StenoVerifyEvents events = {.fault = on_fault, .problem = on_problem};
    if (!steno_verify(folder, &events, console, &error))
        return fail(console, error);
    if (console->json)
        print_line(json_pack("{s:b}", "done", 1));
    else
        printf("%s: every file is as the manifest says\n", folder);
    return 0;
}

static gboolean pick(const char *option, const char *value, const char *first, const char *second, int *choice,
                     GError **error)
{
    *choice = value && strcmp(value, second) == 0;
    if (!value || *choice || strcmp(value, first) == 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s is %s or %s, not %s", option, first, second, value);
    return FALSE;
}

int main(int argc, char **argv)
{
    g_autofree char *output = NULL, *outputs = NULL, *audio = NULL;
    gint section = 0;
    gboolean join = FALSE;
    Console console = {0};
    const GOptionEntry entries[] = {
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &output, "folder for the files and manifest.json", "DIR"},
        {"outputs", 0, 0, G_OPTION_ARG_STRING, &outputs, "one file a participant (default) or a track",
         "participant|track"},
        {"audio", 0, 0, G_OPTION_ARG_STRING, &audio, "sound as sent (default), or as AAC", "copy|aac"},
        {"section", 0, 0, G_OPTION_ARG_INT, &section, "only this section, from 1 (default: what is left for the end)",
         "N"},
        {"join", 0, 0, G_OPTION_ARG_NONE, &join, "all sections in one, as if nothing had been rotated", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &console.json, "tell all as JSON lines", NULL},
        {NULL},
    };
    setlocale(LC_ALL, "");
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    av_log_set_level(AV_LOG_FATAL);
    g_autoptr(GOptionContext) context = g_option_context_new("assemble CAPTURE --output DIR | verify DIR");
    g_option_context_set_summary(context, "Makes finished files of a capture, or checks those of a recording.");
    g_option_context_add_main_entries(context, entries, NULL);
    g_autoptr(GError) error = NULL;
    int by_track = 0, aac = 0;
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_autoptr(GError) usage = g_error_new(STENO_ERROR, STENO_ERROR_USAGE, "%s", error->message);
        return fail(&console, usage);
    }
    if (!pick("--outputs", outputs, "participant", "track", &by_track, &error) ||
        !pick("--audio", audio, "copy", "aac", &aac, &error))
        return fail(&console, error);
    if (section < 0 || (section > 0 && join)) {
        error = g_error_new(STENO_ERROR, STENO_ERROR_USAGE, "--section is a number from 1, and not with --join");
        return fail(&console, error);
    }
    if (argc == 3 && strcmp(argv[1], "assemble") == 0 && output) {
        StenoAssembleOptions options = {
            .capture = argv[2],
            .output = output,
            .section = (guint)section,
            .join = join,
            .outputs = by_track ? STENO_OUTPUTS_TRACK : STENO_OUTPUTS_PARTICIPANT,
            .audio = aac ? STENO_AUDIO_AAC : STENO_AUDIO_COPY,
        };
        return assemble(&console, &options);
    }
    if (argc == 3 && strcmp(argv[1], "verify") == 0 && !output)
        return verify(&console, argv[2]);
    error = g_error_new(STENO_ERROR, STENO_ERROR_USAGE,
                        "usage: steno-assemble assemble CAPTURE --output DIR, or verify DIR; see --help");
    return fail(&console, error);
}
