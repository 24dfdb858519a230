/*
 * When is a recorder to be started anew, and how long is waited before anything is tried again? Pure arithmetic: times
 * come in as µs of CLOCK_MONOTONIC.
 */
#ifndef STENO_JOB_WATCH_H
#define STENO_JOB_WATCH_H

#include <glib.h>

/* A recorder tells its figures each second; who says nothing for so long hangs. */
#define STALL_SILENT_MIN_S 10
/* Before it has joined, it may have nothing to tell for as long as a platform takes to answer. */
#define STALL_JOIN_MAX_S 60
/* A sender that stopped without telling is no fault of the recorder: it is not started anew more often than this. */
#define STALL_WAIT_MAX_S 600
/* Our own check comes each second. When it came so late, it was we who stood still, and have not heard it yet. */
#define STALL_OVERSLEPT_US (3 * G_USEC_PER_SEC)

typedef enum {
    STALL_NONE,
    STALL_SILENT, /* no figures: it hangs */
    STALL_FROZEN, /* media is announced, and none of it is captured */
} Stall;

typedef struct {
    guint stall_s; /* 0: never */
    guint in_vain; /* restarts in a row that brought no frame */
    gboolean expecting, ticking;
    guint64 frames;
    gint64 checked_us, heard_us, moved_us;
} StallWatch;

/* A recorder was started or taken over. in_vain and stall_s stay. */
void stall_watch_begin(StallWatch *watch, gint64 now_us);
/* It said something. */
void stall_watch_heard(StallWatch *watch, gint64 now_us);
/* Its figures: announced tracks, frames captured since it began. */
void stall_watch_stats(StallWatch *watch, gint64 now_us, guint64 announced, guint64 frames, gboolean paused);
/* Called each second. STALL_FROZEN doubles the wait for the next one, until frames come. */
Stall stall_watch_check(StallWatch *watch, gint64 now_us);

/* ---- waiting before the next attempt ----------------------------------------------------------------------------- */

/* How recorders of one recording have died. */
typedef struct {
    guint early;   /* in a row, soon after their start */
    guint in_vain; /* in a row, without having captured anything */
} Deaths;

/*
 * One more died, `lived_us` after its start. The delay until the next may be started, in ms: at once the first time,
 * within a second as long as they capture something, and up to RESTART_MAX_MS. -1: there were restarts_max in vain.
 */
#define RESTART_MAX_MS 10000
gint deaths_add(Deaths *deaths, gint64 lived_us, gboolean captured, guint restarts_max);

/* Assembling is tried again after 1 s … 60 s, less up to a half: `random` makes many recordings not come back at once.
 */
guint retry_delay_ms(guint attempts, guint32 random);
/* The same for a platform that is away, or a capture that another one works on: 0.25 s … 10 s. */
guint rejoin_delay_ms(guint attempts, guint32 random);
/* Anything from 0 up to first_ms, doubled with each attempt, up to max_ms. */
guint full_jitter_ms(guint first_ms, guint max_ms, guint attempts, guint32 random);

#endif
