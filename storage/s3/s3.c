/* The row of the S3 sink, and what its threads share. */
#include "s3.h"

#include "lock.h"
#include "request.h"
#include "upload.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* Sessions that are kept with their connections; more threads than this make new ones. */
#define IDLE_SESSIONS_MAX 16
#define CUSTOMER_KEY_BYTES 32

/* ---- where it is ------------------------------------------------------------------------------------------------- */

char *s3_host(const S3 *s3, const char *region)
{
    const char *end = g_str_has_prefix(region, "cn-") ? ".cn" : "";
    g_autofree char *amazon = s3->host ? NULL : g_strdup_printf("s3.%s.amazonaws.com%s", region, end);
    const char *host = s3->host ? s3->host : amazon;
    return s3->virtual_host ? g_strdup_printf("%s.%s", s3->settings->bucket, host) : g_strdup(host);
}

char *s3_where(S3 *s3)
{
    g_autofree char *region = s3_region(s3), *host = s3_host(s3, region);
    return g_strdup_printf("bucket %s at %s://%s", s3->settings->bucket, s3->scheme, host);
}

static gboolean refuse(const S3 *s3, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(const S3 *s3, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "storage %s: %s", s3->settings->name, message);
    return FALSE;
}

static gboolean read_endpoint(S3 *s3, GError **error)
{
    const char *text = s3->settings->endpoint;
    s3->at_amazon = !text;
    if (!text) {
        s3->scheme = g_strdup("https");
        return TRUE;
    }
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
    const char *scheme = uri ? g_uri_get_scheme(uri) : NULL, *host = uri ? g_uri_get_host(uri) : NULL;
    gboolean https = g_strcmp0(scheme, "https") == 0, http = g_strcmp0(scheme, "http") == 0;
    if (!(https || http) || !host || !host[0] || !g_str_is_ascii(host) || g_uri_get_userinfo(uri) ||
        g_uri_get_query(uri) || g_uri_get_fragment(uri) || strlen(g_uri_get_path(uri)) > 1)
        return refuse(s3, error, "endpoint \"%s\" must be https://HOST or https://HOST:PORT", text);
    if (http && !s3->settings->allow_http)
        return refuse(s3, error, "endpoint \"%s\" is plain HTTP: use https, or set allow_http = true", text);
    gint port = g_uri_get_port(uri);
    g_autofree char *lower = g_ascii_strdown(host, -1);
    g_autofree char *bracketed = strchr(lower, ':') ? g_strdup_printf("[%s]", lower) : g_strdup(lower);
    s3->scheme = g_strdup(scheme);
    s3->at_amazon = g_str_has_suffix(lower, ".amazonaws.com") || g_str_has_suffix(lower, ".amazonaws.com.cn");
    s3->host = port <= 0 || port == (https ? 443 : 80) ? g_steal_pointer(&bracketed)
                                                       : g_strdup_printf("%s:%d", bracketed, port);
    return TRUE;
}

