/* Authorization headers, and what is done with what they say. */
#include "auth.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autofree char *header = g_strndup((const char *)data, bytes);
    char *id = NULL, *secret = NULL;
    if (!auth_read_header(header, &id, &secret)) {
        g_assert_true(!id && !secret);
        return 0;
    }
    g_assert_true(id[0] && strlen(id) <= AUTH_ID_MAX_BYTES && strlen(secret) <= AUTH_SECRET_MAX_BYTES);
    g_autoptr(GPtrArray) rows = g_ptr_array_new();
    StenoJournalKey row = {.id = id, .role = (char *)"viewer"};
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, secret, -1);
    memcpy(row.sha256_hex, hex, 65);
    g_ptr_array_add(rows, &row);
    AuthKeys *keys = auth_keys_new(rows);
    AuthKey key;
    g_assert_true(auth_check(keys, id, secret, &key));
    g_assert_false(auth_check(keys, id, "another", &key) && strcmp(secret, "another") != 0);
    auth_keys_free(keys);
    auth_wipe(secret);
    g_free(id);
    return 0;
}
