#include "timestamp.h"

#include "openssl.h"

#include "steno/base/error.h"
#include "steno/proof.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>
#include <time.h>

#define NONCE_BYTES 8

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TS_RESP, TS_RESP_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TS_MSG_IMPRINT, TS_MSG_IMPRINT_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TS_VERIFY_CTX, TS_VERIFY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_STORE, X509_STORE_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_ALGOR, X509_ALGOR_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ASN1_INTEGER, ASN1_INTEGER_free)

static gboolean fail(GError **error, const char *what)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE, "%s: %s", what, openssl_reason());
    return FALSE;
}

/* ---- the query --------------------------------------------------------------------------------------------------- */

static TS_MSG_IMPRINT *imprint_of(const guint8 *data, gsize bytes)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    guint digest_bytes = 0;
    g_autoptr(TS_MSG_IMPRINT) imprint = TS_MSG_IMPRINT_new();
    g_autoptr(X509_ALGOR) algorithm = X509_ALGOR_new();
    if (!imprint || !algorithm || EVP_Digest(data, bytes, digest, &digest_bytes, EVP_sha256(), NULL) != 1 ||
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) != 1 ||
        TS_MSG_IMPRINT_set_algo(imprint, algorithm) != 1 ||
        TS_MSG_IMPRINT_set_msg(imprint, digest, (int)digest_bytes) != 1)
        return NULL;
    return g_steal_pointer(&imprint);
}

/* DER has the shortest form of a number: the first byte is neither 0 nor negative. */
static ASN1_INTEGER *make_nonce(void)
{
    guint8 random[NONCE_BYTES];
    if (RAND_bytes(random, sizeof random) != 1)
        return NULL;
    random[0] = (random[0] & 0x7f) | 0x40;
    ASN1_INTEGER *nonce = ASN1_INTEGER_new();
    if (nonce && ASN1_STRING_set(nonce, random, sizeof random) != 1)
        g_clear_pointer(&nonce, ASN1_INTEGER_free);
    return nonce;
}

TS_REQ *timestamp_query(const guint8 *data, gsize bytes, gboolean with_nonce, GError **error)
{
    g_autoptr(TS_REQ) query = TS_REQ_new();
    g_autoptr(TS_MSG_IMPRINT) imprint = imprint_of(data, bytes);
    g_autoptr(ASN1_INTEGER) nonce = with_nonce ? make_nonce() : NULL;
    if (!query || !imprint || TS_REQ_set_version(query, 1) != 1 || TS_REQ_set_msg_imprint(query, imprint) != 1 ||
        (with_nonce && (!nonce || TS_REQ_set_nonce(query, nonce) != 1)) || TS_REQ_set_cert_req(query, 1) != 1) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot make a timestamp query: OpenSSL says %s",
                    openssl_reason());
        return NULL;
    }
    return g_steal_pointer(&query);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static TS_RESP *parse(const guint8 *stamp, gsize bytes, GError **error)
{
    const guint8 *end = stamp;
    g_autoptr(TS_RESP) answer = NULL;
    if (bytes <= STENO_PROOF_TIMESTAMP_MAX_BYTES)
        answer = d2i_TS_RESP(NULL, &end, (long)bytes);
    ERR_clear_error();
    if (answer && end == stamp + bytes)
        return g_steal_pointer(&answer);
    g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE,
                "these %" G_GSIZE_FORMAT " bytes are no timestamp (a TimeStampResp of RFC 3161)", bytes);
    return NULL;
}

