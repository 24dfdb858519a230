/* The peer's side of an ICE transport: descriptions, candidates, restarts. */
#include "ice.h"

#include "steno/base/error.h"

#include <string.h>

typedef enum { CANDIDATE_TAKEN, CANDIDATE_IGNORED, CANDIDATE_OUTSIDE, CANDIDATE_INVALID } CandidateFate;

/* Appends it to the list, unless we do not use it: TCP, names of mDNS, other components, outside of the geofence. */
static CandidateFate take_candidate(StenoIce *ice, const char *text, GSList **list)
{
    static const NiceCandidateType types[] = {NICE_CANDIDATE_TYPE_HOST, NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE,
                                              NICE_CANDIDATE_TYPE_PEER_REFLEXIVE, NICE_CANDIDATE_TYPE_RELAYED};
    StenoCandidate parsed;
    NiceAddress address;

    if (!steno_candidate_parse(text, &parsed))
        return CANDIDATE_INVALID;
    nice_address_init(&address);
    if (!parsed.udp || parsed.component != COMPONENT || parsed.port == 0 ||
        !nice_address_set_from_string(&address, parsed.address))
        return CANDIDATE_IGNORED;
    if (!steno_geofence_allows(ice->common.geofence, parsed.address)) {
        steno_info(ice->common.log, "candidate %s lies outside of the allowed networks and is not used",
                   parsed.address);
        return CANDIDATE_OUTSIDE;
    }
    if (ice->n_remote_candidates >= STENO_TRANSPORT_CANDIDATES_MAX)
        return CANDIDATE_IGNORED;
    ice->n_remote_candidates++;

    NiceCandidate *candidate = nice_candidate_new(types[parsed.type]);
    candidate->component_id = COMPONENT;
    candidate->stream_id = ice->stream;
    candidate->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    candidate->priority = parsed.priority;
    g_strlcpy(candidate->foundation, parsed.foundation, sizeof candidate->foundation);
    candidate->addr = address;
    nice_address_set_port(&candidate->addr, parsed.port);
    *list = g_slist_append(*list, candidate);
    steno_ice_add_remote_address(ice, &candidate->addr);
    return CANDIDATE_TAKEN;
}

static void use_candidates(StenoIce *ice, GSList *candidates)
{
    if (!ice->gathering) {
        ice->waiting = g_slist_concat(ice->waiting, candidates);
        return;
    }
    if (candidates)
        nice_agent_set_remote_candidates(ice->agent, ice->stream, COMPONENT, candidates);
    g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
}

void steno_ice_add_candidate(StenoTransport *transport, const char *candidate)
{
    StenoIce *ice = (StenoIce *)transport;
    GSList *list = NULL;

    if (!candidate) {
        nice_agent_peer_candidate_gathering_done(ice->agent, ice->stream);
        return;
    }
    if (take_candidate(ice, candidate, &list) == CANDIDATE_INVALID)
        steno_debug(ice->common.log, "a candidate of the peer cannot be read");
    use_candidates(ice, list);
}

/* All of a description's candidates, or an error and none. */
static gboolean read_candidates(StenoIce *ice, const StenoTransportRemote *remote, GSList **list, GError **error)
{
    guint n_outside = 0;
    const char *last_outside = NULL;

    for (guint i = 0; remote->candidates && remote->candidates[i]; i++) {
        switch (take_candidate(ice, remote->candidates[i], list)) {
        case CANDIDATE_INVALID:
            g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                        "reading the peer's candidates: \"%.100s\" is none", remote->candidates[i]);
            g_slist_free_full(g_steal_pointer(list), (GDestroyNotify)nice_candidate_free);
            return FALSE;
        case CANDIDATE_OUTSIDE:
            n_outside++;
            last_outside = remote->candidates[i];
            break;
        case CANDIDATE_TAKEN:
        case CANDIDATE_IGNORED:
            break;
        }
    }
    if (n_outside > 0 && !*list) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_GEOFENCE,
                    "all media addresses of the peer lie outside of the allowed networks (\"%.100s\"%s); add them with "
                    "--allow-media-cidr",
                    last_outside, n_outside > 1 ? " and others" : "");
        return FALSE;
    }
    return TRUE;
}

static gboolean is_ice_string(const char *text, gsize minimum)
{
    gsize length = text ? strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=") : 0;

    return text && text[length] == '\0' && length >= minimum && length <= 256;
}

