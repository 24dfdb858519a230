#include "steno/capture.h"

#include "files.h"
#include "track.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The writer looks for frames this often. Nobody waits for it, and a wake-up costs as much as writing five frames; with
 * STENO_CAPTURE_CLUSTER_MS it bounds what a crash of the process can lose.
 */
#define TICK_MS 100
/* Frames taken from the ring before files are looked after again. */
#define ROUND_FRAMES 4096
/* Complete files that wait open for the next sync; a flood of formats must not eat the file descriptors. */
#define CLOSING_MAX 64

struct StenoCapture {
    StenoPart part;
    GHashTable *tracks; /* number → StenoTrack */
    StenoFrameRing *ring;
    const StenoLog *log;
    void (*failed)(gpointer user, const GError *error);
    gpointer user;

    char *path; /* of the part's folder */
    GThread *thread;
    GMutex lock; /* for finishing */
    GCond wake;
    gboolean finishing;

    json_t *last;               /* the part's last line, once it is known */
    gboolean last_when_on_disk; /* else it is told also when it could not be written */
    void (*finished)(gpointer user);
    gpointer finished_user;
    GError *failure; /* the first; writer thread until it has ended */
    gint64 next_sync_mono_us;
    gint64 worst_sync_us; /* the writer's own */

    atomic_uint_fast64_t frames, bytes, frames_dropped; /* what steno_capture_stats() shows */
    atomic_int_fast64_t shown_sync_mono_us, shown_worst_sync_us;
};

/* ---- the writer thread ------------------------------------------------------------------------------------------- */

static void fail(StenoCapture *capture, GError *error)
{
    if (capture->failure) {
        g_error_free(error);
        return;
    }
    capture->failure = error;
    if (capture->failed)
        capture->failed(capture->user, error);
}

static StenoTrack *find_track(StenoCapture *capture, guint32 number)
{
    StenoTrack *track = g_hash_table_lookup(capture->tracks, GUINT_TO_POINTER(number));
    if (!track && g_hash_table_size(capture->tracks) < STENO_CAPTURE_TRACKS_MAX) {
        track = steno_track_new(number);
        g_hash_table_insert(capture->tracks, GUINT_TO_POINTER(number), track);
    }
    return track;
}

static void sync_all(StenoCapture *capture, gboolean emptied);

static void take_frame(StenoCapture *capture, StenoFrame *frame)
{
    GError *error = NULL;
    StenoTrack *track = capture->failure ? NULL : find_track(capture, frame->track);
    if (!track)
        capture->part.frames_dropped += frame->kind == STENO_FRAME_MEDIA;
    else if (!steno_track_frame(&capture->part, track, frame, &error))
        fail(capture, error);
    if (capture->part.closing->len >= CLOSING_MAX)
        sync_all(capture, FALSE);
}

/* TRUE when the ring was emptied. */
static gboolean take_frames(StenoCapture *capture)
{
    for (guint i = 0; i < ROUND_FRAMES; i++) {
        StenoFrame *frame = steno_frame_ring_pop(capture->ring);
        if (!frame)
            return TRUE;
        take_frame(capture, frame);
        steno_frame_unref(frame);
    }
    return FALSE;
}

static void flush(StenoCapture *capture, gboolean all)
{
    GHashTableIter iter;
    gpointer track;
    GError *error = NULL;
    if (capture->failure)
        return;
    g_hash_table_iter_init(&iter, capture->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &track)) {
        if (!steno_track_flush(&capture->part, track, all, &error)) {
            fail(capture, error);
            return;
        }
    }
    if (!steno_events_write(&capture->part.events, &error))
        fail(capture, error);
}

static gboolean sync_fd(int fd, GError **error)
{
    if (fdatasync(fd) != 0)
        return steno_error_set_errno(error, errno, "writing the capture to disk");
    return TRUE;
}

/* Starts the disk on everything first: the first fdatasync then waits for all of it, and the others find it done. */
static void start_writeback(StenoCapture *capture)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, capture->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        StenoTrack *track = value;
        if (track->dirty)
            (void)sync_file_range(track->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

static gboolean sync_files(StenoCapture *capture, GError **error)
{
    StenoPart *part = &capture->part;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, capture->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        StenoTrack *track = value;
        if (track->dirty && !sync_fd(track->fd, error))
            return FALSE;
        track->dirty = FALSE;
    }
    while (part->closing->len > 0) {
        int fd = g_array_index(part->closing, int, part->closing->len - 1);
        g_array_set_size(part->closing, part->closing->len - 1);
        gboolean synced = sync_fd(fd, error);
        close(fd);
        if (!synced)
            return FALSE;
    }
    if (part->events.dirty && !sync_fd(part->events.fd, error))
        return FALSE;
    part->events.dirty = FALSE;
    if (part->folder_dirty && fsync(part->folder_fd) != 0)
        return steno_error_set_errno(error, errno, "writing the capture's folder to disk");
    part->folder_dirty = FALSE;
    return TRUE;
}

