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
