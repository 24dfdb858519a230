/*
 * Sealed track files, opened: whatever a sender puts under its key comes to codec here, and what it does not put there
 * is in the files. What comes out must make a lawful manifest, and count no frame twice.
 *
 * Input: codec; options (1: packets, 2: the key is another one); then blocks: flags (1: sealed with our key, 2: marker,
 * 4: begins another file, 8: in the clear, 16: a key frame, 32: told as lost before it), RTP ticks since the last, in
 * 256, and length (u16, big-endian).
 */
#include "manifest.h"
#include "matroska.h"
#include "scratch.h"
#include "sealer.h"
#include "unseal.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX_BYTES 4096
#define HEAD_BYTES 4

enum { SEALED = 1, MARKER = 2, NEW_FILE = 4, CLEAR = 8, KEYFRAME = 16, LOST = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct {
    Model *model;
    ModelTrack *track;
    StenoCodec codec;
    gboolean packets, clear;
    Sealer sealer;
    StenoCrc32 crc32;
    GByteArray *file;
    StenoCluster cluster;
    guint blocks, files;
    gint64 rtp_ts, at_ms;
} Fuzz;

static void end_file(Fuzz *fuzz)
{
    if (!fuzz->file)
        return;
    if (fuzz->cluster.bytes > 0) {
        steno_cluster_seal(&fuzz->cluster, &fuzz->crc32);
        g_byte_array_append(fuzz->file, fuzz->cluster.data, (guint)fuzz->cluster.bytes);
        steno_cluster_clear(&fuzz->cluster);
    }
    ModelFile file = {.part = 1, .number = fuzz->files++};
    g_autofree char *path = model_file_path(fuzz->model, fuzz->track, &file);
    if (!g_file_set_contents_full(path, (const char *)fuzz->file->data, fuzz->file->len, G_FILE_SET_CONTENTS_NONE, 0600,
                                  NULL))
        abort();
    g_array_append_val(fuzz->track->files, file);
    g_clear_pointer(&fuzz->file, g_byte_array_unref);
}

static void begin_file(Fuzz *fuzz)
{
    const StenoMatroskaTrack head = {
        .codec = fuzz->codec,
        .track = 1,
        .width = fuzz->clear && steno_codec_is_video(fuzz->codec) ? 16 : 0,
        .height = fuzz->clear && steno_codec_is_video(fuzz->codec) ? 16 : 0,
        .channels = steno_codec_is_video(fuzz->codec) ? 0 : 1,
        .clock_hz = fuzz->codec == STENO_CODEC_OPUS     ? 48000
                    : steno_codec_is_video(fuzz->codec) ? 90000
                                                        : 8000,
        .sealed = !fuzz->clear,
    };
    end_file(fuzz);
    fuzz->file = g_byte_array_new();
    steno_matroska_header(fuzz->file, &head, &fuzz->crc32);
}

static void add_lost(Fuzz *fuzz)
{
    ModelGap gap = {.cause = STENO_GAP_LOST,
                    .packets = fuzz->packets,
                    .first_seq = fuzz->blocks,
                    .last_seq = fuzz->blocks,
                    .rtp_ts = fuzz->rtp_ts,
                    .until_rtp_ts = fuzz->rtp_ts};
    g_array_append_val(fuzz->track->gaps, gap);
}

static void add_block(Fuzz *fuzz, guint8 flags, const guint8 *data, gsize bytes)
{
    g_autoptr(GByteArray) block = g_byte_array_new();
    gboolean clear = flags & CLEAR;
    if (!fuzz->file || clear != fuzz->clear || flags & NEW_FILE) {
        fuzz->clear = clear;
        begin_file(fuzz);
    }
    if (flags & LOST)
        add_lost(fuzz);
    if (fuzz->packets && !clear) {
        gint64 seq = GINT64_TO_LE((gint64)fuzz->blocks);
        guint8 marker = (flags & MARKER) != 0;
        g_byte_array_append(block, (const guint8 *)&seq, sizeof seq);
        g_byte_array_append(block, &marker, 1);
    }
    if (flags & SEALED && !clear) {
        g_autoptr(GBytes) sealed = sealer_seal(&fuzz->sealer, data, bytes);
        gsize n;
        const void *sealed_data = g_bytes_get_data(sealed, &n);
        g_byte_array_append(block, sealed_data, (guint)n);
    } else if (bytes > 0) {
        g_byte_array_append(block, data, (guint)bytes);
    }
    StenoRecord record = {
        .version = RECORD_VERSION,
        .flags = (guint8)(RECORD_DECODABLE | (clear ? 0 : RECORD_ENCRYPTED | RECORD_RAW) |
                          (clear && flags & KEYFRAME ? RECORD_KEYFRAME : 0)),
        .rtp_ts = fuzz->rtp_ts,
        .wall_us = G_GINT64_CONSTANT(1795000000000000) + fuzz->at_ms * 1000,
        .arrival_us = 1000000 + fuzz->at_ms * 1000,
    };
    steno_cluster_append(&fuzz->cluster, fuzz->at_ms, FALSE,
                         clear && (fuzz->codec == STENO_CODEC_H264 || fuzz->codec == STENO_CODEC_H265), &record,
                         block->data, block->len);
    fuzz->at_ms++;
    fuzz->blocks++;
}

static void read_input(Fuzz *fuzz, const guint8 *data, gsize bytes)
{
    while (bytes >= HEAD_BYTES) {
        gsize length = MIN((gsize)(data[2] << 8 | data[3]), bytes - HEAD_BYTES);
        fuzz->rtp_ts += data[1] * 256;
        add_block(fuzz, data[0], data + HEAD_BYTES, length);
        data += HEAD_BYTES + length;
        bytes -= HEAD_BYTES + length;
    }
    end_file(fuzz);
}

static StenoSecret *give_keys(gpointer user, const json_t *wanted)
{
    const Fuzz *fuzz = user;
    (void)wanted;
    g_autofree char *row = sealer_key(&fuzz->sealer, 3, NULL);
    g_autofree char *text = g_strdup_printf("{\"suite\":4,\"keys\":[%s]}", row);
    return steno_secret_new(text, strlen(text));
}

/* The manifest must be lawful. */
static void check(const Fuzz *fuzz, const Unsealed *unsealed)
{
    json_t *tracks = json_array();
    TrackScan *scan = track_scan(fuzz->model, fuzz->track);
    track_place(fuzz->model, &scan, 1);
    if (scan->frames->len > fuzz->blocks || unsealed->failed > unsealed->frames || unsealed->frames > fuzz->blocks)
        abort();
    json_array_append_new(tracks, manifest_track(scan));
    track_scan_free(scan);
    json_t *manifest = manifest_build(fuzz->model, tracks, json_array(), TRUE);
    char *text = json_dumps(manifest, JSON_COMPACT);
    json_t *parsed = text ? steno_manifest_parse(text, strlen(text), NULL) : NULL;
    if (!parsed)
        abort();
    json_decref(parsed);
    json_decref(manifest);
    free(text);
}

static char *made;

static void remove_made(void)
{
    scratch_remove(made);
    g_free(made);
}

static const char *folder(void)
{
    if (made)
        return made;
    const char *where = g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir();
    made = g_strdup_printf("%s/steno-fuzz-sealed-%d", where, getpid());
    g_autofree char *part = g_build_filename(made, "part-0001", NULL);
    if (g_mkdir_with_parents(part, 0700) != 0 || atexit(remove_made) != 0)
        abort();
    return made;
}

static void open_and_check(Fuzz *fuzz)
{
    g_autofree char *scratch = g_build_filename(folder(), "opened", NULL);
    const StenoAssembleOptions options = {.keys = give_keys, .user = fuzz};
    Unsealed unsealed;
    GError *error = NULL;
    if (!unseal(fuzz->model, &options, scratch, &unsealed, &error))
        abort();
    check(fuzz, &unsealed);
    unsealed_clear(&unsealed);
    scratch_remove(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2 || bytes > INPUT_MAX_BYTES)
        return -1;
    g_autoptr(Model) model = model_new();
    Fuzz fuzz = {.model = model,
                 .codec = STENO_CODEC_OPUS + data[0] % (STENO_CODEC_COUNT - STENO_CODEC_OPUS),
                 .packets = data[1] & 1,
                 .sealer = sealer_new(5, data[1] & 2 ? 4 : 3)};
    steno_crc32_init(&fuzz.crc32);
    model->folder = g_strdup(folder());
    json_decref(model->recording);
    model->recording = json_pack("{s:{s:s, s:s}}", "content", "format", fuzz.packets ? "sframe-packet" : "sframe",
                                 "unit", fuzz.packets ? "packet" : "frame");
    fuzz.track = model_track(model, model_part(model, 1), 1);
    read_input(&fuzz, data + 2, bytes - 2);
    model_settle(model);
    open_and_check(&fuzz);
    g_free(fuzz.cluster.data);
    return 0;
}