/* What came before this is written: the oldest frame in a cluster that is not, or the start of this round. */
static gint64 written_until(StenoCapture *capture, gboolean emptied)
{
    gint64 until = emptied ? capture->part.now_mono_us : capture->part.since_mono_us;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, capture->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        StenoTrack *track = value;
        if (track->cluster.bytes > 0)
            until = MIN(until, track->cluster_mono_us);
    }
    return until;
}

/* emptied: the ring was, in this round. */
static void sync_all(StenoCapture *capture, gboolean emptied)
{
    GError *error = NULL;
    gint64 started = steno_clock_mono_us();
    if (capture->failure)
        return;
    start_writeback(capture);
    if (!sync_files(capture, &error)) {
        fail(capture, error);
        return;
    }
    capture->worst_sync_us = MAX(capture->worst_sync_us, steno_clock_mono_us() - started);
    capture->next_sync_mono_us = started + STENO_CAPTURE_SYNC_MS * 1000 - TICK_MS * 1000;
    atomic_store_explicit(&capture->shown_sync_mono_us, written_until(capture, emptied), memory_order_relaxed);
    atomic_store_explicit(&capture->shown_worst_sync_us, capture->worst_sync_us, memory_order_relaxed);
}

static void show_stats(StenoCapture *capture)
{
    atomic_store_explicit(&capture->frames, capture->part.frames, memory_order_relaxed);
    atomic_store_explicit(&capture->bytes, capture->part.bytes, memory_order_relaxed);
    atomic_store_explicit(&capture->frames_dropped, capture->part.frames_dropped, memory_order_relaxed);
}

/* The last line says that all before it is there: it is written when that is on disk, and told when it is there too. */
static void write_last(StenoCapture *capture)
{
    GError *error = NULL;
    if (!capture->last || capture->failure)
        return;
    json_t *last = g_steal_pointer(&capture->last);
    steno_events_add(&capture->part.events, STENO_EVENTS_UNTOLD, json_incref(last));
    if (steno_events_write(&capture->part.events, &error))
        sync_all(capture, TRUE);
    else
        fail(capture, error);
    if (!capture->failure || !capture->last_when_on_disk)
        steno_events_tell(&capture->part.events, last);
    else
        json_decref(last);
}

/* Waits for the next tick or the finish. */
static gboolean wait_for_tick(StenoCapture *capture)
{
    g_mutex_lock(&capture->lock);
    if (!capture->finishing)
        (void)g_cond_wait_until(&capture->wake, &capture->lock, g_get_monotonic_time() + TICK_MS * 1000);
    gboolean finishing = capture->finishing;
    g_mutex_unlock(&capture->lock);
    return finishing;
}

static gpointer writer(gpointer user)
{
    StenoCapture *capture = user;
    gboolean finishing = FALSE, emptied = FALSE;
    while (!(finishing && emptied)) {
        if (emptied)
            finishing = wait_for_tick(capture);
        /* What was not in the ring when it was last empty came after that. */
        if (emptied)
            capture->part.since_mono_us = capture->part.now_mono_us;
        capture->part.now_mono_us = steno_clock_mono_us();
        emptied = take_frames(capture);
        flush(capture, finishing && emptied);
        if (capture->part.now_mono_us >= capture->next_sync_mono_us || (finishing && emptied))
            sync_all(capture, emptied);
        show_stats(capture);
    }
    write_last(capture);
    if (capture->finished)
        capture->finished(capture->finished_user);
    return NULL;
}

/* ---- the owner's side -------------------------------------------------------------------------------------------- */

