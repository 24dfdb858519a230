/*
 * What the files of this room share. Nothing here is for other rooms.
 *
 * A transport is one of two kinds behind a table of functions: ice.c (ICE + DTLS-SRTP) and plain.c (UDP, perhaps SDES).
 * What both do with a datagram once it is known to be media is in transport.c.
 */
#ifndef STENO_TRANSPORT_PRIVATE_H
#define STENO_TRANSPORT_PRIVATE_H

#include "srtp.h"
#include "steno/transport.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* ---- demux.c: what is in a datagram (RFC 7983, RFC 5761) --------------------------------------------------------- */

typedef enum {
    STENO_DATAGRAM_STRAY, /* ZRTP, TURN channels, too short, nonsense */
    STENO_DATAGRAM_STUN,
    STENO_DATAGRAM_DTLS,
    STENO_DATAGRAM_RTP,
    STENO_DATAGRAM_RTCP,
} StenoDatagramKind;

StenoDatagramKind steno_datagram_classify(const guint8 *data, gsize bytes);

/* ---- the common part of a transport ------------------------------------------------------------------------------ */

typedef struct {
    void (*free)(StenoTransport *transport);
    gboolean (*set_remote)(StenoTransport *transport, const StenoTransportRemote *remote, GError **error);
    void (*add_candidate)(StenoTransport *transport, const char *candidate);
    gboolean (*restart)(StenoTransport *transport, GError **error);
    guint (*drain)(StenoTransport *transport, gint64 now_us);
    /* Sends bytes as they are; rtcp tells to which port where there are two. */
    gboolean (*send)(StenoTransport *transport, gboolean rtcp, const guint8 *data, gsize bytes);
} StenoTransportKind;

struct StenoTransport {
    const StenoTransportKind *kind;
    GMainContext *context;
    StenoTransportEvents events;
    gpointer user;
    StenoGeofence *geofence;
    StenoPacketPool *pool;
    StenoLog *log;
    StenoTransportState state;
    StenoTransportStats stats;
    StenoSrtp *srtp; /* NULL: clear RTP, or not connected yet */
    gboolean clear;  /* RTP without SRTP is what was asked for */
};

/* Fills in what both kinds have; events and geofence are copied or referenced. */
void steno_transport_init(StenoTransport *transport, const StenoTransportKind *kind, GMainContext *context,
                          const StenoTransportEvents *events, gpointer user, const StenoGeofence *geofence,
                          StenoPacketPool *pool, const StenoLog *log, const char *name);
/* Releases the same, and the memory. */
void steno_transport_clear(StenoTransport *transport);
/* Changes the state and tells the user; nothing happens when it is that state already or after FAILED and CLOSED. */
void steno_transport_set_state(StenoTransport *transport, StenoTransportState state, const GError *error);
/* Takes a datagram that is RTP or RTCP: counts it, takes SRTP off, hands it to the user. Owns the packet. */
void steno_transport_receive(StenoTransport *transport, StenoPacket *packet, gboolean rtcp);
/* A one-shot source on the transport's context; the caller keeps the reference. */
GSource *steno_transport_timer(GMainContext *context, guint delay_ms, GSourceFunc function, gpointer user);
/* Destroys and unreferences; *source becomes NULL. */
void steno_transport_timer_clear(GSource **source);

/* ---- batch.c: many datagrams with one system call ---------------------------------------------------------------- */

#define STENO_BATCH_PACKETS 32

typedef struct StenoBatch StenoBatch;

StenoBatch *steno_batch_new(StenoPacketPool *pool, StenoTransportStats *stats);
void steno_batch_free(StenoBatch *batch);
/* One datagram; the callee owns the packet. */
typedef void (*StenoBatchFunc)(gpointer user, StenoPacket *packet, const struct sockaddr *from);
/*
 * Reads all that waits at the non-blocking socket, each datagram with the kernel's time of arrival. Datagrams longer
 * than a packet are counted in too_long, those that the pool has no room for in pool_refused. Returns how many it
 * handed on.
 */
guint steno_batch_drain(StenoBatch *batch, int fd, gint64 now_us, StenoBatchFunc function, gpointer user);

/* ---- socket.c ---------------------------------------------------------------------------------------------------- */

/* What a burst of key frames between two ticks needs; the kernel's limit may be lower. */
#define STENO_SOCKET_BUFFER_BYTES (4 * 1024 * 1024)

/* Large receive buffer, time stamps, and the geofence in the kernel. */
void steno_socket_prepare(int fd, const StenoGeofence *geofence);
/* Drops, in the kernel, datagrams whose source lies outside of the geofence. FALSE when the kernel refuses. */
gboolean steno_socket_attach_geofence(int fd, const StenoGeofence *geofence);
/*
 * A second socket at the address of a bound UDP socket that gets all RTP and RTCP, while the first goes on getting STUN
 * and DTLS: SO_REUSEPORT with a classic BPF program that chooses by the first byte (RFC 7983). -1 when the kernel
 * cannot.
 */
int steno_socket_split_media(int fd);
gboolean steno_address_equal(const struct sockaddr *a, const struct sockaddr *b);
socklen_t steno_address_bytes(const struct sockaddr *address);
/* "10.0.0.1:5004", "[::1]:5004". Caller frees. */
char *steno_address_text(const struct sockaddr *address);

/* ---- geofence.c -------------------------------------------------------------------------------------------------- */

/* One network, IPv4 as IPv4-mapped IPv6. */
typedef struct {
    guint8 prefix[16];
    guint bits; /* 0–128 */
} StenoNetwork;

const StenoNetwork *steno_geofence_networks(const StenoGeofence *geofence, guint *n_networks);

/* ---- candidate.c ------------------------------------------------------------------------------------------------- */

typedef enum {
    STENO_CANDIDATE_HOST,
    STENO_CANDIDATE_SRFLX,
    STENO_CANDIDATE_PRFLX,
    STENO_CANDIDATE_RELAY
} StenoCandidateType;

/* RFC 8839 §5.1. */
typedef struct {
    char foundation[33];
    guint component; /* 1–256 */
    gboolean udp;
    guint32 priority;
    char address[64]; /* a literal address, or a name for mDNS candidates */
    guint16 port;
    StenoCandidateType type;
} StenoCandidate;

/* Reads "candidate:…", also with "a=" before it. FALSE when it is not one. Extensions are skipped. */
gboolean steno_candidate_parse(const char *text, StenoCandidate *candidate);

/* ---- fingerprint.c ----------------------------------------------------------------------------------------------- */

#define STENO_FINGERPRINTS_MAX 16

/* The strong fingerprints (RFC 8122) of a peer. */
typedef struct StenoFingerprints StenoFingerprints;

/* WEAK_CRYPTO when there is none with sha-256, sha-384 or sha-512; SDP_INVALID when one of those is not well-formed. */
StenoFingerprints *steno_fingerprints_new(const char *const *texts, GError **error);
void steno_fingerprints_free(StenoFingerprints *fingerprints);
/* Does any one match the certificate (DER)? Takes the same time wherever they differ. */
gboolean steno_fingerprints_match(const StenoFingerprints *fingerprints, const guint8 *der, gsize bytes);
gboolean steno_fingerprints_equal(const StenoFingerprints *a, const StenoFingerprints *b);
/* "sha-256 AB:CD:…" of all of them, for messages. Caller frees. */
char *steno_fingerprints_text(const StenoFingerprints *fingerprints);
/* "sha-256 AB:CD:…" of a certificate (DER). Caller frees. */
char *steno_fingerprint_of(const guint8 *der, gsize bytes);

#endif
