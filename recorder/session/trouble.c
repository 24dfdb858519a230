/*
 * Frames that do not open: which keys are asked for, what is told, and when it has lasted too long. Network thread; of
 * what goes to the main thread there is one message a key, not one a frame.
 */
#include "decrypt.h"

#include "steno/base/clock.h"

/* With keys = later, it is as it should be: nothing is told, and nobody is asked. */
static gboolean is_meant(const Decryption *decryption)
{
    return decryption->track->peer->net->keys_later;
}

#define KID_TEXT_BYTES 24

/* NULL: it cannot be read. */
static const char *kid_text(const Trouble *trouble, char text[KID_TEXT_BYTES])
{
    g_snprintf(text, KID_TEXT_BYTES, "%" G_GUINT64_FORMAT, trouble->kid);
    return trouble->has_kid ? text : NULL;
}

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static void want(const Decryption *decryption, Trouble *trouble, gboolean wanted)
{
    wanted = wanted && trouble->has_kid;
    if (trouble->wanted == wanted)
        return;
    trouble->wanted = wanted;
    session_net_tell_key_wanted(decryption->track->peer->net, decryption->participant, trouble->kid, wanted);
}

/* ---- what is told ------------------------------------------------------------------------------------------------ */

static void tell(Decryption *decryption, Trouble *trouble)
{
    const NetTrack *track = decryption->track;
    trouble->told = decryption->told = TRUE;
    if (!track->capture)
        return;
    char kid[KID_TEXT_BYTES];
    const char *cause = steno_content_outcome_name(trouble->cause);
    steno_warning(track->peer->net->log, "track=%u: it cannot be decrypted (%s), and is kept sealed", track->number,
                  cause);
    steno_capture_event(track->capture, json_pack("{s:s, s:i, s:s, s:s?, s:s, s:I}", "event", "undecryptable", "track",
                                                  (int)track->number, "participant", decryption->participant, "kid",
                                                  kid_text(trouble, kid), "cause", cause, "since",
                                                  (json_int_t)steno_clock_mono_to_wall_us(trouble->since_us)));
}

/* A key that was only late is not worth a word; a frame that no key opens is. */
static gboolean is_worth_telling(const Trouble *trouble)
{
    return !trouble->told && (!trouble->over || trouble->cause == STENO_CONTENT_BAD_KEY);
}

static void forget_all(Decryption *decryption)
{
    for (guint i = 0; i < decryption->n_troubles; i++)
        want(decryption, &decryption->troubles[i], FALSE);
    decryption->n_troubles = 0;
}

void session_trouble_over(Decryption *decryption)
{
    const NetTrack *track = decryption->track;
    for (guint i = 0; i < decryption->n_troubles; i++) {
        Trouble *trouble = &decryption->troubles[i];
        if (!trouble->told && trouble->cause == STENO_CONTENT_BAD_KEY)
            tell(decryption, trouble);
    }
    forget_all(decryption);
    if (decryption->told && track->capture) {
        guint64 frames = decryption->n_sealed - decryption->sealed_before;
        steno_notice(track->peer->net->log, "track=%u: it can be decrypted again; %" G_GUINT64_FORMAT " were sealed",
                     track->number, frames);
        steno_capture_event(track->capture,
                            json_pack("{s:s, s:i, s:s, s:I, s:I}", "event", "decryptable", "track", (int)track->number,
                                      "participant", decryption->participant, "since",
                                      (json_int_t)steno_clock_mono_to_wall_us(decryption->sealed_since_us), "frames",
                                      (json_int_t)frames));
    }
    decryption->told = FALSE;
}

void session_trouble_end(Decryption *decryption)
{
    for (guint i = 0; i < decryption->n_troubles; i++) {
        if (is_worth_telling(&decryption->troubles[i]))
            tell(decryption, &decryption->troubles[i]);
    }
    forget_all(decryption);
}

/* ---- what happens ------------------------------------------------------------------------------------------------ */

static Trouble *find(Decryption *decryption, StenoContentOutcome cause, const StenoContentOpened *opened)
{
    for (guint i = 0; i < decryption->n_troubles; i++) {
        Trouble *trouble = &decryption->troubles[i];
        if (trouble->cause == cause && trouble->has_kid == opened->has_kid && trouble->kid == opened->kid)
            return trouble;
    }
    return NULL;
}

