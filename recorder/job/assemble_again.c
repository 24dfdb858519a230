/* What `steno assemble` and `steno verify` do: the assembler in the foreground. */
#include "assembler.h"
#include "capture_folder.h"
#include "deliver.h"
#include "programs.h"
#include "seal.h"
#include "verdict.h"

#include "steno/base/error.h"
#include "steno/capture.h"
#include "steno/job.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Behind the name of the recording's folder: what is made of its sealed files does not take the place of what is there,
 * of which they are only a part. */
#define UNSEALED_SUFFIX "-unsealed"

/* ---- assembling -------------------------------------------------------------------------------------------------- */

typedef struct {
    GMainLoop *loop;
    GError *error;
} Foreground;

static void ignore_progress(gpointer user, double done)
{
    (void)user;
    (void)done;
}

static void on_done(gpointer user, const GError *error, gboolean crashed)
{
    Foreground *foreground = user;
    (void)crashed;
    foreground->error = error ? g_error_copy(error) : NULL;
    g_main_loop_quit(foreground->loop);
}

static gboolean assemble(const AssemblyConfig *config, GError **error)
{
    static const AssemblerEvents events = {.progress = ignore_progress, .done = on_done};
    Foreground foreground = {.loop = g_main_loop_new(NULL, FALSE)};
    gboolean started = job_assembler_run(config, &events, &foreground, error) != NULL;
    if (started)
        g_main_loop_run(foreground.loop);
    g_main_loop_unref(foreground.loop);
    if (foreground.error)
        g_propagate_error(error, foreground.error);
    return started && !foreground.error;
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const StenoJobAssembly *asked;
    const char *capture;
    gboolean finished; /* the capture is a finished recording with sealed files */
    char *work;        /* NULL: in the capture */
    gboolean work_is_ours;
    char *outputs, *audio, *encryption, **recipients;
    gboolean join, sealed;
    char *folder; /* in the store */
    int lock_fd;
    GHashTable *stored; /* names of files that earlier sections have stored */
    GError *lacking;    /* media, or keys: the whole has a manifest all the same */
} Again;

static json_t *store(const Again *again, const char *assembled, guint section, GError **error)
{
    const Sealing sealing = {.signer = again->asked->signer};
    g_autofree char *name = shipment_manifest_name(section);
    g_autofree char *path = g_build_filename(assembled, name, NULL);
    gboolean stamped;
    if (!job_seal(path, &sealing, NULL, &stamped, NULL, error))
        return NULL;
    g_autoptr(Shipment) shipment =
        shipment_load(assembled, section, again->stored, again->asked->signer != NULL, FALSE, error);
    const DeliverConfig config = {.store = again->asked->store,
                                  .folder = again->folder,
                                  .shipment = shipment,
                                  .capture = again->finished ? again->work : again->capture};
    return shipment && job_deliver(&config, error) ? json_incref(shipment->manifest) : NULL;
}

/* A section without media has a manifest all the same; a recording without any is nothing to store. What is sealed, and
 * stays so, is stored; where it comes from storage it is there already. */
static gboolean is_to_store(const Again *again, guint section, const GError *why)
{
    gboolean nothing = g_error_matches(why, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED);
    return !why || (verdict_is_stored(why) && !again->finished && (section || !nothing));
}

