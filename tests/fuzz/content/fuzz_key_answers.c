/* Answers of key sources, of any bytes: a vault's, and several key sets that are made one. */
#include "source_merge.h"
#include "source_vault.h"

#include "steno/base/error.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Between two answers. */
#define END '\n'

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(gboolean good, const GError *error)
{
    if (good == !!error || (error && !g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID)))
        abort();
}

static void vault(const uint8_t *data, size_t bytes)
{
    g_auto(SourceBuffer) body = {.max_bytes = STENO_CONTENT_KEYS_MAX_BYTES};
    g_autoptr(StenoSecret) text = NULL;
    g_autoptr(GError) error = NULL;
    if (!source_buffer_append(&body, data, bytes))
        return;
    g_autofree char *words = vault_first_error(&body);
    if (words && !g_str_is_ascii(words))
        abort();
    SourceOutcome outcome = vault_take_secret(&body, &text, &error);
    check(outcome != SOURCE_TROUBLE, error);
    if ((outcome == SOURCE_FOUND) != !!text)
        abort();
}

static void merge(const uint8_t *data, size_t bytes)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func((GDestroyNotify)steno_secret_unref);
    g_autoptr(GError) error = NULL;
    while (bytes > 0) {
        const uint8_t *end = memchr(data, END, bytes);
        size_t length = end ? (size_t)(end - data) : bytes;
        g_ptr_array_add(texts, steno_secret_new(data, length));
        data += end ? length + 1 : length;
        bytes -= end ? length + 1 : length;
    }
    if (texts->len == 0)
        return;
    g_autoptr(StenoSecret) text = source_merge(texts, &error);
    check(text != NULL, error);
    if (!text || texts->len == 1)
        return;
    /* What was made of them can be read, and is made of itself again. */
    g_ptr_array_set_size(texts, 0);
    g_ptr_array_add(texts, steno_secret_ref(text));
    g_ptr_array_add(texts, steno_secret_ref(text));
    g_autoptr(StenoSecret) again = source_merge(texts, &error);
    if (!again || strcmp(steno_secret_text(again), steno_secret_text(text)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    vault(data, bytes);
    merge(data, bytes);
    return 0;
}
