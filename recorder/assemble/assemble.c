#include "steno/assemble.h"

#include "encrypt.h"
#include "manifest.h"
#include "mux.h"
#include "plan.h"
#include "scope.h"
#include "scratch.h"
#include "unseal.h"

#include "steno/base/error.h"
#include "steno/base/file.h"
#include "steno/base/safe_name.h"
#include "steno/envelope.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Progress is told when it has grown by this. */
#define PROGRESS_STEP 0.01

typedef struct {
    const StenoAssembleOptions *options;
    const Scope *scope;
    Model *model;
    const Encrypt *encrypt; /* NULL: files are written in the clear */
    Unsealed unsealed;
    GHashTable *names; /* file names without extension that are taken, case-folded; owned */
    json_t *tracks, *outputs;
    guint64 bytes_total, bytes_done; /* each byte is read once and written once */
    double told;
    gboolean frames; /* there was at least one */
} Assembly;

static void advance(Assembly *assembly, guint64 bytes)
{
    assembly->bytes_done += bytes;
    double done = assembly->bytes_total ? (double)assembly->bytes_done / (double)assembly->bytes_total : 0;
    done = MIN(done, 1.0);
    if (!assembly->options->progress || done < assembly->told + PROGRESS_STEP)
        return;
    assembly->told = done;
    assembly->options->progress(assembly->options->user, done);
}

static void on_written(gpointer user, gsize bytes)
{
    advance(user, bytes);
}

static guint64 file_bytes(const char *path)
{
    GStatBuf status;
    return g_stat(path, &status) == 0 ? (guint64)status.st_size : 0;
}

static guint64 track_bytes(const Model *model, const ModelTrack *track)
{
    guint64 bytes = 0;
    for (guint i = 0; i < track->files->len; i++) {
        g_autofree char *path = model_file_path(model, track, &g_array_index(track->files, ModelFile, i));
        bytes += file_bytes(path);
    }
    return bytes;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Is the name free? Then it is taken from now on. Some file systems do not tell case apart. */
static gboolean take_name(Assembly *assembly, const char *name)
{
    g_autofree char *folded = g_utf8_casefold(name, -1);
    return g_hash_table_add(assembly->names, g_steal_pointer(&folded));
}

static char *unique_name(Assembly *assembly, const char *wanted, const char *id)
{
    g_autofree char *name = steno_safe_name(wanted);
    if (take_name(assembly, name))
        return g_steal_pointer(&name);
    if (id) {
        g_autofree char *with_id = g_strdup_printf("%s-%s", wanted, id);
        g_autofree char *safe = steno_safe_name(with_id);
        if (take_name(assembly, safe))
            return g_steal_pointer(&safe);
    }
    for (guint i = 2;; i++) {
        char *numbered = g_strdup_printf("%s-%u", name, i);
        if (take_name(assembly, numbered))
            return numbered;
        g_free(numbered);
    }
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static gboolean is_fatal(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_FULL) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_USAGE);
}

/* The file's name, and that of the one that it is sealed from (the same, when it is not). */
static void name_file(const Assembly *assembly, const PlanOutput *output, const char *name, char **file, char **plain)
{
    guint section = assembly->model->scope.section;
    const char *extension = plan_extension(output->container);
    g_autofree char *clear =
        section ? g_strdup_printf("%s.%03u.%s", name, section, extension) : g_strdup_printf("%s.%s", name, extension);
    gboolean envelope = encrypt_is_envelope(assembly->encrypt);
    *plain = g_strconcat(envelope ? SCRATCH_PREFIX : "", clear, NULL);
    *file = g_strconcat(clear, envelope ? STENO_ENVELOPE_SUFFIX : NULL, NULL);
}

