/* What `steno assemble` and `steno verify` do: the assembler in the foreground. */
#include "assembler.h"
#include "capture_folder.h"
#include "deliver.h"
#include "programs.h"
#include "seal.h"

#include "steno/base/error.h"
#include "steno/capture.h"
#include "steno/job.h"

#include <sys/wait.h>
#include <unistd.h>

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
    const char *capture, *work; /* work: NULL: in the capture */
    char *outputs, *audio;
    gboolean join;
    StenoStore *store;
    StenoSigner *signer;
    char *folder; /* in the store */
    int lock_fd;
    GHashTable *stored; /* names of files that earlier sections have stored */
} Again;

static json_t *store(const Again *again, const char *assembled, guint section, GError **error)
{
    const Sealing sealing = {.signer = again->signer};
    g_autofree char *name = shipment_manifest_name(section);
    g_autofree char *path = g_build_filename(assembled, name, NULL);
    gboolean stamped;
    if (!job_seal(path, &sealing, NULL, &stamped, NULL, error))
        return NULL;
    g_autoptr(Shipment) shipment =
        shipment_load(assembled, section, again->stored, again->signer != NULL, FALSE, error);
    const DeliverConfig config = {
        .store = again->store, .folder = again->folder, .shipment = shipment, .capture = again->capture};
    return shipment && job_deliver(&config, error) ? json_incref(shipment->manifest) : NULL;
}

static json_t *assemble_and_store(const Again *again, guint section, GError **error)
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
    };
    g_autoptr(GError) why = NULL;
    /* A section without media has a manifest all the same; a recording without any is nothing to store. */
    if (!assemble(&config, &why) && !(section && g_error_matches(why, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED))) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
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
    json_t *manifest = store_sections(again, error) ? assemble_and_store(again, 0, error) : NULL;
    gboolean stored = manifest != NULL;
    json_decref(manifest);
    return stored;
}

gboolean steno_job_assemble(const char *capture, StenoStore *to, StenoSigner *signer, const char *work,
                            const char *outputs, const char *audio, char **uri, GError **error)
{
    RecordingPlace place = {0};
    if (!steno_store_check(to, NULL, error) || !job_capture_place(capture, &place, error))
        return FALSE;
    Again again = {
        .capture = capture,
        .work = work,
        .outputs = outputs ? g_strdup(outputs) : job_capture_setting(capture, "outputs"),
        .audio = audio ? g_strdup(audio) : job_capture_setting(capture, "audio"),
        .join = job_capture_flag(capture, "rotate_join"),
        .store = to,
        .signer = signer,
        .folder = recording_place_folder(&place, to),
        .lock_fd = job_capture_lock(capture, error),
        .stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    gboolean done = again.lock_fd >= 0 && store_all(&again, error);
    if (done)
        *uri = steno_store_uri(to, again.folder);
    if (again.lock_fd >= 0)
        close(again.lock_fd);
    g_hash_table_unref(again.stored);
    g_free(again.outputs);
    g_free(again.audio);
    g_free(again.folder);
    recording_place_clear(&place);
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
