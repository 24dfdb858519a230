/*
 * A key service of the customer's: one signed POST a question. Signed as Standard Webhooks are, so that the service can
 * check it with their libraries.
 */
#include "source_http.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <openssl/evp.h>
#include <string.h>

#define WHAT "the key service"
#define PREFIX "whsec_"
#define SECRET_MIN_BYTES 24
#define SECRET_MAX_BYTES 64
/* More than one while it is being rotated. */
#define SECRETS_MAX 4
#define DIGEST_BYTES 32
#define PARALLEL 8

typedef struct {
    const SourceSettings *settings;
    KeyHttp *http;
    GPtrArray *secrets; /* of StenoSecret */
} Service;

/* ---- the signature ----------------------------------------------------------------------------------------------- */

/* One line: whsec_ and the bytes in base64. NULL: it is no such thing. */
static StenoSecret *parse_line(const char *line, gsize bytes)
{
    gsize prefix = strlen(PREFIX);
    guint8 raw[SECRET_MAX_BYTES + 3];
    if (bytes <= prefix || strncmp(line, PREFIX, prefix) != 0)
        return NULL;
    gsize digits = bytes - prefix, padding = 0;
    while (padding < 2 && padding < digits && line[bytes - 1 - padding] == '=')
        padding++;
    if (digits % 4 != 0 || digits / 4 * 3 > sizeof raw)
        return NULL;
    int decoded = EVP_DecodeBlock(raw, (const guint8 *)line + prefix, (int)digits);
    gsize length = decoded > 0 ? (gsize)decoded - padding : 0;
    StenoSecret *secret =
        length >= SECRET_MIN_BYTES && length <= SECRET_MAX_BYTES ? steno_secret_new(raw, length) : NULL;
    steno_secret_wipe(raw, sizeof raw);
    return secret;
}

/* NULL: one of the lines is no secret, or there are too many. */
static GPtrArray *parse_secrets(const StenoSecret *text)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify)steno_secret_unref);
    for (const char *at = text ? steno_secret_text(text) : ""; at[0];) {
        gsize bytes = strcspn(at, "\r\n");
        if (bytes > 0) {
            StenoSecret *secret = secrets->len < SECRETS_MAX ? parse_line(at, bytes) : NULL;
            if (!secret)
                return NULL;
            g_ptr_array_add(secrets, secret);
        }
        at += bytes + strspn(at + bytes, "\r\n");
    }
    return g_steal_pointer(&secrets);
}

/* "v1,…", one a secret. */
static char *sign(const Service *service, const char *id, const char *timestamp, const char *body)
{
    g_autofree char *text = g_strjoin(".", id, timestamp, body, NULL);
    GString *signatures = g_string_new(NULL);
    for (guint i = 0; i < service->secrets->len; i++) {
        const StenoSecret *secret = g_ptr_array_index(service->secrets, i);
        guint8 digest[DIGEST_BYTES];
        gsize bytes = 0;
        if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, steno_secret_data(secret), steno_secret_bytes(secret),
                       (const guint8 *)text, strlen(text), digest, sizeof digest, &bytes))
            g_error("OpenSSL has no HMAC-SHA256");
        g_autofree char *base64 = g_base64_encode(digest, bytes);
        g_string_append_printf(signatures, "%sv1,%s", i > 0 ? " " : "", base64);
    }
    return g_string_free(signatures, FALSE);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static struct curl_slist *add_header(struct curl_slist *headers, const char *name, const char *value)
{
    g_autofree char *header = g_strdup_printf("%s: %s", name, value);
    return curl_slist_append(headers, header);
}

static struct curl_slist *headers_of(const Service *service, const char *body)
{
    g_autofree char *id = steno_job_new_id();
    g_autofree char *timestamp = g_strdup_printf("%" G_GINT64_FORMAT, steno_clock_wall_us() / G_USEC_PER_SEC);
    g_autofree char *signature = sign(service, id, timestamp, body);
    struct curl_slist *headers = add_header(NULL, "content-type", "application/json");
    headers = add_header(headers, "accept", "application/json");
    headers = curl_slist_append(headers, "expect:");
    headers = add_header(headers, "webhook-id", id);
    headers = add_header(headers, "webhook-timestamp", timestamp);
    return signature[0] ? add_header(headers, "webhook-signature", signature) : headers;
}

static void on_reply(const KeyHttpReply *reply, SourceAnswered answered, gpointer user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) text = reply->status == 200 ? source_buffer_steal(reply->body) : NULL;
    const SourceOutcome outcome = text ? SOURCE_FOUND : key_http_judge(reply, WHAT, &error);
    const SourceAnswer answer = {.outcome = outcome, .text = text, .error = error, .wait_s = reply->wait_s};
    answered(user, &answer);
}

static void service_ask(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user)
{
    Service *service = opened;
    char *body = source_question_text(service->settings, question);
    const KeyHttpRequest request = {.what = WHAT,
                                    .url = service->settings->url,
                                    .headers = headers_of(service, body),
                                    .body = body,
                                    .max_bytes = STENO_CONTENT_KEYS_MAX_BYTES};
    key_http_send(service->http, &request, on_reply, answered, user);
    free(body);
}

/* ---- the service ------------------------------------------------------------------------------------------------- */

static gpointer service_open(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user)
{
    (void)changed, (void)user;
    Service *service = g_new0(Service, 1);
    service->settings = settings;
    service->secrets = parse_secrets(settings->secret);
    service->http = key_http_new(settings, context);
    return service;
}

static void service_close(gpointer opened)
{
    Service *service = opened;
    key_http_free(service->http);
    g_ptr_array_unref(service->secrets);
    g_free(service);
}

static gboolean service_check(const StenoJobSpec *job, GError **error)
{
    if (!key_http_check(job, FALSE, error))
        return FALSE;
    if (!job->key_secret && !job->key_client_key)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "a key service must know who asks: give key_secret (to sign requests with), or "
                               "key_client_certificate_file and key_client_key, or both");
    g_autoptr(GPtrArray) secrets = parse_secrets(job->key_secret);
    if (!secrets || (job->key_secret && secrets->len == 0))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "key_secret must be " PREFIX " and %d to %d bytes in base64, one a line (%d at most); "
                               "make one with: echo " PREFIX "$(openssl rand -base64 32)",
                               SECRET_MIN_BYTES, SECRET_MAX_BYTES, SECRETS_MAX);
    return TRUE;
}

const SourceKind source_service = {.name = "service",
                                   .by_key = TRUE,
                                   .parallel = PARALLEL,
                                   .open = service_open,
                                   .close = service_close,
                                   .ask = service_ask,
                                   .check = service_check};
