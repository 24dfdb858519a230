#include "auth.h"

#include "steno/base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/sha.h>

/* A process may be in 65536 groups; who is in more than this has them from somewhere odd. */
#define PEER_GROUPS_MAX 4096

typedef struct {
    char *app;
    StenoRole role;
    gboolean revoked;
    guint8 sha256[SHA256_DIGEST_LENGTH];
} Key;

struct AuthKeys {
    GHashTable *by_id; /* char * → Key * */
};

/* ---- header ------------------------------------------------------------------------------------------------------ */

/* Base64 without line ends or anything else that g_base64_decode() would pass over. */
static char *decode_base64(const char *text)
{
    gsize bytes = strlen(text);
    gsize digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    if (bytes == 0 || bytes % 4 != 0 || bytes > 2 * (AUTH_ID_MAX_BYTES + AUTH_SECRET_MAX_BYTES) ||
        strspn(text + digits, "=") != bytes - digits || bytes - digits > 2)
        return NULL;
    gsize out_bytes = 0;
    guchar *out = g_base64_decode(text, &out_bytes);
    char *copy = g_strndup((char *)out, out_bytes);
    gboolean whole = strlen(copy) == out_bytes;
    steno_secret_wipe(out, out_bytes);
    g_free(out);
    if (whole)
        return copy;
    auth_wipe(copy);
    return NULL;
}

void auth_wipe(char *secret)
{
    if (secret)
        steno_secret_wipe(secret, strlen(secret));
    g_free(secret);
}

static gboolean split(const char *text, char separator, char **id, char **secret)
{
    const char *at = strchr(text, separator);
    if (!at || at == text || at - text > AUTH_ID_MAX_BYTES || strlen(at + 1) > AUTH_SECRET_MAX_BYTES)
        return FALSE;
    *id = g_strndup(text, (gsize)(at - text));
    *secret = g_strdup(at + 1);
    return TRUE;
}

gboolean auth_read_header(const char *header, char **id, char **secret)
{
    const char *space = strchr(header, ' ');
    if (!space)
        return FALSE;
    gsize scheme_bytes = (gsize)(space - header);
    const char *rest = space + strspn(space, " ");
    if (scheme_bytes == 6 && g_ascii_strncasecmp(header, "Bearer", 6) == 0)
        return split(rest, '.', id, secret);
    if (scheme_bytes != 5 || g_ascii_strncasecmp(header, "Basic", 5) != 0)
        return FALSE;
    char *pair = decode_base64(rest);
    gboolean good = pair && split(pair, ':', id, secret);
    auth_wipe(pair);
    return good;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void key_free(gpointer data)
{
    Key *key = data;
    g_free(key->app);
    g_free(key);
}

static gboolean read_hex(const char *hex, guint8 *out, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++) {
        int high = g_ascii_xdigit_value(hex[2 * i]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(hex[2 * i + 1]);
        if (low < 0)
            return FALSE;
        out[i] = (guint8)(high * 16 + low);
    }
    return hex[2 * bytes] == '\0';
}

AuthKeys *auth_keys_new(GPtrArray *keys)
{
    AuthKeys *made = g_new0(AuthKeys, 1);
    made->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, key_free);
    for (guint i = 0; i < keys->len; i++) {
        const StenoJournalKey *row = g_ptr_array_index(keys, i);
        Key *key = g_new0(Key, 1);
        key->app = g_strdup(row->app);
        key->revoked = row->revoked_us != 0;
        /* A row that cannot be read lets nobody in. */
        if (!steno_role_from_name(row->role, &key->role) ||
            !read_hex(row->sha256_hex, key->sha256, SHA256_DIGEST_LENGTH))
            key->revoked = TRUE;
        g_hash_table_replace(made->by_id, g_strdup(row->id), key);
    }
    return made;
}

void auth_keys_free(AuthKeys *keys)
{
    if (!keys)
        return;
    g_hash_table_unref(keys->by_id);
    g_free(keys);
}

gboolean auth_check(const AuthKeys *keys, const char *id, const char *secret, AuthKey *out)
{
    static const Key nobody = {.revoked = TRUE};
    guint8 digest[SHA256_DIGEST_LENGTH];
    SHA256((const guint8 *)secret, strlen(secret), digest);
    gpointer stored_id = NULL, stored = NULL;
    gboolean known = keys && g_hash_table_lookup_extended(keys->by_id, id, &stored_id, &stored);
    const Key *key = known ? stored : &nobody;
    gboolean same = steno_secret_equal(digest, key->sha256, sizeof(digest));
    steno_secret_wipe(digest, sizeof(digest));
    if (!same || key->revoked)
        return FALSE;
    *out = (AuthKey){.id = stored_id, .app = key->app, .role = key->role};
    return TRUE;
}

gboolean auth_key_lives(const AuthKeys *keys, const char *id)
{
    const Key *key = keys ? g_hash_table_lookup(keys->by_id, id) : NULL;
    return key && !key->revoked;
}

/* ---- peers of the Unix socket ------------------------------------------------------------------------------------ */

static gboolean has_group(int fd, gid_t first, gid_t group)
{
    if (first == group)
        return TRUE;
    g_autofree gid_t *groups = g_new(gid_t, PEER_GROUPS_MAX);
    socklen_t bytes = PEER_GROUPS_MAX * sizeof(gid_t);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) != 0)
        return FALSE;
    for (gsize i = 0; i < bytes / sizeof(gid_t); i++) {
        if (groups[i] == group)
            return TRUE;
    }
    return FALSE;
}

gboolean auth_peer(int fd, gid_t group, uid_t *uid)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        return FALSE;
    *uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid() || (group != (gid_t)-1 && has_group(fd, peer.gid, group));
}
