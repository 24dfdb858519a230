#include "tls.h"

#include "steno/base/error.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

static const char suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                             "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:"
                             "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305";

static gboolean refuse(GError **error, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "cannot use %s as %s: %s", file, what,
                words ? words : "OpenSSL refused it");
    ERR_clear_error();
    return FALSE;
}

/* By way of locked memory: steno_config_secret() reads systemd's credentials too, and refuses what others can read. */
static gboolean use_private_key(SSL_CTX *context, const char *file, GError **error)
{
    g_autoptr(StenoSecret) secret = NULL;
    if (!steno_config_secret(file, &secret, error))
        return FALSE;
    BIO *memory = BIO_new_mem_buf(steno_secret_data(secret), (int)steno_secret_bytes(secret));
    EVP_PKEY *key = memory ? PEM_read_bio_PrivateKey(memory, NULL, NULL, (void *)"") : NULL;
    BIO_free(memory);
    gboolean used = key && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    return used || refuse(error, "the private key of the API's certificate", file);
}

static gboolean ask_for_clients(SSL_CTX *context, const char *file, GError **error)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (!names || SSL_CTX_load_verify_file(context, file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return refuse(error, "api.client_ca_file", file);
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return TRUE;
}

gboolean tls_set_up(SSL_CTX *context, const char *certificate_file, const char *private_key_file,
                    const char *client_ca_file, GError **error)
{
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, suites);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* No resumption: its store grows by every client, and an ECDSA handshake costs less than 1 ms. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    /* Idle connections keep no 32 KiB of buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1)
        return refuse(error, "the API's certificate", certificate_file);
    if (!use_private_key(context, private_key_file, error))
        return FALSE;
    if (SSL_CTX_check_private_key(context) != 1) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "the certificate %s and the key %s don't fit each other",
                    certificate_file, private_key_file);
        ERR_clear_error();
        return FALSE;
    }
    return !client_ca_file || ask_for_clients(context, client_ca_file, error);
}

void tls_finish(SSL_CTX *context)
{
    /* ALPN would hand a connection to lws's own HTTP, and a server's name choose among vhosts. */
    SSL_CTX_set_alpn_select_cb(context, NULL, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, NULL);
}
