#include "ring.h"

#include "steno/base/secret.h"

#include <string.h>

/* ---- keys of the ring -------------------------------------------------------------------------------------------- */

static void free_key(gpointer data)
{
    ContentRingKey *key = data;
    while (key) {
        ContentRingKey *older = key->older;
        g_ptr_array_unref(key->chains);
        steno_content_keys_unref(key->keys);
        g_free(key);
        key = older;
    }
}

static ContentRingKey *key_new(StenoContentKeys *keys, const ContentKey *key, guint64 home)
{
    ContentRingKey *ring_key = g_new0(ContentRingKey, 1);
    ring_key->keys = steno_content_keys_ref(keys);
    ring_key->key = key;
    ring_key->home = home;
    ring_key->chains = g_ptr_array_new_with_free_func((GDestroyNotify)content_chain_unref);
    return ring_key;
}

static gboolean is_same_bytes(const guint8 *a, gsize a_bytes, const guint8 *b, gsize b_bytes)
{
    return a_bytes == b_bytes && (a_bytes == 0 || steno_secret_equal(a, b, a_bytes));
}

/* Would it open the same frames? */
static gboolean is_same(const ContentRingKey *old, StenoContentKeys *keys, const ContentKey *key)
{
    const ContentSettings *a = content_keys_settings(old->keys), *b = content_keys_settings(keys);
    return old->key->kid == key->kid && a->kdf == b->kdf && g_strcmp0(a->salt, b->salt) == 0 &&
           a->key_bits == b->key_bits && a->ratchet_window == b->ratchet_window && a->suite == b->suite &&
           a->ratchet_bits == b->ratchet_bits && a->mls == b->mls && a->epoch_bits == b->epoch_bits &&
           is_same_bytes(a->metadata, a->metadata_bytes, b->metadata, b->metadata_bytes) &&
           is_same_bytes(old->key->material, old->key->material_bytes, key->material, key->material_bytes);
}

/* Takes the one which is the same out of the list, or none. */
static ContentRingKey *take_same(ContentRingKey **list, StenoContentKeys *keys, const ContentKey *key)
{
    for (ContentRingKey **at = list; *at; at = &(*at)->older) {
        ContentRingKey *same = *at;
        if (is_same(same, keys, key)) {
            *at = same->older;
            same->older = NULL;
            return same;
        }
    }
    return NULL;
}

static void limit_older(ContentRingKey *key)
{
    for (guint i = 0; key && i < CONTENT_RING_OLDER_MAX; i++)
        key = key->older;
    if (key)
        g_clear_pointer(&key->older, free_key);
}

/* ---- where they are ---------------------------------------------------------------------------------------------- */

static GPtrArray *keys_of(StenoContentRing *ring, const char *participant)
{
    return participant ? g_hash_table_lookup(ring->people, participant) : ring->everybody;
}

static GPtrArray *make_keys_of(StenoContentRing *ring, const char *participant)
{
    GPtrArray *keys = keys_of(ring, participant);
    if (!keys) {
        keys = g_ptr_array_new();
        g_hash_table_insert(ring->people, g_strdup(participant), keys);
    }
    return keys;
}

/* Keys of sets with other settings may be among them. */
static ContentRingKey *find_in(const StenoContentRing *ring, const GPtrArray *keys, guint64 kid)
{
    for (guint i = keys ? keys->len : 0; i > 0; i--) {
        ContentRingKey *key = keys->pdata[i - 1];
        if (content_chain_home(ring->format, content_keys_settings(key->keys), kid) == key->home)
            return key;
    }
    return NULL;
}

ContentRingKey *content_ring_find(StenoContentRing *ring, const char *participant, guint64 kid)
{
    ContentRingKey *key = find_in(ring, keys_of(ring, participant), kid);
    return key ? key : find_in(ring, ring->everybody, kid);
}

