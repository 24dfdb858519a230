/* events.jsonl of a damaged capture, through to the manifest that is made of it, which must be lawful. */
#include "manifest.h"
#include "model.h"

#include "steno/assemble.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Longer inputs say nothing new, and take longer. */
#define INPUT_MAX_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static json_t *tracks_of(Model *model)
{
    json_t *tracks = json_array();
    for (guint i = 0; i < model->participants->len; i++) {
        const ModelParticipant *participant = model->participants->pdata[i];
        for (guint t = 0; t < participant->tracks->len; t++) {
            TrackScan *scan = track_scan(model, participant->tracks->pdata[t]); /* of no files */
            track_place(model, &scan, 1);
            json_array_append_new(tracks, manifest_track(scan));
            track_scan_free(scan);
        }
    }
    return tracks;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > INPUT_MAX_BYTES)
        return -1;
    g_autoptr(Model) model = model_new();
    model->folder = g_strdup("/nonexistent");
    /* The same in two parts: participants and intervals go on from one to the other, tracks do not. */
    model_load_events(model, model_part(model, 1), (const char *)data, bytes);
    model_load_events(model, model_part(model, 2), (const char *)data, bytes);
    /* And joined behind a rotation, where tracks do. */
    model->scope.join = TRUE;
    model_load_events(model, model_part(model, 2), (const char *)data, bytes);
    model_settle(model);
    json_t *tracks = tracks_of(model);
    json_t *manifest = manifest_build(model, tracks, json_array(), FALSE);
    char *text = json_dumps(manifest, JSON_COMPACT);
    json_t *parsed = text ? steno_manifest_parse(text, strlen(text), NULL) : NULL;
    if (!parsed)
        abort();
    json_decref(parsed);
    json_decref(manifest);
    free(text);
    return 0;
}
