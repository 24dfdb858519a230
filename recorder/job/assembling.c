/* A section becomes files, signed and stamped: nothing of it is stored before. */
#include "job_internal.h"

#include "steno/base/error.h"

#include <fcntl.h>
#include <unistd.h>

/* An assembly that dies so often will die again. */
#define CRASHES_MAX 3

static gboolean on_timer(gpointer data)
{
    Section *section = data;
    section->timer = 0;
    job_advance(section->job);
    return G_SOURCE_REMOVE;
}

static void rest(Section *section, guint delay_ms)
{
    section->timer = g_timeout_add(delay_ms, on_timer, section);
}

/* ---- assembling -------------------------------------------------------------------------------------------------- */

/* It is closed again: what is tried again, or given up. */
static void assembly_failed(Section *section, const GError *error, gboolean crashed)
{
    StenoJob *job = section->job;
    gboolean blocked = steno_error_is_storage(error) && job_is_patient(job);
    section->stage = STAGE_CLOSED;
    if (!blocked && !(crashed && ++section->crashes < CRASHES_MAX) && job->phase == PHASE_ENDED) {
        job_fail(job, g_error_copy(error));
        return;
    }
    steno_warning(job->log, "assembling is tried again: %s", error->message);
    rest(section, retry_delay_ms(section->attempts++, g_random_int()));
    if (blocked)
        job_tell_error(job, "assembling_blocked", error);
}

static void tell_over(StenoJob *job)
{
    if (job->events->assembly_over)
        job->events->assembly_over(job->user);
}

static void on_progress(gpointer user, double done)
{
    StenoJob *job = user;
    job_tell_event(job, json_pack("{s:s, s:i, s:f}", "event", "assembly", "section", (int)job->assembling->of.number,
                                  "progress", done));
}

static void on_assembled(gpointer user, const GError *error, gboolean crashed)
{
    StenoJob *job = user;
    Section *section = job->assembling;
    /* What has no media that anybody can see has its manifest all the same: it tells why. */
    g_clear_error(&section->lacking);
    if (verdict_is_stored(error))
        section->lacking = g_error_copy(error);
    job->assembler = NULL;
    job->assembling = NULL;
    if (error && !section->lacking) {
        assembly_failed(section, error, crashed);
    } else {
        section->attempts = 0;
        section->stage = STAGE_SEALING;
    }
    tell_over(job);
    job_advance(job);
}

static const AssemblerEvents assembler_events = {.progress = on_progress, .done = on_assembled};

/* Keys that are to be had at all: those that came with the job, or those of its source. */
static void set_keys(AssemblyConfig *config, const StenoJob *job)
{
    const StenoJobSpec *spec = job->spec;
    gboolean is_inline = keys_job_is_inline(spec);
    config->sealed = keys_job_is_later(spec);
    config->ask = keys_job_is_encrypted(spec) && !config->sealed && (!is_inline || spec->key_set);
    config->keys = (KeysConfig){
        .key_set = is_inline ? spec->key_set : NULL, .job = spec, .timeout_s = KEYS_MAX_S, .log = job->log};
}

static void assemble(Section *section)
{
    StenoJob *job = section->job;
    g_autoptr(GError) error = NULL;
    AssemblyConfig config = {
        .capture = job->capture,
        .lock_fd = job->lock_fd,
        .output = section->folder,
        .section = section->of.number,
        .join = job->spec->rotate_join,
        .outputs = job->spec->outputs,
        .audio = job->spec->audio,
        .encryption = job->spec->output_encryption,
        .recipients = job->spec->output_recipients,
        .output_key = job->spec->output_key,
    };
    set_keys(&config, job);
    section->stage = STAGE_ASSEMBLING;
    job->assembling = section;
    job->assembler = job_assembler_run(&config, &assembler_events, job, &error);
    if (job->assembler)
        return;
    job->assembling = NULL;
    assembly_failed(section, error, TRUE);
    tell_over(job);
}

static Section *find_closed(const StenoJob *job)
{
    for (GList *link = job->sections.head; link; link = link->next) {
        Section *section = link->data;
        if (section->stage == STAGE_CLOSED)
            return section->timer ? NULL : section;
    }
    return NULL;
}

void steno_job_assemble_now(StenoJob *job)
{
    Section *section = find_closed(job);
    if (!job->assembly_wanted)
        return;
    job->assembly_wanted = FALSE;
    if (section)
        assemble(section);
    else
        tell_over(job);
}

void section_want_assembly(Section *section)
{
    StenoJob *job = section->job;
    if (job->assembly_wanted || job->assembling)
        return;
    job->assembly_wanted = TRUE;
    if (job->events->assembly_wanted)
        job->events->assembly_wanted(job->user);
    else
        steno_job_assemble_now(job);
}

void section_assemble_again(Section *section, const GError *error)
{
    StenoJob *job = section->job;
    section->damaged = FALSE;
    g_clear_pointer(&section->shipment, shipment_unref);
    section->stage = STAGE_CLOSED;
    steno_error(job->log, "%s", error->message);
    if (!job_is_patient(job) && ++section->crashes >= CRASHES_MAX) {
        job_fail(job, g_error_copy(error));
        return;
    }
    rest(section, section->attempts == 0 ? 0 : retry_delay_ms(section->attempts, g_random_int()));
    section->attempts++;
}