/* Room for one more: a chain that never opened a frame, or else the oldest. */
static void drop_chain(StenoContentRing *ring, ContentRingKey *key)
{
    guint index = 0;
    for (guint i = 0; i < key->chains->len; i++) {
        if (!((ContentChain *)key->chains->pdata[i])->opened) {
            index = i;
            break;
        }
    }
    g_ptr_array_remove_index(key->chains, index);
    ring->generation++;
}

ContentChain *content_ring_chain(StenoContentRing *ring, ContentRingKey *key, guint64 kid)
{
    ContentSettings *settings = content_keys_settings(key->keys);
    const guint64 head = content_chain_head(ring->format, settings, kid);
    for (guint i = 0; i < key->chains->len; i++) {
        ContentChain *chain = key->chains->pdata[i];
        if (chain->head == head)
            return chain;
    }
    if (key->chains->len >= CONTENT_RING_CHAINS_MAX)
        drop_chain(ring, key);
    ContentChain *chain = content_chain_new(ring->format, settings, key->key, kid);
    g_ptr_array_add(key->chains, chain);
    return chain;
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static void drop_first_added(StenoContentRing *ring)
{
    ContentRingKey *first = g_queue_pop_head(&ring->order);
    const char *participant = first->key->participant;
    g_ptr_array_remove(keys_of(ring, participant), first);
    if (participant && keys_of(ring, participant)->len == 0)
        g_hash_table_remove(ring->people, participant);
    free_key(first);
    if (!ring->told_full)
        steno_warning(ring->log, "more than %d content keys: those that came first are forgotten",
                      CONTENT_RING_KEYS_MAX);
    ring->told_full = TRUE;
}

static void add_key(StenoContentRing *ring, StenoContentKeys *keys, const ContentKey *key)
{
    GPtrArray *list = make_keys_of(ring, key->participant);
    const guint64 home = content_chain_home(ring->format, content_keys_settings(keys), key->kid);
    ContentRingKey *older = NULL;
    for (guint i = 0; i < list->len && !older; i++) {
        older = list->pdata[i];
        if (older->home != home)
            older = NULL;
        else
            g_ptr_array_remove_index(list, i);
    }
    if (older)
        g_queue_remove(&ring->order, older);
    ContentRingKey *added = take_same(&older, keys, key);
    if (added) {
        /* Its chains go on; the text that it was read from last is what holds it, so that older sets can go. */
        steno_content_keys_ref(keys);
        steno_content_keys_unref(added->keys);
        added->keys = keys;
        added->key = key;
    } else {
        added = key_new(keys, key, home);
    }
    added->older = older;
    limit_older(added);
    g_ptr_array_add(list, added);
    g_queue_push_tail(&ring->order, added);
    if (ring->order.length > CONTENT_RING_KEYS_MAX)
        drop_first_added(ring);
}

void steno_content_ring_add(StenoContentRing *ring, StenoContentKeys *keys)
{
    g_return_if_fail(content_keys_format(keys) == ring->format);
    for (guint i = 0; i < steno_content_keys_count(keys); i++)
        add_key(ring, keys, content_keys_at(keys, i));
    ring->generation++;
    if (ring->live && !ring->deriver && ring->format->ratchet && content_keys_settings(keys)->ratchet_window > 0)
        ring->deriver = content_deriver_new();
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

StenoContentRing *steno_content_ring_new(const StenoContentRingConfig *config)
{
    StenoContentRing *ring = g_new0(StenoContentRing, 1);
    ring->format = config->format;
    ring->live = config->live;
    ring->log = config->log;
    if (config->sif_trailer && *config->sif_trailer) {
        ring->sif_trailer_bytes = strlen(config->sif_trailer);
        ring->sif_trailer = g_memdup2(config->sif_trailer, ring->sif_trailer_bytes);
    }
    ring->people = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    ring->everybody = g_ptr_array_new();
    return ring;
}

void steno_content_ring_free(StenoContentRing *ring)
{
    if (!ring)
        return;
    content_deriver_free(ring->deriver);
    g_queue_clear_full(&ring->order, free_key);
    g_hash_table_unref(ring->people);
    g_ptr_array_unref(ring->everybody);
    g_free(ring->sif_trailer);
    g_free(ring);
}