/* A bucket with dots has no certificate as a host's name. */
static void choose_addressing(S3 *s3)
{
    const char *addressing = s3->settings->addressing;
    s3->virtual_host = strcmp(addressing, "virtual") == 0 ||
                       (strcmp(addressing, "auto") == 0 && s3->at_amazon && !strchr(s3->settings->bucket, '.'));
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static gboolean read_customer_key(S3 *s3, GError **error)
{
    if (strcmp(s3->settings->encryption, "customer") != 0)
        return TRUE;
    if (strcmp(s3->scheme, "https") != 0 && !s3->settings->allow_http)
        return refuse(s3, error, "encryption = \"customer\" needs an https endpoint: the key goes with each request");
    if (!s3->settings->customer_key_file)
        return refuse(s3, error, "encryption = \"customer\" needs customer_key_file");
    if (!steno_config_secret(s3->settings->customer_key_file, &s3->customer_key, error))
        return FALSE;
    gsize bytes = 0;
    guchar *raw = g_base64_decode(steno_secret_text(s3->customer_key), &bytes);
    g_autoptr(GChecksum) md5 = g_checksum_new(G_CHECKSUM_MD5);
    guint8 digest[16];
    gsize digest_bytes = sizeof digest;
    g_checksum_update(md5, raw, (gssize)bytes);
    g_checksum_get_digest(md5, digest, &digest_bytes);
    steno_secret_wipe(raw, bytes);
    g_free(raw);
    s3->customer_key_md5 = g_base64_encode(digest, digest_bytes);
    return bytes == CUSTOMER_KEY_BYTES || refuse(s3, error, "customer_key_file must hold 32 bytes in base64");
}

static gboolean read_settings(S3 *s3, GError **error)
{
    const StenoConfigStorage *settings = s3->settings;
    if (!settings->bucket)
        return refuse(s3, error, "s3 needs bucket");
    if (!read_endpoint(s3, error))
        return FALSE;
    choose_addressing(s3);
    if (strcmp(settings->lock_mode, "none") != 0 && settings->lock_days == 0)
        return refuse(s3, error, "lock_mode needs lock_days");
    if (settings->client_certificate_file && !settings->client_key_file)
        return refuse(s3, error, "client_certificate_file needs client_key_file");
    s3->guard = s3_guard_new(settings, error);
    return s3->guard && read_customer_key(s3, error);
}

S3ChecksumKind s3_checksum_kind(S3 *s3)
{
    S3ChecksumKind kind = S3_CHECKSUM_NONE;
    const char *name = s3->settings->checksum;
    if (strcmp(name, "auto") == 0)
        kind = s3->at_amazon ? S3_CHECKSUM_CRC64NVME : S3_CHECKSUM_NONE;
    else
        (void)s3_checksum_kind_of_name(name, &kind);
    /* Object Lock takes no object without one. */
    if (kind == S3_CHECKSUM_NONE && s3_lock_wanted(s3))
        kind = S3_CHECKSUM_MD5;
    if (kind > S3_CHECKSUM_MD5 && s3_lacks(s3, S3_FEATURE_CHECKSUM))
        kind = S3_CHECKSUM_MD5;
    if (kind == S3_CHECKSUM_MD5) {
        g_autoptr(S3Checksum) probe = s3_checksum_begin(kind);
        if (!probe)
            kind = S3_CHECKSUM_SHA256;
    }
    return kind;
}

/* ---- what threads share ------------------------------------------------------------------------------------------ */

char *s3_region(S3 *s3)
{
    g_mutex_lock(&s3->lock);
    char *region = g_strdup(s3->region);
    g_mutex_unlock(&s3->lock);
    return region;
}

void s3_learn_region(S3 *s3, const char *region)
{
    g_mutex_lock(&s3->lock);
    g_free(s3->region);
    s3->region = g_strdup(region);
    g_mutex_unlock(&s3->lock);
}

gint64 s3_now_wall_us(S3 *s3)
{
    g_mutex_lock(&s3->lock);
    gint64 offset_us = s3->clock_offset_us;
    g_mutex_unlock(&s3->lock);
    return steno_clock_wall_us() + offset_us;
}

void s3_learn_clock(S3 *s3, gint64 offset_us)
{
    g_mutex_lock(&s3->lock);
    s3->clock_offset_us = offset_us;
    g_mutex_unlock(&s3->lock);
}

gboolean s3_lacks(S3 *s3, S3Feature feature)
{
    g_mutex_lock(&s3->lock);
    gboolean lacks = (s3->lacking & feature) != 0;
    g_mutex_unlock(&s3->lock);
    return lacks;
}

gboolean s3_learn_lack(S3 *s3, S3Feature feature)
{
    g_mutex_lock(&s3->lock);
    gboolean is_new = !(s3->lacking & feature);
    s3->lacking |= feature;
    g_mutex_unlock(&s3->lock);
    return is_new;
}

S3Session *s3_take_session(S3 *s3)
{
    g_mutex_lock(&s3->lock);
    S3Session *session = s3->idle->len > 0 ? g_ptr_array_steal_index_fast(s3->idle, s3->idle->len - 1) : NULL;
    g_mutex_unlock(&s3->lock);
    return session ? session : s3_session_new(s3->store, s3->guard);
}

void s3_give_session(S3 *s3, S3Session *session)
{
    s3_session_drop_all(session);
    g_mutex_lock(&s3->lock);
    gboolean kept = s3->idle->len < IDLE_SESSIONS_MAX;
    if (kept)
        g_ptr_array_add(s3->idle, session);
    g_mutex_unlock(&s3->lock);
    if (!kept)
        s3_session_free(session);
}

/* ---- the row ----------------------------------------------------------------------------------------------------- */

static void close_store(gpointer state)
{
    S3 *s3 = state;
    for (guint i = 0; i < s3->idle->len; i++)
        s3_session_free(g_ptr_array_index(s3->idle, i));
    g_ptr_array_unref(s3->idle);
    if (s3->credentials)
        s3_credentials_free(s3->credentials);
    s3_guard_free(s3->guard);
    steno_secret_unref(s3->customer_key);
    g_free(s3->customer_key_md5);
    g_free(s3->scheme);
    g_free(s3->host);
    g_free(s3->region);
    steno_log_free(s3->log);
    g_mutex_clear(&s3->lock);
    g_free(s3);
}

static gpointer open_store(StenoStore *store, GError **error)
{
    S3 *s3 = g_new0(S3, 1);
    s3->store = store;
    s3->settings = store_settings(store);
    s3->log = steno_log_new(NULL, "storage=%s", s3->settings->name);
    g_mutex_init(&s3->lock);
    s3->region = g_strdup(s3->settings->region);
    s3->idle = g_ptr_array_new();
    if (!read_settings(s3, error)) {
        close_store(s3);
        return NULL;
    }
    S3CredentialsHttp http = {s3_request_plain, s3};
    s3->credentials = s3_credentials_new(store_config(store), s3->settings, http);
    return s3;
}

static char *root_uri(const StenoConfigStorage *settings)
{
    return g_strdup_printf("s3://%s", settings->bucket ? settings->bucket : "");
}

const StenoSink steno_sink_s3 = {
    .name = "s3",
    .key_template = "{app}/{channel}/{date}/{recording}/{file}",
    .empty_names = TRUE,
    .root_uri = root_uri,
    .open = open_store,
    .close = close_store,
    .put = s3_put,
    .check = s3_check,
    .verify = s3_verify,
    .read = s3_read,
    .fetch = s3_fetch,
    .stat = s3_stat,
    .list = s3_list,
    .remove = s3_remove,
    .abort_orphans = s3_abort_orphans,
    .presign = s3_presign,
};