/* Digests what was written, seals it when that is asked for, and lists it. */
static gboolean finish_file(Assembly *assembly, const PlanOutput *output, const MuxResult *result, const char *file,
                            const char *plain, GError **error)
{
    const char *folder = assembly->options->output;
    g_autofree char *plain_path = g_build_filename(folder, plain, NULL);
    g_autofree char *path = g_build_filename(folder, file, NULL);
    char plain_sha256[MANIFEST_SHA256_BYTES] = "", sha256[MANIFEST_SHA256_BYTES];
    gint64 plain_bytes = 0, bytes;
    gboolean envelope = encrypt_is_envelope(assembly->encrypt);
    if (envelope && (!manifest_digest(plain_path, plain_sha256, &plain_bytes, error) ||
                     !encrypt_seal(assembly->encrypt, folder, plain, file, on_written, assembly, error)))
        return FALSE;
    if (!manifest_digest(path, sha256, &bytes, error))
        return FALSE;
    json_t *row = manifest_output(assembly->model, output, result, file, bytes, sha256);
    if (assembly->encrypt)
        json_object_set_new(row, "encryption", encrypt_describe(assembly->encrypt, plain_bytes, plain_sha256));
    json_array_append_new(assembly->outputs, row);
    return TRUE;
}

static gboolean write_as(Assembly *assembly, PlanOutput *output, const char *name, GError **error)
{
    const char *folder = assembly->options->output;
    g_autofree char *file = NULL, *plain = NULL;
    name_file(assembly, output, name, &file, &plain);
    MuxResult result;
    if (!mux_write(assembly->model, output, encrypt_cenc(assembly->encrypt), folder, plain, on_written, assembly,
                   &result, error))
        return FALSE;
    gboolean finished = finish_file(assembly, output, &result, file, plain, error);
    mux_result_clear(&result);
    return finished;
}

/* Writes the file as planned, or as Matroska, which takes everything. One that cannot be written does not stop the
 * others. */
