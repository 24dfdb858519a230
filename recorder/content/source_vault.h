/* What a KV v2 engine answers, read: apart, so that it can be fuzzed. */
#ifndef CONTENT_SOURCE_VAULT_H
#define CONTENT_SOURCE_VAULT_H

#include "source_buffer.h"
#include "source_kind.h"

/*
 * The key set in a 200: the members of data.data, or the text of its member "keys_json". ABSENT: this version was
 * deleted. TROUBLE: KEYS_INVALID.
 */
SourceOutcome vault_take_secret(const SourceBuffer *body, StenoSecret **text, GError **error);
/* The first of its "errors", in printable signs; NULL: there is none. */
char *vault_first_error(const SourceBuffer *body);

#endif
