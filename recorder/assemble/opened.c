#include "opened.h"

#include "steno/base/error.h"

/* Copies that one writer has: each is a track to it. */
#define COPIES_PER_WRITER (STENO_CAPTURE_TRACKS_MAX - 1)
/* A bound to what lives; the largest frames of some dozens of tracks, and what waits for the disk. */
#define POOL_BYTES ((gsize)1024 * 1024 * 1024)
/* What may wait for the disk. */
#define WAITING_MAX_BYTES ((gsize)64 * 1024 * 1024)
#define WAITING_MAX_FRAMES (STENO_CAPTURE_RING_FRAMES / 2)
#define WAIT_US 2000

struct Opened {
    char *folder;
    gint64 zero_wall_us;
    const StenoLog *log;
    StenoFramePool *pool;
    GPtrArray *writers; /* of StenoCapture: part n+1 of the folder */
    gsize waiting_bytes;
    guint copies;
    GError *error; /* the first */
};

Opened *opened_new(const char *folder, gint64 zero_wall_us, const StenoLog *log)
{
    Opened *opened = g_new0(Opened, 1);
    opened->folder = g_strdup(folder);
    opened->zero_wall_us = zero_wall_us;
    opened->log = log;
    opened->pool = steno_frame_pool_new(POOL_BYTES);
    opened->writers = g_ptr_array_new();
    return opened;
}

void opened_free(Opened *opened)
{
    (void)opened_finish(opened, NULL);
    g_ptr_array_unref(opened->writers);
    steno_frame_pool_free(opened->pool);
    g_clear_error(&opened->error);
    g_free(opened->folder);
    g_free(opened);
}

StenoFramePool *opened_pool(const Opened *opened)
{
    return opened->pool;
}

/* Where a copy is: part and track, as the capture room numbers them. */
static void locate(guint copy, guint *part, guint32 *track)
{
    *part = 1 + (copy - 1) / COPIES_PER_WRITER;
    *track = 1 + (copy - 1) % COPIES_PER_WRITER;
}

guint opened_begin(Opened *opened)
{
    return ++opened->copies;
}

/* The writer of this part; NULL after a failure. */
static StenoCapture *writer_of(Opened *opened, guint part)
{
    while (!opened->error && opened->writers->len < part) {
        const StenoCaptureConfig config = {
            .folder = opened->folder,
            .part = opened->writers->len + 1,
            .zero_wall_us = opened->zero_wall_us,
            .log = opened->log,
        };
        StenoCapture *writer = steno_capture_new(&config, &opened->error);
        if (writer)
            g_ptr_array_add(opened->writers, writer);
    }
    return opened->error ? NULL : opened->writers->pdata[part - 1];
}

/* A writer that failed empties its ring too. */
static void wait_until_written(Opened *opened)
{
    for (guint i = 0; i < opened->writers->len; i++)
        while (steno_frame_ring_length(steno_capture_ring(opened->writers->pdata[i])) > 0)
            g_usleep(WAIT_US);
    opened->waiting_bytes = 0;
}

void opened_push(Opened *opened, guint copy, StenoFrame *frame)
{
    guint part;
    locate(copy, &part, &frame->track);
    StenoCapture *writer = writer_of(opened, part);
    if (!writer) {
        steno_frame_unref(frame);
        return;
    }
    StenoFrameRing *ring = steno_capture_ring(writer);
    gsize bytes = frame->payload_bytes;
    if (opened->waiting_bytes + bytes > WAITING_MAX_BYTES || steno_frame_ring_length(ring) >= WAITING_MAX_FRAMES)
        wait_until_written(opened);
    opened->waiting_bytes += bytes;
    while (!steno_frame_ring_push(ring, frame))
        g_usleep(WAIT_US);
}

gboolean opened_finish(Opened *opened, GError **error)
{
    for (guint i = 0; i < opened->writers->len; i++)
        (void)steno_capture_finish(opened->writers->pdata[i], opened->error ? NULL : &opened->error);
    g_ptr_array_set_size(opened->writers, 0);
    if (opened->error)
        g_propagate_error(error, g_error_copy(opened->error));
    return !opened->error;
}

char *opened_path(const Opened *opened, guint copy, guint nth)
{
    guint part;
    guint32 track;
    locate(copy, &part, &track);
    g_autofree char *path = g_strdup_printf("%s/part-%04u/track-%04u.%u.mkv", opened->folder, part, (guint)track, nth);
    return g_file_test(path, G_FILE_TEST_EXISTS) ? g_steal_pointer(&path) : NULL;
}
