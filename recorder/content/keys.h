/* The parser's two halves: what a set says of all its keys (keys_settings.c), and the keys (keys.c). */
#ifndef STENO_CONTENT_KEYS_H
#define STENO_CONTENT_KEYS_H

#include "format.h"

/* Which of CONTENT_MEMBER_PASSPHRASE, _KEY and _SECRET an element of "keys" has; each a bit, 0: none. */
guint content_keys_members_of(const json_t *key);

/*
 * Reads all of a set but its keys' members: which members there are, format, and the settings, settled. A box of
 * g_atomic_rc_box. KEYS_INVALID.
 */
ContentSettings *content_keys_read_settings(const StenoContentFormat *format, const json_t *set, GError **error);

/* FALSE with KEYS_INVALID when an object has a member that is not among the names (NULL-terminated). */
gboolean content_keys_only(const json_t *object, const char *const *names, const char *what, GError **error);

#endif
