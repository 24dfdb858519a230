/*
 * Opening frames of one track: which keys a frame is tried with, in which order, and how far its ratchet is.
 *
 * Each track has its own place on a chain, since tracks of one participant come with different delays. A frame is tried
 * at its track's place first, which costs nothing beyond decryption; when that says no, around it (the window), with
 * the keys that were replaced as well; and now and then, everywhere.
 */
#include "ring.h"

#include "steno/base/secret.h"

#include <string.h>

/* Kids that a track is remembered to have used; a sender that changes its key uses two for a moment. */
#define PLACES 8
/* Steps behind the furthest that are kept, for tracks that lag: minutes of them when live; in assembly, tracks are
 * opened one after the other, each from its beginning. */
#define KEEP_LIVE 64
#define KEEP_ASSEMBLY 16384
/* Frames that fail in a row are looked for in the whole window so often, and then at every so-manieth. */
#define SEARCH_ALWAYS 16
#define SEARCH_SELDOM 32

/* Where a track is, for one kid. */
typedef struct {
    gboolean used;
    guint64 kid;
    guint64 generation;  /* the ring's, when key was found */
    ContentRingKey *key; /* NULL: there is none */
    ContentChain *chain; /* which opened last, of key or one of its older ones; NULL: none yet */
    guint64 step;        /* on that chain */
    guint failures;      /* in a row */
} Place;

struct StenoContentOpener {
    StenoContentRing *ring;
    char *participant;
    Place places[PLACES];
    guint last, oldest; /* the place that was used last, and the one to be taken next */
};

/* A frame being tried. */
typedef struct {
    StenoContentOpener *opener;
    Place *place;
    const ContentFrame *frame;
    guint8 *out;
    gsize bytes;
    gboolean tried;   /* a tag was compared */
    gboolean waiting; /* a step is not derived yet that it may be under */
} Attempt;

StenoContentOpener *steno_content_opener_new(StenoContentRing *ring, const char *participant)
{
    StenoContentOpener *opener = g_new0(StenoContentOpener, 1);
    opener->ring = ring;
    opener->participant = g_strdup(participant);
    return opener;
}

