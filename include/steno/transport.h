/*
 * transport: candidates → clear RTP and RTCP. SRTP keys live and die here. Knows no codec.
 *
 * Two kinds behind one interface: ICE + DTLS-SRTP (libnice, OpenSSL, libsrtp2) for WebRTC, and plain UDP with or
 * without SDES-keyed SRTP (RFC 4568) for media servers that push. Everything runs on the network thread, whose
 * GMainContext the transport is made with. Sockets are not waited for packet by packet: steno_transport_drain() reads
 * all that came.
 */
#ifndef STENO_TRANSPORT_H
#define STENO_TRANSPORT_H

#include "steno/base/crypto_modules.h"
#include "steno/base/log.h"
#include "steno/base/secret.h"
#include "steno/frame.h"

#include <gio/gio.h>
#include <sys/socket.h>

#define STENO_TRANSPORT_CANDIDATES_MAX 64  /* a description; an SFU announces a handful */
#define STENO_TRANSPORT_REPLAY_WINDOW 1024 /* packets: holds the reordering that rtp waits for at video rates */

typedef struct StenoTransport StenoTransport;

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* A set of networks, from --allow-media-cidr. Empty: everything is allowed. */
typedef struct StenoGeofence StenoGeofence;

/* cidrs: NULL-terminated, "10.0.0.0/8", "2001:db8::/32" or a bare address. NULL and GEOFENCE/USAGE error when one is
 * wrong. */
StenoGeofence *steno_geofence_new(const char *const *cidrs, GError **error);
StenoGeofence *steno_geofence_ref(StenoGeofence *geofence);
void steno_geofence_unref(StenoGeofence *geofence);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoGeofence, steno_geofence_unref)
/* TRUE when the literal IPv4 or IPv6 address may be contacted (geofence NULL: always). IPv4-mapped IPv6 counts as IPv4.
 */
gboolean steno_geofence_allows(const StenoGeofence *geofence, const char *address);
/* The same for a socket address. */
gboolean steno_geofence_allows_address(const StenoGeofence *geofence, const struct sockaddr *address);

/* ---- descriptions: what signalling carries ----------------------------------------------------------------------- */

typedef enum { STENO_DTLS_ACTPASS, STENO_DTLS_ACTIVE, STENO_DTLS_PASSIVE } StenoDtlsSetup;

/* Our side of ICE + DTLS, for the answer. Owned by the transport's user. */
typedef struct {
    char *ufrag, *password;
    char *fingerprint;     /* "sha-256 AB:CD:…" */
    StenoDtlsSetup setup;  /* what we are: ACTIVE or PASSIVE */
    GPtrArray *candidates; /* char *, each "candidate:…" as in a=candidate without "a=" */
} StenoTransportLocal;

/* The peer's side, from the offer. */
typedef struct {
    const char *ufrag, *password;
    const char *const *fingerprints; /* NULL-terminated "sha-256 AB:…"; any one that matches will do */
    StenoDtlsSetup setup;            /* of the peer */
    gboolean ice_lite;
    const char *const *candidates; /* NULL-terminated "candidate:…"; may be empty with trickle */
    gboolean end_of_candidates;
} StenoTransportRemote;

void steno_transport_local_free(StenoTransportLocal *local);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoTransportLocal, steno_transport_local_free)

/* ---- the transport ----------------------------------------------------------------------------------------------- */

typedef enum {
    STENO_TRANSPORT_NEW,
    STENO_TRANSPORT_CONNECTING, /* ICE checks, DTLS handshake */
    STENO_TRANSPORT_CONNECTED,  /* media can flow */
    STENO_TRANSPORT_FAILED,     /* consent lost, handshake refused …: error says which */
    STENO_TRANSPORT_CLOSED,     /* the peer closed DTLS */
} StenoTransportState;

typedef struct {
    /* A clear RTP packet; the callee owns it. From drain(); a first one or two may come from the context before. */
    void (*rtp)(gpointer user, StenoPacket *packet);
    /* A clear compound RTCP packet. */
    void (*rtcp)(gpointer user, const guint8 *data, gsize bytes, gint64 arrival_us);
    /*
     * All local candidates are known; `local` is only lent. Again after a restart. Its setup is right when the peer's
     * description was set before; so set the offer first, then run the context. ICE transports only.
     */
    void (*gathered)(gpointer user, const StenoTransportLocal *local);
    /*
     * From the context, but for CONNECTING, which comes from set_remote(). error is set for FAILED: FINGERPRINT,
     * WEAK_CRYPTO, MEDIA_UNREACHABLE, GEOFENCE.
     */
    void (*state)(gpointer user, StenoTransportState state, const GError *error);
} StenoTransportEvents;

typedef struct {
    char *url; /* "turn:host:port?transport=udp|tcp", "turns:host:port" */
    char *user;
    StenoSecret *password;
} StenoTurnServer;

