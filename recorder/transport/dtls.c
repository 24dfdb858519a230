#include "dtls.h"

#include "steno/base/error.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

/* Forward secrecy and authenticated encryption, nothing else. */
#define SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"
/* The CBC suites of older SFUs, by --dtls-legacy-suites: still ECDHE. */
#define LEGACY_SUITES                                                                                                  \
    SUITES ":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"      \
           ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
#define SRTP_PROFILES_OFFERED "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80"

/* RSA with 2048 bits; what WebRTC made of RSA with 1024 years ago is not safe any more. */
#define SECURITY_BITS_MIN 112

/*
 * OpenSSL waits 1 s for an answer, a long time in which to join. Media paths answer within 100 ms or lose packets, and
 * the first hello is lost for sure when the peer has not finished its own checks.
 */
#define FIRST_TIMEOUT_US 50000
#define TIMEOUT_MAX_US 3000000

typedef enum { DTLS_IDLE, DTLS_PREPARED, DTLS_HANDSHAKE, DTLS_CONNECTED, DTLS_OVER } DtlsState;

struct StenoDtls {
    SSL_CTX *ssl_context;
    BIO_METHOD *bio_method;
    SSL *ssl;
    StenoFingerprints *peer;
    char *fingerprint;
    char *offered_suites;   /* what a client offered us, for the error */
    char *peer_fingerprint; /* of the certificate that did not match */
    DtlsState state;
    gboolean client, verified, weak_key, legacy_suites;
    const guint8 *input; /* the datagram that OpenSSL has not read yet */
    gsize input_bytes;
    GSource *retransmit, *deadline;
    GMainContext *context;
    StenoDtlsEvents events;
    gpointer user;
};

static void advance(StenoDtls *dtls);

/* ---- the datagrams: a BIO that keeps their borders --------------------------------------------------------------- */

static int bio_write(BIO *bio, const char *data, int bytes)
{
    StenoDtls *dtls = BIO_get_data(bio);

    dtls->events.send(dtls->user, (const guint8 *)data, (gsize)bytes);
    return bytes; /* what the network loses, the retransmission timer notices */
}

static int bio_read(BIO *bio, char *out, int capacity)
{
    StenoDtls *dtls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (!dtls->input) {
        BIO_set_retry_read(bio);
        return -1;
    }
    gsize bytes = MIN(dtls->input_bytes, (gsize)capacity);
    memcpy(out, dtls->input, bytes);
    dtls->input = NULL;
    return (int)bytes;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *new_bio(StenoDtls *dtls)
{
    BIO *bio = BIO_new(dtls->bio_method);

    if (bio) {
        BIO_set_data(bio, dtls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- identity ---------------------------------------------------------------------------------------------------- */

static gboolean fail_openssl(GError **error, const char *doing)
{
    char words[256];

    ERR_error_string_n(ERR_get_error(), words, sizeof words);
    ERR_clear_error();
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "%s: OpenSSL says %s", doing, words);
    return FALSE;
}

/* A self-signed certificate: WebRTC believes its fingerprint, so that names and times in it tell nothing. */
static X509 *make_certificate(EVP_PKEY *key)
{
    guint64 serial;
    X509 *certificate = X509_new();

    if (certificate && RAND_bytes((guint8 *)&serial, sizeof serial) == 1 &&
        X509_set_version(certificate, X509_VERSION_3) &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -24 * 3600) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 24 * 3600) && X509_set_pubkey(certificate, key)) {
        X509_NAME *name = X509_get_subject_name(certificate);
        if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const guint8 *)"WebRTC", -1, -1, 0) &&
            X509_set_issuer_name(certificate, name) && X509_sign(certificate, key, EVP_sha256()) > 0)
            return certificate;
    }
    X509_free(certificate);
    return NULL;
}

static char *certificate_fingerprint(X509 *certificate, const StenoFingerprints *expected, gboolean *matches)
{
    guint8 *der = NULL;
    int bytes = i2d_X509(certificate, &der);
    char *text = bytes > 0 ? steno_fingerprint_of(der, (gsize)bytes) : g_strdup("unreadable");

    if (matches)
        *matches = bytes > 0 && expected && steno_fingerprints_match(expected, der, (gsize)bytes);
    OPENSSL_free(der);
    return text;
}

static gboolean load_identity(StenoDtls *dtls, GError **error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key) : NULL;
    gboolean ok = certificate && SSL_CTX_use_certificate(dtls->ssl_context, certificate) == 1 &&
                  SSL_CTX_use_PrivateKey(dtls->ssl_context, key) == 1;

    if (ok)
        dtls->fingerprint = certificate_fingerprint(certificate, NULL, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return ok || fail_openssl(error, "making a DTLS certificate");
}

/* ---- OpenSSL's questions ----------------------------------------------------------------------------------------- */

