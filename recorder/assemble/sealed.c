#include "sealed.h"

#include "manifest.h"
#include "scratch.h"

#include "steno/base/error.h"
#include "steno/capture.h"
#include "steno/codec.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

/* In front of the payload, in a block that holds a packet. */
#define PACKET_HEAD_BYTES 9

/* ---- which ------------------------------------------------------------------------------------------------------- */

char *sealed_path(const Model *model, const SealedFile *file)
{
    const ModelFile row = {.part = file->part, .number = file->number};
    return model_file_path(model, file->track, &row);
}

static StenoCaptureReader *open_file(const Model *model, const SealedFile *file)
{
    g_autofree char *path = sealed_path(model, file);
    return steno_capture_reader_open(path, NULL);
}

GArray *sealed_find(const Model *model)
{
    GArray *files = g_array_new(FALSE, FALSE, sizeof(SealedFile));
    for (guint t = 0; t < model->tracks->len; t++) {
        ModelTrack *track = model->tracks->pdata[t];
        for (guint i = 0; i < track->files->len; i++) {
            const ModelFile *row = &g_array_index(track->files, ModelFile, i);
            SealedFile file = {.track = track, .index = i, .part = row->part, .number = row->number};
            g_autoptr(StenoCaptureReader) reader = open_file(model, &file);
            StenoCaptureFrame frame;
            if (!reader || steno_capture_reader_next(reader, &frame) != 1 ||
                (!frame.encrypted && !steno_capture_reader_is_sealed(reader)))
                continue;
            file.first_arrival_us = frame.arrival_us;
            g_array_append_val(files, file);
        }
    }
    return files;
}

static const char *content_member(const Model *model, const char *name)
{
    return json_string_value(json_object_get(json_object_get(model->recording, "content"), name));
}

const StenoContentFormat *sealed_format(const Model *model)
{
    const char *name = content_member(model, "format");
    return name ? steno_content_format(name) : NULL;
}

StenoContentUnit sealed_unit(const Model *model)
{
    return g_strcmp0(content_member(model, "unit"), "packet") == 0 ? STENO_CONTENT_PER_PACKET : STENO_CONTENT_PER_FRAME;
}

gboolean sealed_packet(const guint8 *data, gsize bytes, SealedPacket *packet)
{
    guint64 seq;
    if (bytes < PACKET_HEAD_BYTES)
        return FALSE;
    memcpy(&seq, data, sizeof seq);
    *packet = (SealedPacket){
        .seq = CLAMP((gint64)GUINT64_FROM_LE(seq), -MODEL_RTP_MAX, MODEL_RTP_MAX),
        .marker = (data[8] & 1) != 0,
        .payload = data + PACKET_HEAD_BYTES,
        .payload_bytes = bytes - PACKET_HEAD_BYTES,
    };
    return TRUE;
}

StenoContentOutcome sealed_open(StenoContentOpener *opener, StenoCodec codec, StenoContentUnit unit,
                                const SealedPacket *packet, guint8 *out, StenoContentOpened *opened)
{
    gsize sizes[STENO_CODEC_LAYERS_MAX] = {packet->payload_bytes}, from = 0, to = 0;
    StenoContentOutcome outcome = STENO_CONTENT_CLEAR;
    guint count = 1;
    if (unit == STENO_CONTENT_PER_FRAME)
        count = steno_codec_layers(codec, packet->payload, packet->payload_bytes, sizes);
    for (guint i = 0; i < count; i++) {
        StenoContentOutcome part =
            steno_content_open(opener, codec, packet->payload + from, sizes[i], out + to, opened);
        if (part != STENO_CONTENT_OPENED && part != STENO_CONTENT_CLEAR)
            return part;
        if (part == STENO_CONTENT_OPENED)
            outcome = part;
        from += sizes[i];
        to += sizes[i] = opened->bytes;
    }
    opened->bytes = count > 1 ? steno_codec_join_layers(out, sizes, count) : to;
    return outcome;
}

/* ---- whose keys -------------------------------------------------------------------------------------------------- */

typedef struct {
    const Model *model;
    StenoContentUnit unit;
    StenoContentRing *ring; /* without a key, so that each frame only tells which it wants */
    json_t *wanted;
    GHashTable *known;  /* "kid participant", owned */
    GHashTable *counts; /* participant → how many of it; not owned */
    GByteArray *scratch;
} Wanting;

static void want(Wanting *wanting, const char *participant, guint64 kid)
{
    char *key = g_strdup_printf("%" G_GUINT64_FORMAT " %s", kid, participant);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(wanting->counts, participant));
    if (g_hash_table_contains(wanting->known, key) || count >= SEALED_WANTED_PER_PARTICIPANT ||
        json_array_size(wanting->wanted) >= SEALED_WANTED_MAX) {
        g_free(key);
        return;
    }
    g_hash_table_insert(wanting->counts, (gpointer)participant, GUINT_TO_POINTER(count + 1));
    g_hash_table_add(wanting->known, key);
    json_array_append_new(wanting->wanted, json_pack("{s:s, s:o}", "participant", participant, "kid",
                                                     json_sprintf("%" G_GUINT64_FORMAT, kid)));
}

