#include "sign.h"

#include "credentials_source.h"

#include "steno/base/clock.h"

#include <openssl/evp.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define KEY_PREFIX "AWS4"
#define SHA256_BYTES 32
#define DATE_CHARACTERS 8 /* of s3_date(): what a signing key is good for */

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

/* What has a session token in it: wiped when it is freed, and made in one piece, so that no shorter copy stays behind.
 */
typedef char Wiped;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wiped, s3_wipe_free)

/* kept: one more that is not encoded. */
static char *encode(const char *text, char kept)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = g_malloc(3 * strlen(text) + 1), *out = encoded;
    for (const guchar *p = (const guchar *)text; *p; p++) {
        if (g_ascii_isalnum(*p) || strchr("-._~", *p) || *p == (guchar)kept) {
            *out++ = (char)*p;
        } else {
            *out++ = '%';
            *out++ = digits[*p >> 4];
            *out++ = digits[*p & 15];
        }
    }
    *out = '\0';
    return encoded;
}

char *s3_encode(const char *text)
{
    return encode(text, '~');
}

char *s3_encode_path(const char *path)
{
    return encode(path, '/');
}

char *s3_date(gint64 wall_us)
{
    return steno_clock_format_compact(wall_us);
}

/* A name and a value as they are sorted: query parameters encoded, headers in small letters. */
typedef struct {
    char *name, *value;
    guint place; /* equal names of headers keep their order */
} Canonical;

static void canonical_clear(gpointer item)
{
    Canonical *canonical = item;
    g_free(canonical->name);
    s3_wipe_free(canonical->value);
}

static GArray *canonical_array(void)
{
    GArray *array = g_array_new(FALSE, FALSE, sizeof(Canonical));
    g_array_set_clear_func(array, canonical_clear);
    return array;
}

/* Room for all names and values with their separators. */
static GString *room_for(const GArray *array)
{
    gsize bytes = 2;
    for (guint i = 0; i < array->len; i++) {
        const Canonical *one = &g_array_index(array, Canonical, i);
        bytes += strlen(one->name) + strlen(one->value) + 2;
    }
    return g_string_sized_new(bytes);
}

static gint by_name_and_value(gconstpointer a, gconstpointer b)
{
    const Canonical *one = a, *other = b;
    gint names = strcmp(one->name, other->name);
    return names ? names : strcmp(one->value, other->value);
}

static gint by_name_and_place(gconstpointer a, gconstpointer b)
{
    const Canonical *one = a, *other = b;
    gint names = strcmp(one->name, other->name);
    return names ? names : (one->place > other->place) - (one->place < other->place);
}

static void add_encoded(GArray *array, const S3Pair *pairs)
{
    for (; pairs && pairs->name; pairs++) {
        Canonical one = {s3_encode(pairs->name), s3_encode(pairs->value ? pairs->value : ""), 0};
        g_array_append_val(array, one);
    }
}

static char *sorted_query(GArray *parameters)
{
    GString *query = room_for(parameters);
    g_array_sort(parameters, by_name_and_value);
    for (guint i = 0; i < parameters->len; i++) {
        const Canonical *one = &g_array_index(parameters, Canonical, i);
        if (i)
            g_string_append_c(query, '&');
        g_string_append(query, one->name);
        g_string_append_c(query, '=');
        g_string_append(query, one->value);
    }
    return g_string_free(query, FALSE);
}

char *s3_encode_query(const S3Pair *query)
{
    g_autoptr(GArray) parameters = canonical_array();
    add_encoded(parameters, query);
    return sorted_query(parameters);
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

/* Without white space around it, and one space for each run of it inside. */
static char *trimmed(const char *value)
{
    GString *text = g_string_sized_new(strlen(value) + 1);
    for (const char *p = value; *p; p++) {
        if (!g_ascii_isspace(*p))
            g_string_append_c(text, *p);
        else if (text->len && text->str[text->len - 1] != ' ')
            g_string_append_c(text, ' ');
    }
    if (text->len && text->str[text->len - 1] == ' ')
        g_string_truncate(text, text->len - 1);
    return g_string_free(text, FALSE);
}

/* "name:value,value\n…" sorted, and the names "a;b". */
static char *canonical_headers(const S3Pair *headers, char **names)
{
    g_autoptr(GArray) sorted = canonical_array();
    GString *signed_names = g_string_new(NULL);
    for (guint i = 0; headers && headers[i].name; i++) {
        Canonical one = {g_ascii_strdown(headers[i].name, -1), trimmed(headers[i].value ? headers[i].value : ""), i};
        g_array_append_val(sorted, one);
    }
    GString *lines = room_for(sorted);
    g_array_sort(sorted, by_name_and_place);
    for (guint i = 0; i < sorted->len; i++) {
        const Canonical *one = &g_array_index(sorted, Canonical, i);
        gboolean again = i > 0 && strcmp(one[-1].name, one->name) == 0;
        if (!again) {
            g_string_append_printf(signed_names, "%s%s", i ? ";" : "", one->name);
            g_string_append(lines, i ? "\n" : "");
            g_string_append(lines, one->name);
        }
        g_string_append_c(lines, again ? ',' : ':');
        g_string_append(lines, one->value);
    }
    g_string_append_c(lines, '\n');
    *names = g_string_free(signed_names, FALSE);
    return g_string_free(lines, FALSE);
}

static char *signed_headers(const S3Pair *headers)
{
    char *names = NULL;
    s3_wipe_free(canonical_headers(headers, &names));
    return names;
}

/* ---- signing ----------------------------------------------------------------------------------------------------- */

static char *canonical_request(const S3ToSign *request, const char *query)
{
    g_autofree char *names = NULL;
    g_autoptr(Wiped) headers = canonical_headers(request->headers, &names);
    return g_strjoin("\n", request->method, request->path[0] ? request->path : "/", query, headers, names,
                     request->payload_sha256_hex, NULL);
}

/* "20261122/us-east-1/s3/aws4_request" */
static char *scope(const S3ToSign *request)
{
    g_autofree char *date = s3_date(request->wall_us);
    return g_strdup_printf("%.*s/%s/%s/aws4_request", DATE_CHARACTERS, date, request->region, request->service);
}

static char *string_to_sign(const S3ToSign *request, const char *query)
{
    g_autoptr(Wiped) canonical = canonical_request(request, query);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, canonical, -1);
    g_autofree char *date = s3_date(request->wall_us);
    g_autofree char *where = scope(request);
    return g_strdup_printf(ALGORITHM "\n%s\n%s\n%s", date, where, hash);
}

