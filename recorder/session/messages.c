/* What the network thread tells the main thread: messages, in their order. */
#include "session_internal.h"

typedef enum {
    TELL_GATHERED,
    TELL_CONNECTED,
    TELL_FAILED,
    TELL_FLOW,
    TELL_CHANGED_OVER,
    TELL_KEY_WANTED,
    TELL_UNDECRYPTABLE,
    TELL_REFUSED
} TellKind;

typedef struct {
    Net *net;
    TellKind kind;
    guint32 number; /* of the peer or of the track */
    StenoTransportLocal *local;
    GError *error;
    char *srtp_profile, *dtls_cipher;
    gboolean flowing;
    gint64 wall_us;
    char *participant, *kid_text;
    guint64 kid;
    gboolean wanted;
    StenoContentOutcome cause;
} Tell;

static void tell_free(gpointer data)
{
    Tell *words = data;
    steno_transport_local_free(words->local);
    g_clear_error(&words->error);
    g_free(words->srtp_profile);
    g_free(words->dtls_cipher);
    g_free(words->participant);
    g_free(words->kid_text);
    session_net_unref(words->net);
    g_free(words);
}

static gboolean on_told(gpointer data)
{
    Tell *words = data;
    const NetEvents *events = words->net->events;
    gpointer user = words->net->user;
    if (!events) /* the session has let go of us */
        return G_SOURCE_REMOVE;
    switch (words->kind) {
    case TELL_GATHERED:
        events->gathered(user, words->number, g_steal_pointer(&words->local));
        break;
    case TELL_CONNECTED:
        events->peer_connected(user, words->number, words->srtp_profile, words->dtls_cipher);
        break;
    case TELL_FAILED:
        events->peer_failed(user, words->number, words->error);
        break;
    case TELL_FLOW:
        events->track_flow(user, words->number, words->flowing, words->wall_us);
        break;
    case TELL_CHANGED_OVER:
        events->changed_over(user);
        break;
    case TELL_KEY_WANTED:
        events->key_wanted(user, words->participant, words->kid, words->wanted);
        break;
    case TELL_UNDECRYPTABLE:
        events->undecryptable(user, words->number, words->cause, words->kid_text);
        break;
    case TELL_REFUSED:
        events->track_refused(user, words->number, words->error);
        break;
    }
    return G_SOURCE_REMOVE;
}

void session_net_post(GMainContext *context, GSourceFunc function, gpointer data, GDestroyNotify destroy)
{
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, function, data, destroy);
    g_source_attach(source, context);
}

static void tell(Net *net, Tell words)
{
    Tell *copy = g_new(Tell, 1);
    *copy = words;
    copy->net = net;
    g_atomic_ref_count_inc(&net->references);
    session_net_post(NULL, on_told, copy, tell_free);
}

static StenoTransportLocal *copy_local(const StenoTransportLocal *local)
{
    StenoTransportLocal *copy = g_new0(StenoTransportLocal, 1);
    copy->ufrag = g_strdup(local->ufrag);
    copy->password = g_strdup(local->password);
    copy->fingerprint = g_strdup(local->fingerprint);
    copy->setup = local->setup;
    copy->candidates = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < local->candidates->len; i++)
        g_ptr_array_add(copy->candidates, g_strdup(local->candidates->pdata[i]));
    return copy;
}

void session_net_tell_gathered(NetPeer *peer, const StenoTransportLocal *local)
{
    /* Kept for the answers to renegotiations that leave the transport as it is. */
    if (local != peer->local) {
        steno_transport_local_free(peer->local);
        peer->local = copy_local(local);
    }
    tell(peer->net, (Tell){.kind = TELL_GATHERED, .number = peer->number, .local = copy_local(local)});
}

void session_net_tell_connected(NetPeer *peer)
{
    const StenoTransportStats *stats = steno_transport_stats(peer->transport);
    tell(peer->net, (Tell){.kind = TELL_CONNECTED,
                           .number = peer->number,
                           .srtp_profile = g_strdup(stats->srtp_profile),
                           .dtls_cipher = g_strdup(stats->dtls_cipher)});
}

void session_net_tell_failed(NetPeer *peer, const GError *error)
{
    tell(peer->net, (Tell){.kind = TELL_FAILED, .number = peer->number, .error = error ? g_error_copy(error) : NULL});
}

void session_net_tell_flow(NetPeer *peer, guint32 track, gboolean flowing, gint64 wall_us)
{
    tell(peer->net, (Tell){.kind = TELL_FLOW, .number = track, .flowing = flowing, .wall_us = wall_us});
}

void session_net_tell_changed_over(Net *net)
{
    tell(net, (Tell){.kind = TELL_CHANGED_OVER});
}

void session_net_tell_key_wanted(Net *net, const char *participant, guint64 kid, gboolean wanted)
{
    tell(net, (Tell){.kind = TELL_KEY_WANTED, .participant = g_strdup(participant), .kid = kid, .wanted = wanted});
}

void session_net_tell_undecryptable(const NetTrack *track, StenoContentOutcome cause, const char *kid)
{
    tell(track->peer->net,
         (Tell){.kind = TELL_UNDECRYPTABLE, .number = track->number, .cause = cause, .kid_text = g_strdup(kid)});
}

void session_net_tell_refused(const NetTrack *track, const GError *error)
{
    tell(track->peer->net, (Tell){.kind = TELL_REFUSED, .number = track->number, .error = g_error_copy(error)});
}
