#include "source_desk.h"

#include "steno/base/error.h"

#include <openssl/evp.h>
#include <string.h>

#define BACKOFF_FIRST_S 1
#define BACKOFF_MAX_S 10
/* Frames stay sealed meanwhile: a server is not believed when it sends us away for longer. */
#define WAIT_MAX_S 60
#define WANTS_MAX STENO_CONTENT_KEYS_MAX
#define DIGEST_BYTES 32

/* What is asked, again and again: the whole (participant NULL), or one key. */
typedef struct {
    SourceDesk *desk;
    char *participant;
    guint64 kid;
    gboolean asking;    /* it lies with the kind */
    gboolean again;     /* there was a reason to ask anew while it lay there */
    gboolean settled;   /* see source_desk_is_settled() */
    gboolean resting;   /* after a final answer */
    gboolean forgotten; /* nobody wants it any more: to be freed with its answer */
    guint backoff_s;
    gint64 asked_mono_us;
    GSource *timer;
    gboolean has_digest;
    guint8 digest[DIGEST_BYTES]; /* of the last text */
    gboolean bad;                /* which was no key set */
    char *trouble;               /* what was told last; NULL: all is well */
} Ask;

struct SourceDesk {
    const SourceKind *kind;
    const SourceSettings *settings;
    GMainContext *context;
    const SourceDeskEvents *events;
    gpointer user;
    gpointer opened;
    Ask *whole;
    GHashTable *wants; /* "participant\nkid" → Ask; NULL when the kind cannot be asked by key */
    GQueue waiting;    /* of Ask: due, but there are too many questions under way */
    GQueue under_way;  /* of Ask: with the kind */
    gboolean pumping;
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void stop_timer(Ask *ask)
{
    if (!ask->timer)
        return;
    g_source_destroy(ask->timer);
    g_clear_pointer(&ask->timer, g_source_unref);
}

static Ask *ask_new(SourceDesk *desk, const char *participant, guint64 kid)
{
    Ask *ask = g_new0(Ask, 1);
    ask->desk = desk;
    ask->participant = g_strdup(participant);
    ask->kid = kid;
    ask->backoff_s = BACKOFF_FIRST_S;
    return ask;
}

static void ask_free(Ask *ask)
{
    stop_timer(ask);
    g_queue_remove(&ask->desk->waiting, ask);
    steno_secret_wipe(ask->digest, sizeof ask->digest);
    g_free(ask->participant);
    g_free(ask->trouble);
    g_free(ask);
}

/* Out of the table of wants. What is under way is freed when its answer comes. */
static void ask_let_go(gpointer data)
{
    Ask *ask = data;
    if (ask->asking) {
        stop_timer(ask);
        ask->forgotten = TRUE;
    } else {
        ask_free(ask);
    }
}

static void on_answer(gpointer user, const SourceAnswer *answer);

/* A kind may answer before it returns: a loop, so that a thousand such answers do not lie on the stack. */
static void pump(SourceDesk *desk)
{
    if (desk->pumping)
        return;
    desk->pumping = TRUE;
    while (desk->under_way.length < desk->kind->parallel && !g_queue_is_empty(&desk->waiting)) {
        Ask *ask = g_queue_pop_head(&desk->waiting);
        const SourceQuestion question = {ask->participant, ask->kid};
        ask->asking = TRUE;
        ask->asked_mono_us = g_get_monotonic_time();
        g_queue_push_tail(&desk->under_way, ask);
        desk->kind->ask(desk->opened, &question, on_answer, ask);
    }
    desk->pumping = FALSE;
}

static gboolean on_due(gpointer user)
{
    Ask *ask = user;
    stop_timer(ask);
    g_queue_push_tail(&ask->desk->waiting, ask);
    pump(ask->desk);
    return G_SOURCE_REMOVE;
}

static void ask_in(Ask *ask, gint64 delay_us)
{
    if (ask->asking || g_queue_find(&ask->desk->waiting, ask))
        return;
    stop_timer(ask);
    ask->timer = g_timeout_source_new(0);
    g_source_set_ready_time(ask->timer, g_get_monotonic_time() + MAX(delay_us, 0));
    g_source_set_callback(ask->timer, on_due, ask, NULL);
    g_source_attach(ask->timer, ask->desk->context);
}

static gboolean is_wanted(const Ask *ask)
{
    return ask->participant || (!ask->desk->kind->by_key && g_hash_table_size(ask->desk->wants) > 0);
}

/* After an answer. */
static void plan(Ask *ask, const SourceAnswer *answer)
{
    ask->resting = answer->outcome == SOURCE_TROUBLE && answer->final;
    if (ask->again) {
        ask->again = FALSE;
        ask->resting = FALSE;
        ask_in(ask, 0);
    } else if (ask->resting) {
        return;
    } else if (is_wanted(ask) || answer->outcome == SOURCE_TROUBLE) {
        ask_in(ask, (gint64)MAX(ask->backoff_s, MIN(answer->wait_s, WAIT_MAX_S)) * G_USEC_PER_SEC);
        ask->backoff_s = MIN(ask->backoff_s * 2, BACKOFF_MAX_S);
    } else if (ask->desk->kind->poll_s) {
        ask_in(ask, (gint64)ask->desk->kind->poll_s * G_USEC_PER_SEC);
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

typedef gboolean (*SameAs)(const Ask *ask, gconstpointer what);

/* Is there one, but for `except`, of which it is true? */
static gboolean any_other(const SourceDesk *desk, const Ask *except, SameAs same, gconstpointer what)
{
    if (desk->whole != except && same(desk->whole, what))
        return TRUE;
    GHashTableIter iter;
    gpointer ask;
    g_hash_table_iter_init(&iter, desk->wants);
    while (g_hash_table_iter_next(&iter, NULL, &ask)) {
        if (ask && ask != except && same(ask, what))
            return TRUE;
    }
    return FALSE;
}

static gboolean same_trouble(const Ask *ask, gconstpointer words)
{
    return ask->trouble && strcmp(ask->trouble, words) == 0;
}

static gboolean same_good_text(const Ask *ask, gconstpointer digest)
{
    return ask->has_digest && !ask->bad && memcmp(ask->digest, digest, DIGEST_BYTES) == 0;
}

static void tell_trouble(Ask *ask, const GError *error)
{
    if (same_trouble(ask, error->message))
        return;
    g_free(ask->trouble);
    ask->trouble = g_strdup(error->message);
    if (!any_other(ask->desk, ask, same_trouble, error->message))
        ask->desk->events->trouble(ask->desk->user, error);
}

static void take_text(Ask *ask, StenoSecret *text)
{
    SourceDesk *desk = ask->desk;
    guint8 digest[DIGEST_BYTES] = {0};
    gboolean known = ask->has_digest;
    ask->has_digest =
        EVP_Digest(steno_secret_data(text), steno_secret_bytes(text), digest, NULL, EVP_sha256(), NULL) == 1;
    gboolean same = known && ask->has_digest && memcmp(digest, ask->digest, DIGEST_BYTES) == 0;
    memcpy(ask->digest, digest, DIGEST_BYTES);
    if (same) {
        if (!ask->bad)
            g_clear_pointer(&ask->trouble, g_free);
    } else if (ask->has_digest && any_other(desk, ask, same_good_text, digest)) {
        ask->bad = FALSE;
        g_clear_pointer(&ask->trouble, g_free);
    } else {
        g_autoptr(GError) error = NULL;
        g_autofree char *where = g_strdup_printf("the key source '%s'", desk->kind->name);
        g_autoptr(StenoContentKeys) keys = steno_content_keys_parse(desk->settings->format, steno_secret_text(text),
                                                                    steno_secret_bytes(text), where, &error);
        ask->backoff_s = BACKOFF_FIRST_S;
        ask->bad = !keys;
        if (keys) {
            g_clear_pointer(&ask->trouble, g_free);
            desk->events->found(desk->user, text, keys);
        } else {
            tell_trouble(ask, error);
        }
    }
    steno_secret_wipe(digest, sizeof digest);
}

static void on_answer(gpointer user, const SourceAnswer *answer)
{
    Ask *ask = user;
    SourceDesk *desk = ask->desk;
    g_queue_remove(&desk->under_way, ask);
    ask->asking = FALSE;
    ask->settled = answer->outcome != SOURCE_TROUBLE || answer->final;
    if (answer->outcome == SOURCE_FOUND)
        take_text(ask, answer->text);
    else if (answer->outcome == SOURCE_TROUBLE)
        tell_trouble(ask, answer->error);
    else if (answer->outcome == SOURCE_ABSENT || !ask->bad)
        g_clear_pointer(&ask->trouble, g_free);
    if (ask->forgotten)
        ask_free(ask);
    else
        plan(ask, answer);
    pump(desk);
}

static gboolean on_changed(gpointer user)
{
    SourceDesk *desk = user;
    desk->whole->resting = FALSE;
    if (desk->whole->asking)
        desk->whole->again = TRUE;
    else
        ask_in(desk->whole, 0);
    return G_SOURCE_CONTINUE;
}

/* ---- wants ------------------------------------------------------------------------------------------------------- */

static char *key_of(const char *participant, guint64 kid)
{
    return g_strdup_printf("%s\n%" G_GUINT64_FORMAT, participant, kid);
}

gboolean source_desk_want(SourceDesk *desk, const char *participant, guint64 kid)
{
    g_autofree char *key = key_of(participant, kid);
    if (g_hash_table_contains(desk->wants, key))
        return TRUE;
    if (g_hash_table_size(desk->wants) >= WANTS_MAX)
        return FALSE;
    Ask *ask = desk->kind->by_key ? ask_new(desk, participant, kid) : NULL;
    g_hash_table_insert(desk->wants, g_steal_pointer(&key), ask);
    if (ask) {
        ask_in(ask, 0);
    } else if (!desk->whole->resting) {
        /* Somebody who makes up kids does not make us ask more than once a second. */
        desk->whole->backoff_s = BACKOFF_FIRST_S;
        ask_in(desk->whole, desk->whole->asked_mono_us + BACKOFF_FIRST_S * G_USEC_PER_SEC - g_get_monotonic_time());
    }
    return TRUE;
}

void source_desk_unwant(SourceDesk *desk, const char *participant, guint64 kid)
{
    g_autofree char *key = key_of(participant, kid);
    g_hash_table_remove(desk->wants, key);
}

gboolean source_desk_is_settled(const SourceDesk *desk)
{
    GHashTableIter iter;
    gpointer ask;
    g_hash_table_iter_init(&iter, desk->wants);
    while (g_hash_table_iter_next(&iter, NULL, &ask)) {
        if (ask && !((const Ask *)ask)->settled)
            return FALSE;
    }
    return desk->whole->settled;
}

/* ---- the desk ---------------------------------------------------------------------------------------------------- */

static void let_go_of_value(gpointer ask)
{
    if (ask)
        ask_let_go(ask);
}

SourceDesk *source_desk_new(const SourceKind *kind, const SourceSettings *settings, GMainContext *context,
                            const SourceDeskEvents *events, gpointer user)
{
    SourceDesk *desk = g_new0(SourceDesk, 1);
    desk->kind = kind;
    desk->settings = settings;
    desk->context = g_main_context_ref(context);
    desk->events = events;
    desk->user = user;
    desk->whole = ask_new(desk, NULL, 0);
    desk->wants = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, let_go_of_value);
    desk->opened = kind->open(settings, context, on_changed, desk);
    ask_in(desk->whole, 0);
    return desk;
}

void source_desk_free(SourceDesk *desk)
{
    if (!desk)
        return;
    desk->kind->close(desk->opened);
    Ask *ask;
    while ((ask = g_queue_pop_head(&desk->under_way))) {
        ask->asking = FALSE; /* it is never answered now */
        if (ask->forgotten)
            ask_free(ask);
    }
    g_hash_table_unref(desk->wants);
    ask_free(desk->whole);
    g_queue_clear(&desk->waiting);
    g_main_context_unref(desk->context);
    g_free(desk);
}