static json_t *assemble_and_store(Again *again, guint section, GError **error)
{
    g_autofree char *assembled = again->work && !section ? g_strdup(again->work)
                                 : again->work           ? g_strdup_printf("%s/section-%04u", again->work, section)
                                                         : job_capture_out(again->capture, section);
    const AssemblyConfig config = {
        .capture = again->capture,
        .output = assembled,
        .lock_fd = again->lock_fd,
        .section = section,
        .join = again->join,
        .outputs = again->outputs,
        .audio = again->audio,
        .ask = again->asked->keys != NULL,
        .keys = {.key_set = (StenoSecret *)again->asked->keys},
        .sealed = again->sealed,
        .encryption = again->encryption,
        .recipients = again->recipients,
        .output_key = (StenoSecret *)again->asked->output_key,
    };
    g_autoptr(GError) why = NULL;
    (void)assemble(&config, &why);
    if (!is_to_store(again, section, why)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    if (!section)
        again->lacking = g_steal_pointer(&why);
    return store(again, assembled, section, error);
}

static void take_names(Again *again, const json_t *manifest)
{
    const json_t *output;
    size_t i;
    json_array_foreach (json_object_get(manifest, "outputs"), i, output)
        g_hash_table_add(again->stored, g_strdup(json_string_value(json_object_get(output, "file"))));
}

/* The whole takes in what is written down of the sections before: those whose parts are there are made anew. */
static gboolean store_sections(Again *again, GError **error)
{
    g_autoptr(GArray) sections = steno_capture_sections(again->capture, error);
    g_autoptr(GArray) parts = job_capture_part_numbers(again->capture);
    for (guint i = 0; sections && !again->join && i < sections->len; i++) {
        const StenoCaptureSection *section = &g_array_index(sections, StenoCaptureSection, i);
        gboolean is_there = FALSE;
        for (guint p = 0; p < parts->len; p++)
            is_there |= g_array_index(parts, guint, p) == section->last_part;
        json_t *manifest = NULL;
        if (section->end_wall_us == 0)
            continue;
        if (is_there) {
            manifest = assemble_and_store(again, section->number, error);
            if (!manifest || !steno_capture_section_stored(again->capture, section, json_incref(manifest), error)) {
                json_decref(manifest);
                return FALSE;
            }
        } else {
            json_t *stored = job_capture_stored_section(again->capture, section->number);
            manifest = json_incref(json_object_get(stored, "manifest"));
            json_decref(stored);
        }
        take_names(again, manifest);
        json_decref(manifest);
    }
    return sections != NULL;
}

static gboolean store_all(Again *again, GError **error)
{
    gboolean sections = again->finished || store_sections(again, error);
    json_t *manifest = sections ? assemble_and_store(again, 0, error) : NULL;
    GError *verdict = manifest ? verdict_of(manifest, again->sealed, again->lacking) : NULL;
    gboolean stored = manifest && !verdict;
    if (verdict)
        g_propagate_error(error, verdict);
    json_decref(manifest);
    return stored;
}

/* ---- what was asked for ------------------------------------------------------------------------------------------ */

static char *setting(const Again *again, const char *given, const char *name)
{
    return given || again->finished ? g_strdup(given) : job_capture_setting(again->capture, name);
}

/* A recording that was to be encrypted is never stored in the clear by an oversight. */
static gboolean take_encryption(Again *again, GError **error)
{
    const StenoJobAssembly *asked = again->asked;
    again->encryption = setting(again, asked->output_encryption, "output_encryption");
    gboolean cms = g_strcmp0(again->encryption, "cms") == 0, given = asked->recipients && asked->recipients[0];
    again->recipients = given || again->finished ? g_strdupv((char **)asked->recipients)
                                                 : job_capture_list(again->capture, "output_recipients");
    if (cms && !(again->recipients && again->recipients[0]))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "encrypting with cms needs at least one recipient: give --recipient FILE");
    if (given && !cms)
        return steno_error_set(error, STENO_ERROR_USAGE, "--recipient is for --encrypt cms");
    if ((g_strcmp0(again->encryption, "cenc") == 0) != (asked->output_key != NULL))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               asked->output_key ? "--output-key-file is for --encrypt cenc"
                                                 : "encrypting with cenc needs a key: give --output-key-file FILE, or "
                                                   "--encrypt none to leave the files in the clear");
    return TRUE;
}

/* Beside the recording, which may be somebody's archive: nothing is left there. */
static gboolean make_work(Again *again, GError **error)
{
    again->work = g_strdup(again->asked->work);
    again->work_is_ours = again->finished && !again->work;
    if (!again->work_is_ours)
        return TRUE;
    g_autofree char *full = g_canonicalize_filename(again->capture, NULL);
    again->work = g_strconcat(full, ".XXXXXX", NULL);
    if (g_mkdtemp(again->work))
        return TRUE;
    again->work_is_ours = FALSE;
    return steno_error_set_errno(error, errno, "making a folder beside '%s' to work in (give --work for another one)",
                                 full);
}

static gboolean prepare(Again *again, GError **error)
{
    const StenoJobAssembly *asked = again->asked;
    RecordingPlace place = {0};
    if (again->finished && !asked->keys)
        return steno_error_set(
            error, STENO_ERROR_USAGE,
            "'%s' is a finished recording: of its sealed files, others can only be made with the keys", again->capture);
    if (!job_capture_place(again->capture, &place, error))
        return FALSE;
    again->folder = recording_place_folder(&place, asked->store);
    recording_place_clear(&place);
    if (again->finished) {
        char *beside = g_strconcat(again->folder, UNSEALED_SUFFIX, NULL);
        g_free(again->folder);
        again->folder = beside;
    }
    g_autofree char *keys = setting(again, NULL, "content_keys");
    again->sealed = !asked->keys && g_strcmp0(keys, "later") == 0;
    again->outputs = setting(again, asked->outputs, "outputs");
    again->audio = setting(again, asked->audio, "audio");
    again->join = again->finished || job_capture_flag(again->capture, "rotate_join");
    again->lock_fd = take_encryption(again, error) ? job_capture_lock(again->capture, error) : -1;
    return again->lock_fd >= 0 && make_work(again, error);
}

static void again_clear(Again *again)
{
    if (again->work_is_ours)
        (void)job_folder_remove(again->work, NULL);
    if (again->lock_fd >= 0)
        close(again->lock_fd);
    g_clear_error(&again->lacking);
    g_hash_table_unref(again->stored);
    g_strfreev(again->recipients);
    g_free(again->encryption);
    g_free(again->outputs);
    g_free(again->audio);
    g_free(again->folder);
    g_free(again->work);
}

gboolean steno_job_assemble(const StenoJobAssembly *assembly, char **uri, GError **error)
{
    if (!steno_store_check(assembly->store, NULL, error))
        return FALSE;
    Again again = {
        .asked = assembly,
        .capture = assembly->capture,
        .finished = job_capture_is_finished(assembly->capture),
        .lock_fd = -1,
        .stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    gboolean done = prepare(&again, error) && store_all(&again, error);
    if (done)
        *uri = steno_store_uri(assembly->store, again.folder);
    again_clear(&again);
    return done;
}

int steno_job_verify(const char *folder, gboolean json, GError **error)
{
    g_autofree char *program = job_program("steno-assemble");
    const char *argv[] = {program, "verify", folder, json ? "--json" : NULL, NULL};
    gint status = 0;
    g_autoptr(GError) why = NULL;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL, &status, &why)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start '%s': %s", program, why->message);
        return steno_error_exit_code(*error);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
