#include "credentials_source.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/log.h"

#include <string.h>

/* Keys are fetched anew when so much of their life is left, but not sooner than so long before their end. */
#define REFRESH_PART_OF_LIFE 10
#define REFRESH_MAX_US (5 * 60 * G_USEC_PER_SEC)
/* While the keys still do, a source that failed is left in peace for so long. */
#define PATIENCE_US (10 * G_USEC_PER_SEC)

struct S3Credentials {
    StenoConfig *config;
    const StenoConfigStorage *settings;
    S3CredentialsHttp http;
    gint64 (*clock)(void);
    GMutex lock; /* of all below */
    GCond changed;
    gboolean fetching; /* one thread does, without the lock */
    guint64 round;     /* fetches that ended */
    GError *failure;   /* of the last one */
    S3Keys *keys;      /* the last ones */
    gint64 fetched_us, tried_us;
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

S3Keys *s3_keys_ref(S3Keys *keys)
{
    g_atomic_int_inc(&keys->ref_count);
    return keys;
}

void s3_keys_unref(S3Keys *keys)
{
    if (!keys || !g_atomic_int_dec_and_test(&keys->ref_count))
        return;
    g_free(keys->access_key_id);
    steno_secret_unref(keys->secret_access_key);
    steno_secret_unref(keys->session_token);
    g_free(keys);
}

static gboolean same_secret(const StenoSecret *a, const StenoSecret *b)
{
    if (!a || !b)
        return a == b;
    return steno_secret_bytes(a) == steno_secret_bytes(b) &&
           steno_secret_equal(steno_secret_data(a), steno_secret_data(b), steno_secret_bytes(a));
}

static gboolean same_keys(const S3Keys *a, const S3Keys *b)
{
    return a == b ||
           (strcmp(a->access_key_id, b->access_key_id) == 0 &&
            same_secret(a->secret_access_key, b->secret_access_key) && same_secret(a->session_token, b->session_token));
}

/* ---- the chain --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    S3Keys *(*fetch)(const S3Source *source, GError **error);
    gboolean may_be_absent; /* no answer may mean that there is none here */
} sources[] = {
    {"file", s3_source_file, FALSE},           {"environment", s3_source_environment, FALSE},
    {"profile", s3_source_profile, FALSE},     {"web-identity", s3_source_web_identity, FALSE},
    {"container", s3_source_container, FALSE}, {"imds", s3_source_imds, TRUE},
};

static const char *const *names_of(const StenoConfigStorage *settings)
{
    static const char *const with_file[] = {"file", NULL}, *const without[] = {"environment", "profile", NULL};
    if (settings->credentials[0])
        return (const char *const *)settings->credentials;
    return settings->access_key_file ? with_file : without;
}

/* What was said so far becomes the error. */
static void give_up(const S3Credentials *credentials, const GString *words, gint code, GError **error)
{
    g_set_error(error, STENO_ERROR, code, "cannot get credentials for the storage '%s': %s",
                credentials->settings->name, words->str);
}

/*
 * The first source that has keys. One that is configured and fails ends the search: whose requests these are must not
 * depend on who happens to answer.
 */
static S3Keys *fetch(const S3Credentials *credentials, GCancellable *cancellable, GError **error)
{
    const S3Source source = {credentials->settings, &credentials->http, cancellable};
    g_autoptr(GString) words = g_string_new(NULL);
    gint code = STENO_ERROR_STORAGE_DENIED;
    for (const char *const *name = names_of(credentials->settings); *name; name++) {
        guint i = 0;
        while (strcmp(sources[i].name, *name) != 0)
            i++;
        g_autoptr(GError) local_error = NULL;
        S3Keys *keys = sources[i].fetch(&source, &local_error);
        if (keys)
            return keys;
        g_string_append_printf(words, "%s%s: %s", words->len ? "; " : "", *name, local_error->message);
        gboolean silent = g_error_matches(local_error, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE);
        if (silent && sources[i].may_be_absent) {
            code = STENO_ERROR_STORAGE_UNREACHABLE;
        } else if (!g_error_matches(local_error, STENO_ERROR, STENO_ERROR_NOT_FOUND)) {
            code = local_error->domain == STENO_ERROR ? local_error->code : STENO_ERROR_STORAGE_DENIED;
            break;
        }
    }
    give_up(credentials, words, code, error);
    return NULL;
}

/* ---- whose turn it is -------------------------------------------------------------------------------------------- */

typedef enum { NEED_NOTHING, NEED_SOON, NEED_NOW } Need;

/* With the lock. */
static Need need_of(const S3Credentials *credentials, const S3Keys *refused)
{
    const S3Keys *keys = credentials->keys;
    if (!keys || (refused && same_keys(refused, keys)))
        return NEED_NOW;
    if (!keys->expires_wall_us)
        return NEED_NOTHING;
    gint64 now = credentials->clock();
    gint64 life = MAX(keys->expires_wall_us - credentials->fetched_us, 0);
    if (now < keys->expires_wall_us - MIN(life / REFRESH_PART_OF_LIFE, REFRESH_MAX_US))
        return NEED_NOTHING;
    /* Keys that are over as soon as they come: our clock is wrong, and asking again does not set it. */
    if (now >= keys->expires_wall_us)
        return ABS(now - credentials->fetched_us) < PATIENCE_US ? NEED_NOTHING : NEED_NOW;
    return ABS(now - credentials->tried_us) < PATIENCE_US ? NEED_NOTHING : NEED_SOON;
}

