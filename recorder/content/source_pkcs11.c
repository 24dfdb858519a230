/* Key files that only the holder of a token can read, watched. */
#include "source_cms.h"
#include "source_file.h"

#include "steno/base/error.h"

#include <string.h>

#define POLL_S 30
/* In PEM, and with many recipients. */
#define MESSAGE_MAX_BYTES (2 * STENO_CONTENT_KEYS_MAX_BYTES)

typedef struct {
    KeyFile *file;
    KeyToken *token;
} Pkcs11;

static gpointer pkcs11_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    Pkcs11 *pkcs11 = g_new0(Pkcs11, 1);
    /* Who reads it has nothing yet. */
    pkcs11->file = key_file_new(settings, ".json.cms", 0022, context, changed, user);
    pkcs11->token = key_token_new(settings->url, settings->secret);
    return pkcs11;
}

static void pkcs11_close(gpointer opened)
{
    Pkcs11 *pkcs11 = opened;
    key_file_free(pkcs11->file);
    key_token_free(pkcs11->token);
    g_free(pkcs11);
}

static void pkcs11_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    (void)question;
    Pkcs11 *pkcs11 = opened;
    g_auto(SourceBuffer) message = {.max_bytes = MESSAGE_MAX_BYTES};
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = NULL;
    gboolean pin_refused = FALSE;
    SourceOutcome outcome = key_file_read(pkcs11->file, &message, &error);
    if (outcome == SOURCE_FOUND) {
        text = key_token_decrypt(pkcs11->token, &message, &pin_refused, &error);
        if (text || pin_refused)
            key_file_accept(pkcs11->file, pin_refused);
        if (!text)
            outcome = SOURCE_TROUBLE;
    }
    const SourceAnswer answer = {.outcome = outcome, .text = text, .error = error, .final = pin_refused};
    answered(user, &answer);
}

static gboolean pkcs11_check(const StenoJobSpec *job, GError **error)
{
    const char *uri = job->key_url ? job->key_url : "";
    if (!g_str_has_prefix(uri, "pkcs11:") && !g_str_has_prefix(uri, "file:"))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_url must be the URI of the private key: pkcs11:token=…;object=…;type=private "
                               "(RFC 7512), or file:… of a PEM file");
    if (strstr(uri, "pin-value") || strstr(uri, "pin-source"))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_url must not hold the PIN, which would be seen in logs: give it as key_secret");
    return key_file_check(job, error);
}

const SourceKind source_pkcs11 = {.name = "pkcs11",
                                  .apart = STENO_CONTENT_UNCONFINED,
                                  .parallel = 1,
                                  .poll_s = POLL_S,
                                  .open = pkcs11_open,
                                  .close = pkcs11_close,
                                  .ask = pkcs11_ask,
                                  .check = pkcs11_check};
