#include "steno/proof.h"

#include "durable.h"
#include "openssl.h"
#include "timestamp.h"

#include "steno/base/error.h"
#include "steno/http.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <string.h>

#define TIMEOUT_MS 20000
#define CONNECT_TIMEOUT_MS 10000

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CURL, curl_easy_cleanup)

/* What of the address may be told: it may have a password, and a query with a token. */
static char *shown(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED, NULL);
    return uri ? g_uri_to_string_partial(uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT)
               : g_strdup("(no address)");
}

static size_t on_bytes(char *data, size_t size, size_t count, void *user)
{
    GByteArray *answer = user;
    gsize bytes = size * count;
    if (answer->len + bytes > STENO_PROOF_TIMESTAMP_MAX_BYTES)
        return 0;
    g_byte_array_append(answer, (const guint8 *)data, (guint)bytes);
    return bytes;
}

static gboolean judge(CURL *easy, CURLcode code, const char *words, const char *where, GError **error)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_WRITE_ERROR)
        g_set_error(error, STENO_ERROR, STENO_ERROR_SIGNATURE,
                    "the timestamp authority at %s answered with more than %d bytes", where,
                    STENO_PROOF_TIMESTAMP_MAX_BYTES);
    else if (code != CURLE_OK)
        g_set_error(error, STENO_ERROR, STENO_ERROR_UNREACHABLE, "cannot reach the timestamp authority at %s: %s",
                    where, words[0] ? words : curl_easy_strerror(code));
    else if (status != 200)
        g_set_error(
            error, STENO_ERROR, status >= 500 || status == 429 ? STENO_ERROR_UNREACHABLE : STENO_ERROR_SIGNATURE,
            "the timestamp authority at %s answered with HTTP status %ld%s", where, status,
            status >= 300 && status < 400 ? "; redirects are not followed, configure the address it tells" : "");
    return code == CURLE_OK && status == 200;
}

static gboolean ask(const StenoTimestampAuthority *authority, const char *where, const guint8 *query, gsize query_bytes,
                    GByteArray *answer, GError **error)
{
    static gsize initialized; /* once a process, whoever comes first */
    if (g_once_init_enter(&initialized)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&initialized, 1);
    }
    char words[CURL_ERROR_SIZE] = "";
    g_autoptr(CURL) easy = steno_http_easy_new(authority->url, TRUE, authority->ca_file);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/timestamp-query");
    headers = curl_slist_append(headers, "Accept: application/timestamp-reply");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)query);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)query_bytes);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    CURLcode code = curl_easy_perform(easy);
    gboolean good = judge(easy, code, words, where, error);
    curl_slist_free_all(headers);
    return good;
}

static gboolean exchange(const StenoTimestampAuthority *authority, TS_REQ *query, GByteArray *answer, GError **error)
{
    g_autofree char *where = shown(authority->url);
    guint8 *der = NULL;
    int bytes = i2d_TS_REQ(query, &der);
    gint64 stamped_us = 0;
    gboolean good = FALSE;
    if (bytes <= 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot write a timestamp query: OpenSSL says %s",
                    openssl_reason());
    else if (ask(authority, where, der, (gsize)bytes, answer, error)) {
        good = timestamp_check(query, authority->ca_file, answer->data, answer->len, &stamped_us, error);
        if (!good)
            g_prefix_error(error, "asking %s: ", where);
    }
    OPENSSL_free(der);
    return good;
}

gboolean steno_timestamp_fetch(const StenoTimestampAuthority *authority, const char *path, GError **error)
{
    g_autofree char *signature_path = g_strconcat(path, STENO_PROOF_SIGNATURE_SUFFIX, NULL);
    g_autofree char *stamp_path = g_strconcat(path, STENO_PROOF_TIMESTAMP_SUFFIX, NULL);
    g_autofree char *signature = NULL;
    gsize bytes = 0;
    g_autoptr(GError) unread = NULL;
    if (!g_file_get_contents(signature_path, &signature, &bytes, &unread)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "cannot timestamp a signature: %s",
                    unread->message);
        return FALSE;
    }
    g_autoptr(TS_REQ) query = timestamp_query((const guint8 *)signature, bytes, TRUE, error);
    g_autoptr(GByteArray) answer = g_byte_array_new();
    return query && exchange(authority, query, answer, error) &&
           durable_write(stamp_path, 0644, answer->data, answer->len, FALSE, NULL, error);
}
