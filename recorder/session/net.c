/* The network thread: its loop, its tick, its peers, and what the main thread asks of it. */
#include "session_internal.h"

#include "steno/base/clock.h"

#include <string.h>

/* ---- the tick ---------------------------------------------------------------------------------------------------- */

static gboolean on_tick(gpointer data);

/* Fast while something may still be resent or a connection is being made, calm else. */
static guint wanted_tick_ms(Net *net, gint64 now_us)
{
    GHashTableIter iter;
    NetPeer *peer;
    if (now_us - net->last_loss_us < SESSION_BUSY_AFTER_LOSS_US)
        return SESSION_TICK_BUSY_MS;
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer)) {
        if (!peer->connected)
            return SESSION_TICK_BUSY_MS;
    }
    return SESSION_TICK_CALM_MS;
}

static void each_peer(Net *net, void (*work)(NetPeer *peer, gint64 now_us), gint64 now_us)
{
    GHashTableIter iter;
    NetPeer *peer;
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer))
        work(peer, now_us);
}

static void tell_stats(NetPeer *peer, gint64 now_us)
{
    (void)now_us;
    session_stats_tell(peer);
}

static void publish_totals(Net *net)
{
    g_mutex_lock(&net->totals_lock);
    net->totals = net->ticking;
    g_mutex_unlock(&net->totals_lock);
}

static gboolean on_tick(gpointer data)
{
    Net *net = data;
    gint64 now_us = steno_clock_mono_us();
    each_peer(net, session_wiring_drain, now_us);
    each_peer(net, session_wiring_tick, now_us);
    session_changeover_tick(net, now_us);
    if (now_us - net->last_flow_check_us >= SESSION_MUTED_AFTER_US / 4) {
        net->last_flow_check_us = now_us;
        each_peer(net, session_wiring_check_flow, now_us);
    }
    if (now_us - net->last_stats_us >= SESSION_STATS_EVERY_S * G_USEC_PER_SEC) {
        net->last_stats_us = now_us;
        each_peer(net, tell_stats, now_us);
    }
    publish_totals(net);
    g_source_set_ready_time(net->tick, now_us + (gint64)wanted_tick_ms(net, now_us) * 1000);
    return G_SOURCE_CONTINUE;
}

static gboolean tick_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)source;
    return callback(data);
}

static GSourceFuncs tick_functions = {.dispatch = tick_dispatch};

/* ---- peers, on the network thread -------------------------------------------------------------------------------- */

static void peer_free(gpointer data)
{
    NetPeer *peer = data;
    session_wiring_close(peer);
    steno_transport_free(peer->transport);
    steno_rtp_free(peer->rtp);
    g_ptr_array_unref(peer->tracks);
    steno_transport_local_free(peer->local);
    session_plan_free(peer->plan);
    g_free(peer);
}

static gboolean set_remote(NetPeer *peer, const PeerPlan *plan, GError **error)
{
    const StenoTransportRemote remote = {
        .ufrag = plan->ufrag,
        .password = plan->password,
        .fingerprints = (const char *const *)plan->fingerprints,
        .setup = plan->setup,
        .ice_lite = plan->ice_lite,
        .candidates = (const char *const *)plan->candidates,
        .end_of_candidates = plan->end_of_candidates,
    };
    return steno_transport_set_remote(peer->transport, &remote, error);
}

static gboolean open_peer(Net *net, PeerPlan *plan, GError **error)
{
    NetPeer *peer = g_new0(NetPeer, 1);
    peer->net = net;
    peer->number = plan->peer;
    peer->tracks = g_ptr_array_new_with_free_func(session_wiring_track_free);
    g_hash_table_insert(net->peers, GUINT_TO_POINTER(peer->number), peer);
    peer->plan = plan;
    if (!session_wiring_open(peer, plan, error))
        return FALSE;
    session_wiring_set_tracks(peer, plan);
    return plan->plain || set_remote(peer, plan, error);
}

/* The same credentials: only streams have changed, and the last answer's transport stands. */
static gboolean renegotiate_peer(NetPeer *peer, PeerPlan *plan, GError **error)
{
    gboolean restart = g_strcmp0(peer->plan->ufrag, plan->ufrag) != 0;
    session_wiring_set_tracks(peer, plan);
    session_plan_free(peer->plan);
    peer->plan = plan;
    if (restart && !steno_transport_restart(peer->transport, error))
        return FALSE;
    if (!set_remote(peer, plan, error))
        return FALSE;
    if (!restart && peer->local)
        session_net_tell_gathered(peer, peer->local);
    return TRUE;
}

typedef struct {
    Net *net;
    PeerPlan *plan;
} Apply;