/* "rejection (the authority's own words)": they are somebody else's bytes. */
static gboolean check_granted(TS_RESP *answer, GError **error)
{
    static const char *const names[] = {"granted", "granted with changes", "rejection",
                                        "waiting", "revocation warning",   "revocation"};
    TS_STATUS_INFO *info = TS_RESP_get_status_info(answer);
    gint64 status = ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(info));
    if (TS_RESP_get_token(answer) && (status == TS_STATUS_GRANTED || status == TS_STATUS_GRANTED_WITH_MODS))
        return TRUE;
    const STACK_OF(ASN1_UTF8STRING) *text = TS_STATUS_INFO_get0_text(info);
    const ASN1_UTF8STRING *first = text && sk_ASN1_UTF8STRING_num(text) > 0 ? sk_ASN1_UTF8STRING_value(text, 0) : NULL;
    g_autofree char *raw =
        first ? g_strndup((const char *)ASN1_STRING_get0_data(first), (gsize)MIN(ASN1_STRING_length(first), 200))
              : g_strdup("no reason given");
    g_autofree char *valid = g_utf8_make_valid(raw, -1);
    g_autofree char *words = g_strescape(valid, NULL);
    g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE, "the timestamp authority made no stamp: %s (%s)",
                status >= 0 && status < (gint64)G_N_ELEMENTS(names) ? names[status] : "unknown status", words);
    return FALSE;
}

static gboolean read_time(TS_RESP *answer, gint64 *stamped_us, GError **error)
{
    TS_TST_INFO *info = TS_RESP_get_tst_info(answer);
    struct tm tm = {0};
    if (!info || ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &tm) != 1)
        return fail(error, "the timestamp tells no time");
    *stamped_us = (gint64)timegm(&tm) * G_USEC_PER_SEC;
    return TRUE;
}

/* Its certificate need not be valid for ever, but when it stamped. */
static X509_STORE *authorities(const char *ca_pem_file, gint64 at_us, GError **error)
{
    g_autoptr(X509_STORE) store = X509_STORE_new();
    if (!store || X509_STORE_load_file(store, ca_pem_file) != 1) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "cannot read certificates (PEM) from %s: %s", ca_pem_file,
                    openssl_reason());
        return NULL;
    }
    X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)(at_us / G_USEC_PER_SEC));
    return g_steal_pointer(&store);
}

/* Signed by the certificate that it carries, whosever that is. */
static gboolean check_self(TS_RESP *answer, GError **error)
{
    if (PKCS7_verify(TS_RESP_get_token(answer), NULL, NULL, NULL, NULL, PKCS7_NOVERIFY | PKCS7_NOSMIMECAP) == 1)
        return TRUE;
    return fail(error, "the timestamp's own signature is wrong");
}

gboolean timestamp_check(TS_REQ *query, const char *ca_pem_file, const guint8 *stamp, gsize stamp_bytes,
                         gint64 *stamped_us, GError **error)
{
    g_autoptr(TS_RESP) answer = parse(stamp, stamp_bytes, error);
    gint64 at_us = 0;
    if (!answer || !check_granted(answer, error) || !read_time(answer, &at_us, error) || !check_self(answer, error))
        return FALSE;
    /* Version, imprint and, in a query of ours, the nonce. */
    g_autoptr(TS_VERIFY_CTX) wanted = TS_REQ_to_TS_VERIFY_CTX(query, NULL);
    if (!wanted)
        return fail(error, "cannot check a timestamp");
    TS_VERIFY_CTX_set_flags(wanted, (TS_REQ_get_nonce(query) ? TS_VFY_NONCE : 0) | TS_VFY_VERSION | TS_VFY_IMPRINT |
                                        (ca_pem_file ? TS_VFY_SIGNATURE : 0));
    if (ca_pem_file) {
        X509_STORE *store = authorities(ca_pem_file, at_us, error);
        if (!store)
            return FALSE;
        TS_VERIFY_CTX_set_store(wanted, store);
    }
    if (TS_RESP_verify_response(wanted, answer) != 1)
        return fail(error, "the timestamp is not one of these bytes by an authority that is trusted");
    *stamped_us = at_us;
    return TRUE;
}

gboolean steno_timestamp_verify(const char *ca_pem_file, const guint8 *data, gsize bytes, const guint8 *stamp,
                                gsize stamp_bytes, gint64 *stamped_us, GError **error)
{
    /* Whatever the nonce was that was asked with. */
    g_autoptr(TS_REQ) query = timestamp_query(data, bytes, FALSE, error);
    return query && timestamp_check(query, ca_pem_file, stamp, stamp_bytes, stamped_us, error);
}