typedef struct {
    const char *stun;            /* "host:port" or NULL */
    const StenoTurnServer *turn; /* n_turn of them */
    guint n_turn;
    const StenoGeofence *geofence;  /* NULL: everything is allowed */
    gboolean legacy_suites;         /* allow the DTLS CBC suites as well */
    gboolean controlling;           /* our ICE role when the peer is a full agent; lite peers make us controlling */
    StenoDtlsSetup preferred_setup; /* ACTIVE or PASSIVE, where the peer leaves it to us */
    gboolean loopback;              /* also gather 127.0.0.1 and ::1: for tests and servers on the same machine */
    StenoPacketPool *pool;
    const StenoLog *log;
} StenoTransportConfig;

typedef struct {
    guint64 rtp_packets, rtcp_packets, bytes; /* received, SRTP and all */
    guint64 srtp_failures;                    /* did not authenticate */
    guint64 srtp_replays;
    guint64 too_long;                       /* > STENO_PACKET_MAX_BYTES */
    guint64 strays;                         /* neither RTP, RTCP, STUN nor DTLS; or from a foreign address */
    guint64 pool_refused;                   /* dropped because the pool was at its ceiling */
    const char *srtp_profile, *dtls_cipher; /* once connected; static or owned by the transport */
} StenoTransportStats;

/*
 * Loads libsrtp and runs its self-tests: 30–100 ms, once a process. Whoever wants to join fast calls it early, from any
 * thread; else the first transport does.
 */
void steno_transport_prepare(void);

/* ICE + DTLS-SRTP. Starts to gather at once; `gathered` follows from the context. NULL with an error when it cannot. */
StenoTransport *steno_transport_new_ice(const StenoTransportConfig *config, GMainContext *context,
                                        const StenoTransportEvents *events, gpointer user, GError **error);

/* SRTP keys by SDES (RFC 4568): the suite's name and master key ‖ salt. */
typedef struct {
    const char
        *suite; /* "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM" */
    StenoSecret *key_salt;
} StenoSdesKey;

typedef struct {
    const char *address;      /* to bind, or the multicast group to join; "0.0.0.0" or "::" for any */
    guint16 port, rtcp_port;  /* rtcp_port 0: RTCP comes on the same port (a=rtcp-mux) */
    const char *source;       /* accept packets of this address only (a=source-filter), or NULL */
    const char *interface;    /* for multicast; NULL: the system's choice */
    const StenoSdesKey *sdes; /* NULL: clear RTP */
    gboolean send_feedback;   /* answer RTCP to where the peer's packets come from */
    const StenoGeofence *geofence;
    StenoPacketPool *pool;
    const StenoLog *log;
} StenoPlainConfig;

/* UDP as an SDP file says. CONNECTED at once. Errors: STORAGE_* never; MEDIA_UNREACHABLE when it cannot bind or join.
 */
StenoTransport *steno_transport_new_plain(const StenoPlainConfig *config, GMainContext *context,
                                          const StenoTransportEvents *events, gpointer user, GError **error);

void steno_transport_free(StenoTransport *transport);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoTransport, steno_transport_free)

/*
 * Sets or changes the peer's side. Other ufrag/password than before: an ICE restart. Starts checks and handshake;
 * `state` follows. May be called before gathering is done. Errors: WEAK_CRYPTO when there is no fingerprint or only
 * weak hashes, GEOFENCE when every candidate lies outside, SDP_INVALID.
 */
gboolean steno_transport_set_remote(StenoTransport *transport, const StenoTransportRemote *remote, GError **error);
/* A trickled candidate of the peer; NULL: end of candidates. Outside of the geofence: ignored and counted. */
void steno_transport_add_candidate(StenoTransport *transport, const char *candidate);
/* New local ufrag and password, gathers again, `gathered` follows; for the answer to an ICE restart. */
gboolean steno_transport_restart(StenoTransport *transport, GError **error);

/* Reads all that has come, on the session's tick. Calls rtp and rtcp for each. Returns how many packets it read. */
guint steno_transport_drain(StenoTransport *transport, gint64 now_us);

/* Protects and sends an RTCP packet. FALSE when not connected or the socket refused it (counted, not logged). */
gboolean steno_transport_send_rtcp(StenoTransport *transport, const guint8 *data, gsize bytes);
/* The same for RTP: Steno is silent and never calls it; the tests' publisher does. */
gboolean steno_transport_send_rtp(StenoTransport *transport, const guint8 *data, gsize bytes);

const StenoTransportStats *steno_transport_stats(const StenoTransport *transport);

/* ---- what does the cryptography ---------------------------------------------------------------------------------- */

/*
 * Of SRTP, which libsrtp2 does with a library that it was linked with: one row as those of steno_crypto_modules(). Told
 * by what is loaded into this process. The caller owns it.
 */
json_t *steno_transport_srtp_module(void);

#endif
