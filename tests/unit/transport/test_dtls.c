/*
 * Our DTLS against OpenSSL's own, over UDP on the loopback: roles, profiles, weak peers, loss. The peer is set up as
 * each test wants it; ours is always as it is in the recorder.
 */
#include "pair.h"

#include "dtls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <unistd.h>

typedef struct {
    gboolean server; /* the peer's role */
    const char *ciphers, *srtp;
    int rsa_bits; /* 0: ECDSA P-256 */
    int version;  /* 0: DTLS 1.2 */
    gboolean no_certificate, legacy, wrong_fingerprint;
    guint drop; /* every n-th datagram of ours is lost, 0: none */
} PeerConfig;

typedef struct {
    GMainContext *context;
    int own_fd, peer_fd;
    StenoDtls *dtls;
    SSL_CTX *peer_context;
    SSL *peer;
    char *peer_fingerprint;
    guint n_sent, drop;
    gsize longest;
    /* what our side said */
    StenoSrtp *srtp;
    StenoSrtpProfile profile;
    char *cipher;
    gboolean closed;
    GError *error;
} Fixture;

static void on_send(gpointer user, const guint8 *data, gsize bytes)
{
    Fixture *fixture = user;

    fixture->longest = MAX(fixture->longest, bytes);
    if (fixture->drop && ++fixture->n_sent % fixture->drop == 1)
        return;
    assert_int_equal(send(fixture->own_fd, data, bytes, 0), bytes);
}

static void on_connected(gpointer user, StenoSrtp *srtp, StenoSrtpProfile profile, const char *cipher)
{
    Fixture *fixture = user;

    fixture->srtp = srtp;
    fixture->profile = profile;
    fixture->cipher = g_strdup(cipher);
}

static void on_closed(gpointer user)
{
    ((Fixture *)user)->closed = TRUE;
}

static void on_failed(gpointer user, const GError *error)
{
    ((Fixture *)user)->error = g_error_copy(error);
}

static void connect_sockets(int *a, int *b)
{
    struct sockaddr_in one = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, two = one;
    socklen_t bytes = sizeof one;

    *a = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    *b = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(*a, (struct sockaddr *)&one, sizeof one), 0);
    assert_int_equal(bind(*b, (struct sockaddr *)&two, sizeof two), 0);
    assert_int_equal(getsockname(*a, (struct sockaddr *)&one, &bytes), 0);
    assert_int_equal(getsockname(*b, (struct sockaddr *)&two, &bytes), 0);
    assert_int_equal(connect(*a, (struct sockaddr *)&two, sizeof two), 0);
    assert_int_equal(connect(*b, (struct sockaddr *)&one, sizeof one), 0);
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static char *load_certificate(SSL_CTX *context, int rsa_bits)
{
    EVP_PKEY *key = rsa_bits ? EVP_RSA_gen((unsigned)rsa_bits) : EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    guint8 *der = NULL;

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const guint8 *)"peer", -1, -1,
                               0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_sign(certificate, key, EVP_sha256());
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    int bytes = i2d_X509(certificate, &der);
    char *fingerprint = steno_fingerprint_of(der, (gsize)bytes);
    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return fingerprint;
}

static void make_peer(Fixture *fixture, const PeerConfig *config)
{
    int version = config->version ? config->version : DTLS1_2_VERSION;
    SSL_CTX *context = fixture->peer_context = SSL_CTX_new(DTLS_method());
    char *fingerprint;

    SSL_CTX_set_security_level(context, 0); /* the peer may be as weak as the test wants */
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    if (config->ciphers)
        assert_int_equal(SSL_CTX_set_cipher_list(context, config->ciphers), 1);
    if (!config->srtp || config->srtp[0])
        assert_int_equal(SSL_CTX_set_tlsext_use_srtp(context, config->srtp
                                                                  ? config->srtp
                                                                  : "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:"
                                                                    "SRTP_AES128_CM_SHA1_80"),
                         0);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    fingerprint = config->no_certificate ? g_strdup("none") : load_certificate(context, config->rsa_bits);
    fixture->peer_fingerprint = fingerprint;
    fixture->peer = SSL_new(context);
    SSL_set_options(fixture->peer, SSL_OP_NO_QUERY_MTU);
    DTLS_set_link_mtu(fixture->peer, 1200);
    BIO *bio = BIO_new_dgram(fixture->peer_fd, BIO_NOCLOSE);
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    assert_int_equal(getpeername(fixture->peer_fd, (struct sockaddr *)&address, &bytes), 0);
    BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &address);
    SSL_set_bio(fixture->peer, bio, bio);
    if (config->server)
        SSL_set_accept_state(fixture->peer);
    else
        SSL_set_connect_state(fixture->peer);
}

