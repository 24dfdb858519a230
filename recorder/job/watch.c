#include "watch.h"

/* ---- stalls ------------------------------------------------------------------------------------------------------ */

void stall_watch_begin(StallWatch *watch, gint64 now_us)
{
    watch->expecting = watch->ticking = FALSE;
    watch->frames = 0;
    watch->checked_us = watch->heard_us = watch->moved_us = now_us;
}

void stall_watch_heard(StallWatch *watch, gint64 now_us)
{
    watch->heard_us = now_us;
}

void stall_watch_stats(StallWatch *watch, gint64 now_us, guint64 announced, guint64 frames, gboolean paused)
{
    watch->ticking = TRUE;
    watch->heard_us = now_us;
    watch->expecting = announced > 0 && !paused;
    if (frames != watch->frames)
        watch->in_vain = 0;
    if (frames != watch->frames || !watch->expecting)
        watch->moved_us = now_us;
    watch->frames = frames;
}

static gint64 frozen_after_us(const StallWatch *watch)
{
    guint64 wait_s = (guint64)watch->stall_s << MIN(watch->in_vain, 16);
    return (gint64)MIN(wait_s, MAX(watch->stall_s, STALL_WAIT_MAX_S)) * G_USEC_PER_SEC;
}

static gint64 silent_after_us(const StallWatch *watch)
{
    return (gint64)MAX(watch->stall_s, watch->ticking ? STALL_SILENT_MIN_S : STALL_JOIN_MAX_S) * G_USEC_PER_SEC;
}

Stall stall_watch_check(StallWatch *watch, gint64 now_us)
{
    gint64 slept_us = now_us - watch->checked_us;
    watch->checked_us = now_us;
    if (watch->stall_s == 0)
        return STALL_NONE;
    if (slept_us > STALL_OVERSLEPT_US) {
        watch->heard_us += slept_us;
        watch->moved_us += slept_us;
    }
    if (now_us - watch->heard_us >= silent_after_us(watch))
        return STALL_SILENT;
    if (!watch->expecting || now_us - watch->moved_us < frozen_after_us(watch))
        return STALL_NONE;
    watch->in_vain++;
    return STALL_FROZEN;
}

/* ---- delays ------------------------------------------------------------------------------------------------------ */

/* A recorder that lived so long did not die of its start. */
#define EARLY_US (10 * G_USEC_PER_SEC)
#define FORGIVEN_US (60 * G_USEC_PER_SEC)
#define RESTART_FIRST_MS 100
/* 100 ms doubled so often is still below a second. */
#define RESTART_QUICK 3

gint deaths_add(Deaths *deaths, gint64 lived_us, gboolean captured, guint restarts_max)
{
    if (lived_us >= EARLY_US)
        deaths->early = 0;
    if (captured || lived_us >= FORGIVEN_US)
        deaths->in_vain = 0;
    if (deaths->in_vain >= restarts_max)
        return -1;
    guint steps = captured ? MIN(deaths->early, RESTART_QUICK) : MIN(deaths->early, 10);
    deaths->early++;
    deaths->in_vain++;
    return steps == 0 ? 0 : MIN(RESTART_FIRST_MS << (steps - 1), RESTART_MAX_MS);
}

static guint doubled_ms(guint first_ms, guint max_ms, guint attempts)
{
    return MIN(first_ms << MIN(attempts, 10), max_ms);
}

static guint delay_ms(guint first_ms, guint max_ms, guint attempts, guint32 random)
{
    guint delay = doubled_ms(first_ms, max_ms, attempts);
    return delay - random % (delay / 2);
}

guint full_jitter_ms(guint first_ms, guint max_ms, guint attempts, guint32 random)
{
    return random % (doubled_ms(first_ms, max_ms, attempts) + 1);
}

guint retry_delay_ms(guint attempts, guint32 random)
{
    return delay_ms(1000, 60000, attempts, random);
}

guint rejoin_delay_ms(guint attempts, guint32 random)
{
    return delay_ms(250, 10000, attempts, random);
}