/* Instead of a chain of certificates: the fingerprint that came over signalling. */
static int verify_peer(X509_STORE_CTX *store, void *user)
{
    StenoDtls *dtls = user;
    X509 *certificate = X509_STORE_CTX_get0_cert(store);

    g_free(dtls->peer_fingerprint);
    dtls->peer_fingerprint = NULL;
    dtls->verified = FALSE;
    /* OpenSSL's own checks of strength belong to the chain that this function stands for. */
    dtls->weak_key = certificate && EVP_PKEY_get_security_bits(X509_get0_pubkey(certificate)) < SECURITY_BITS_MIN;
    if (certificate && !dtls->weak_key)
        dtls->peer_fingerprint = certificate_fingerprint(certificate, dtls->peer, &dtls->verified);
    if (!dtls->verified)
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return dtls->verified;
}

/* Keeps what the client offers, so that a refusal can say it. */
static int note_client_hello(SSL *ssl, int *alert, void *user)
{
    StenoDtls *dtls = user;
    const guint8 *ciphers;
    gsize bytes = SSL_client_hello_get0_ciphers(ssl, &ciphers);
    GString *names = g_string_new(NULL);

    (void)alert;
    for (gsize i = 0; i + 1 < bytes && i < 32; i += 2) {
        const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, ciphers + i);
        if (ciphers[i] == 0 && ciphers[i + 1] == 0xff)
            continue; /* TLS_EMPTY_RENEGOTIATION_INFO_SCSV is not a suite */
        g_string_append(names, names->len ? ", " : "");
        if (cipher)
            g_string_append(names, SSL_CIPHER_get_name(cipher));
        else
            g_string_append_printf(names, "0x%02X%02X", ciphers[i], ciphers[i + 1]);
    }
    g_free(dtls->offered_suites);
    dtls->offered_suites = g_string_free(names, FALSE);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static unsigned int next_timeout_us(SSL *ssl, unsigned int last_us)
{
    (void)ssl;
    return last_us == 0 ? FIRST_TIMEOUT_US : MIN(2 * last_us, TIMEOUT_MAX_US);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static gboolean configure(StenoDtls *dtls, GError **error)
{
    SSL_CTX *context = dtls->ssl_context = SSL_CTX_new(DTLS_method());

    if (!context || !SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) ||
        !SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(context, dtls->legacy_suites ? LEGACY_SUITES : SUITES) ||
        !SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") ||
        SSL_CTX_set_tlsext_use_srtp(context, SRTP_PROFILES_OFFERED) != 0) /* 0 is success here */
        return fail_openssl(error, "setting up DTLS");
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_QUERY_MTU | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify_peer, dtls);
    SSL_CTX_set_client_hello_cb(context, note_client_hello, dtls);
    SSL_CTX_set_read_ahead(context, 1);
    return TRUE;
}

StenoDtls *steno_dtls_new(gboolean legacy_suites, GMainContext *context, const StenoDtlsEvents *events, gpointer user,
                          GError **error)
{
    StenoDtls *dtls = g_new0(StenoDtls, 1);

    dtls->legacy_suites = legacy_suites;
    dtls->context = g_main_context_ref(context);
    dtls->events = *events;
    dtls->user = user;
    dtls->bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "steno datagrams");
    if (dtls->bio_method && BIO_meth_set_write(dtls->bio_method, bio_write) &&
        BIO_meth_set_read(dtls->bio_method, bio_read) && BIO_meth_set_ctrl(dtls->bio_method, bio_control) &&
        configure(dtls, error) && load_identity(dtls, error))
        return dtls;
    if (error && !*error)
        fail_openssl(error, "setting up DTLS");
    steno_dtls_free(dtls);
    return NULL;
}

static void drop_handshake(StenoDtls *dtls)
{
    steno_transport_timer_clear(&dtls->retransmit);
    steno_transport_timer_clear(&dtls->deadline);
    SSL_free(dtls->ssl);
    dtls->ssl = NULL;
    steno_fingerprints_free(dtls->peer);
    dtls->peer = NULL;
    g_clear_pointer(&dtls->offered_suites, g_free);
    g_clear_pointer(&dtls->peer_fingerprint, g_free);
    dtls->verified = dtls->weak_key = FALSE;
    dtls->state = DTLS_IDLE;
}

void steno_dtls_free(StenoDtls *dtls)
{
    if (!dtls)
        return;
    drop_handshake(dtls);
    SSL_CTX_free(dtls->ssl_context);
    BIO_meth_free(dtls->bio_method);
    g_main_context_unref(dtls->context);
    g_free(dtls->fingerprint);
    g_free(dtls);
}

const char *steno_dtls_fingerprint(const StenoDtls *dtls)
{
    return dtls->fingerprint;
}