static gboolean apply_now(gpointer data)
{
    Apply *apply = data;
    Net *net = apply->net;
    g_autoptr(GError) error = NULL;
    guint32 number = apply->plan->peer;
    NetPeer *peer = g_hash_table_lookup(net->peers, GUINT_TO_POINTER(number));
    gboolean done = peer ? renegotiate_peer(peer, apply->plan, &error) : open_peer(net, apply->plan, &error);
    if (!done)
        session_net_tell_failed(g_hash_table_lookup(net->peers, GUINT_TO_POINTER(number)), error);
    /* Packets of a new peer are not left waiting for a calm tick. */
    g_source_set_ready_time(net->tick, 0);
    return G_SOURCE_REMOVE;
}

void session_net_apply(Net *net, PeerPlan *plan)
{
    Apply *apply = g_new(Apply, 1);
    *apply = (Apply){net, plan};
    session_net_post(net->context, apply_now, apply, g_free);
}

typedef struct {
    Net *net;
    StenoContentKeys *keys;
} AddKeys;

static gboolean add_keys_now(gpointer data)
{
    AddKeys *add = data;
    if (add->net->ring)
        steno_content_ring_add(add->net->ring, add->keys);
    return G_SOURCE_REMOVE;
}

static void add_keys_free(gpointer data)
{
    AddKeys *add = data;
    steno_content_keys_unref(add->keys);
    g_free(add);
}

void session_net_add_keys(Net *net, StenoContentKeys *keys)
{
    AddKeys *add = g_new(AddKeys, 1);
    *add = (AddKeys){net, steno_content_keys_ref(keys)};
    session_net_post(net->context, add_keys_now, add, add_keys_free);
}

/* ---- calls that wait --------------------------------------------------------------------------------------------- */

typedef struct {
    Net *net;
    void (*work)(Net *net, gpointer argument);
    gpointer argument;
    GMutex lock;
    GCond done_condition;
    gboolean done;
} Call;

static gboolean call_now(gpointer data)
{
    Call *call = data;
    call->work(call->net, call->argument);
    g_mutex_lock(&call->lock);
    call->done = TRUE;
    g_cond_signal(&call->done_condition);
    g_mutex_unlock(&call->lock);
    return G_SOURCE_REMOVE;
}

/* Runs work on the network thread and waits for it. */
static void call_and_wait(Net *net, void (*work)(Net *net, gpointer argument), gpointer argument)
{
    Call call = {.net = net, .work = work, .argument = argument};
    g_mutex_init(&call.lock);
    g_cond_init(&call.done_condition);
    session_net_post(net->context, call_now, &call, NULL);
    g_mutex_lock(&call.lock);
    while (!call.done)
        g_cond_wait(&call.done_condition, &call.lock);
    g_mutex_unlock(&call.lock);
    g_mutex_clear(&call.lock);
    g_cond_clear(&call.done_condition);
}

static void take_capture(Net *net, gpointer argument)
{
    net->capture = argument;
    net->rotation.running = FALSE;
}

void session_net_set_capture(Net *net, StenoCapture *capture)
{
    call_and_wait(net, take_capture, capture);
}

typedef struct {
    StenoCapture *capture;
    gint64 seam_wall_us, give_up_wall_us;
    gboolean done;
} Rotate;

static void rotate_now(Net *net, gpointer argument)
{
    const Rotate *rotate = argument;
    session_changeover_begin(net, rotate->capture, rotate->seam_wall_us, rotate->give_up_wall_us);
}

void session_net_rotate(Net *net, StenoCapture *next, gint64 seam_wall_us, gint64 give_up_wall_us)
{
    Rotate rotate = {next, seam_wall_us, give_up_wall_us, FALSE};
    call_and_wait(net, rotate_now, &rotate);
}

static void unrotate_now(Net *net, gpointer argument)
{
    Rotate *rotate = argument;
    rotate->done = session_changeover_cancel(net, rotate->capture);
}

gboolean session_net_unrotate(Net *net, StenoCapture *old)
{
    Rotate rotate = {.capture = old};
    call_and_wait(net, unrotate_now, &rotate);
    return rotate.done;
}

static void close_peer(Net *net, gpointer argument)
{
    g_hash_table_remove(net->peers, argument);
}

void session_net_close_peer(Net *net, guint32 peer)
{
    call_and_wait(net, close_peer, GUINT_TO_POINTER(peer));
}

static void close_all(Net *net, gpointer argument)
{
    (void)argument;
    g_hash_table_remove_all(net->peers);
    publish_totals(net);
}

void session_net_close_all(Net *net)
{
    call_and_wait(net, close_all, NULL);
}

typedef struct {
    guint32 track;
    gboolean dropped;
} Drop;

static void break_or_begin(NetTrack *track, gboolean dropped)
{
    if (dropped) {
        session_wiring_break(track);
        session_changeover_break(track);
    } else {
        session_wiring_want_keyframe(track);
    }
}