static void hmac(const void *key, gsize key_bytes, const char *text, gsize bytes, guint8 out[SHA256_BYTES])
{
    gsize written = 0;
    if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_bytes, (const guint8 *)text, bytes, out, SHA256_BYTES,
                   &written) ||
        written != SHA256_BYTES)
        g_error("OpenSSL has no HMAC-SHA256");
}

static char *signature(const S3ToSign *request, const S3Keys *keys, const char *query)
{
    g_autofree char *text = string_to_sign(request, query);
    g_autofree char *date = s3_date(request->wall_us);
    gsize first_bytes = strlen(KEY_PREFIX) + steno_secret_bytes(keys->secret_access_key);
    guint8 *first = g_malloc(first_bytes);
    memcpy(first, KEY_PREFIX, strlen(KEY_PREFIX));
    memcpy(first + strlen(KEY_PREFIX), steno_secret_data(keys->secret_access_key),
           steno_secret_bytes(keys->secret_access_key));
    guint8 key[SHA256_BYTES], out[SHA256_BYTES];
    hmac(first, first_bytes, date, DATE_CHARACTERS, key);
    steno_secret_wipe(first, first_bytes);
    g_free(first);
    const char *const steps[] = {request->region, request->service, "aws4_request"};
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        hmac(key, sizeof key, steps[i], strlen(steps[i]), out);
        memcpy(key, out, sizeof key);
    }
    hmac(key, sizeof key, text, strlen(text), out);
    steno_secret_wipe(key, sizeof key);
    GString *hex = g_string_sized_new(2 * SHA256_BYTES);
    for (guint i = 0; i < sizeof out; i++)
        g_string_append_printf(hex, "%02x", out[i]);
    return g_string_free(hex, FALSE);
}

char *s3_canonical_request(const S3ToSign *request)
{
    g_autofree char *query = s3_encode_query(request->query);
    return canonical_request(request, query);
}

char *s3_string_to_sign(const S3ToSign *request)
{
    g_autofree char *query = s3_encode_query(request->query);
    return string_to_sign(request, query);
}

char *s3_sign(const S3ToSign *request, const S3Keys *keys)
{
    g_autofree char *query = s3_encode_query(request->query);
    g_autofree char *made = signature(request, keys, query);
    g_autofree char *where = scope(request);
    g_autofree char *names = signed_headers(request->headers);
    return g_strdup_printf(ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", keys->access_key_id, where,
                           names, made);
}

char *s3_presign_query(const S3ToSign *request, const S3Keys *keys, guint expires_s)
{
    g_autofree char *where = scope(request);
    g_autofree char *credential = g_strdup_printf("%s/%s", keys->access_key_id, where);
    g_autofree char *date = s3_date(request->wall_us);
    g_autofree char *expires = g_strdup_printf("%u", expires_s);
    g_autofree char *names = signed_headers(request->headers);
    const S3Pair ours[] = {{"X-Amz-Algorithm", ALGORITHM},
                           {"X-Amz-Credential", credential},
                           {"X-Amz-Date", date},
                           {"X-Amz-Expires", expires},
                           {"X-Amz-SignedHeaders", names},
                           {keys->session_token ? "X-Amz-Security-Token" : NULL,
                            keys->session_token ? steno_secret_text(keys->session_token) : NULL},
                           {NULL, NULL}};
    g_autoptr(GArray) parameters = canonical_array();
    add_encoded(parameters, request->query);
    add_encoded(parameters, ours);
    g_autoptr(Wiped) query = sorted_query(parameters);
    g_autofree char *made = signature(request, keys, query);
    return g_strdup_printf("%s&X-Amz-Signature=%s", query, made);
}