static void begin(Fixture *fixture, const PeerConfig *config)
{
    static const StenoDtlsEvents events = {on_send, on_connected, on_closed, on_failed};
    static const char wrong[] =
        "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:"
        "1C:1D:1E:1F";

    memset(fixture, 0, sizeof *fixture);
    fixture->context = g_main_context_new();
    fixture->drop = config->drop;
    connect_sockets(&fixture->own_fd, &fixture->peer_fd);
    make_peer(fixture, config);
    fixture->dtls = steno_dtls_new(config->legacy, fixture->context, &events, fixture, NULL);
    assert_non_null(fixture->dtls);
    const char *fingerprints[] = {
        wrong, config->no_certificate || config->wrong_fingerprint ? NULL : fixture->peer_fingerprint, NULL};
    assert_true(steno_dtls_prepare(fixture->dtls, config->server, steno_fingerprints_new(fingerprints, NULL), NULL));
    steno_dtls_start(fixture->dtls);
}

static void finish(Fixture *fixture)
{
    steno_dtls_free(fixture->dtls);
    steno_srtp_free(fixture->srtp);
    SSL_free(fixture->peer);
    SSL_CTX_free(fixture->peer_context);
    ERR_clear_error();
    g_clear_error(&fixture->error);
    g_free(fixture->peer_fingerprint);
    g_free(fixture->cipher);
    close(fixture->own_fd);
    close(fixture->peer_fd);
    g_main_context_unref(fixture->context);
}

/* One turn of both sides. */
static void turn(Fixture *fixture)
{
    struct pollfd fds[] = {{fixture->own_fd, POLLIN, 0}, {fixture->peer_fd, POLLIN, 0}};
    guint8 datagram[4096], ignored[256];
    gssize bytes;

    poll(fds, 2, 10);
    while ((bytes = recv(fixture->own_fd, datagram, sizeof datagram, 0)) > 0)
        steno_dtls_feed(fixture->dtls, datagram, (gsize)bytes);
    while (g_main_context_iteration(fixture->context, FALSE))
        ;
    ERR_clear_error();
    if (!SSL_is_init_finished(fixture->peer)) {
        DTLSv1_handle_timeout(fixture->peer);
        SSL_do_handshake(fixture->peer);
    } else {
        SSL_read(fixture->peer, ignored, sizeof ignored);
    }
    ERR_clear_error();
}

static void run_until_done(Fixture *fixture)
{
    gint64 deadline_us = g_get_monotonic_time() + TEST_PATIENCE_S * G_USEC_PER_SEC;

    while (!fixture->error && !(fixture->srtp && SSL_is_init_finished(fixture->peer))) {
        assert_true(g_get_monotonic_time() < deadline_us);
        turn(fixture);
    }
}