void steno_content_opener_free(StenoContentOpener *opener)
{
    if (!opener)
        return;
    g_free(opener->participant);
    g_free(opener);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

/* Is it (still) one of this kid's? */
static gboolean has_chain(const StenoContentRing *ring, const ContentRingKey *key, const ContentChain *chain,
                          guint64 kid)
{
    for (; key; key = key->older)
        if (g_ptr_array_find(key->chains, chain, NULL))
            return chain->head == content_chain_head(ring->format, chain->settings, kid);
    return FALSE;
}

/* The ring has changed since: the place on a chain stays when that is still there. */
static void renew(StenoContentOpener *opener, Place *place)
{
    place->key = content_ring_find(opener->ring, opener->participant, place->kid);
    place->generation = opener->ring->generation;
    place->failures = 0;
    if (place->chain && !has_chain(opener->ring, place->key, place->chain, place->kid))
        place->chain = NULL;
}

static Place *place_of(StenoContentOpener *opener, guint64 kid)
{
    Place *place = &opener->places[opener->last];
    if (!place->used || place->kid != kid) {
        guint i = 0;
        while (i < PLACES && !(opener->places[i].used && opener->places[i].kid == kid))
            i++;
        if (i == PLACES) {
            i = opener->oldest++ % PLACES;
            opener->places[i] = (Place){.used = TRUE, .kid = kid, .generation = opener->ring->generation - 1};
        }
        opener->last = i;
        place = &opener->places[i];
    }
    if (place->generation != opener->ring->generation)
        renew(opener, place);
    return place;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static guint64 step_of(const Place *place, const ContentChain *chain)
{
    return chain == place->chain ? place->step : chain->last_opened;
}

/* How far forward a frame may be without a search everywhere. */
static guint64 window_end(const Place *place, const ContentChain *chain)
{
    return MAX(step_of(place, chain), chain->last_opened) + chain->window;
}

/* Has the thread derive what may come next. */
static void look_ahead(const StenoContentOpener *opener, const Place *place, ContentChain *chain)
{
    const guint64 end = window_end(place, chain);
    if (chain->window == 0 || !opener->ring->live || chain->requested >= end)
        return;
    chain->requested = end;
    content_deriver_request(opener->ring->deriver, chain, end + 1);
}

static void take_place(Attempt *attempt, ContentChain *chain, guint64 step)
{
    Place *place = attempt->place;
    place->chain = chain;
    place->step = step;
    place->failures = 0;
    chain->opened = TRUE;
    if (step <= chain->last_opened)
        return;
    chain->last_opened = step;
    const guint64 keep = attempt->opener->ring->live ? KEEP_LIVE : KEEP_ASSEMBLY;
    if (step > keep)
        content_chain_forget(chain, step - keep);
}

static gboolean try_step(Attempt *attempt, ContentChain *chain, guint64 step)
{
    const StenoContentRing *ring = attempt->opener->ring;
    while (!ring->live && content_chain_end(chain) <= step && content_chain_extend(chain))
        ;
    ContentCipher *cipher = content_chain_cipher(chain, step);
    if (!cipher) {
        attempt->waiting |= ring->live && step >= content_chain_end(chain) && !atomic_load(&chain->ended);
        return FALSE;
    }
    attempt->tried = TRUE;
    if (ring->format->open(cipher, attempt->frame, attempt->out, &attempt->bytes) != STENO_CONTENT_OPENED)
        return FALSE;
    take_place(attempt, chain, step);
    return TRUE;
}

static guint far_steps(const ContentChain *chain)
{
    const guint far_steps = chain->settings->far_steps ? chain->settings->far_steps : CONTENT_FAR_STEPS;
    return MAX(MIN(far_steps, CONTENT_FAR_STEPS), chain->window);
}

/* The frame says which step modulo so many it is under: the next such one, or else the one before. */
static gboolean try_told(Attempt *attempt, ContentChain *chain)
{
    const guint64 mask = chain->modulus - 1, from = chain->last_opened;
    const guint64 forward = (attempt->frame->kid - (chain->start + from)) & mask;
    const guint reach = chain->window == 0 ? 0 : attempt->opener->ring->live ? chain->window : far_steps(chain);
    if (forward <= reach && try_step(attempt, chain, from + forward))
        return TRUE;
    const guint64 back = chain->modulus - forward;
    return forward != 0 && back <= from && try_step(attempt, chain, from - back);
}

static gboolean try_steps(Attempt *attempt, ContentChain *chain, guint64 first, guint64 last)
{
    for (guint64 step = MAX(first, chain->first_step); step <= last; step++)
        if (try_step(attempt, chain, step))
            return TRUE;
    return FALSE;
}

static gboolean try_window(Attempt *attempt, ContentChain *chain)
{
    const guint64 at = step_of(attempt->place, chain), window = chain->window;
    return try_steps(attempt, chain, at + 1, window_end(attempt->place, chain)) ||
           (at > 0 && window > 0 && try_steps(attempt, chain, at > window ? at - window : 0, at - 1));
}

static gboolean try_everywhere(Attempt *attempt, ContentChain *chain)
{
    const guint64 at = step_of(attempt->place, chain), window = chain->window;
    if (window == 0)
        return FALSE;
    return (at > window && try_steps(attempt, chain, 0, at - window - 1)) ||
           (!attempt->opener->ring->live && try_steps(attempt, chain, window_end(attempt->place, chain) + 1,
                                                      MAX(at, chain->last_opened) + far_steps(chain)));
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static gboolean try_place(Attempt *attempt, ContentChain *chain)
{
    return try_step(attempt, chain, step_of(attempt->place, chain));
}

/* With the key and those that it replaced. */
static gboolean try_keys(Attempt *attempt, gboolean (*how)(Attempt *, ContentChain *), const ContentChain *except)
{
    for (ContentRingKey *key = attempt->place->key; key; key = key->older) {
        ContentChain *chain = content_ring_chain(attempt->opener->ring, key, attempt->frame->kid);
        if (chain == except)
            continue;
        content_chain_collect(chain);
        look_ahead(attempt->opener, attempt->place, chain);
        if (chain->modulus > 1 ? how == try_place && try_told(attempt, chain) : how(attempt, chain))
            return TRUE;
    }
    return FALSE;
}

/* Searching costs a decryption a step: not for every frame, when no search has helped. */
static gboolean search(Attempt *attempt)
{
    const guint failures = attempt->place->failures++;
    const gboolean is_power = (failures & (failures - 1)) == 0;
    if ((failures < SEARCH_ALWAYS || is_power || failures % SEARCH_SELDOM == 0) && try_keys(attempt, try_window, NULL))
        return TRUE;
    if (is_power && try_keys(attempt, try_everywhere, NULL))
        return TRUE;
    if (attempt->waiting)
        attempt->place->failures = failures; /* it was no search yet */
    return FALSE;
}

static gboolean open_frame(Attempt *attempt)
{
    ContentChain *chain = attempt->place->chain;
    if (chain && chain->modulus <= 1) {
        content_chain_collect(chain);
        look_ahead(attempt->opener, attempt->place, chain);
        if (try_place(attempt, chain))
            return TRUE;
    }
    return try_keys(attempt, try_place, chain && chain->modulus <= 1 ? chain : NULL) || search(attempt);
}

StenoContentOutcome steno_content_open(StenoContentOpener *opener, StenoCodec codec, const guint8 *data, gsize bytes,
                                       guint8 *out, StenoContentOpened *opened)
{
    const StenoContentRing *ring = opener->ring;
    ContentFrame frame = {.codec = codec,
                          .data = data,
                          .bytes = bytes,
                          .sif_trailer = ring->sif_trailer,
                          .sif_trailer_bytes = ring->sif_trailer_bytes};
    *opened = (StenoContentOpened){0};
    if (bytes > G_MAXINT)
        return STENO_CONTENT_BAD_KEY;
    const StenoContentOutcome outcome = ring->format->look(&frame);
    if (outcome == STENO_CONTENT_CLEAR) {
        if (bytes > 0)
            memcpy(out, data, bytes);
        opened->bytes = bytes;
    }
    if (outcome != STENO_CONTENT_OPENED)
        return outcome;
    opened->kid = frame.kid;
    opened->has_kid = TRUE;
    Attempt attempt = {.opener = opener, .place = place_of(opener, frame.kid), .frame = &frame, .out = out};
    if (!attempt.place->key)
        return STENO_CONTENT_NO_KEY;
    if (open_frame(&attempt)) {
        opened->bytes = attempt.bytes;
        return STENO_CONTENT_OPENED;
    }
    opened->deriving = attempt.waiting;
    return attempt.tried && !attempt.waiting ? STENO_CONTENT_BAD_KEY : STENO_CONTENT_NO_KEY;
}