static gboolean was_interrupted(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_INTERRUPTED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* With the lock, which is given away meanwhile. FALSE when the other's failure is ours, too. */
static gboolean wait_for_other(S3Credentials *credentials, const S3Keys *refused, GCancellable *cancellable,
                               GError **error)
{
    guint64 round = credentials->round;
    while (credentials->round == round && !g_cancellable_is_cancelled(cancellable))
        g_cond_wait(&credentials->changed, &credentials->lock);
    if (credentials->round == round || !credentials->failure || was_interrupted(credentials->failure) ||
        need_of(credentials, refused) != NEED_NOW)
        return TRUE;
    g_propagate_error(error, g_error_copy(credentials->failure));
    return FALSE;
}

static gboolean refused_again(const S3Credentials *credentials, const S3Keys *fresh, const S3Keys *refused,
                              GError **error)
{
    if (!refused || !same_keys(fresh, refused))
        return FALSE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                "the server refuses the credentials of the storage '%s' (access key '%s') as expired, and their "
                "source has no others: renew them there",
                credentials->settings->name, fresh->access_key_id);
    return TRUE;
}

/* With the lock, which is given away meanwhile. */
static gboolean fetch_now(S3Credentials *credentials, const S3Keys *refused, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    credentials->fetching = TRUE;
    g_mutex_unlock(&credentials->lock);
    S3Keys *fresh = fetch(credentials, cancellable, &local_error);
    g_mutex_lock(&credentials->lock);
    credentials->fetching = FALSE;
    credentials->round++;
    credentials->tried_us = credentials->clock();
    if (fresh) {
        s3_keys_unref(credentials->keys);
        credentials->keys = fresh;
        credentials->fetched_us = credentials->tried_us;
        refused_again(credentials, fresh, refused, &local_error);
    }
    g_clear_error(&credentials->failure);
    if (local_error)
        credentials->failure = g_error_copy(local_error);
    g_cond_broadcast(&credentials->changed);
    if (!local_error)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

/* With the lock. */
static S3Keys *get(S3Credentials *credentials, const S3Keys *refused, GCancellable *cancellable, GError **error)
{
    for (;;) {
        Need need = need_of(credentials, refused);
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted while getting credentials");
            return NULL;
        }
        if (need == NEED_NOTHING || (need == NEED_SOON && credentials->fetching))
            return s3_keys_ref(credentials->keys);
        if (credentials->fetching) {
            if (!wait_for_other(credentials, refused, cancellable, error))
                return NULL;
            continue;
        }
        g_autoptr(GError) local_error = NULL;
        if (fetch_now(credentials, refused, cancellable, &local_error))
            return s3_keys_ref(credentials->keys);
        if (need != NEED_SOON || was_interrupted(local_error)) {
            g_propagate_error(error, g_steal_pointer(&local_error));
            return NULL;
        }
        steno_warning(NULL, "%s; the ones at hand still do", local_error->message);
    }
}

static void wake_waiting(GCancellable *cancellable, S3Credentials *credentials)
{
    (void)cancellable;
    g_mutex_lock(&credentials->lock);
    g_cond_broadcast(&credentials->changed);
    g_mutex_unlock(&credentials->lock);
}

S3Keys *s3_credentials_get(S3Credentials *credentials, const S3Keys *refused, GCancellable *cancellable, GError **error)
{
    /* Connected without the lock: it runs at once when it was cancelled before. */
    gulong handler = cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake_waiting), credentials, NULL) : 0;
    g_mutex_lock(&credentials->lock);
    S3Keys *keys = get(credentials, refused, cancellable, error);
    g_mutex_unlock(&credentials->lock);
    g_cancellable_disconnect(cancellable, handler);
    return keys;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

S3Credentials *s3_credentials_new(StenoConfig *config, const StenoConfigStorage *settings, S3CredentialsHttp http)
{
    S3Credentials *credentials = g_new0(S3Credentials, 1);
    credentials->config = steno_config_ref(config);
    credentials->settings = settings;
    credentials->http = http;
    credentials->clock = steno_clock_wall_us;
    g_mutex_init(&credentials->lock);
    g_cond_init(&credentials->changed);
    return credentials;
}

void s3_credentials_free(S3Credentials *credentials)
{
    if (!credentials)
        return;
    s3_keys_unref(credentials->keys);
    g_clear_error(&credentials->failure);
    g_mutex_clear(&credentials->lock);
    g_cond_clear(&credentials->changed);
    steno_config_unref(credentials->config);
    g_free(credentials);
}

void s3_credentials_set_clock(S3Credentials *credentials, gint64 (*wall_us)(void))
{
    credentials->clock = wall_us;
}