gboolean steno_dtls_is_for(const StenoDtls *dtls, const StenoFingerprints *fingerprints)
{
    return steno_fingerprints_equal(dtls->peer, fingerprints);
}

gboolean steno_dtls_prepare(StenoDtls *dtls, gboolean client, StenoFingerprints *fingerprints, GError **error)
{
    drop_handshake(dtls);
    dtls->peer = fingerprints;
    dtls->client = client;
    dtls->ssl = SSL_new(dtls->ssl_context);
    BIO *bio = dtls->ssl ? new_bio(dtls) : NULL;
    if (!bio)
        return fail_openssl(error, "starting DTLS");
    SSL_set_bio(dtls->ssl, bio, bio);
    DTLS_set_link_mtu(dtls->ssl, STENO_DTLS_MTU_BYTES);
    DTLS_set_timer_cb(dtls->ssl, next_timeout_us);
    if (client)
        SSL_set_connect_state(dtls->ssl);
    else
        SSL_set_accept_state(dtls->ssl);
    dtls->state = DTLS_PREPARED;
    return TRUE;
}

/* ---- the handshake ----------------------------------------------------------------------------------------------- */

static void fail(StenoDtls *dtls, GError *error)
{
    steno_transport_timer_clear(&dtls->retransmit);
    steno_transport_timer_clear(&dtls->deadline);
    dtls->state = DTLS_OVER;
    dtls->events.failed(dtls->user, error);
    g_error_free(error);
}

static GError *mismatch_error(const StenoDtls *dtls)
{
    g_autofree char *expected = steno_fingerprints_text(dtls->peer);

    return g_error_new(
        STENO_ERROR, STENO_ERROR_FINGERPRINT,
        "checking the peer's DTLS certificate: signalling announced %s, but the certificate is %s; somebody "
        "may be in between",
        expected, dtls->peer_fingerprint);
}

/* Why did OpenSSL end the handshake? */
static GError *handshake_error(const StenoDtls *dtls)
{
    unsigned long code = ERR_peek_error();
    const char *words = ERR_reason_error_string(code);
    const char *allowed = dtls->legacy_suites ? "ECDHE with AES-GCM, ChaCha20-Poly1305 or CBC"
                                              : "ECDHE with AES-GCM or ChaCha20-Poly1305";

    if (dtls->peer_fingerprint && !dtls->verified)
        return mismatch_error(dtls);
    if (dtls->weak_key)
        return g_error_new_literal(
            STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
            "DTLS handshake: the key of the peer's certificate is too weak; RSA needs 2048 bits");
    switch (ERR_GET_REASON(code)) {
    case SSL_R_NO_SHARED_CIPHER:
        return g_error_new(STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                           "DTLS handshake: the peer offers only %s; allowed are %s suites",
                           dtls->offered_suites ? dtls->offered_suites : "weak suites", allowed);
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_WRONG_CIPHER_RETURNED:
    case SSL_R_UNKNOWN_CIPHER_RETURNED:
        return g_error_new(STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                           "DTLS handshake: the peer accepts none of our %s suites (%s)%s", allowed, words,
                           dtls->legacy_suites ? ""
                                               : "; --dtls-legacy-suites allows the ECDHE suites with CBC as well");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return g_error_new(STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                           "DTLS handshake: the peer does not speak DTLS 1.2 (%s)", words);
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK:
    case SSL_R_DH_KEY_TOO_SMALL:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_WRONG_SIGNATURE_TYPE:
        return g_error_new(STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                           "DTLS handshake: the peer's certificate or signature is too weak (%s)", words);
    default:
        return g_error_new(STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE, "DTLS handshake: %s",
                           words ? words : "the peer broke it off");
    }
}

