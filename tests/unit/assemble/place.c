#include "place.h"

#include <glib/gstdio.h>
#include <libavformat/avformat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void place_init(Place *place)
{
    place->capture = scene_folder();
    place->output = scene_folder();
    place->manifest = NULL;
}

void place_clear(Place *place)
{
    scene_remove(place->capture);
    scene_remove(place->output);
    g_free(place->capture);
    g_free(place->output);
    json_decref(place->manifest);
}

void place_print_fault(gpointer user, const char *file, const char *words)
{
    (void)user;
    print_message("%s: %s\n", file, words);
}

void place_assemble_with(Place *place, StenoOutputs outputs, StenoAudio audio)
{
    StenoAssembleOptions options = {
        .capture = place->capture, .output = place->output, .outputs = outputs, .audio = audio};
    GError *error = NULL;
    json_decref(place->manifest);
    place->manifest = NULL;
    if (!steno_assemble(&options, &place->manifest, &error))
        fail_msg("%s", error->message);
    if (!steno_verify(place->output, &(StenoVerifyEvents){.fault = place_print_fault}, NULL, &error))
        fail_msg("%s", error->message);
}

void place_assemble(Place *place)
{
    place_assemble_with(place, STENO_OUTPUTS_PARTICIPANT, STENO_AUDIO_COPY);
}

const json_t *place_output(const Place *place, guint index)
{
    const json_t *output = json_array_get(json_object_get(place->manifest, "outputs"), index);
    assert_non_null(output);
    return output;
}

const json_t *place_stream(const Place *place, guint output, guint stream)
{
    const json_t *row = json_array_get(json_object_get(place_output(place, output), "streams"), stream);
    assert_non_null(row);
    return row;
}

gint64 place_integer(const json_t *row, const char *name)
{
    assert_true(json_is_integer(json_object_get(row, name)));
    return json_integer_value(json_object_get(row, name));
}

char *place_path(const Place *place, guint output)
{
    return g_build_filename(place->output, json_string_value(json_object_get(place_output(place, output), "file")),
                            NULL);
}

void place_decode(const Place *place, guint output)
{
    g_autofree char *path = place_path(place, output);
    g_free(scene_run("ffmpeg -nostdin -v error -xerror -i %s -map 0 -fps_mode passthrough -enc_time_base -1 -f null -",
                     path));
}

GArray *place_times(const Place *place, guint output, guint stream)
{
    g_autofree char *path = place_path(place, output);
    AVFormatContext *input = NULL;
    assert_int_equal(avformat_open_input(&input, path, NULL, NULL), 0);
    GArray *times = g_array_new(FALSE, FALSE, sizeof(gint64));
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(input, packet) >= 0) {
        if ((guint)packet->stream_index == stream) {
            gint64 at_us = av_rescale_q(packet->pts, input->streams[stream]->time_base, (AVRational){1, 1000000});
            g_array_append_val(times, at_us);
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&input);
    return times;
}

gint64 place_time_at(const GArray *times, guint index)
{
    assert_true(index < times->len);
    return g_array_index(times, gint64, index);
}

void place_assert_near(gint64 found, gint64 wanted, gint64 slack)
{
    if (ABS(found - wanted) > slack)
        fail_msg("%" G_GINT64_FORMAT " is not within %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT, found, slack, wanted);
}

gint64 place_samples(const Place *place, guint output)
{
    g_autofree char *path = place_path(place, output);
    g_autofree char *raw = g_build_filename(place->capture, "samples.raw", NULL);
    /* asetpts: forget all time stamps */
    g_free(
        scene_run("ffmpeg -nostdin -v error -y -i %s -map 0:a:0 -af asetpts=N -ac 1 -ar 48000 -f s16le %s", path, raw));
    GStatBuf status;
    assert_int_equal(g_stat(raw, &status), 0);
    return status.st_size / 2;
}

guint place_count_gaps(const Place *place, const char *cause)
{
    guint count = 0;
    size_t i;
    json_t *gap;
    json_array_foreach (json_object_get(place->manifest, "gaps"), i, gap)
        count += strcmp(json_string_value(json_object_get(gap, "cause")), cause) == 0;
    return count;
}

const json_t *place_gap(const Place *place, const char *cause, guint nth)
{
    size_t i;
    const json_t *gap;
    json_array_foreach (json_object_get(place->manifest, "gaps"), i, gap)
        if (strcmp(json_string_value(json_object_get(gap, "cause")), cause) == 0 && nth-- == 0)
            return gap;
    fail_msg("no gap: %s", cause);
    return NULL;
}
