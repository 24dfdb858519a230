/*
 * At most limits.uploads recordings are stored at a time, to each storage; whoever came first is first. And only at the
 * storage's hours: the clock is read each second, so that neither daylight saving nor a clock that was set matters.
 */
#include "daemon_internal.h"

#include "upload_window.h"

#include "steno/base/clock.h"

#include <string.h>

/* One a storage. */
typedef struct {
    const StenoConfigStorage *settings;
    GQueue waiting; /* of Destination * */
    guint running;
    gboolean open;
} Lane;

struct Uploads {
    StenoDaemon *daemon;
    GArray *lanes; /* of Lane */
    guint source;
};

Uploads *uploads_new(StenoDaemon *daemon)
{
    Uploads *uploads = g_new0(Uploads, 1);
    uploads->daemon = daemon;
    uploads->lanes = g_array_new(FALSE, TRUE, sizeof(Lane));
    for (guint i = 0; i < daemon->config->storages->len; i++) {
        const StenoConfigStorage *settings = daemon->config->storages->pdata[i];
        const Lane lane = {.settings = settings,
                           .open = upload_window_is_open(settings->upload_window, steno_clock_wall_us())};
        g_array_append_val(uploads->lanes, lane);
        g_queue_init(&g_array_index(uploads->lanes, Lane, i).waiting);
    }
    return uploads;
}

void uploads_free(Uploads *uploads)
{
    if (!uploads)
        return;
    if (uploads->source)
        g_source_remove(uploads->source);
    for (guint i = 0; i < uploads->lanes->len; i++)
        g_queue_clear(&g_array_index(uploads->lanes, Lane, i).waiting);
    g_array_unref(uploads->lanes);
    g_free(uploads);
}

static Lane *find_lane(const Uploads *uploads, const char *storage)
{
    for (guint i = 0; i < uploads->lanes->len; i++) {
        Lane *lane = &g_array_index(uploads->lanes, Lane, i);
        if (strcmp(lane->settings->name, storage) == 0)
            return lane;
    }
    return NULL;
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static void run_lane(const Uploads *uploads, Lane *lane)
{
    while (lane->open && lane->running < (guint)uploads->daemon->config->limits.uploads) {
        Destination *destination = g_queue_pop_head(&lane->waiting);
        if (!destination)
            return;
        destination->upload = UPLOAD_RUNNING;
        lane->running++;
        steno_job_store_now(destination->recording->job, destination->place);
    }
}

/* Not at once: the job is in the middle of telling us, and may not be known to the recording yet. */
static gboolean on_turn(gpointer data)
{
    Uploads *uploads = data;
    uploads->source = 0;
    for (guint i = 0; i < uploads->lanes->len; i++)
        run_lane(uploads, &g_array_index(uploads->lanes, Lane, i));
    return G_SOURCE_REMOVE;
}

static void run_soon(Uploads *uploads)
{
    if (!uploads->source)
        uploads->source = g_idle_add_full(G_PRIORITY_DEFAULT, on_turn, uploads, NULL);
}

void uploads_want(Destination *destination)
{
    Uploads *uploads = destination->recording->daemon->uploads;
    if (destination->upload != UPLOAD_NONE)
        return;
    destination->upload = UPLOAD_WAITING;
    g_queue_push_tail(&find_lane(uploads, destination->name)->waiting, destination);
    run_soon(uploads);
}

void uploads_release(Destination *destination)
{
    Uploads *uploads = destination->recording->daemon->uploads;
    if (destination->upload == UPLOAD_NONE)
        return;
    Lane *lane = find_lane(uploads, destination->name);
    if (destination->upload == UPLOAD_WAITING)
        g_queue_remove(&lane->waiting, destination);
    else
        lane->running--;
    destination->upload = UPLOAD_NONE;
    run_soon(uploads);
}

/* ---- hours ------------------------------------------------------------------------------------------------------- */

/* Those that are under way; leaving tells us at once, or soon. */
static void leave_all(const Uploads *uploads, const char *storage)
{
    g_autoptr(GPtrArray) running = g_ptr_array_new();
    GHashTableIter iter;
    Recording *recording;
    g_hash_table_iter_init(&iter, uploads->daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        for (guint i = 0; i < recording->n_placed; i++) {
            if (recording->placed[i]->upload == UPLOAD_RUNNING && strcmp(recording->placed[i]->name, storage) == 0)
                g_ptr_array_add(running, recording->placed[i]);
        }
    }
    for (guint i = 0; i < running->len; i++) {
        const Destination *destination = running->pdata[i];
        steno_job_store_leave(destination->recording->job, destination->place);
    }
}

void uploads_tick(Uploads *uploads)
{
    for (guint i = 0; i < uploads->lanes->len; i++) {
        Lane *lane = &g_array_index(uploads->lanes, Lane, i);
        gboolean open = upload_window_is_open(lane->settings->upload_window, steno_clock_wall_us());
        if (open == lane->open)
            continue;
        lane->open = open;
        steno_notice(uploads->daemon->log, "storage %s: its upload window (%s) %s", lane->settings->name,
                     lane->settings->upload_window, open ? "begins" : "is over");
        if (open)
            run_soon(uploads);
        else
            leave_all(uploads, lane->settings->name);
    }
}

gboolean uploads_is_open(const Uploads *uploads, const char *storage)
{
    const Lane *lane = find_lane(uploads, storage);
    return lane && lane->open;
}
