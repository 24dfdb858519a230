/* steno-assemble: one assembly or verification, as a process of its own: decoders stay out of the others. */
#include "steno/assemble.h"
#include "steno/base/crypto_modules.h"
#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/sandbox.h"

#include <errno.h>
#include <libavutil/log.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A key set is not longer (content.h), and neither is a key for the files. */
#define KEYS_MAX_BYTES (1024 * 1024)
#define OUTPUT_KEY_MAX_BYTES 4096

typedef struct {
    gboolean json;
    GError *error; /* why there are no keys */
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

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* All that comes until the end, in locked memory; NULL with USAGE or INTERNAL. */
static StenoSecret *read_secret(int fd, gsize max_bytes, const char *what, GError **error)
{
    g_autoptr(StenoSecret) buffer = steno_secret_new(NULL, max_bytes + 1);
    gssize bytes = steno_file_read(fd, steno_secret_buffer(buffer), max_bytes + 1);
    if (bytes >= 0 && (gsize)bytes <= max_bytes)
        return steno_secret_new(steno_secret_data(buffer), (gsize)bytes);
    if (bytes < 0)
        steno_error_set(error, STENO_ERROR_USAGE, "reading %s: %s", what, g_strerror(errno));
    else
        steno_error_set(error, STENO_ERROR_USAGE, "reading %s: it is longer than %" G_GSIZE_FORMAT " bytes", what,
                        max_bytes);
    return NULL;
}

/* Asks on standard output, where there is a program; its answer, or what a person pipes in, is on standard input. */
static StenoSecret *on_keys(gpointer user, const json_t *wanted)
{
    Console *console = user;
    if (console->json)
        print_line(json_pack("{s:O}", "keys_wanted", wanted));
    return read_secret(STDIN_FILENO, KEYS_MAX_BYTES, "content keys from standard input", &console->error);
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
    gboolean done = steno_assemble(options, NULL, &error);
    if (console->error) /* it says more than that there was no key */
        return fail(console, console->error);
    if (!done)
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

static void on_note(gpointer user, const char *file, const char *words)
{
    const Console *console = user;
    if (console->json)
        print_line(json_pack("{s:{s:s, s:s}}", "note", "file", file, "message", words));
    else
        printf("note: %s %s\n", file, words);
}

static int verify(Console *console, const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_ASSEMBLER);
    steno_sandbox_allow(sandbox, folder, STENO_SANDBOX_READ);
    if (!steno_sandbox_enter(sandbox, NULL, &error))
        return fail(console, error);
    const StenoVerifyEvents events = {.fault = on_fault, .problem = on_problem, .note = on_note};
    if (!steno_verify(folder, &events, console, &error))
        return fail(console, error);
    if (console->json)
        print_line(json_pack("{s:b}", "done", 1));
    else
        printf("%s: every file is as the manifest says\n", folder);
    return 0;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

typedef struct {
    char *output, *outputs, *audio, *encrypt;
    char **recipients;
    gint section, output_key_fd;
    gboolean join, keys, sealed;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
    g_free(arguments->output);
    g_free(arguments->outputs);
    g_free(arguments->audio);
    g_free(arguments->encrypt);
    g_strfreev(arguments->recipients);
}

/* The index of a word of a list, 0 when it was not given. */
static gboolean pick(const char *option, const char *value, const char *const *words, int *choice, GError **error)
{
    *choice = 0;
    for (int i = 0; value && words[i]; i++)
        if (strcmp(value, words[i]) == 0) {
            *choice = i;
            return TRUE;
        }
    if (!value)
        return TRUE;
    g_autofree char *lawful = g_strjoinv(", ", (char **)words);
    return steno_error_set(error, STENO_ERROR_USAGE, "%s is one of %s, not %s", option, lawful, value);
}

static gboolean read_choices(const Arguments *arguments, StenoAssembleOptions *options, GError **error)
{
    static const char *const outputs[] = {"participant", "track", NULL}, *const audio[] = {"copy", "aac", NULL},
                             *const encrypt[] = {"none", "cms", "cenc", NULL};
    int by_track, aac, encryption;
    if (!pick("--outputs", arguments->outputs, outputs, &by_track, error) ||
        !pick("--audio", arguments->audio, audio, &aac, error) ||
        !pick("--encrypt", arguments->encrypt, encrypt, &encryption, error))
        return FALSE;
    options->outputs = by_track ? STENO_OUTPUTS_TRACK : STENO_OUTPUTS_PARTICIPANT;
    options->audio = aac ? STENO_AUDIO_AAC : STENO_AUDIO_COPY;
    options->encryption = encryption == 0 ? STENO_OUTPUT_PLAIN : encryption == 1 ? STENO_OUTPUT_CMS : STENO_OUTPUT_CENC;
    if ((encryption == 1) != (arguments->recipients != NULL) || (encryption == 2) != (arguments->output_key_fd >= 0))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "--recipient is for --encrypt cms, --output-key-fd for --encrypt cenc");
    if (arguments->section < 0 || (arguments->section > 0 && arguments->join))
        return steno_error_set(error, STENO_ERROR_USAGE, "--section is a number from 1, and not with --join");
    return TRUE;
}

/* From here on, decoders that go wrong can't send what they see anywhere, nor read or change anything else. */
static gboolean confine(const StenoAssembleOptions *options, GError **error)
{
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_ASSEMBLER);
    (void)steno_crypto_is_fips(); /* OpenSSL reads its configuration, and loads what that names, where it may lie */
    gboolean may_keep_sealed = options->keys || options->sealed;
    if (g_mkdir_with_parents(options->output, 0755) != 0) /* there is no rule for what is not there */
        return steno_error_set_errno(error, errno, "making the folder %s", options->output);
    /* Sealed files get a second name among the outputs; without that right they would be copied. */
    steno_sandbox_allow(sandbox, options->capture, may_keep_sealed ? STENO_SANDBOX_LINK : STENO_SANDBOX_READ);
    steno_sandbox_allow(sandbox, options->output, STENO_SANDBOX_WRITE);
    for (guint i = 0; options->recipients && options->recipients[i]; i++)
        steno_sandbox_allow(sandbox, options->recipients[i], STENO_SANDBOX_READ);
    return steno_sandbox_enter(sandbox, NULL, error);
}