/* Room for one more: at the ceiling, of that which was not heard of for the longest time, and long enough. */
static Trouble *add(Decryption *decryption, gint64 now_us)
{
    if (decryption->n_troubles < SESSION_TROUBLES_MAX)
        return &decryption->troubles[decryption->n_troubles++];
    Trouble *oldest = decryption->troubles;
    for (guint i = 1; i < decryption->n_troubles; i++) {
        if (decryption->troubles[i].last_us < oldest->last_us)
            oldest = &decryption->troubles[i];
    }
    if (now_us - oldest->last_us < SESSION_UNWANTED_AFTER_US)
        return NULL;
    want(decryption, oldest, FALSE);
    return oldest;
}

static void note_failure(Decryption *decryption, StenoContentOutcome outcome, const StenoContentOpened *opened,
                         gint64 arrival_us)
{
    const Trouble failing = {.kid = opened->kid, .has_kid = opened->has_kid, .cause = outcome, .since_us = arrival_us};
    if (decryption->failing_since_us == 0)
        decryption->failing_since_us = arrival_us;
    decryption->failing_us = arrival_us;
    decryption->failing = failing;
    Trouble *trouble = find(decryption, outcome, opened);
    if (!trouble) {
        trouble = add(decryption, arrival_us);
        if (!trouble)
            return;
        *trouble = failing;
    } else if (trouble->over && !trouble->told) {
        trouble->since_us = arrival_us;
    }
    trouble->over = FALSE;
    trouble->last_us = arrival_us;
    want(decryption, trouble, TRUE);
}

/* Whether the key is missing or wrong is known when it is derived, which is soon. */
static gboolean is_deriving(Decryption *decryption, const StenoContentOpened *opened, gint64 now_us)
{
    if (!opened->deriving)
        decryption->deriving_since_us = 0;
    else if (decryption->deriving_since_us == 0)
        decryption->deriving_since_us = now_us;
    return opened->deriving && now_us - decryption->deriving_since_us < SESSION_DERIVING_MAX_US;
}

void session_trouble_note(Decryption *decryption, StenoContentOutcome outcome, const StenoContentOpened *opened,
                          gint64 arrival_us)
{
    gboolean fails = outcome == STENO_CONTENT_NO_KEY || outcome == STENO_CONTENT_BAD_KEY;
    if (fails || outcome == STENO_CONTENT_OPENED)
        decryption->opens = !fails;
    if (fails && !is_meant(decryption) && !is_deriving(decryption, opened, arrival_us))
        note_failure(decryption, outcome, opened, arrival_us);
    if (outcome != STENO_CONTENT_OPENED)
        return;
    decryption->failing_since_us = 0;
    for (guint i = 0; i < decryption->n_troubles; i++) {
        Trouble *trouble = &decryption->troubles[i];
        if (!trouble->over && trouble->has_kid && trouble->kid == opened->kid) {
            trouble->over = TRUE;
            want(decryption, trouble, FALSE);
        }
    }
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

void session_trouble_tick(Decryption *decryption, gint64 now_us)
{
    const Net *net = decryption->track->peer->net;
    for (guint i = 0; i < decryption->n_troubles; i++) {
        Trouble *trouble = &decryption->troubles[i];
        if (is_worth_telling(trouble) && now_us - trouble->since_us >= SESSION_UNDECRYPTABLE_AFTER_US)
            tell(decryption, trouble);
        if (now_us - trouble->last_us >= SESSION_UNWANTED_AFTER_US)
            want(decryption, trouble, FALSE);
    }
    gint64 limit_us = net->job->fail_on_undecryptable_s * G_USEC_PER_SEC;
    if (limit_us > 0 && !decryption->given_up && decryption->failing_since_us > 0 &&
        decryption->failing_us - decryption->failing_since_us >= limit_us) {
        decryption->given_up = TRUE;
        char text[KID_TEXT_BYTES];
        session_net_tell_undecryptable(decryption->track, decryption->failing.cause,
                                       kid_text(&decryption->failing, text));
    }
}
