#include "chain.h"

#include "steno/base/secret.h"

#include <string.h>

struct ContentStep {
    ContentStep *next;
    ContentCipher *cipher;
};

/* A power of two, or 0. */
static guint64 modulus_of(const StenoContentFormat *format, const ContentSettings *settings)
{
    return format->told_steps ? format->told_steps(settings) : 0;
}

static guint64 told_step(guint64 modulus, guint64 kid)
{
    return modulus > 0 ? kid & (modulus - 1) : 0;
}

guint64 content_chain_head(const StenoContentFormat *format, const ContentSettings *settings, guint64 kid)
{
    return kid - told_step(modulus_of(format, settings), kid);
}

guint64 content_chain_home(const StenoContentFormat *format, const ContentSettings *settings, guint64 kid)
{
    return content_chain_head(format, settings, format->key_kid ? format->key_kid(settings, kid) : kid);
}

/* ---- deriving ---------------------------------------------------------------------------------------------------- */

static gboolean ratchet(ContentChain *chain)
{
    guint8 *material = steno_secret_buffer(chain->material), *next = material + CONTENT_MATERIAL_MAX_BYTES;
    const gsize bytes = chain->format->ratchet(chain->format, chain->settings, material, chain->material_bytes, next);
    memcpy(material, next, bytes);
    steno_secret_wipe(next, CONTENT_MATERIAL_MAX_BYTES);
    chain->material_bytes = bytes;
    chain->material_step++;
    return bytes > 0;
}

/* The cipher of the next step; NULL: there is none, and never will be. */
static ContentCipher *derive_next(ContentChain *chain)
{
    ContentCipher *cipher = NULL;
    if (atomic_load(&chain->ended))
        return NULL;
    if (chain->derived == chain->material_step || (chain->window > 0 && ratchet(chain)))
        cipher = chain->format->derive(chain->format, chain->settings, steno_secret_data(chain->material),
                                       chain->material_bytes,
                                       chain->head + told_step(chain->modulus, chain->start + chain->material_step));
    chain->derived++;
    if (!cipher)
        atomic_store(&chain->ended, true);
    return cipher;
}

gboolean content_chain_extend(ContentChain *chain)
{
    ContentCipher *cipher = derive_next(chain);
    if (cipher)
        g_ptr_array_add(chain->ciphers, cipher);
    return cipher != NULL;
}

gboolean content_chain_derive_wanted(ContentChain *chain)
{
    if (chain->derived >= atomic_load(&chain->wanted))
        return FALSE;
    ContentCipher *cipher = derive_next(chain);
    if (!cipher)
        return FALSE;
    ContentStep *step = g_new(ContentStep, 1);
    step->cipher = cipher;
    step->next = atomic_load(&chain->inbox);
    while (!atomic_compare_exchange_weak(&chain->inbox, &step->next, step))
        ;
    return TRUE;
}

void content_chain_collect(ContentChain *chain)
{
    if (!atomic_load_explicit(&chain->inbox, memory_order_relaxed))
        return;
    ContentStep *newest = atomic_exchange(&chain->inbox, NULL), *oldest = NULL;
    while (newest) {
        ContentStep *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        ContentStep *next = oldest->next;
        g_ptr_array_add(chain->ciphers, oldest->cipher);
        g_free(oldest);
        oldest = next;
    }
}

/* ---- the ring's side --------------------------------------------------------------------------------------------- */

ContentChain *content_chain_new(const StenoContentFormat *format, ContentSettings *settings, const ContentKey *key,
                                guint64 frame_kid)
{
    ContentChain *chain = g_new0(ContentChain, 1);
    g_atomic_ref_count_init(&chain->references);
    chain->format = format;
    chain->settings = g_atomic_rc_box_acquire(settings);
    chain->modulus = modulus_of(format, settings);
    chain->head = content_chain_head(format, settings, frame_kid);
    chain->start = told_step(chain->modulus, key->kid);
    if (format->ratchet && chain->modulus != 1)
        chain->window = settings->ratchet_window;
    chain->ciphers = g_ptr_array_new();
    /* Behind it is room for the next one. */
    chain->material = steno_secret_new(NULL, 2 * CONTENT_MATERIAL_MAX_BYTES);
    memcpy(steno_secret_buffer(chain->material), key->material, key->material_bytes);
    chain->material_bytes = key->material_bytes;
    (void)content_chain_extend(chain);
    return chain;
}

ContentChain *content_chain_ref(ContentChain *chain)
{
    g_atomic_ref_count_inc(&chain->references);
    return chain;
}

void content_chain_unref(ContentChain *chain)
{
    if (!chain || !g_atomic_ref_count_dec(&chain->references))
        return;
    content_chain_collect(chain);
    for (guint i = 0; i < chain->ciphers->len; i++)
        chain->format->free_cipher(chain->ciphers->pdata[i]);
    g_ptr_array_unref(chain->ciphers);
    steno_secret_unref(chain->material);
    content_settings_unref(chain->settings);
    g_free(chain);
}

ContentCipher *content_chain_cipher(const ContentChain *chain, guint64 step)
{
    return step >= chain->first_step && step - chain->first_step < chain->ciphers->len
               ? chain->ciphers->pdata[step - chain->first_step]
               : NULL;
}

guint64 content_chain_end(const ContentChain *chain)
{
    return chain->first_step + chain->ciphers->len;
}

void content_chain_forget(ContentChain *chain, guint64 before)
{
    if (before <= chain->first_step)
        return;
    const guint n = (guint)MIN(before - chain->first_step, chain->ciphers->len);
    for (guint i = 0; i < n; i++)
        chain->format->free_cipher(chain->ciphers->pdata[i]);
    if (n > 0)
        g_ptr_array_remove_range(chain->ciphers, 0, n);
    chain->first_step += n;
}