/* RFC 5764 §4.2: client key, server key, client salt, server salt. Libsrtp wants key ‖ salt. */
static StenoSrtp *export_keys(StenoDtls *dtls, StenoSrtpProfile profile, GError **error)
{
    const StenoSrtpProfileInfo *info = steno_srtp_profile_info(profile);
    gsize key = info->key_bytes, salt = info->salt_bytes;
    guint8 material[2 * (32 + 14)], client[32 + 14], server[32 + 14];
    StenoSrtp *srtp = NULL;

    if (SSL_export_keying_material(dtls->ssl, material, 2 * (key + salt), "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0) == 1) {
        memcpy(client, material, key);
        memcpy(server, material + key, key);
        memcpy(client + key, material + 2 * key, salt);
        memcpy(server + key, material + 2 * key + salt, salt);
        srtp = steno_srtp_new(profile, dtls->client ? server : client, dtls->client ? client : server, error);
    } else {
        fail_openssl(error, "exporting the SRTP keys");
    }
    steno_secret_wipe(material, sizeof material);
    steno_secret_wipe(client, sizeof client);
    steno_secret_wipe(server, sizeof server);
    return srtp;
}

static void finish(StenoDtls *dtls)
{
    GError *error = NULL;
    StenoSrtpProfile profile;
    const SRTP_PROTECTION_PROFILE *agreed = SSL_get_selected_srtp_profile(dtls->ssl);

    if (!dtls->verified) {
        fail(dtls, g_error_new_literal(STENO_ERROR, STENO_ERROR_FINGERPRINT, "the peer showed no DTLS certificate"));
        return;
    }
    if (!agreed || !steno_srtp_profile_from_dtls(agreed->name, &profile)) {
        fail(dtls,
             g_error_new_literal(STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                                 "DTLS handshake: the peer agreed on no SRTP profile; allowed are AEAD_AES_128_GCM, "
                                 "AEAD_AES_256_GCM and AES128_CM_SHA1_80"));
        return;
    }
    StenoSrtp *srtp = export_keys(dtls, profile, &error);
    if (!srtp) {
        fail(dtls, error);
        return;
    }
    steno_transport_timer_clear(&dtls->deadline);
    dtls->state = DTLS_CONNECTED;
    dtls->events.connected(dtls->user, srtp, profile, SSL_CIPHER_get_name(SSL_get_current_cipher(dtls->ssl)));
}

static gboolean on_retransmit(gpointer user)
{
    StenoDtls *dtls = user;

    steno_transport_timer_clear(&dtls->retransmit);
    ERR_clear_error();
    /* An error here means that it gave up; the deadline, which is shorter, has the words for it. */
    (void)DTLSv1_handle_timeout(dtls->ssl);
    advance(dtls);
    return G_SOURCE_REMOVE;
}

static void schedule_retransmit(StenoDtls *dtls)
{
    struct timeval left;

    steno_transport_timer_clear(&dtls->retransmit);
    if (DTLSv1_get_timeout(dtls->ssl, &left) == 1)
        dtls->retransmit = steno_transport_timer(
            dtls->context, (guint)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000), on_retransmit, dtls);
}

static gboolean on_deadline(gpointer user)
{
    StenoDtls *dtls = user;

    steno_transport_timer_clear(&dtls->deadline);
    fail(dtls, g_error_new(STENO_ERROR, STENO_ERROR_MEDIA_UNREACHABLE,
                           "DTLS handshake: no answer from the peer within %d s although ICE found a path",
                           STENO_DTLS_HANDSHAKE_TIMEOUT_MS / 1000));
    return G_SOURCE_REMOVE;
}

/* Lets OpenSSL go on with what is there. */
static void advance(StenoDtls *dtls)
{
    guint8 ignored[2048];

    if (dtls->state != DTLS_HANDSHAKE && dtls->state != DTLS_CONNECTED)
        return;
    ERR_clear_error();
    gboolean handshaking = dtls->state == DTLS_HANDSHAKE;
    int result = handshaking ? SSL_do_handshake(dtls->ssl) : SSL_read(dtls->ssl, ignored, sizeof ignored);
    int reason = SSL_get_error(dtls->ssl, result);

    if (handshaking && result == 1) {
        schedule_retransmit(dtls);
        finish(dtls);
    } else if (reason == SSL_ERROR_ZERO_RETURN) {
        steno_transport_timer_clear(&dtls->retransmit);
        steno_transport_timer_clear(&dtls->deadline);
        dtls->state = DTLS_OVER;
        dtls->events.closed(dtls->user);
    } else if (handshaking && reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
        GError *error = handshake_error(dtls);
        ERR_clear_error();
        fail(dtls, error);
    } else {
        ERR_clear_error();
        schedule_retransmit(dtls);
    }
}

void steno_dtls_start(StenoDtls *dtls)
{
    if (dtls->state != DTLS_PREPARED)
        return;
    dtls->state = DTLS_HANDSHAKE;
    dtls->deadline = steno_transport_timer(dtls->context, STENO_DTLS_HANDSHAKE_TIMEOUT_MS, on_deadline, dtls);
    advance(dtls);
}

void steno_dtls_feed(StenoDtls *dtls, const guint8 *data, gsize bytes)
{
    /* A client's hello may come before our own checks are done. */
    if (dtls->state == DTLS_PREPARED && !dtls->client)
        steno_dtls_start(dtls);
    if (dtls->state != DTLS_HANDSHAKE && dtls->state != DTLS_CONNECTED)
        return;
    dtls->input = data;
    dtls->input_bytes = bytes;
    advance(dtls);
    dtls->input = NULL;
}

void steno_dtls_close(StenoDtls *dtls)
{
    if (dtls->state != DTLS_CONNECTED)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(dtls->ssl);
    ERR_clear_error();
    dtls->state = DTLS_OVER;
}