static void drop_now(Net *net, gpointer argument)
{
    const Drop *drop = argument;
    GHashTableIter iter;
    NetPeer *peer;
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer)) {
        for (guint i = 0; i < peer->tracks->len; i++) {
            NetTrack *track = peer->tracks->pdata[i];
            if (track->number != drop->track)
                continue;
            session_wiring_empty(peer, steno_clock_mono_us());
            track->dropped = drop->dropped;
            break_or_begin(track, drop->dropped);
        }
    }
}

void session_net_drop(Net *net, guint32 track, gboolean dropped)
{
    Drop drop = {track, dropped};
    call_and_wait(net, drop_now, &drop);
}

typedef struct {
    gboolean paused;
    gint64 wall_us;
} Pause;

static void pause_now(Net *net, gpointer argument)
{
    Pause *pause = argument;
    GHashTableIter iter;
    NetPeer *peer;
    gint64 now_us = steno_clock_mono_us();
    each_peer(net, session_wiring_empty, now_us);
    net->paused = pause->paused;
    pause->wall_us = steno_clock_mono_to_wall_us(now_us);
    g_hash_table_iter_init(&iter, net->peers);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&peer)) {
        for (guint i = 0; i < peer->tracks->len; i++)
            break_or_begin(peer->tracks->pdata[i], pause->paused);
    }
    g_source_set_ready_time(net->tick, 0);
}

gint64 session_net_pause(Net *net, gboolean paused)
{
    Pause pause = {.paused = paused};
    call_and_wait(net, pause_now, &pause);
    return pause.wall_us;
}

void session_net_totals(const Net *net, NetTotals *totals)
{
    g_mutex_lock((GMutex *)&net->totals_lock);
    *totals = net->totals;
    g_mutex_unlock((GMutex *)&net->totals_lock);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static gpointer net_main(gpointer data)
{
    Net *net = data;
    /* While the main thread signals: the first handshake does not wait for it. */
    steno_transport_prepare();
    g_main_context_push_thread_default(net->context);
    g_main_loop_run(net->loop);
    g_main_context_pop_thread_default(net->context);
    return NULL;
}

void session_net_open_content(Net *net)
{
    net->content = steno_content_format(net->job->content);
    if (!net->content)
        return;
    const StenoContentRingConfig config = {.format = net->content, .live = TRUE, .log = net->log};
    net->keys_later = g_strcmp0(net->job->content_keys, "later") == 0;
    net->ring = steno_content_ring_new(&config);
    net->opened = steno_packet_new(net->packets);
}

void session_net_close_content(Net *net)
{
    steno_content_ring_free(net->ring);
    steno_packet_free(net->opened);
}

Net *session_net_new(const StenoJobSpec *job, StenoGeofence *geofence, const StenoLog *log, const NetEvents *events,
                     gpointer user)
{
    Net *net = g_new0(Net, 1);
    g_atomic_ref_count_init(&net->references);
    net->job = job;
    net->geofence = geofence;
    net->log = log;
    net->events = events;
    net->user = user;
    net->paused = job->paused;
    g_mutex_init(&net->totals_lock);
    net->context = g_main_context_new();
    net->loop = g_main_loop_new(net->context, FALSE);
    net->packets = steno_packet_pool_new(SESSION_PACKETS_MAX);
    net->frames = steno_frame_pool_new(SESSION_FRAMES_MAX_BYTES);
    net->peers = g_hash_table_new_full(NULL, NULL, NULL, peer_free);
    session_net_open_content(net);
    net->last_loss_us = -SESSION_BUSY_AFTER_LOSS_US;
    net->tick = g_source_new(&tick_functions, sizeof(GSource));
    g_source_set_callback(net->tick, on_tick, net, NULL);
    g_source_set_ready_time(net->tick, 0);
    g_source_attach(net->tick, net->context);
    net->thread = g_thread_new("net", net_main, net);
    return net;
}

static void stop_thread(Net *net, gpointer argument)
{
    close_all(net, argument);
    g_main_loop_quit(net->loop);
}

void session_net_unref(Net *net)
{
    if (!g_atomic_ref_count_dec(&net->references))
        return;
    g_mutex_clear(&net->totals_lock);
    g_free(net);
}

void session_net_free(Net *net)
{
    if (!net)
        return;
    net->events = NULL;
    call_and_wait(net, stop_thread, NULL);
    g_thread_join(net->thread);
    g_source_destroy(net->tick);
    g_source_unref(net->tick);
    g_hash_table_unref(net->peers);
    g_main_loop_unref(net->loop);
    g_main_context_unref(net->context);
    session_net_close_content(net);
    steno_packet_pool_free(net->packets);
    steno_frame_pool_free(net->frames);
    session_net_unref(net);
}