/* The peer's keys by RFC 5764 §4.2, laid out by this test itself. */
static StenoSrtp *peer_srtp(Fixture *fixture, gboolean peer_is_server)
{
    const StenoSrtpProfileInfo *info = steno_srtp_profile_info(fixture->profile);
    guint k = info->key_bytes, s = info->salt_bytes;
    guint8 material[92], client[46], server[46];

    assert_int_equal(
        SSL_export_keying_material(fixture->peer, material, 2 * (k + s), "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0), 1);
    memcpy(client, material, k);
    memcpy(client + k, material + 2 * k, s);
    memcpy(server, material + k, k);
    memcpy(server + k, material + 2 * k + s, s);
    return steno_srtp_new(fixture->profile, peer_is_server ? client : server, peer_is_server ? server : client, NULL);
}

/* What one side protects, the other takes. */
static void expect_same_keys(Fixture *fixture, gboolean peer_is_server)
{
    guint8 packet[400];
    StenoSrtp *other = peer_srtp(fixture, peer_is_server);
    guint32 bytes = (guint32)make_rtp(packet, 5, 6, 100);

    assert_true(steno_srtp_protect(fixture->srtp, FALSE, packet, &bytes));
    assert_int_equal(steno_srtp_unprotect(other, FALSE, packet, &bytes), STENO_SRTP_OK);
    bytes = (guint32)make_rtcp(packet);
    assert_true(steno_srtp_protect(other, TRUE, packet, &bytes));
    assert_int_equal(steno_srtp_unprotect(fixture->srtp, TRUE, packet, &bytes), STENO_SRTP_OK);
    steno_srtp_free(other);
}

static void both_roles_each_profile(void **state)
{
    static const struct {
        const char *offer;
        StenoSrtpProfile profile;
    } rows[] = {
        {"SRTP_AEAD_AES_128_GCM", STENO_SRTP_AEAD_AES_128_GCM},
        {"SRTP_AEAD_AES_256_GCM", STENO_SRTP_AEAD_AES_256_GCM},
        {"SRTP_AES128_CM_SHA1_80", STENO_SRTP_AES128_CM_SHA1_80},
        {"SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", STENO_SRTP_AES128_CM_SHA1_80},
    };

    (void)state;
    for (guint i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        PeerConfig config = {.server = i % 2, .srtp = rows[i / 2].offer};
        Fixture fixture;
        begin(&fixture, &config);
        run_until_done(&fixture);
        if (fixture.error)
            fail_msg("%s as %s: %s", rows[i / 2].offer, i % 2 ? "client" : "server", fixture.error->message);
        assert_int_equal(fixture.profile, rows[i / 2].profile);
        expect_same_keys(&fixture, config.server);
        finish(&fixture);
    }
}

/* As a server we choose, and 128-bit GCM is first whatever the client prefers. */
static void order_of_profiles_is_ours(void **state)
{
    PeerConfig config = {.srtp = "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM"};
    Fixture fixture;

    (void)state;
    begin(&fixture, &config);
    run_until_done(&fixture);
    assert_int_equal(fixture.profile, STENO_SRTP_AEAD_AES_128_GCM);
    finish(&fixture);
}

static void expect_failure(const PeerConfig *config, int code, const char *words)
{
    Fixture fixture;

    begin(&fixture, config);
    run_until_done(&fixture);
    if (!fixture.error)
        fail_msg("connected with %s, %s", fixture.cipher, steno_srtp_profile_info(fixture.profile)->name);
    if (!g_error_matches(fixture.error, STENO_ERROR, code) || !strstr(fixture.error->message, words))
        fail_msg("not \"%s\": %s (%s)", words, fixture.error->message,
                 steno_error_slug((StenoError)fixture.error->code));
    assert_null(fixture.srtp);
    finish(&fixture);
}

static void weak_peers_are_refused(void **state)
{
    static const struct {
        PeerConfig config;
        const char *words;
    } rows[] = {
        {{.ciphers = "ECDHE-ECDSA-AES128-SHA"}, "ECDHE-ECDSA-AES128-SHA"},
        {{.ciphers = "ECDHE-ECDSA-AES128-SHA", .server = TRUE}, "--dtls-legacy-suites"},
        {{.ciphers = "AES128-GCM-SHA256", .rsa_bits = 2048}, "AES128-GCM-SHA256"}, /* no forward secrecy */
        {{.ciphers = "AES128-GCM-SHA256", .rsa_bits = 2048, .server = TRUE}, "accepts none"},
        {{.ciphers = "AES128-SHA", .rsa_bits = 2048, .legacy = TRUE}, "AES128-SHA"},
        {{.version = DTLS1_VERSION}, "DTLS 1.2"},
        {{.version = DTLS1_VERSION, .server = TRUE}, "accepts none"}, /* all our suites are of 1.2 */
        {{.srtp = ""}, "SRTP profile"},
        {{.srtp = "", .server = TRUE}, "SRTP profile"},
        {{.srtp = "SRTP_AES128_CM_SHA1_32"}, "SRTP profile"},
        {{.srtp = "SRTP_AES128_CM_SHA1_32", .server = TRUE}, "SRTP profile"},
        {{.rsa_bits = 1024, .server = TRUE}, "too weak"},
    };

    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        expect_failure(&rows[i].config, STENO_ERROR_WEAK_CRYPTO, rows[i].words);
}

static void legacy_suites_work_when_asked_for(void **state)
{
    static const char *const suites[] = {"ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"};

    (void)state;
    for (guint i = 0; i < 2 * G_N_ELEMENTS(suites); i++) {
        /* Our certificate is ECDSA: as a server we speak its suites. */
        PeerConfig config = {.server = i % 2,
                             .ciphers = i % 2 ? suites[i / 2] : "ECDHE-ECDSA-AES128-SHA256",
                             .legacy = TRUE,
                             .rsa_bits = 2048};
        Fixture fixture;
        begin(&fixture, &config);
        run_until_done(&fixture);
        assert_null(fixture.error);
        assert_string_equal(fixture.cipher, config.ciphers);
        finish(&fixture);
    }
}

static void wrong_certificates_are_refused(void **state)
{
    (void)state;
    for (guint i = 0; i < 2; i++) {
        PeerConfig config = {.server = i, .wrong_fingerprint = TRUE};
        Fixture fixture;
        begin(&fixture, &config);
        run_until_done(&fixture);
        assert_true(g_error_matches(fixture.error, STENO_ERROR, STENO_ERROR_FINGERPRINT));
        assert_non_null(strstr(fixture.error->message, "sha-256 00:01:02"));
        assert_non_null(strstr(fixture.error->message, fixture.peer_fingerprint));
        assert_null(fixture.srtp);
        finish(&fixture);
    }
    PeerConfig nobody = {.no_certificate = TRUE};
    expect_failure(&nobody, STENO_ERROR_MEDIA_UNREACHABLE, "peer did not return a certificate");
}

static void losses_are_repaired(void **state)
{
    (void)state;
    for (guint i = 0; i < 4; i++) {
        PeerConfig config = {.server = i % 2, .drop = 2 + i / 2};
        Fixture fixture;
        begin(&fixture, &config);
        run_until_done(&fixture);
        assert_null(fixture.error);
        finish(&fixture);
    }
}

static void flights_fit_the_path(void **state)
{
    PeerConfig config = {.server = TRUE};
    Fixture fixture;

    (void)state;
    begin(&fixture, &config);
    run_until_done(&fixture);
    assert_null(fixture.error);
    assert_in_range(fixture.longest, 100, STENO_DTLS_MTU_BYTES);
    finish(&fixture);
}

static void garbage_is_ignored(void **state)
{
    PeerConfig config = {.server = TRUE};
    Fixture fixture;
    guint8 junk[600];

    (void)state;
    begin(&fixture, &config);
    for (guint i = 0; i < 500; i++) {
        for (guint k = 0; k < sizeof junk; k++)
            junk[k] = (guint8)g_random_int();
        junk[0] = (guint8)(20 + i % 44);
        steno_dtls_feed(fixture.dtls, junk, 1 + g_random_int() % sizeof junk);
        assert_null(fixture.error);
    }
    run_until_done(&fixture);
    assert_null(fixture.error);
    expect_same_keys(&fixture, TRUE);
    finish(&fixture);
}

static void goodbye_is_heard(void **state)
{
    PeerConfig config = {.server = TRUE};
    Fixture fixture;

    (void)state;
    begin(&fixture, &config);
    run_until_done(&fixture);
    SSL_shutdown(fixture.peer);
    for (guint i = 0; i < 100 && !fixture.closed; i++)
        turn(&fixture);
    assert_true(fixture.closed);
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_roles_each_profile),
        cmocka_unit_test(order_of_profiles_is_ours),
        cmocka_unit_test(weak_peers_are_refused),
        cmocka_unit_test(legacy_suites_work_when_asked_for),
        cmocka_unit_test(wrong_certificates_are_refused),
        cmocka_unit_test(losses_are_repaired),
        cmocka_unit_test(flights_fit_the_path),
        cmocka_unit_test(garbage_is_ignored),
        cmocka_unit_test(goodbye_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
