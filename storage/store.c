/* A sink and its settings, opened: judges what callers give, and calls the sink. */
#include "sink.h"

#include "steno/base/error.h"

#include <string.h>

static const StenoSink *const sinks[] = {&steno_sink_local, &steno_sink_s3};

struct StenoStore {
    gatomicrefcount references;
    StenoConfig *config;
    const StenoConfigStorage *settings;
    const StenoSink *sink;
    gpointer state;
    char *root_uri;
    GMutex pace_lock;
    gint64 paid_mono_us; /* what was sent so far is paid for at this time */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

StenoStore *store_open_sink(const StenoSink *sink, StenoConfig *config, const StenoConfigStorage *settings,
                            GError **error)
{
    StenoStore *store = g_new0(StenoStore, 1);
    g_atomic_ref_count_init(&store->references);
    g_mutex_init(&store->pace_lock);
    store->config = steno_config_ref(config);
    store->settings = settings;
    store->sink = sink;
    store->root_uri = sink->root_uri(settings);
    store->state = sink->open(store, error);
    if (!store->state)
        g_clear_pointer(&store, steno_store_unref);
    return store;
}

StenoStore *steno_store_open(StenoConfig *config, const StenoConfigStorage *settings, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(sinks); i++)
        if (strcmp(sinks[i]->name, settings->type) == 0)
            return store_open_sink(sinks[i], config, settings, error);
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG, "storage %s: there is no type \"%s\"", settings->name,
                settings->type);
    return NULL;
}

StenoStore *steno_store_open_local(const char *root)
{
    StenoConfigStorage *settings;
    g_autoptr(StenoConfig) config = steno_config_with_storage("local", "local", &settings);
    settings->root = g_canonicalize_filename(root, NULL);
    settings->key = g_strdup("{channel}/{time}_{recording}/{file}");
    g_clear_pointer(&settings->mode, g_free);        /* the umask's */
    g_clear_pointer(&config->top.state_dir, g_free); /* no daemon's: it has none */
    return store_open_sink(&steno_sink_local, config, settings, NULL);
}

StenoStore *steno_store_ref(StenoStore *store)
{
    g_atomic_ref_count_inc(&store->references);
    return store;
}

void steno_store_unref(StenoStore *store)
{
    if (!store || !g_atomic_ref_count_dec(&store->references))
        return;
    if (store->state)
        store->sink->close(store->state);
    g_mutex_clear(&store->pace_lock);
    g_free(store->root_uri);
    steno_config_unref(store->config);
    g_free(store);
}

StenoConfig *store_config(const StenoStore *store)
{
    return store->config;
}

const StenoConfigStorage *store_settings(const StenoStore *store)
{
    return store->settings;
}

const char *store_key_template(const StenoStore *store)
{
    return store->settings->key ? store->settings->key : store->sink->key_template;
}

const char *steno_store_name(const StenoStore *store)
{
    return store->settings->name;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static gboolean is_key(const StenoStore *store, const char *key)
{
    if (strlen(key) > STORE_KEY_MAX_BYTES || !g_utf8_validate(key, -1, NULL))
        return FALSE;
    for (const char *step = key;; step++) {
        gsize bytes = strcspn(step, "/");
        gboolean inside = step > key && *step;
        if (bytes == 0 && !(inside && store->sink->empty_names))
            return FALSE;
        if ((bytes == 1 && step[0] == '.') || (bytes == 2 && strncmp(step, "..", 2) == 0))
            return FALSE;
        step += bytes;
        if (!*step)
            return TRUE;
    }
}

static gboolean check_key(const StenoStore *store, const char *key, GError **error)
{
    if (is_key(store, key))
        return TRUE;
    g_autofree char *valid = g_utf8_make_valid(key, -1);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "\"%.200s\" is not a name for an object in storage %s",
                valid, store->settings->name);
    return FALSE;
}

/* A key, or the beginning of one. */
static gboolean check_prefix(const StenoStore *store, const char *prefix, GError **error)
{
    g_autofree char *key = g_str_has_suffix(prefix, "/") ? g_strndup(prefix, strlen(prefix) - 1) : g_strdup(prefix);
    return !prefix[0] || check_key(store, key, error);
}

char *steno_store_uri(const StenoStore *store, const char *key)
{
    g_autofree char *encoded = g_uri_escape_string(key, G_URI_RESERVED_CHARS_ALLOWED_IN_PATH, FALSE);
    return key[0] ? g_strdup_printf("%s/%s", store->root_uri, encoded) : g_strdup(store->root_uri);
}

/* Compared in clear, since there is more than one way to encode a name; an encoded '/' is none of ours. */
char *steno_store_key_of_uri(const StenoStore *store, const char *uri)
{
    g_autofree char *clear = g_uri_unescape_string(uri, "/");
    g_autofree char *root = g_uri_unescape_string(store->root_uri, "/");
    if (!clear || !root || !g_str_has_prefix(clear, root))
        return NULL;
    char *key = clear + strlen(root);
    gsize bytes = strlen(key);
    if (bytes == 0 || strcmp(key, "/") == 0)
        return g_strdup("");
    if (key[bytes - 1] == '/')
        key[bytes - 1] = '\0';
    return key[0] == '/' && is_key(store, key + 1) ? g_strdup(key + 1) : NULL;
}

/* ---- pace and patience ------------------------------------------------------------------------------------------- */

gboolean store_goes_on(GCancellable *cancellable, GError **error)
{
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted");
    return FALSE;
}

