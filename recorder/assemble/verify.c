#include "steno/assemble.h"

#include "manifest.h"

#include "steno/base/error.h"

#include <libavformat/avformat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A player's duration may differ by a frame, and by what the container rounds. */
#define DURATION_SLACK_US 100000

/* Beside each manifest: its signature and its timestamp. Who has the keys checks them. */
static const char *const proof_suffixes[] = {".sig", ".tsr"};

typedef struct {
    const char *folder;
    const StenoVerifyEvents *events;
    gpointer user;
    GHashTable *known; /* names of files that belong here; owned */
    guint faults;
} Verification;

static void tell(Verification *verification, const char *file, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void tell(Verification *verification, const char *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *words = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    verification->faults++;
    if (verification->events->fault)
        verification->events->fault(verification->user, file, words);
}

static gint64 integer(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static const char *string(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static enum AVCodecID codec_of(const char *name)
{
    static const struct {
        const char *name;
        enum AVCodecID id;
    } codecs[] = {
        {"opus", AV_CODEC_ID_OPUS}, {"aac", AV_CODEC_ID_AAC},   {"pcmu", AV_CODEC_ID_PCM_MULAW},
        {"vp8", AV_CODEC_ID_VP8},   {"vp9", AV_CODEC_ID_VP9},   {"pcma", AV_CODEC_ID_PCM_ALAW},
        {"av1", AV_CODEC_ID_AV1},   {"h264", AV_CODEC_ID_H264}, {"h265", AV_CODEC_ID_HEVC},
    };
    for (guint i = 0; i < G_N_ELEMENTS(codecs); i++)
        if (strcmp(codecs[i].name, name) == 0)
            return codecs[i].id;
    return AV_CODEC_ID_NONE;
}

static void check_streams(Verification *verification, const char *file, AVFormatContext *input, const json_t *streams)
{
    guint n = (guint)json_array_size(streams);
    if (input->nb_streams != n) {
        tell(verification, file, "has %u streams, the manifest says %u", input->nb_streams, n);
        return;
    }
    g_autofree gint64 *packets = g_new0(gint64, n);
    gint64 end_us = 0, step_us = 0;
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(input, packet) >= 0) {
        guint stream = (guint)packet->stream_index;
        packets[MIN(stream, n - 1)]++;
        if (packet->pts != AV_NOPTS_VALUE)
            end_us = MAX(end_us, av_rescale_q(packet->pts + packet->duration, input->streams[stream]->time_base,
                                              (AVRational){1, 1000000}));
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    gint64 told_us = 0;
    for (guint i = 0; i < n; i++) {
        const json_t *row = json_array_get(streams, i);
        told_us = MAX(told_us, integer(row, "end_us"));
        if (input->streams[i]->codecpar->codec_id != codec_of(string(row, "codec")))
            tell(verification, file, "stream %u is not %s", i, string(row, "codec"));
        if (packets[i] != integer(row, "packets"))
            tell(verification, file,
                 "stream %u holds %" G_GINT64_FORMAT " packets, the manifest says %" G_GINT64_FORMAT, i, packets[i],
                 integer(row, "packets"));
    }
    /* WebM keeps no duration of its last picture, which the manifest counts as long as the usual step between two. */
    for (guint i = 0; i < n; i++)
        step_us = MAX(step_us, 2 * end_us / MAX(packets[i], 1));
    if (told_us < end_us - DURATION_SLACK_US || told_us > end_us + DURATION_SLACK_US + step_us)
        tell(verification, file, "ends at %" G_GINT64_FORMAT " ms, the manifest says %" G_GINT64_FORMAT, end_us / 1000,
             told_us / 1000);
}

static void check_media(Verification *verification, const char *file, const char *path, const json_t *output)
{
    AVFormatContext *input = NULL;
    if (avformat_open_input(&input, path, NULL, NULL) < 0) {
        tell(verification, file, "does not open as a media file");
        return;
    }
    gint64 told_us = integer(output, "duration_us");
    if (ABS(input->duration - told_us) > DURATION_SLACK_US)
        tell(verification, file, "lasts %" G_GINT64_FORMAT " ms, the manifest says %" G_GINT64_FORMAT,
             input->duration / 1000, told_us / 1000);
    check_streams(verification, file, input, json_object_get(output, "streams"));
    avformat_close_input(&input);
}

/* What cannot be opened here is as it was stored: more cannot be said of it without keys. */
static void tell_unopened(const Verification *verification, const char *file, const char *why)
{
    if (verification->events->note)
        verification->events->note(verification->user, file, why);
}

static void check_inside(Verification *verification, const char *file, const char *path, const json_t *output)
{
    const char *method = string(json_object_get(output, "encryption"), "method");
    if (manifest_is_sealed(output))
        tell_unopened(verification, file, "is sealed: only its size and its SHA-256 were checked");
    else if (g_strcmp0(method, "cms") == 0)
        tell_unopened(verification, file,
                      "is encrypted for its recipients: only its size and its SHA-256 were checked");
    else
        check_media(verification, file, path, output);
    if (g_strcmp0(method, "cenc") == 0)
        tell_unopened(verification, file, "is encrypted: its packets were counted, and not decoded");
}

static void check_output(Verification *verification, const json_t *output)
{
    const char *file = string(output, "file");
    g_autofree char *path = g_build_filename(verification->folder, file, NULL);
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode)) {
        tell(verification, file, "is missing");
        return;
    }
    char sha256[MANIFEST_SHA256_BYTES];
    gint64 bytes;
    g_autoptr(GError) error = NULL;
    if (!manifest_digest(path, sha256, &bytes, &error)) {
        tell(verification, file, "%s", error->message);
        return;
    }
    if (bytes != integer(output, "size_bytes"))
        tell(verification, file, "has %" G_GINT64_FORMAT " bytes, the manifest says %" G_GINT64_FORMAT, bytes,
             integer(output, "size_bytes"));
    else if (strcmp(sha256, string(output, "sha256")) != 0)
        tell(verification, file, "is not what was written: its SHA-256 differs");
    check_inside(verification, file, path, output);
}

static void check_outputs(Verification *verification, const json_t *outputs)
{
    size_t i;
    json_t *output;
    json_array_foreach (outputs, i, output) {
        if (!g_hash_table_add(verification->known, g_strdup(string(output, "file"))))
            tell(verification, string(output, "file"), "is listed twice");
        check_output(verification, output);
    }
}

/* ---- manifests --------------------------------------------------------------------------------------------------- */

static json_t *read_manifest(Verification *verification, const char *name)
{
    g_autofree char *path = g_build_filename(verification->folder, name, NULL);
    g_autofree char *text = NULL;
    gsize bytes = 0;
    g_autoptr(GError) cause = NULL;
    json_t *manifest = NULL;
    if (!g_hash_table_add(verification->known, g_strdup(name))) {
        tell(verification, name, "is listed twice");
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(proof_suffixes); i++)
        g_hash_table_add(verification->known, g_strconcat(name, proof_suffixes[i], NULL));
    if (g_file_get_contents(path, &text, &bytes, &cause))
        manifest = steno_manifest_parse(text, bytes, &cause);
    if (!manifest)
        tell(verification, name, "%s", cause->message);
    return manifest;
}

/* Reads the manifest of a section; it must be of the same recording, and be the one that its name says. */
static json_t *read_section(Verification *verification, const char *name, const json_t *whole)
{
    json_t *manifest = read_manifest(verification, name);
    const json_t *recording = json_object_get(manifest, "recording");
    if (!manifest || (g_strcmp0(string(json_object_get(recording, "section"), "manifest"), name) == 0 &&
                      strcmp(string(recording, "id"), string(json_object_get(whole, "recording"), "id")) == 0))
        return manifest;
    tell(verification, name, "is not of this recording");
    json_decref(manifest);
    return NULL;
}

static void check_sections(Verification *verification, const json_t *whole, const json_t *sections)
{
    size_t i;
    json_t *row;
    json_array_foreach (sections, i, row) {
        const char *name = string(row, "manifest");
        json_t *manifest = name ? read_section(verification, name, whole) : NULL;
        g_autoptr(GError) cause = NULL;
        if (manifest && !json_equal(json_object_get(json_object_get(manifest, "recording"), "section"), row))
            tell(verification, name, "is of another section than " MANIFEST_FILE " says");
        else if (manifest && !manifest_agrees(whole, manifest, &cause))
            tell(verification, name, "%s", cause->message);
        json_decref(manifest);
    }
}

static gboolean is_section_manifest(const char *name)
{
    guint number;
    if (sscanf(name, "manifest.%9u.json", &number) != 1 || number == 0)
        return FALSE;
    g_autofree char *back = steno_manifest_name(number);
    return strcmp(back, name) == 0;
}

/* Sections that were joined in the end, but that the storage did not let go: they tell of themselves. */
static void check_left_over(Verification *verification, const json_t *whole)
{
    g_autoptr(GDir) dir = g_dir_open(verification->folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        json_t *manifest = is_section_manifest(name) ? read_section(verification, name, whole) : NULL;
        if (manifest)
            check_outputs(verification, json_object_get(manifest, "outputs"));
        json_decref(manifest);
    }
}

static void check_listing(Verification *verification)
{
    g_autoptr(GDir) dir = g_dir_open(verification->folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        if (!g_hash_table_contains(verification->known, name))
            tell(verification, name, "is not in the manifest");
}

static void tell_problems(const Verification *verification, const json_t *problems)
{
    size_t i;
    json_t *problem;
    json_array_foreach (problems, i, problem)
        if (verification->events->problem)
            verification->events->problem(verification->user, json_string_value(problem));
}

static void check_recording(Verification *verification)
{
    json_t *manifest = read_manifest(verification, MANIFEST_FILE);
    if (!manifest)
        return;
    const json_t *sections = json_object_get(json_object_get(manifest, "recording"), "sections");
    check_outputs(verification, json_object_get(manifest, "outputs"));
    if (sections)
        check_sections(verification, manifest, sections);
    else
        check_left_over(verification, manifest);
    check_listing(verification);
    tell_problems(verification, json_object_get(manifest, "problems"));
    json_decref(manifest);
}

gboolean steno_verify(const char *folder, const StenoVerifyEvents *events, gpointer user, GError **error)
{
    Verification verification = {
        .folder = folder,
        .events = events,
        .user = user,
        .known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    check_recording(&verification);
    g_hash_table_unref(verification.known);
    if (verification.faults > 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "%s is not what its manifest says: %u %s", folder,
                    verification.faults, verification.faults == 1 ? "fault" : "faults");
    return verification.faults == 0;
}
