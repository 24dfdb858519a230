#include "steno/envelope.h"

#include "recipients.h"
#include "sink.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * 1024)
/* AES-GCM, NIST SP 800-38D §5.2.1.1: 2^39 - 256 bits with one key and nonce. */
#define PLAIN_MAX_BYTES ((G_GINT64_CONSTANT(1) << 36) - 32)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CMS_ContentInfo, CMS_ContentInfo_free)

struct StenoEnvelope {
    GPtrArray *certificates; /* of X509 */
    GPtrArray *words;        /* NULL-terminated */
};

static void free_certificate(gpointer certificate)
{
    X509_free(certificate);
}

StenoEnvelope *steno_envelope_new(const char *const *recipients, GError **error)
{
    g_autoptr(StenoEnvelope) envelope = g_new0(StenoEnvelope, 1);
    envelope->certificates = g_ptr_array_new_with_free_func(free_certificate);
    envelope->words = g_ptr_array_new_with_free_func(g_free);
    for (const char *const *path = recipients; path && *path; path++) {
        X509 *certificate = recipient_read(*path, error);
        if (!certificate)
            return NULL;
        g_ptr_array_add(envelope->certificates, certificate);
        g_ptr_array_add(envelope->words, recipient_words(certificate));
    }
    g_ptr_array_add(envelope->words, NULL);
    if (envelope->certificates->len > 0)
        return g_steal_pointer(&envelope);
    (void)steno_error_set(error, STENO_ERROR_USAGE,
                          "nobody could read what is encrypted: name the certificate of at least one recipient");
    return NULL;
}

void steno_envelope_free(StenoEnvelope *envelope)
{
    if (!envelope)
        return;
    g_ptr_array_unref(envelope->certificates);
    g_ptr_array_unref(envelope->words);
    g_free(envelope);
}

const char *const *steno_envelope_recipients(const StenoEnvelope *envelope)
{
    return (const char *const *)envelope->words->pdata;
}

/* ---- the message ------------------------------------------------------------------------------------------------- */

static gboolean add_recipient(CMS_ContentInfo *cms, X509 *certificate)
{
    CMS_RecipientInfo *info = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
    EVP_PKEY_CTX *context = info ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;
    if (!context)
        return FALSE;
    if (CMS_RecipientInfo_type(info) == CMS_RECIPINFO_AGREE)
        return EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) == 1; /* of X9.63's KDF, the only one there is */
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
}

static CMS_ContentInfo *message_new(const StenoEnvelope *envelope)
{
    g_autoptr(CMS_ContentInfo) cms = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
    /* The content is within the message, and comes when it is written. */
    if (!cms || CMS_set_detached(cms, 0) != 1)
        return NULL;
    for (guint i = 0; i < envelope->certificates->len; i++) {
        if (!add_recipient(cms, g_ptr_array_index(envelope->certificates, i)))
            return NULL;
    }
    return g_steal_pointer(&cms);
}

/* ---- sealing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    int fd; /* of `in` */
    Sink *sink;
    CMS_ContentInfo *cms;
    void (*progress)(gpointer user, gsize bytes);
    gpointer user;
    int read_failed; /* errno */
} Sealing;

static gboolean copy(Sealing *sealing, BIO *to)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);
    for (;;) {
        gssize n = read(sealing->fd, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            sealing->read_failed = errno;
        if (n <= 0)
            return n == 0;
        if (BIO_write(to, chunk, (int)n) != (int)n)
            return FALSE;
        if (sealing->progress)
            sealing->progress(sealing->user, (gsize)n);
    }
}

/* Indefinite lengths; what follows the content (the tag) is made when the stream is flushed. */
static gboolean write_stream(Sealing *sealing)
{
    BIO *sink = sink_bio(sealing->sink);
    BIO *stream = BIO_new_CMS(sink, sealing->cms);
    gboolean good = stream && copy(sealing, stream) && BIO_flush(stream) == 1;
    while (stream && stream != sink) {
        BIO *next = BIO_pop(stream);
        BIO_free(stream);
        stream = next;
    }
    return good;
}

/* OpenSSL's stream begins with its first byte: without any it would be no message. */
static gboolean write_empty(Sealing *sealing)
{
    g_autoptr(BIO) nothing = BIO_new(BIO_s_mem());
    (void)BIO_set_mem_eof_return(nothing, 0);
    return CMS_final(sealing->cms, nothing, NULL, CMS_BINARY) == 1 &&
           i2d_CMS_bio(sink_bio(sealing->sink), sealing->cms) == 1 && BIO_flush(sink_bio(sealing->sink)) == 1;
}

static gboolean write_message(Sealing *sealing, gint64 bytes, const char *in, const char *out, GError **error)
{
    gboolean good = bytes > 0 ? write_stream(sealing) : write_empty(sealing);
    const char *reason = envelope_openssl_reason();
    if (sealing->read_failed)
        return steno_error_set_errno(error, sealing->read_failed, "cannot read '%s' to encrypt it", in);
    if (!good && !sink_failed(sealing->sink))
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot encrypt '%s': OpenSSL says %s", in, reason);
    int failed = sink_finish(sealing->sink);
    return !failed || steno_error_set_errno(error, failed, "cannot write '%s'", out);
}

static gboolean seal(const StenoEnvelope *envelope, Sealing *sealing, gint64 bytes, const char *in, const char *out,
                     GError **error)
{
    g_autoptr(CMS_ContentInfo) cms = message_new(envelope);
    if (!cms)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot encrypt '%s' for its recipients: OpenSSL says %s",
                               in, envelope_openssl_reason());
    g_autoptr(Sink) sink = sink_new(out);
    if (!sink)
        return steno_error_set_errno(error, errno, "cannot make '%s'", out);
    sealing->cms = cms;
    sealing->sink = sink;
    gboolean good = write_message(sealing, bytes, in, out, error);
    if (!good)
        (void)unlink(out);
    return good;
}

gboolean steno_envelope_seal(const StenoEnvelope *envelope, const char *in, const char *out,
                             void (*progress)(gpointer user, gsize bytes), gpointer user, GError **error)
{
    Sealing sealing = {.progress = progress, .user = user};
    struct stat status;
    gboolean good;
    sealing.fd = open(in, O_RDONLY | O_CLOEXEC);
    if (sealing.fd < 0 || fstat(sealing.fd, &status) != 0)
        good = steno_error_set_errno(error, errno, "cannot open '%s' to encrypt it", in);
    else if (status.st_size > PLAIN_MAX_BYTES)
        good = steno_error_set(error, STENO_ERROR_STORAGE_FAILED,
                               "cannot encrypt '%s': AES-GCM must not encrypt more than 64 GiB with one key; rotate "
                               "more often (rotate_s)",
                               in);
    else
        good = seal(envelope, &sealing, status.st_size, in, out, error);
    if (sealing.fd >= 0)
        close(sealing.fd);
    return good;
}
