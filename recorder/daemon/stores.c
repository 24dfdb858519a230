#include "stores.h"

#include <string.h>

struct Stores {
    GPtrArray *stores; /* of StenoStore * */
};

Stores *stores_open(StenoConfig *config, GError **error)
{
    Stores *stores = g_new0(Stores, 1);
    stores->stores = g_ptr_array_new_with_free_func((GDestroyNotify)steno_store_unref);
    for (guint i = 0; i < config->storages->len; i++) {
        StenoStore *store = steno_store_open(config, config->storages->pdata[i], error);
        if (!store) {
            stores_free(stores);
            return NULL;
        }
        g_ptr_array_add(stores->stores, store);
    }
    return stores;
}

void stores_free(Stores *stores)
{
    if (!stores)
        return;
    g_ptr_array_unref(stores->stores);
    g_free(stores);
}

StenoStore *stores_find(const Stores *stores, const char *name)
{
    for (guint i = 0; name && i < stores->stores->len; i++) {
        if (strcmp(steno_store_name(stores->stores->pdata[i]), name) == 0)
            return stores->stores->pdata[i];
    }
    return NULL;
}

/* ---- prefixes ---------------------------------------------------------------------------------------------------- */

/* What two recordings that have nothing in common but their app have in common. */
static char *prefix_of(const StenoStore *store, const char *app)
{
    const StenoStorePlace one = {app, "a", G_USEC_PER_SEC, "0"};
    const StenoStorePlace other = {app, "b", G_GINT64_CONSTANT(1800000000) * G_USEC_PER_SEC, "1"};
    g_autofree char *first = steno_store_folder(store, &one), *second = steno_store_folder(store, &other);
    gsize bytes = 0;
    for (gsize i = 0; first[i] && first[i] == second[i]; i++)
        bytes = first[i] == '/' ? i + 1 : bytes;
    return g_strndup(first, bytes);
}

char **stores_prefixes(const StenoConfig *config, const StenoStore *store)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *kept = g_ptr_array_new();
    for (guint i = 0; i < config->apps->len; i++)
        g_ptr_array_add(all, prefix_of(store, ((const StenoConfigApp *)config->apps->pdata[i])->name));
    for (guint i = 0; i < all->len; i++) {
        gboolean covered = FALSE;
        for (guint k = 0; k < all->len && !covered; k++) {
            gboolean same = strcmp(all->pdata[i], all->pdata[k]) == 0;
            covered = same ? k < i : g_str_has_prefix(all->pdata[i], all->pdata[k]);
        }
        if (!covered)
            g_ptr_array_add(kept, g_strdup(all->pdata[i]));
    }
    g_ptr_array_add(kept, NULL);
    return (char **)g_ptr_array_free(kept, FALSE);
}
