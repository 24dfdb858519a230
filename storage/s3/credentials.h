/*
 * Whose requests these are. A chain of sources, looked at in the configured order; what expires is fetched anew before
 * it does, and the old ones are used until then. Secrets stay in locked memory, and nothing is written to disk.
 */
#ifndef STENO_STORAGE_S3_CREDENTIALS_H
#define STENO_STORAGE_S3_CREDENTIALS_H

#include "steno/base/secret.h"
#include "steno/config.h"

#include <gio/gio.h>

typedef struct {
    gint ref_count;
    char *access_key_id;
    StenoSecret *secret_access_key;
    StenoSecret *session_token; /* NULL: none */
    gint64 expires_wall_us;     /* 0: never */
} S3Keys;

S3Keys *s3_keys_ref(S3Keys *keys);
void s3_keys_unref(S3Keys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Keys, s3_keys_unref)

typedef struct S3Credentials S3Credentials;

/*
 * How credentials reach a server: the store's own guarded request (addresses, TLS, proxy), so that none goes anywhere
 * else. Blocking. *answer is the answer's body (at most 64 KiB; the caller wipes it, whose only reference it should
 * be). Returns the HTTP status, 0 with an error.
 */
typedef struct {
    guint (*request)(gpointer user, const char *method, const char *url, const char *const *headers /* "Name: value" */,
                     const char *body /* or NULL */, GBytes **answer, GCancellable *cancellable, GError **error);
    gpointer user;
} S3CredentialsHttp;

/* config is referenced. */
S3Credentials *s3_credentials_new(StenoConfig *config, const StenoConfigStorage *settings, S3CredentialsHttp http);
void s3_credentials_free(S3Credentials *credentials);
/*
 * Keys that are good now; fetches them when they are missing, near their end (10 % of their life, at most 5 min), or
 * when `refused` (may be NULL: none) is what the server just refused as expired. Threads wait for one that fetches.
 * STORAGE_DENIED naming each source and what it said; STORAGE_UNREACHABLE.
 */
S3Keys *s3_credentials_get(S3Credentials *credentials, const S3Keys *refused, GCancellable *cancellable,
                           GError **error);

#endif