static int run_assemble(Console *console, const Arguments *arguments, const char *capture)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) output_key = NULL;
    StenoAssembleOptions options = {
        .capture = capture,
        .output = arguments->output,
        .join = arguments->join,
        .keys = arguments->keys ? on_keys : NULL,
        .sealed = arguments->sealed,
        .recipients = (const char *const *)arguments->recipients,
    };
    if (!read_choices(arguments, &options, &error))
        return fail(console, error);
    options.section = (guint)arguments->section;
    if (arguments->output_key_fd >= 0) {
        output_key = read_secret(arguments->output_key_fd, OUTPUT_KEY_MAX_BYTES, "the output key", &error);
        if (!output_key)
            return fail(console, error);
        options.output_key = output_key;
    }
    if (!confine(&options, &error))
        return fail(console, error);
    return assemble(console, &options);
}

static gboolean parse(Arguments *arguments, Console *console, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &arguments->output, "folder for the files and manifest.json", "DIR"},
        {"outputs", 0, 0, G_OPTION_ARG_STRING, &arguments->outputs, "one file a participant (default) or a track",
         "participant|track"},
        {"audio", 0, 0, G_OPTION_ARG_STRING, &arguments->audio, "sound as sent (default), or as AAC", "copy|aac"},
        {"section", 0, 0, G_OPTION_ARG_INT, &arguments->section,
         "only this section, from 1 (default: what is left for the end)", "N"},
        {"join", 0, 0, G_OPTION_ARG_NONE, &arguments->join, "all sections in one, as if nothing had been rotated",
         NULL},
        {"keys", 0, 0, G_OPTION_ARG_NONE, &arguments->keys,
         "read content keys (a key set) from standard input when something is sealed", NULL},
        {"sealed", 0, 0, G_OPTION_ARG_NONE, &arguments->sealed, "what cannot be decrypted is meant to stay sealed",
         NULL},
        {"encrypt", 0, 0, G_OPTION_ARG_STRING, &arguments->encrypt, "encrypt the files for storage", "none|cms|cenc"},
        {"recipient", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->recipients,
         "cms: certificate of who may read them, PEM (repeatable)", "FILE"},
        {"output-key-fd", 0, 0, G_OPTION_ARG_INT, &arguments->output_key_fd,
         "cenc: read KID:KEY from this file descriptor", "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &console->json, "tell all as JSON lines", NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("assemble CAPTURE --output DIR | verify DIR");
    g_option_context_set_summary(context, "Makes finished files of a capture, or checks those of a recording.");
    g_option_context_add_main_entries(context, entries, NULL);
    g_autoptr(GError) cause = NULL;
    return g_option_context_parse(context, argc, argv, &cause) ||
           steno_error_set(error, STENO_ERROR_USAGE, "%s", cause->message);
}

int main(int argc, char **argv)
{
    Arguments arguments = {.output_key_fd = -1};
    Console console = {0};
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    steno_secret_protect_process();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    av_log_set_level(AV_LOG_FATAL);
    int code;
    if (!parse(&arguments, &console, &argc, &argv, &error)) {
        code = fail(&console, error);
    } else if (argc == 3 && strcmp(argv[1], "assemble") == 0 && arguments.output) {
        code = run_assemble(&console, &arguments, argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "verify") == 0 && !arguments.output) {
        code = verify(&console, argv[2]);
    } else {
        steno_error_set(&error, STENO_ERROR_USAGE,
                        "usage: steno-assemble assemble CAPTURE --output DIR, or verify DIR; see --help");
        code = fail(&console, error);
    }
    arguments_clear(&arguments);
    g_clear_error(&console.error);
    return code;
}
