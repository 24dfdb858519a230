/*
 * DTLS 1.2 for SRTP keys (RFC 5763, RFC 5764). One identity (a fresh certificate) a connection, one or more handshakes.
 */
#ifndef STENO_TRANSPORT_DTLS_H
#define STENO_TRANSPORT_DTLS_H

#include "private.h"

/* A datagram with the path's other headers stays below what every path carries. */
#define STENO_DTLS_MTU_BYTES 1200
/* From the first flight until keys; a peer that is there answers within round trips. */
#define STENO_DTLS_HANDSHAKE_TIMEOUT_MS 15000

typedef struct StenoDtls StenoDtls;

typedef struct {
    /* Sends one datagram now. */
    void (*send)(gpointer user, const guint8 *data, gsize bytes);
    /* The handshake is done and the peer is who it should be. The callee owns srtp. */
    void (*connected)(gpointer user, StenoSrtp *srtp, StenoSrtpProfile profile, const char *cipher);
    /* The peer said goodbye. */
    void (*closed)(gpointer user);
    /* FINGERPRINT, WEAK_CRYPTO or MEDIA_UNREACHABLE. */
    void (*failed)(gpointer user, const GError *error);
} StenoDtlsEvents;

/* Makes the certificate (about 1 ms). NULL: INTERNAL, with OpenSSL's words. */
StenoDtls *steno_dtls_new(gboolean legacy_suites, GMainContext *context, const StenoDtlsEvents *events, gpointer user,
                          GError **error);
void steno_dtls_free(StenoDtls *dtls);

/* "sha-256 AB:…" of our certificate; owned by dtls. */
const char *steno_dtls_fingerprint(const StenoDtls *dtls);

/*
 * Prepares a handshake, dropping an earlier one; takes fingerprints. From now on datagrams can be fed; as a client
 * nothing is sent before steno_dtls_start(). FALSE: INTERNAL.
 */
gboolean steno_dtls_prepare(StenoDtls *dtls, gboolean client, StenoFingerprints *fingerprints, GError **error);
/* There is a path: sends the ClientHello if we are the client, and counts the time. Again: does nothing. */
void steno_dtls_start(StenoDtls *dtls);
/* A datagram from the peer. Ignored when nothing is prepared. */
void steno_dtls_feed(StenoDtls *dtls, const guint8 *data, gsize bytes);
/* Is the handshake, prepared or done, with the peer of these fingerprints? */
gboolean steno_dtls_is_for(const StenoDtls *dtls, const StenoFingerprints *fingerprints);
/* Says goodbye (close_notify), if there is somebody to say it to. */
void steno_dtls_close(StenoDtls *dtls);

#endif
