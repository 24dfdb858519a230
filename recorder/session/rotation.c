/*
 * The main thread's half of a rotation, a step after the other: the next part is opened beside the old one (on a thread
 * of its own, for a disk may be slow); at the seam events go there, and who and what is there is written at its
 * beginning; tracks change over (changeover.c); the old part is closed by its own writer. Whatever ends the part
 * meanwhile finds it in one of these states, and ends both.
 */
#include "session_internal.h"

#include "steno/base/clock.h"

typedef enum {
    ROTATION_IDLE,    /* until the next one */
    ROTATION_OPENING, /* the next part, on its thread */
    ROTATION_ARMED,   /* the network thread has the next part, and waits for the seam as we do */
    ROTATION_SEAM,    /* events go into the next part, tracks change over */
    ROTATION_CLOSING  /* the old part, on its writer thread */
} RotationState;

struct Rotation {
    RotationState state;
    GSource *wake;        /* the time of the next step, or a thread that is done */
    guint section;        /* the one that is being recorded */
    gint64 begun_wall_us; /* its beginning */
    gint64 seam_wall_us;  /* its end */
    guint part, old_part; /* the last one that was opened, or could not be; the one before the seam */
    StenoCapture *other;  /* ARMED: the next part; SEAM, CLOSING: the old one */
    GThread *opener;
    gint done;          /* atomic: the opener, or the old part's writer, is */
    StenoCapture *next; /* the opener's until it is done */
    GError *next_error;
    gboolean failure_told;
};

static gint64 now_wall_us(void)
{
    return steno_clock_mono_to_wall_us(steno_clock_mono_us());
}

static void wake_at(Rotation *rotation, gint64 wall_us)
{
    g_source_set_ready_time(rotation->wake, MAX(wall_us - steno_clock_mono_to_wall_us(0), 0));
}