static gboolean write_recording(const StenoCaptureConfig *config, int folder_fd, GError **error)
{
    if (faccessat(folder_fd, "recording.json", F_OK, 0) == 0)
        return TRUE;
    json_t *recording = config->recording ? json_deep_copy(config->recording) : json_object();
    json_object_set_new(recording, "capture_format", json_integer(STENO_CAPTURE_FORMAT));
    json_object_set_new(recording, "zero", json_integer(config->zero_wall_us));
    char *text = json_dumps(recording, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(recording);
    gboolean written = steno_files_replace(folder_fd, "recording.json", text, error);
    free(text);
    return written;
}

static gboolean open_part(StenoCapture *capture, const StenoCaptureConfig *config, GError **error)
{
    int folder_fd = steno_files_open_folder(config->folder, FALSE, error);
    if (folder_fd < 0)
        return FALSE;
    gboolean written = write_recording(config, folder_fd, error);
    close(folder_fd);
    if (!written)
        return FALSE;
    capture->path = g_strdup_printf("%s/part-%04u", config->folder, config->part);
    capture->part.folder_fd = steno_files_open_folder(capture->path, TRUE, error);
    if (capture->part.folder_fd < 0)
        return FALSE;
    if (steno_events_open(&capture->part.events, capture->part.folder_fd, config->part, config->early_seq, error))
        return TRUE;
    (void)rmdir(capture->path); /* nothing is in it: it is no part */
    return FALSE;
}

static void add_early(StenoCapture *capture, const StenoCaptureConfig *config)
{
    size_t i;
    json_t *event;
    json_array_foreach (config->early, i, event)
        steno_events_add(&capture->part.events, STENO_EVENTS_AS_IT_IS, json_incref(event));
    capture->part.events.told = config->told;
    capture->part.events.user = config->user;
}

static void capture_free(StenoCapture *capture)
{
    json_decref(capture->last);
    g_free(capture->path);
    steno_events_clear(&capture->part.events);
    for (guint i = 0; i < capture->part.closing->len; i++)
        close(g_array_index(capture->part.closing, int, i));
    if (capture->part.folder_fd >= 0)
        close(capture->part.folder_fd);
    g_array_unref(capture->part.closing);
    g_byte_array_unref(capture->part.scratch);
    g_hash_table_unref(capture->tracks);
    g_clear_pointer(&capture->ring, steno_frame_ring_free);
    g_clear_error(&capture->failure);
    g_mutex_clear(&capture->lock);
    g_cond_clear(&capture->wake);
    g_free(capture);
}

StenoCapture *steno_capture_new(const StenoCaptureConfig *config, GError **error)
{
    StenoCapture *capture = g_new0(StenoCapture, 1);
    capture->part.folder_fd = -1;
    capture->part.zero_wall_us = config->zero_wall_us;
    capture->part.closing = g_array_new(FALSE, FALSE, sizeof(int));
    capture->part.scratch = g_byte_array_new();
    steno_crc32_init(&capture->part.crc32);
    capture->tracks = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)steno_track_free);
    capture->log = config->log;
    capture->failed = config->failed;
    capture->user = config->user;
    g_mutex_init(&capture->lock);
    g_cond_init(&capture->wake);
    if (!open_part(capture, config, error)) {
        capture_free(capture);
        return NULL;
    }
    add_early(capture, config);
    capture->part.folder_dirty = TRUE;
    capture->part.now_mono_us = capture->part.since_mono_us = steno_clock_mono_us();
    capture->ring = steno_frame_ring_new(STENO_CAPTURE_RING_FRAMES);
    capture->thread = g_thread_new("writer", writer, capture);
    return capture;
}

StenoFrameRing *steno_capture_ring(StenoCapture *capture)
{
    return capture->ring;
}

void steno_capture_event(StenoCapture *capture, json_t *event)
{
    steno_events_add(&capture->part.events, STENO_EVENTS_NUMBERED, event);
}

void steno_capture_measurement(StenoCapture *capture, json_t *event)
{
    steno_events_add(&capture->part.events, STENO_EVENTS_MEASUREMENT, event);
}

void steno_capture_set_last(StenoCapture *capture, json_t *event)
{
    g_mutex_lock(&capture->lock);
    json_decref(capture->last);
    capture->last = event;
    g_mutex_unlock(&capture->lock);
}

void steno_capture_stats(const StenoCapture *capture, StenoCaptureStats *stats)
{
    /* Only the lock of the events is written to. */
    StenoCapture *writable = (StenoCapture *)capture;
    *stats = (StenoCaptureStats){
        .frames = atomic_load_explicit(&writable->frames, memory_order_relaxed),
        .bytes = atomic_load_explicit(&writable->bytes, memory_order_relaxed),
        .frames_dropped = atomic_load_explicit(&writable->frames_dropped, memory_order_relaxed),
        .events_dropped = steno_events_dropped(&writable->part.events),
        .last_sync_mono_us = atomic_load_explicit(&writable->shown_sync_mono_us, memory_order_relaxed),
        .worst_sync_us = atomic_load_explicit(&writable->shown_worst_sync_us, memory_order_relaxed),
    };
}

static void begin_finish(StenoCapture *capture)
{
    capture->finishing = TRUE;
    g_cond_signal(&capture->wake);
}

void steno_capture_finish_begin(StenoCapture *capture, json_t *last, void (*finished)(gpointer user), gpointer user)
{
    g_mutex_lock(&capture->lock);
    json_decref(capture->last);
    capture->last = last;
    capture->last_when_on_disk = TRUE;
    capture->finished = finished;
    capture->finished_user = user;
    begin_finish(capture);
    g_mutex_unlock(&capture->lock);
}

gboolean steno_capture_finish(StenoCapture *capture, GError **error)
{
    g_mutex_lock(&capture->lock);
    begin_finish(capture);
    g_mutex_unlock(&capture->lock);
    g_thread_join(capture->thread);
    if (capture->last && !capture->last_when_on_disk) /* it could not be written; told it is all the same */
        steno_events_add(&capture->part.events, STENO_EVENTS_NUMBERED, g_steal_pointer(&capture->last));

    gboolean whole = capture->failure == NULL;
    if (!whole)
        g_propagate_error(error, g_steal_pointer(&capture->failure));
    capture_free(capture);
    return whole;
}

void steno_capture_discard(StenoCapture *capture)
{
    g_autofree char *path = g_strdup(capture->path);
    (void)steno_capture_finish(capture, NULL);
    steno_files_remove_part(path);
}