static gboolean write_output(Assembly *assembly, PlanOutput *output, const char *name, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (encrypt_plan(assembly->encrypt, output, &cause) && write_as(assembly, output, name, &cause))
        return TRUE;
    gboolean other = output->container != PLAN_MATROSKA && output->container != PLAN_MKA;
    if (!is_fatal(cause) && other && !encrypt_cenc(assembly->encrypt)) {
        model_problem(assembly->model, "%s: could not be written as %s", name, plan_extension(output->container));
        steno_warning(assembly->options->log, "%s: could not be written as %s: %s", name,
                      plan_extension(output->container), cause->message);
        g_clear_error(&cause);
        output->container = output->container == PLAN_M4A ? PLAN_MKA : PLAN_MATROSKA;
        if (write_as(assembly, output, name, &cause))
            return TRUE;
    }
    if (is_fatal(cause)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    model_problem(assembly->model, "%s: could not be written", name);
    steno_error(assembly->options->log, "%s: could not be written: %s", name, cause->message);
    return TRUE;
}

/* ---- one participant --------------------------------------------------------------------------------------------- */

static gboolean write_participant(Assembly *assembly, const ModelParticipant *participant, GPtrArray *scans,
                                  GError **error)
{
    PlanOutput *output =
        plan_output(participant, (TrackScan *const *)scans->pdata, scans->len, assembly->options->audio);
    if (!output)
        return TRUE;
    g_autofree char *name = unique_name(assembly, *participant->name ? participant->name : participant->id,
                                        *participant->name ? participant->id : NULL);
    gboolean written = write_output(assembly, output, name, error);
    plan_output_free(output);
    return written;
}

static gboolean write_tracks(Assembly *assembly, const ModelParticipant *participant, GPtrArray *scans, GError **error)
{
    gboolean written = TRUE;
    for (guint i = 0; written && i < scans->len; i++) {
        TrackScan *scan = scans->pdata[i];
        PlanOutput *output = plan_output(participant, &scan, 1, assembly->options->audio);
        if (!output)
            continue;
        g_autofree char *wanted = g_strdup_printf("%s-%s", *participant->name ? participant->name : participant->id,
                                                  scan->track->video ? "video" : "audio");
        g_autofree char *name = unique_name(assembly, wanted, NULL);
        written = write_output(assembly, output, name, error);
        plan_output_free(output);
    }
    return written;
}

static void scan_free(gpointer scan)
{
    track_scan_free(scan);
}

static gboolean assemble_participant(Assembly *assembly, const ModelParticipant *participant, GError **error)
{
    Model *model = assembly->model;
    g_autoptr(GPtrArray) scans = g_ptr_array_new_with_free_func(scan_free);
    for (guint i = 0; i < participant->tracks->len; i++) {
        ModelTrack *track = participant->tracks->pdata[i];
        g_ptr_array_add(scans, track_scan(model, track));
        advance(assembly, track_bytes(model, track));
    }
    track_place(model, (TrackScan *const *)scans->pdata, scans->len);
    for (guint i = 0; i < scans->len; i++) {
        const TrackScan *scan = scans->pdata[i];
        assembly->frames |= scan->frames->len > 0;
        model_part_saw(model_part(model, scan->track->part), scan->first_us);
        model_part_saw(model_part(model, scan->track->part), scan->last_us);
        json_array_append_new(assembly->tracks, manifest_track(scan));
    }
    return assembly->options->outputs == STENO_OUTPUTS_TRACK ? write_tracks(assembly, participant, scans, error)
                                                             : write_participant(assembly, participant, scans, error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean is_listed(const json_t *outputs, const char *file)
{
    size_t i;
    json_t *row;
    json_array_foreach (outputs, i, row)
        if (g_strcmp0(json_string_value(json_object_get(row, "file")), file) == 0)
            return TRUE;
    return FALSE;
}

/* Files of an earlier assembly with other options, which the new manifest does not know. */
static json_t *earlier_outputs(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *text = NULL;
    gsize bytes;
    if (file_bytes(path) > MANIFEST_MAX_BYTES || !g_file_get_contents(path, &text, &bytes, NULL))
        return NULL;
    json_t *manifest = steno_manifest_parse(text, bytes, NULL);
    json_t *outputs = json_incref(json_object_get(manifest, "outputs"));
    json_decref(manifest);
    return outputs;
}

static void remove_replaced(const char *folder, const json_t *earlier, const json_t *outputs)
{
    size_t i;
    json_t *row;
    json_array_foreach (earlier, i, row) {
        const char *file = json_string_value(json_object_get(row, "file"));
        if (is_listed(outputs, file))
            continue;
        g_autofree char *path = g_build_filename(folder, file, NULL);
        (void)g_unlink(path);
    }
}

static gboolean sync_folder(const char *folder, GError **error)
{
    return steno_file_sync_folder(folder) ||
           steno_error_set_errno(error, errno, "writing the folder %s to disk", folder);
}

static json_t *build_manifest(const Assembly *assembly)
{
    const Scope *scope = assembly->scope;
    gboolean sealed = assembly->options->sealed;
    json_t *manifest =
        manifest_build(assembly->model, json_incref(assembly->tracks), json_incref(assembly->outputs), sealed);
    if (scope->section)
        manifest_set_section(manifest, scope->section);
    else if (assembly->model->scope.section)
        manifest_merge(manifest, scope->stored, scope->sections, sealed);
    return manifest;
}

/* Was there something to be written, and could it be? */
static gboolean tell_nothing(const Assembly *assembly, const json_t *outputs, GError **error)
{
    const char *capture = assembly->options->capture;
    const Unsealed *unsealed = &assembly->unsealed;
    if (manifest_has_media(outputs) || (assembly->options->sealed && json_array_size(outputs) > 0))
        return TRUE;
    if (assembly->frames)
        return steno_error_set(error, STENO_ERROR_CAPTURE_DAMAGED,
                               "assembling %s: frames were captured, but no file could be made of them", capture);
    if (unsealed->bad_key)
        return steno_error_set(error, STENO_ERROR_BAD_KEY,
                               "assembling %s: none of %" G_GUINT64_FORMAT
                               " frames could be decrypted with the keys that were given; they are kept sealed",
                               capture, unsealed->failed);
    if (unsealed->failed > 0 || json_array_size(outputs) > 0)
        return steno_error_set(error, STENO_ERROR_NO_KEY,
                               "assembling %s: there is no key for any of its frames; they are kept sealed", capture);
    return steno_error_set(error, STENO_ERROR_NOTHING_RECORDED, "assembling %s: no track holds a frame", capture);
}

static gboolean write_manifest(const Assembly *assembly, const json_t *manifest, GError **error)
{
    const char *folder = assembly->options->output;
    const json_t *outputs = json_object_get(manifest, "outputs");
    g_autofree char *name = steno_manifest_name(assembly->options->section);
    json_t *earlier = earlier_outputs(folder, name);
    gboolean written = manifest_write(folder, name, manifest, error) && sync_folder(folder, error);
    if (written && earlier)
        remove_replaced(folder, earlier, outputs);
    json_decref(earlier);
    return written && tell_nothing(assembly, outputs, error);
}

static gboolean run(Assembly *assembly, json_t **manifest, GError **error)
{
    Model *model = assembly->model;
    for (guint i = 0; i < model->participants->len; i++)
        if (!assemble_participant(assembly, model->participants->pdata[i], error))
            return FALSE;
    if (!sealed_publish(model, assembly->unsealed.files, assembly->options->output, assembly->outputs, error))
        return FALSE;
    json_t *built = build_manifest(assembly);
    gboolean written = write_manifest(assembly, built, error);
    if (written && manifest)
        *manifest = json_incref(built);
    json_decref(built);
    return written;
}

/* Names that are taken before any participant's. */
static void take_names(Assembly *assembly)
{
    take_name(assembly, "manifest");
    const GArray *files = assembly->unsealed.files;
    for (guint i = 0; i < files->len; i++) {
        const SealedFile *file = &g_array_index(files, SealedFile, i);
        const SealedName name = {SEALED_TRACK, file->part, file->track->number, file->number};
        g_autofree char *text = sealed_name(&name, 0);
        *strrchr(text, '.') = '\0';
        take_name(assembly, text);
    }
}

static gboolean assemble(const StenoAssembleOptions *options, const Scope *scope, const Encrypt *encrypt,
                         json_t **manifest, GError **error)
{
    g_autoptr(Model) model = model_load(options->capture, &scope->model, error);
    if (!model)
        return FALSE;
    Assembly assembly = {
        .options = options,
        .scope = scope,
        .encrypt = encrypt,
        .model = model,
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .tracks = json_array(),
        .outputs = json_array(),
    };
    g_autofree char *scratch = g_build_filename(options->output, SCRATCH_PREFIX "unsealed", NULL);
    gboolean done = unseal(model, options, scratch, &assembly.unsealed, error);
    if (done) {
        take_names(&assembly);
        for (guint i = 0; i < model->tracks->len; i++)
            assembly.bytes_total +=
                (encrypt_is_envelope(encrypt) ? 3 : 2) * track_bytes(model, model->tracks->pdata[i]);
        done = run(&assembly, manifest, error);
    }
    if (done && options->progress && assembly.told < 1.0)
        options->progress(options->user, 1.0);
    unsealed_clear(&assembly.unsealed);
    json_decref(assembly.tracks);
    json_decref(assembly.outputs);
    g_hash_table_unref(assembly.names);
    return done;
}

static gboolean is_same_folder(const char *a, const char *b)
{
    GStatBuf x, y;
    return g_stat(a, &x) == 0 && g_stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The folder of a finished recording becomes a capture of what is sealed in it, all of which is assembled as one. */
static gboolean take_sealed(StenoAssembleOptions *options, const char *scratch, GError **error)
{
    GError *cause = NULL;
    if (steno_assemble_unpack_sealed(options->capture, scratch, &cause)) {
        options->capture = scratch;
        options->section = 0;
        options->join = TRUE;
    }
    if (cause)
        g_propagate_error(error, cause);
    return !cause;
}

gboolean steno_assemble(const StenoAssembleOptions *given, json_t **manifest, GError **error)
{
    StenoAssembleOptions options = *given;
    GError *cause = NULL;
    g_autoptr(Encrypt) encrypt = encrypt_new(&options, &cause);
    if (cause) {
        g_propagate_error(error, cause);
        return FALSE;
    }
    if (g_mkdir_with_parents(options.output, 0755) != 0)
        return steno_error_set_errno(error, errno, "making the folder %s", options.output);
    if (is_same_folder(options.capture, options.output))
        return steno_error_set(error, STENO_ERROR_USAGE, "%s is read: files must be written into another folder",
                               options.output);
    scratch_clean(options.output);
    g_autofree char *scratch = g_build_filename(options.output, SCRATCH_PREFIX "capture", NULL);
    Scope scope = {0};
    gboolean done = take_sealed(&options, scratch, error) && scope_find(&options, &scope, error) &&
                    assemble(&options, &scope, encrypt, manifest, error);
    scope_clear(&scope);
    scratch_clean(options.output);
    return done;
}