gboolean store_wait(gint64 wait_us, GCancellable *cancellable, GError **error)
{
    GPollFD poll_fd = {.fd = -1};
    gint64 until_mono_us = g_get_monotonic_time() + wait_us;
    gboolean can_fire = cancellable && g_cancellable_make_pollfd(cancellable, &poll_fd);
    for (;;) {
        gint64 left_us = until_mono_us - g_get_monotonic_time();
        if (left_us <= 0 || g_cancellable_is_cancelled(cancellable))
            break;
        (void)g_poll(&poll_fd, can_fire ? 1 : 0, (gint)MIN(left_us / 1000 + 1, G_MAXINT));
    }
    if (can_fire)
        g_cancellable_release_fd(cancellable);
    return store_goes_on(cancellable, error);
}

/* What was lost by waking late is caught up with, as far as this: else a limit would be kept at half of itself. */
#define CATCH_UP_US (G_USEC_PER_SEC / 4)

gint64 store_pace(StenoStore *store, gsize bytes)
{
    gint64 per_s = store->settings->max_bytes_per_s, now_mono_us = g_get_monotonic_time();
    if (per_s == 0)
        return 0;
    g_mutex_lock(&store->pace_lock);
    gint64 begin_mono_us = MAX(store->paid_mono_us, now_mono_us - CATCH_UP_US);
    store->paid_mono_us = begin_mono_us + (gint64)((double)bytes * G_USEC_PER_SEC / (double)per_s);
    g_mutex_unlock(&store->pace_lock);
    return MAX(begin_mono_us - now_mono_us, 0);
}

gboolean store_pace_wait(StenoStore *store, gsize bytes, GCancellable *cancellable, GError **error)
{
    gint64 wait_us = store_pace(store, bytes);
    return wait_us > 0 ? store_wait(wait_us, cancellable, error) : store_goes_on(cancellable, error);
}

/* ---- the sink's functions ---------------------------------------------------------------------------------------- */

gboolean steno_store_put(StenoStore *store, const StenoPut *put, GError **error)
{
    char hex[STENO_STORAGE_SHA256_HEX_BYTES];
    StenoPut known = *put;
    g_autofree char *lower = put->sha256_hex ? g_ascii_strdown(put->sha256_hex, -1) : NULL;
    if (!check_key(store, put->key, error) || !store_goes_on(put->cancellable, error))
        return FALSE;
    if (!lower && !steno_storage_digest(put->source, hex, &known.bytes, error))
        return FALSE;
    known.sha256_hex = lower ? lower : hex;
    return store->sink->put(store->state, &known, error);
}

gboolean steno_store_check(StenoStore *store, GCancellable *cancellable, GError **error)
{
    return store->sink->check(store->state, cancellable, error);
}

gboolean steno_store_space(StenoStore *store, gint64 *free_bytes, gint64 *total_bytes)
{
    return store->sink->space && store->sink->space(store->state, free_bytes, total_bytes);
}

gboolean steno_store_verify(StenoStore *store, const char *key, gint64 bytes, const char *sha256_hex, StenoProof proof,
                            GCancellable *cancellable, GError **error)
{
    g_autofree char *lower = g_ascii_strdown(sha256_hex, -1);
    return check_key(store, key, error) &&
           store->sink->verify(store->state, key, bytes, lower, proof, cancellable, error);
}

GBytes *steno_store_read(StenoStore *store, const char *key, gsize max_bytes, GCancellable *cancellable, GError **error)
{
    return check_key(store, key, error) ? store->sink->read(store->state, key, max_bytes, cancellable, error) : NULL;
}

gboolean steno_store_fetch(StenoStore *store, const char *key, gint64 offset, gint64 length,
                           gboolean (*take)(gpointer user, const guint8 *data, gsize bytes, GError **error),
                           gpointer user, GCancellable *cancellable, GError **error)
{
    return check_key(store, key, error) &&
           store->sink->fetch(store->state, key, offset, length, take, user, cancellable, error);
}

gboolean steno_store_stat(StenoStore *store, const char *key, gint64 *bytes, gint64 *modified_us,
                          GCancellable *cancellable, GError **error)
{
    return check_key(store, key, error) && store->sink->stat(store->state, key, bytes, modified_us, cancellable, error);
}

int steno_store_open_object(StenoStore *store, const char *key, GError **error)
{
    if (!check_key(store, key, error) || !store->sink->open_object)
        return -1;
    return store->sink->open_object(store->state, key, error);
}

char *steno_store_presign(StenoStore *store, const char *key, const char *name, const char *media_type,
                          GCancellable *cancellable, GError **error)
{
    if (!check_key(store, key, error) || !store->sink->presign)
        return NULL;
    return store->sink->presign(store->state, key, name, media_type, cancellable, error);
}

gboolean steno_store_list(StenoStore *store, const char *prefix,
                          gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                          GCancellable *cancellable, GError **error)
{
    return check_prefix(store, prefix, error) &&
           store->sink->list(store->state, prefix, found, user, cancellable, error);
}

gboolean steno_store_remove(StenoStore *store, const char *key, gboolean folders, GCancellable *cancellable,
                            GError **error)
{
    return check_key(store, key, error) && store->sink->remove(store->state, key, folders, cancellable, error);
}

gboolean steno_store_abort_orphans(StenoStore *store, const char *prefix,
                                   gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us), gpointer user,
                                   guint *aborted, GCancellable *cancellable, GError **error)
{
    guint unused = 0, *count = aborted ? aborted : &unused;
    *count = 0;
    return check_prefix(store, prefix, error) &&
           store->sink->abort_orphans(store->state, prefix, orphan, user, count, cancellable, error);
}
