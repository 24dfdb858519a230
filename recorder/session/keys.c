/*
 * Content keys on the main thread: their source is asked for what tracks wait for, and what it has goes to the network
 * thread. Tracks of one participant may wait for the same key: it is asked for once.
 */
#include "session_internal.h"

#include "steno/base/error.h"

typedef struct {
    char *participant;
    guint64 kid;
    guint waiting; /* tracks */
} Want;

static guint want_hash(gconstpointer data)
{
    const Want *want = data;
    return g_str_hash(want->participant) ^ g_int64_hash(&want->kid);
}

static gboolean want_equal(gconstpointer a, gconstpointer b)
{
    const Want *one = a, *other = b;
    return one->kid == other->kid && g_str_equal(one->participant, other->participant);
}

static void want_free(gpointer data)
{
    Want *want = data;
    g_free(want->participant);
    g_free(want);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void on_keys(gpointer user, StenoContentKeys *keys)
{
    StenoSession *session = user;
    g_clear_error(&session->key_trouble);
    steno_info(session->log, "content keys came: %u", steno_content_keys_count(keys));
    session_net_add_keys(session->net, keys);
}

/* It is tried again and again: each reason is told once. */
static void on_trouble(gpointer user, const GError *error)
{
    StenoSession *session = user;
    if (!session->key_trouble || g_strcmp0(session->key_trouble->message, error->message) != 0)
        steno_warning(session->log, "content keys could not be had: %s", error->message);
    g_clear_error(&session->key_trouble);
    session->key_trouble = g_error_copy(error);
}

static const StenoContentSourceEvents source_events = {.keys = on_keys, .trouble = on_trouble};

gboolean session_keys_open(StenoSession *session, GError **error)
{
    GError *fault = NULL;
    session->wants = g_hash_table_new_full(want_hash, want_equal, want_free, NULL);
    session->keys =
        steno_content_source_new(session->job, session->keys_fd, session->log, &source_events, session, &fault);
    if (!fault)
        return TRUE;
    g_propagate_error(error, fault);
    return FALSE;
}

void session_keys_close(StenoSession *session)
{
    g_clear_pointer(&session->keys, steno_content_source_free);
    g_clear_pointer(&session->wants, g_hash_table_unref);
    g_clear_error(&session->key_trouble);
}

/* ---- tracks ------------------------------------------------------------------------------------------------------ */

void session_keys_want(StenoSession *session, const char *participant, guint64 kid, gboolean wanted)
{
    const Want key = {.participant = (char *)participant, .kid = kid};
    if (!session->keys)
        return;
    Want *want = g_hash_table_lookup(session->wants, &key);
    if (wanted && !want) {
        want = g_new(Want, 1);
        *want = (Want){g_strdup(participant), kid, 0};
        g_hash_table_add(session->wants, want);
        steno_content_source_want(session->keys, participant, kid);
    }
    if (wanted) {
        want->waiting++;
    } else if (want && --want->waiting == 0) {
        g_hash_table_remove(session->wants, &key);
        steno_content_source_unwant(session->keys, participant, kid);
    }
}

void session_keys_give_up(StenoSession *session, guint32 number, StenoContentOutcome cause, const char *kid)
{
    const Track *track = session_track_find(session, number);
    g_autoptr(GError) error = NULL;
    if (!track)
        return;
    gboolean missing = cause == STENO_CONTENT_NO_KEY;
    g_set_error(&error, STENO_ERROR, missing ? STENO_ERROR_NO_KEY : STENO_ERROR_BAD_KEY,
                "track %u of participant '%s' could not be decrypted for %" G_GINT64_FORMAT
                " s: %s (%s, key id %s)%s%s",
                number, track->participant, session->job->fail_on_undecryptable_s,
                missing ? "its key is missing" : "it is under none of the keys given", session->job->content,
                kid ? kid : "unknown", session->key_trouble ? "; keys could not be had: " : "",
                session->key_trouble ? session->key_trouble->message : "");
    session_end(session, "undecryptable", error);
}