/* The next multiple of rotate_s that lies in the section's future, and far enough from now. */
static void plan_next(StenoSession *session, gint64 now_us)
{
    Rotation *rotation = session->rotation;
    gint64 every_us = session->job->rotate_s * G_USEC_PER_SEC;
    gint64 from_us = MAX(now_us, rotation->begun_wall_us) - session->zero_wall_us;
    rotation->state = ROTATION_IDLE;
    rotation->seam_wall_us = session->zero_wall_us + (MAX(from_us, 0) / every_us + 1) * every_us;
    wake_at(rotation, rotation->seam_wall_us - SESSION_ROTATE_AHEAD_US);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void wake_now(gpointer user)
{
    Rotation *rotation = ((StenoSession *)user)->rotation;
    g_atomic_int_set(&rotation->done, TRUE);
    g_source_set_ready_time(rotation->wake, 0);
}

static gpointer open_next(gpointer user)
{
    StenoSession *session = user;
    Rotation *rotation = session->rotation;
    const StenoCaptureConfig config = {
        .folder = session->folder,
        .part = rotation->part,
        .zero_wall_us = session->zero_wall_us,
        .log = session->log,
        .told = session_told,
        .failed = session_capture_failed,
        .user = session,
    };
    rotation->next = steno_capture_new(&config, &rotation->next_error);
    wake_now(session);
    return NULL;
}

static void start_opening(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    rotation->state = ROTATION_OPENING;
    rotation->done = FALSE;
    rotation->part = session_rotation_next_part(session);
    rotation->opener = g_thread_new("open", open_next, session);
}

/* The opener's work, or NULL with its error. */
static StenoCapture *take_opened(Rotation *rotation, GError **error)
{
    g_thread_join(g_steal_pointer(&rotation->opener));
    if (rotation->next_error)
        g_propagate_error(error, g_steal_pointer(&rotation->next_error));
    return g_steal_pointer(&rotation->next);
}

/* A picture that had no key frame by then changes over without one: the next rotation is near. */
static gint64 give_up_us(const StenoSession *session)
{
    gint64 every_us = session->job->rotate_s * G_USEC_PER_SEC;
    return session->rotation->seam_wall_us + MAX(every_us - 5 * G_USEC_PER_SEC, every_us * 3 / 5);
}

static void on_opened(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    g_autoptr(GError) error = NULL;
    StenoCapture *next = take_opened(rotation, &error);
    if (!next) {
        if (!rotation->failure_told)
            steno_warning(session->log,
                          "part %u could not be opened, so files go on as they are; it is tried again: %s",
                          rotation->part, error->message);
        rotation->failure_told = TRUE;
        rotation->state = ROTATION_IDLE;
        rotation->seam_wall_us = now_wall_us() + SESSION_ROTATE_AGAIN_US + SESSION_ROTATE_AHEAD_US;
        wake_at(rotation, rotation->seam_wall_us - SESSION_ROTATE_AHEAD_US);
        return;
    }
    rotation->failure_told = FALSE;
    rotation->other = next;
    rotation->state = ROTATION_ARMED;
    /* What came before now is in the old part. */
    rotation->seam_wall_us = MAX(rotation->seam_wall_us, now_wall_us());
    session_telling_hold(session, rotation->part);
    session_net_rotate(session->net, next, rotation->seam_wall_us, give_up_us(session));
    wake_at(rotation, rotation->seam_wall_us);
}

/* ---- the seam ---------------------------------------------------------------------------------------------------- */

static void enter_seam(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    session_pause_end_part(session, rotation->seam_wall_us);
    StenoCapture *next = g_steal_pointer(&rotation->other);
    rotation->other = session->capture;
    session->capture = next;
    rotation->old_part = session->part;
    session->part = rotation->part;
    rotation->state = ROTATION_SEAM;
    steno_capture_measurement(next, json_pack("{s:I, s:s, s:s, s:I}", "t", (json_int_t)rotation->seam_wall_us, "event",
                                              "state", "state", session->paused ? "paused" : "recording",
                                              "zero_wall_us", (json_int_t)session->zero_wall_us));
    session_tracks_announce(session, rotation->seam_wall_us);
}

static void begin_closing(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    json_t *rotated = json_pack("{s:s, s:i, s:I}", "event", "rotated", "section", (int)rotation->section, "seam",
                                (json_int_t)rotation->seam_wall_us);
    rotation->state = ROTATION_CLOSING;
    rotation->done = FALSE;
    steno_capture_finish_begin(rotation->other, rotated, wake_now, session);
}

void session_rotation_changed_over(StenoSession *session)
{
    if (session->rotation->state == ROTATION_ARMED)
        enter_seam(session); /* the network thread's clock ticked first */
    if (session->rotation->state == ROTATION_SEAM)
        begin_closing(session);
}

static gboolean close_old(StenoSession *session, GError **error)
{
    Rotation *rotation = session->rotation;
    gboolean closed = steno_capture_finish(g_steal_pointer(&rotation->other), error);
    session_telling_release(session);
    rotation->section++;
    rotation->begun_wall_us = rotation->seam_wall_us;
    rotation->state = ROTATION_IDLE;
    return closed;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static void on_closed(StenoSession *session)
{
    g_autoptr(GError) error = NULL;
    if (close_old(session, &error))
        plan_next(session, now_wall_us() + SESSION_ROTATE_AHEAD_US / 2);
    else
        session_end(session, "storage", error);
}

static gboolean step(gpointer user)
{
    StenoSession *session = user;
    Rotation *rotation = session->rotation;
    gint64 now_us = now_wall_us();
    gboolean done = g_atomic_int_get(&rotation->done);
    if (rotation->state == ROTATION_IDLE && session->capture && !session->end_reason)
        start_opening(session);
    else if (rotation->state == ROTATION_OPENING && done)
        on_opened(session);
    else if (rotation->state == ROTATION_ARMED && now_us >= rotation->seam_wall_us)
        enter_seam(session);
    else if (rotation->state == ROTATION_CLOSING && done)
        on_closed(session);
    return G_SOURCE_CONTINUE;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    g_source_set_ready_time(source, -1);
    return callback(user);
}

static GSourceFuncs functions = {.dispatch = dispatch};

void session_rotation_begin_part(StenoSession *session)
{
    if (session->job->rotate_s > 0 && session->rotation->section > 0)
        plan_next(session, now_wall_us());
}

void session_rotation_interrupt(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    g_source_set_ready_time(rotation->wake, -1);
    if (rotation->state == ROTATION_OPENING) {
        rotation->other = take_opened(rotation, NULL);
    } else if (rotation->state == ROTATION_ARMED && !session_net_unrotate(session->net, session->capture)) {
        enter_seam(session);
        return;
    } else if (rotation->state != ROTATION_ARMED) {
        return;
    }
    if (rotation->other)
        steno_capture_discard(g_steal_pointer(&rotation->other));
    session_telling_release(session);
    rotation->state = ROTATION_IDLE;
}

gboolean session_rotation_settle(StenoSession *session, GError **error)
{
    if (session->rotation->state == ROTATION_SEAM)
        begin_closing(session);
    return session->rotation->state != ROTATION_CLOSING || close_old(session, error);
}

guint session_rotation_next_part(const StenoSession *session)
{
    return MAX(session->part, session->rotation->part) + 1;
}

guint session_rotation_told_part(const StenoSession *session)
{
    RotationState state = session->rotation->state;
    return state == ROTATION_SEAM || state == ROTATION_CLOSING ? session->rotation->old_part : session->part;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

/* Where a recorder before this one was: what it rotated counts on. */
static void find_section(StenoSession *session)
{
    Rotation *rotation = session->rotation;
    g_autoptr(GError) error = NULL;
    rotation->section = 1;
    if (!session->later)
        return;
    g_autoptr(GArray) sections = steno_capture_sections(session->folder, &error);
    if (!sections) {
        steno_warning(session->log, "files go on as they are, and nothing is rotated: %s", error->message);
        rotation->section = 0;
    } else if (sections->len > 0) {
        const StenoCaptureSection *last = &g_array_index(sections, StenoCaptureSection, sections->len - 1);
        rotation->section = last->end_wall_us > 0 ? last->number + 1 : last->number;
        rotation->begun_wall_us = last->end_wall_us > 0 ? last->end_wall_us : last->begin_wall_us;
    }
}

void session_rotation_init(StenoSession *session)
{
    Rotation *rotation = session->rotation = g_new0(Rotation, 1);
    rotation->wake = g_source_new(&functions, sizeof(GSource));
    g_source_set_callback(rotation->wake, step, session, NULL);
    g_source_attach(rotation->wake, NULL);
    if (session->job->rotate_s > 0)
        find_section(session);
}

void session_rotation_clear(StenoSession *session)
{
    g_source_destroy(session->rotation->wake);
    g_source_unref(session->rotation->wake);
    g_free(session->rotation);
}