/* Who shakes hands first (RFC 8842 §5.3). Once chosen it stays. */
static void choose_setup(StenoIce *ice, StenoDtlsSetup peer)
{
    if (peer == STENO_DTLS_ACTIVE)
        ice->setup = STENO_DTLS_PASSIVE;
    else if (peer == STENO_DTLS_PASSIVE)
        ice->setup = STENO_DTLS_ACTIVE;
    else if (ice->setup == STENO_DTLS_ACTPASS)
        ice->setup = ice->preferred_setup;
}

static gboolean prepare_dtls(StenoIce *ice, StenoDtlsSetup peer, StenoFingerprints *fingerprints, GError **error)
{
    StenoDtlsSetup before = ice->setup;

    choose_setup(ice, peer);
    if (ice->setup == before && steno_dtls_is_for(ice->dtls, fingerprints)) {
        steno_fingerprints_free(fingerprints);
        return TRUE;
    }
    return steno_dtls_prepare(ice->dtls, ice->setup == STENO_DTLS_ACTIVE, fingerprints, error);
}

static gboolean on_deadline(gpointer user)
{
    StenoIce *ice = user;

    steno_ice_fail_with(
        ice, STENO_ERROR_MEDIA_UNREACHABLE,
        "ICE: no media path to the peer within 30 s; look at firewalls, or give a TURN server with --turn");
    return G_SOURCE_REMOVE;
}

/* The peer's user name and password; new ones are an ICE restart. */
static void set_credentials(StenoIce *ice, const StenoTransportRemote *remote)
{
    gboolean changed =
        g_strcmp0(ice->remote_ufrag, remote->ufrag) != 0 || g_strcmp0(ice->remote_password, remote->password) != 0;

    if (!changed)
        return;
    if (ice->remote_ufrag && !ice->restarted) {
        nice_agent_restart_stream(ice->agent, ice->stream);
        steno_ice_announce(ice);
    }
    ice->restarted = FALSE;
    ice->n_remote_candidates = 0;
    g_free(ice->remote_ufrag);
    g_free(ice->remote_password);
    ice->remote_ufrag = g_strdup(remote->ufrag);
    ice->remote_password = g_strdup(remote->password);
    nice_agent_set_remote_credentials(ice->agent, ice->stream, remote->ufrag, remote->password);
}

gboolean steno_ice_set_remote(StenoTransport *transport, const StenoTransportRemote *remote, GError **error)
{
    StenoIce *ice = (StenoIce *)transport;
    GSList *candidates = NULL;

    if (!is_ice_string(remote->ufrag, 4) || !is_ice_string(remote->password, 22)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                            "reading the peer's description: its ICE user name or password is missing or too short");
        return FALSE;
    }
    StenoFingerprints *fingerprints = steno_fingerprints_new(remote->fingerprints, error);
    if (!fingerprints)
        return FALSE;
    if (remote->ice_lite)
        g_object_set(ice->agent, "controlling-mode", TRUE, NULL);
    set_credentials(ice, remote);
    if (!read_candidates(ice, remote, &candidates, error)) {
        steno_fingerprints_free(fingerprints);
        return FALSE;
    }
    if (!prepare_dtls(ice, remote->setup, fingerprints, error)) {
        g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
        return FALSE;
    }
    if (ice->common.state == STENO_TRANSPORT_NEW) {
        ice->deadline = steno_transport_timer(ice->common.context, CONNECT_TIMEOUT_MS, on_deadline, ice);
        steno_transport_set_state(&ice->common, STENO_TRANSPORT_CONNECTING, NULL);
    }
    use_candidates(ice, candidates);
    if (remote->end_of_candidates)
        nice_agent_peer_candidate_gathering_done(ice->agent, ice->stream);
    if (ice->path) /* an earlier description's path is still there */
        steno_dtls_start(ice->dtls);
    return TRUE;
}

gboolean steno_ice_restart(StenoTransport *transport, GError **error)
{
    StenoIce *ice = (StenoIce *)transport;

    if (!nice_agent_restart_stream(ice->agent, ice->stream)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "libnice refuses to restart ICE");
        return FALSE;
    }
    ice->restarted = TRUE;
    steno_ice_announce(ice);
    return TRUE;
}
