#include "table.h"

#include <stddef.h>
#include <string.h>

typedef StenoConfigTop ObjectTOP;
typedef StenoConfigApi ObjectAPI;
typedef StenoConfigLimits ObjectLIMITS;
typedef StenoConfigPlatform ObjectPLATFORM;
typedef StenoConfigStorage ObjectSTORAGE;
typedef StenoConfigWebhook ObjectWEBHOOK;
typedef StenoConfigKeys ObjectKEYS;
typedef StenoConfigApp ObjectAPP;

static const ConfigKey keys[] = {
#define STENO_CONFIG_KEY(section, kind, name, fallback, minimum, maximum, allowed, words)                              \
    {CONFIG_SECTION_##section,       CONFIG_KIND_##kind, #name, fallback, minimum, maximum, allowed, words,            \
     offsetof(Object##section, name)},
#include "steno/config_keys.def"
#undef STENO_CONFIG_KEY
    {.name = NULL},
};

static const ConfigSectionRow sections[CONFIG_SECTIONS] = {
    [CONFIG_SECTION_TOP] = {"TOP", "", FALSE, sizeof(StenoConfigTop), offsetof(StenoConfig, top),
                            "the server as a whole"},
    [CONFIG_SECTION_API] = {"API", "api", FALSE, sizeof(StenoConfigApi), offsetof(StenoConfig, api),
                            "REST and `steno`"},
    [CONFIG_SECTION_LIMITS] = {"LIMITS", "limits", FALSE, sizeof(StenoConfigLimits), offsetof(StenoConfig, limits),
                               "how much is done at a time, and what is given up when"},
    [CONFIG_SECTION_PLATFORM] = {"PLATFORM", "platforms", TRUE, sizeof(StenoConfigPlatform),
                                 offsetof(StenoConfig, platforms), "where channels are joined"},
    [CONFIG_SECTION_STORAGE] = {"STORAGE", "storages", TRUE, sizeof(StenoConfigStorage),
                                offsetof(StenoConfig, storages), "where finished files go"},
    [CONFIG_SECTION_WEBHOOK] = {"WEBHOOK", "webhooks", TRUE, sizeof(StenoConfigWebhook),
                                offsetof(StenoConfig, webhooks), "who is told what happens"},
    [CONFIG_SECTION_KEYS] = {"KEYS", "key_sources", TRUE, sizeof(StenoConfigKeys), offsetof(StenoConfig, key_sources),
                             "where the keys of channels' own encryption come from"},
    [CONFIG_SECTION_APP] = {"APP", "apps", TRUE, sizeof(StenoConfigApp), offsetof(StenoConfig, apps),
                            "who records: each app sees only its own recordings, files and API keys"},
};

const ConfigKey *config_keys(void)
{
    return keys;
}

guint config_keys_count(void)
{
    return G_N_ELEMENTS(keys) - 1;
}

const ConfigKey *config_key_find(ConfigSection section, const char *name)
{
    for (const ConfigKey *key = keys; key->name; key++) {
        if (key->section == section && strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

const ConfigSectionRow *config_section(ConfigSection section)
{
    return &sections[section];
}

ConfigSection config_section_by_id(const char *id)
{
    guint i = 0;
    while (i < CONFIG_SECTIONS && strcmp(sections[i].id, id) != 0)
        i++;
    g_assert(i < CONFIG_SECTIONS);
    return (ConfigSection)i;
}

GPtrArray *config_section_list(const StenoConfig *config, ConfigSection section)
{
    const ConfigSectionRow *row = &sections[section];
    return row->is_list ? *(GPtrArray *const *)(const void *)((const char *)config + row->offset) : NULL;
}

gboolean config_key_is_list(const ConfigKey *key)
{
    return key->kind == CONFIG_KIND_LIST || key->kind == CONFIG_KIND_REFS;
}

gboolean config_key_is_required(const ConfigKey *key)
{
    return strcmp(key->fallback, "!") == 0;
}

char *config_key_range(const ConfigKey *key)
{
    if (key->maximum == G_MAXINT64)
        return g_strdup_printf("%" G_GINT64_FORMAT " or more", key->minimum);
    return g_strdup_printf("%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, key->minimum, key->maximum);
}

/* A whole number, followed by one of the units or nothing. */
static gboolean parse_scaled(const char *text, const char *units, const gint64 *scales, gint64 *number)
{
    gsize digits = strspn(text, "0123456789");
    const char *unit = text[digits] ? strchr(units, text[digits]) : NULL;
    gint64 scale = unit ? scales[unit - units] : 1;
    if (digits == 0 || digits > 19 || (text[digits] && (!unit || text[digits + 1])))
        return FALSE;
    guint64 count = g_ascii_strtoull(text, NULL, 10);
    if (count > (guint64)(G_MAXINT64 / scale))
        return FALSE;
    *number = (gint64)count * scale;
    return TRUE;
}

gboolean config_bytes_parse(const char *text, gint64 *bytes)
{
    static const gint64 scales[] = {(gint64)1 << 10, (gint64)1 << 20, (gint64)1 << 30, (gint64)1 << 40};
    return parse_scaled(text, "KMGT", scales, bytes);
}

gboolean config_duration_parse(const char *text, gint64 *seconds)
{
    static const gint64 scales[] = {1, 60, 3600, 86400};
    return parse_scaled(text, "smhd", scales, seconds);
}

/* The defaults of the table are not the user's: a test reads every one of them. */
static void set_default(const ConfigKey *key, gpointer object)
{
    const char *text = config_key_is_required(key) ? "" : key->fallback;
    switch (key->kind) {
    case CONFIG_KIND_BOOL:
        *CONFIG_MEMBER(gboolean, object, key) = strcmp(text, "true") == 0;
        break;
    case CONFIG_KIND_INT:
        *CONFIG_MEMBER(gint64, object, key) = g_ascii_strtoll(text, NULL, 10);
        break;
    case CONFIG_KIND_BYTES:
        (void)config_bytes_parse(text, CONFIG_MEMBER(gint64, object, key));
        break;
    case CONFIG_KIND_DURATION:
        (void)config_duration_parse(text, CONFIG_MEMBER(gint64, object, key));
        break;
    case CONFIG_KIND_LIST:
    case CONFIG_KIND_REFS:
        *CONFIG_MEMBER(char **, object, key) = text[0] ? g_strsplit(text, " ", -1) : g_new0(char *, 1);
        break;
    default:
        *CONFIG_MEMBER(char *, object, key) = text[0] ? g_strdup(text) : NULL;
    }
}

static void clear_member(const ConfigKey *key, gpointer object)
{
    switch (key->kind) {
    case CONFIG_KIND_BOOL:
    case CONFIG_KIND_INT:
    case CONFIG_KIND_BYTES:
    case CONFIG_KIND_DURATION:
        break;
    case CONFIG_KIND_LIST:
    case CONFIG_KIND_REFS:
        g_clear_pointer(CONFIG_MEMBER(char **, object, key), g_strfreev);
        break;
    default:
        g_clear_pointer(CONFIG_MEMBER(char *, object, key), g_free);
    }
}

gpointer config_object_new(ConfigSection section)
{
    gpointer object = g_malloc0(sections[section].object_bytes);
    config_object_defaults(section, object);
    return object;
}

void config_object_defaults(ConfigSection section, gpointer object)
{
    for (const ConfigKey *key = keys; key->name; key++) {
        if (key->section == section)
            set_default(key, object);
    }
}

void config_object_clear(ConfigSection section, gpointer object)
{
    for (const ConfigKey *key = keys; key->name; key++) {
        if (key->section == section)
            clear_member(key, object);
    }
}
