#include "unseal.h"

#include "unseal_track.h"

#include "steno/base/error.h"

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* The keys of what is sealed; NULL without an error when there are none. */
static StenoContentKeys *fetch_keys(const Model *model, const StenoAssembleOptions *options, const GArray *files,
                                    const StenoContentFormat *format, GError **error)
{
    if (!options->keys || !format)
        return NULL;
    json_t *wanted = sealed_wanted(model, files, format);
    g_autoptr(StenoSecret) text = json_array_size(wanted) > 0 ? options->keys(options->user, wanted) : NULL;
    json_decref(wanted);
    if (!text || steno_secret_bytes(text) == 0)
        return NULL;
    return steno_content_keys_parse(format, steno_secret_text(text), steno_secret_bytes(text), "the given keys", error);
}

/* ---- the order --------------------------------------------------------------------------------------------------- */

/* Opens all of these tracks, which one clock of arrivals is for, block by block as they came. */
static void open_tracks(GPtrArray *tracks)
{
    while (tracks->len > 0) {
        guint first = 0;
        for (guint i = 1; i < tracks->len; i++)
            if (unseal_track_next_us(tracks->pdata[i]) < unseal_track_next_us(tracks->pdata[first]))
                first = i;
        if (unseal_track_next_us(tracks->pdata[first]) == G_MAXINT64)
            g_ptr_array_remove_index(tracks, first);
        else
            unseal_track_step(tracks->pdata[first]);
    }
}

static void track_free(gpointer track)
{
    unseal_track_free(track);
}

/* files[from … until): of one track each, by part. Parts come one after the other: each has its own clock. */
static void open_participant(const Unsealing *unsealing, const ModelParticipant *participant,
                             const StenoContentRingConfig *config, StenoContentKeys *keys)
{
    g_autoptr(StenoContentRing) ring = config->format ? steno_content_ring_new(config) : NULL;
    if (ring && keys)
        steno_content_ring_add(ring, keys);
    SealedFile *files = (SealedFile *)(void *)unsealing->unsealed->files->data;
    guint n = unsealing->unsealed->files->len;
    g_autoptr(GPtrArray) tracks = g_ptr_array_new_with_free_func(track_free);
    for (guint from = 0, until, part = 0; from < n; from = until) {
        for (until = from + 1; until < n && files[until].track == files[from].track; until++)
            ;
        if (files[from].track->participant != participant)
            continue;
        if (files[from].track->part != part)
            open_tracks(tracks);
        part = files[from].track->part;
        g_ptr_array_add(tracks, unseal_track_new(unsealing, ring, &files[from], until - from));
    }
    open_tracks(tracks);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* Puts what was opened in the place of what was sealed. */
static void replace_files(const Unsealed *unsealed, const Opened *opened)
{
    for (guint i = unsealed->files->len; i-- > 0;) { /* from behind, so that indexes stay right */
        const SealedFile *file = &g_array_index(unsealed->files, SealedFile, i);
        GArray *files = file->track->files;
        g_array_remove_index(files, file->index);
        guint n = 0;
        char *path;
        while (file->copy && (path = opened_path(opened, file->copy, n))) {
            ModelFile row = {.part = file->part, .number = file->number, .opened = path};
            g_array_insert_val(files, file->index + n++, row);
        }
    }
}

static void tell_kept(Model *model, const StenoAssembleOptions *options, const Unsealed *unsealed)
{
    guint kept = 0;
    for (guint i = 0; i < unsealed->files->len; i++)
        kept += g_array_index(unsealed->files, SealedFile, i).kept;
    if (kept > 0 && !options->sealed)
        model_problem(model, "%u of the capture's files could not be decrypted (%s), and are kept sealed", kept,
                      unsealed->bad_key ? "bad-key" : "no-key");
}

gboolean unseal(Model *model, const StenoAssembleOptions *options, const char *scratch, Unsealed *unsealed,
                GError **error)
{
    *unsealed = (Unsealed){.files = sealed_find(model)};
    if (unsealed->files->len == 0)
        return TRUE;
    const StenoContentFormat *format = sealed_format(model);
    GError *cause = NULL;
    g_autoptr(StenoContentKeys) keys = fetch_keys(model, options, unsealed->files, format, &cause);
    if (cause) {
        g_propagate_error(error, cause);
        return FALSE;
    }
    if (!format)
        model_problem(model, "recording.json does not tell how its frames are encrypted");
    Unsealing unsealing = {
        .model = model,
        .unit = sealed_unit(model),
        .format = format,
        .opened = opened_new(scratch, model->zero_us, options->log),
        .unsealed = unsealed,
        .packets = steno_packet_pool_new(1),
    };
    const StenoContentRingConfig config = {.format = format, .log = options->log};
    for (guint i = 0; i < model->participants->len; i++)
        open_participant(&unsealing, model->participants->pdata[i], &config, keys);
    gboolean done = opened_finish(unsealing.opened, error);
    if (done) {
        replace_files(unsealed, unsealing.opened);
        tell_kept(model, options, unsealed);
    }
    steno_packet_pool_free(unsealing.packets);
    opened_free(unsealing.opened);
    return done;
}

void unsealed_clear(Unsealed *unsealed)
{
    g_clear_pointer(&unsealed->files, g_array_unref);
}