static void want_file(Wanting *wanting, const SealedFile *file, StenoContentOpener *opener)
{
    g_autoptr(StenoCaptureReader) reader = open_file(wanting->model, file);
    StenoCaptureFrame frame;
    guint64 last_kid = 0;
    gboolean any = FALSE;
    while (reader && steno_capture_reader_next(reader, &frame) == 1) {
        SealedPacket packet = {.payload = frame.payload, .payload_bytes = frame.payload_bytes};
        if (!frame.encrypted ||
            (wanting->unit == STENO_CONTENT_PER_PACKET && !sealed_packet(frame.payload, frame.payload_bytes, &packet)))
            continue;
        StenoContentOpened opened = {0};
        if (wanting->scratch->len < packet.payload_bytes)
            g_byte_array_set_size(wanting->scratch, (guint)packet.payload_bytes);
        StenoContentOutcome outcome = steno_content_open(opener, steno_capture_reader_codec(reader), packet.payload,
                                                         packet.payload_bytes, wanting->scratch->data, &opened);
        if (outcome != STENO_CONTENT_NO_KEY || !opened.has_kid || (any && opened.kid == last_kid))
            continue;
        any = TRUE;
        last_kid = opened.kid;
        want(wanting, file->track->participant->id, opened.kid);
    }
}

json_t *sealed_wanted(const Model *model, const GArray *files, const StenoContentFormat *format)
{
    const StenoContentRingConfig config = {.format = format};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    g_byte_array_set_size(scratch, 1);
    Wanting wanting = {.model = model,
                       .unit = sealed_unit(model),
                       .ring = ring,
                       .wanted = json_array(),
                       .known = known,
                       .counts = counts,
                       .scratch = scratch};
    for (guint i = 0; i < files->len; i++) {
        const SealedFile *file = &g_array_index(files, SealedFile, i);
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, file->track->participant->id);
        want_file(&wanting, file, opener);
    }
    return wanting.wanted;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

char *sealed_name(const SealedName *name, guint section)
{
    g_autofree char *infix = section ? g_strdup_printf(".%03u", section) : g_strdup("");
    switch (name->kind) {
    case SEALED_RECORDING:
        return g_strdup_printf("sealed-recording%s.json", infix);
    case SEALED_EVENTS:
        return g_strdup_printf("sealed-part-%04u-events%s.jsonl", name->part, infix);
    default:
        return g_strdup_printf("sealed-part-%04u-track-%04u.%u%s.mkv", name->part, name->track, name->number, infix);
    }
}

SealedName sealed_name_read(const char *text, guint section)
{
    /* A name is one only when it is written exactly so. */
    for (SealedKind kind = SEALED_RECORDING; kind <= SEALED_TRACK; kind++) {
        SealedName name = {.kind = kind};
        gboolean fits =
            kind == SEALED_RECORDING || (kind == SEALED_EVENTS ? sscanf(text, "sealed-part-%9u-events", &name.part) == 1
                                                               : sscanf(text, "sealed-part-%9u-track-%9u.%9u",
                                                                        &name.part, &name.track, &name.number) == 3);
        g_autofree char *back = fits ? sealed_name(&name, section) : NULL;
        gboolean lawful = kind == SEALED_RECORDING || (name.part > 0 && (kind == SEALED_EVENTS || name.track > 0));
        if (lawful && g_strcmp0(back, text) == 0)
            return name;
    }
    return (SealedName){.kind = SEALED_NONE};
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

typedef struct {
    const Model *model;
    const char *folder;
    json_t *outputs;
} Publishing;

static gboolean publish(const Publishing *publishing, const char *from, const SealedName *name, GError **error)
{
    guint section = publishing->model->scope.section;
    g_autofree char *file = sealed_name(name, section);
    g_autofree char *to = g_build_filename(publishing->folder, file, NULL);
    g_autofree char *temporary = g_strdup_printf("%s/" SCRATCH_PREFIX "%s", publishing->folder, file);
    char sha256[MANIFEST_SHA256_BYTES];
    gint64 bytes;
    if (!scratch_link(from, temporary, error) || !manifest_digest(temporary, sha256, &bytes, error))
        return FALSE;
    (void)g_unlink(to); /* rename() of a second name for the same file does nothing */
    if (g_rename(temporary, to) != 0)
        return steno_error_set_errno(error, errno, "renaming %s", temporary);
    json_array_append_new(publishing->outputs, manifest_sealed_output(file, section, bytes, sha256));
    return TRUE;
}

/* Of what is lost, the model has told that already. */
static gboolean publish_if(const Publishing *publishing, const char *from, const SealedName *name, GError **error)
{
    g_autofree char *path = g_build_filename(publishing->model->folder, from, NULL);
    return !g_file_test(path, G_FILE_TEST_EXISTS) || publish(publishing, path, name, error);
}

static gboolean publish_part(const Publishing *publishing, guint part, GError **error)
{
    g_autofree char *from = g_strdup_printf("part-%04u/events.jsonl", part);
    return publish_if(publishing, from, &(SealedName){.kind = SEALED_EVENTS, .part = part}, error);
}

gboolean sealed_publish(const Model *model, const GArray *files, const char *folder, json_t *outputs, GError **error)
{
    const Publishing publishing = {model, folder, outputs};
    g_autoptr(GHashTable) parts = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < files->len; i++) {
        const SealedFile *file = &g_array_index(files, SealedFile, i);
        if (!file->kept)
            continue;
        if (g_hash_table_size(parts) == 0 &&
            !publish_if(&publishing, "recording.json", &(SealedName){.kind = SEALED_RECORDING}, error))
            return FALSE;
        if (g_hash_table_add(parts, GUINT_TO_POINTER(file->part)) && !publish_part(&publishing, file->part, error))
            return FALSE;
        g_autofree char *path = sealed_path(model, file);
        const SealedName name = {SEALED_TRACK, file->part, file->track->number, file->number};
        if (!publish(&publishing, path, &name, error))
            return FALSE;
    }
    return TRUE;
}