/* ---- signing and stamping ---------------------------------------------------------------------------------------- */

typedef struct {
    char *capture, *folder;
    guint section;
    Sealing sealing;
    StenoTimestampAuthority timestamps;
    int lock_fd;

    Shipment *shipment;
    GError *unstamped, *error;
} Seal;

static void seal_free(gpointer data)
{
    Seal *seal = data;
    steno_signer_unref(seal->sealing.signer);
    shipment_unref(seal->shipment);
    g_clear_error(&seal->unstamped);
    g_clear_error(&seal->error);
    g_free((char *)seal->timestamps.url);
    g_free((char *)seal->timestamps.ca_file);
    g_free(seal->capture);
    g_free(seal->folder);
    g_free(seal);
}

static void take_names(gpointer user, const json_t *stored)
{
    GHashTable *names = user;
    const json_t *output;
    size_t i;
    json_array_foreach (json_object_get(json_object_get(stored, "manifest"), "outputs"), i, output) {
        const char *name = json_string_value(json_object_get(output, "file"));
        if (name)
            g_hash_table_add(names, g_strdup(name));
    }
}

static void run(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Seal *seal = data;
    gboolean stamped = FALSE;
    g_autofree char *name = shipment_manifest_name(seal->section);
    g_autofree char *path = g_build_filename(seal->folder, name, NULL);
    g_autoptr(GHashTable) stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    (void)worker;
    if (seal->section == 0) {
        char sha256[STENO_STORAGE_SHA256_HEX_BYTES];
        gint64 bytes;
        job_capture_stored_sections(seal->capture, take_names, stored);
        if (steno_storage_digest(path, sha256, &bytes, NULL))
            (void)job_ending_assembled(seal->capture, sha256, NULL);
    }
    if (job_seal(path, &seal->sealing, cancellable, &stamped, &seal->unstamped, &seal->error))
        seal->shipment =
            shipment_load(seal->folder, seal->section, stored, seal->sealing.signer != NULL, stamped, &seal->error);
    close(seal->lock_fd);
}

static void tell_unstamped(Section *section, const GError *error)
{
    StenoJob *job = section->job;
    steno_warning(job->log, "it is stored without a timestamp: %s", error->message);
    job_tell_event(job, json_pack("{s:s, s:i, s:o}", "event", "timestamp_missing", "section", (int)section->of.number,
                                  "error", steno_error_to_json(error)));
}

/* A timestamp that must be there is waited for as for a storage that is away. */
static void stamp_failed(Section *section, const GError *error)
{
    StenoJob *job = section->job;
    if (!job_is_patient(job)) {
        job_fail(job, g_error_copy(error));
        return;
    }
    steno_warning(job->log, "storing waits: %s", error->message);
    section_set_trouble(section, error);
    rest(section, storing_delay_ms(error, section->attempts++));
}

static gboolean was_received(const StenoJob *job, const GError *verdict)
{
    return job->frames_told > 0 && g_error_matches(verdict, STENO_ERROR, STENO_ERROR_NOTHING_RECORDED);
}

static void take_verdict(const Section *section)
{
    StenoJob *job = section->job;
    GError *verdict = section->of.number
                          ? NULL
                          : verdict_of(section->shipment->manifest, keys_job_is_later(job->spec), section->lacking);
    if (!verdict)
        return;
    if (was_received(job, verdict)) {
        /* Somebody should look at it: nothing is removed. */
        job->keep_capture = TRUE;
        g_error_free(verdict);
        verdict = g_error_new(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                              "nothing was recorded: %" G_GUINT64_FORMAT " frames were received, but the capture has "
                              "none that can be played (was its disk full, or broken?); it is kept in '%s'",
                              job->frames_told, job->capture);
    }
    job_set_error(job, verdict);
}

static void on_sealed(gpointer user, gpointer data)
{
    Section *section = user;
    StenoJob *job = section->job;
    Seal *seal = data;
    section->worker = NULL;
    if (seal->shipment) {
        section->shipment = g_steal_pointer(&seal->shipment);
        section->attempts = 0;
        section_begin_storing(section);
        if (seal->unstamped)
            tell_unstamped(section, seal->unstamped);
        take_verdict(section);
    } else if (g_error_matches(seal->error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED)) {
        section_assemble_again(section, seal->error);
    } else if (seal->unstamped) {
        stamp_failed(section, seal->error);
    } else {
        assembly_failed(section, seal->error, TRUE);
    }
    job_advance(job);
}

void section_seal(Section *section)
{
    static const WorkerKind kind = {.run = run, .done = on_sealed, .free = seal_free};
    StenoJob *job = section->job;
    Seal *seal = g_new0(Seal, 1);
    seal->capture = g_strdup(job->capture);
    seal->folder = g_strdup(section->folder);
    seal->section = section->of.number;
    seal->timestamps = (StenoTimestampAuthority){g_strdup(job->timestamps.url), g_strdup(job->timestamps.ca_file)};
    seal->sealing = (Sealing){
        .signer = job->sealing.signer ? steno_signer_ref(job->sealing.signer) : NULL,
        .timestamps = job->sealing.timestamps ? &seal->timestamps : NULL,
        .required = job->sealing.required,
    };
    seal->lock_fd = fcntl(job->lock_fd, F_DUPFD_CLOEXEC, 0);
    section->worker = worker_start(&kind, seal, section);
}
