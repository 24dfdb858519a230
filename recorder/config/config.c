#include "steno/config.h"

#include "steno/base/error.h"
#include "table.h"

#include <string.h>

StenoConfig *config_new(void)
{
    StenoConfig *config = g_new0(StenoConfig, 1);
    config->ref_count = 1;
    config->notes = g_ptr_array_new_with_free_func(g_free);
    config->files = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < CONFIG_SECTIONS; i++) {
        const ConfigSectionRow *row = config_section((ConfigSection)i);
        gpointer member = (char *)config + row->offset;
        if (row->is_list)
            *(GPtrArray **)member = g_ptr_array_new();
        else
            config_object_defaults((ConfigSection)i, member);
    }
    return config;
}

StenoConfig *steno_config_with_storage(const char *name, const char *type, StenoConfigStorage **storage)
{
    StenoConfig *config = config_new();
    StenoConfigStorage *settings = config_object_new(CONFIG_SECTION_STORAGE);
    settings->name = g_strdup(name);
    g_free(settings->type);
    settings->type = g_strdup(type);
    g_ptr_array_add(config->storages, settings);
    *storage = settings;
    return config;
}

StenoConfig *steno_config_ref(StenoConfig *config)
{
    g_atomic_int_inc(&config->ref_count);
    return config;
}

void steno_config_unref(StenoConfig *config)
{
    if (!config || !g_atomic_int_dec_and_test(&config->ref_count))
        return;
    for (guint section = 0; section < CONFIG_SECTIONS; section++) {
        GPtrArray *list = config_section_list(config, (ConfigSection)section);
        for (guint i = 0; list && i < list->len; i++) {
            config_object_clear((ConfigSection)section, g_ptr_array_index(list, i));
            g_free(g_ptr_array_index(list, i));
        }
        if (list)
            g_ptr_array_unref(list);
        else
            config_object_clear((ConfigSection)section,
                                (char *)config + config_section((ConfigSection)section)->offset);
    }
    g_ptr_array_unref(config->notes);
    g_ptr_array_unref(config->files);
    g_free(config);
}

/* The first member of what is in the lists is its name; the table says so, and a test. */
static gconstpointer find(const StenoConfig *config, ConfigSection section, const char *name)
{
    const GPtrArray *list = config_section_list(config, section);
    const ConfigKey *key = config_key_find(section, "name");
    for (guint i = 0; i < list->len; i++) {
        gpointer object = g_ptr_array_index(list, i);
        if (g_strcmp0(*CONFIG_MEMBER(const char *, object, key), name) == 0)
            return object;
    }
    return NULL;
}

const StenoConfigApp *steno_config_app(const StenoConfig *config, const char *name)
{
    return find(config, CONFIG_SECTION_APP, name);
}

const StenoConfigPlatform *steno_config_platform(const StenoConfig *config, const char *name)
{
    return find(config, CONFIG_SECTION_PLATFORM, name);
}

const StenoConfigStorage *steno_config_storage(const StenoConfig *config, const char *name)
{
    return find(config, CONFIG_SECTION_STORAGE, name);
}

const StenoConfigWebhook *steno_config_webhook(const StenoConfig *config, const char *name)
{
    return find(config, CONFIG_SECTION_WEBHOOK, name);
}

const StenoConfigKeys *steno_config_key_source(const StenoConfig *config, const char *name)
{
    return find(config, CONFIG_SECTION_KEYS, name);
}

gboolean steno_config_app_has(char *const *list, gboolean all_when_empty, const char *name)
{
    if (!list[0])
        return all_when_empty;
    return g_strv_contains((const char *const *)list, name);
}

gboolean steno_config_secret(const char *file, StenoSecret **secret, GError **error)
{
    static const char credential[] = "credential:";
    g_autofree char *path = g_strdup(file);
    g_autoptr(GError) local_error = NULL;
    *secret = NULL;
    if (!file)
        return TRUE;
    if (g_str_has_prefix(file, credential)) {
        const char *folder = g_getenv("CREDENTIALS_DIRECTORY");
        if (!folder) {
            g_set_error(
                error, STENO_ERROR, STENO_ERROR_CONFIG,
                "'%s' is a credential, but there is no $CREDENTIALS_DIRECTORY: put LoadCredential=%s:/PATH into "
                "stenod.service, or give the path of a file",
                file, file + strlen(credential));
            return FALSE;
        }
        g_free(path);
        path = g_build_filename(folder, file + strlen(credential), NULL);
    }
    *secret = steno_secret_read_file(path, &local_error);
    if (*secret)
        return TRUE;
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFIG, local_error->message);
    return FALSE;
}
