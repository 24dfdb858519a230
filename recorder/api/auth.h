/* Who asks: API keys by HTTP Basic or Bearer, and the peers of the Unix socket. */
#ifndef STENO_API_AUTH_H
#define STENO_API_AUTH_H

#include "steno/daemon.h"
#include "steno/journal.h"

#define AUTH_ID_MAX_BYTES 128
#define AUTH_SECRET_MAX_BYTES 256

/* Reads an Authorization header: "Basic base64(id:secret)" or "Bearer id.secret". Wipe the secret with auth_wipe(). */
gboolean auth_read_header(const char *header, char **id, char **secret);
void auth_wipe(char *secret);

/* The API keys as the daemon last told them. Immutable: made on its thread, read on ours. */
typedef struct AuthKeys AuthKeys;
AuthKeys *auth_keys_new(GPtrArray *keys);
void auth_keys_free(AuthKeys *keys);

typedef struct {
    const char *id, *app; /* lent by the AuthKeys */
    StenoRole role;
} AuthKey;

/* FALSE: unknown, revoked, or not its secret; which of them takes the same time. */
gboolean auth_check(const AuthKeys *keys, const char *id, const char *secret, AuthKey *key);
/* Is the key still good? */
gboolean auth_key_lives(const AuthKeys *keys, const char *id);

/*
 * Who is at the other end of a Unix socket? FALSE: nobody of those who may: root, our own user, and processes of this
 * group ((gid_t)-1: none). The process's own groups decide, as for every file, and no directory service is asked.
 */
gboolean auth_peer(int fd, gid_t group, uid_t *uid);

#endif
