/* Entries that are of one `type` of several: what belongs to another one does nothing, and hardly was meant so. */
#include "check.h"

#include <string.h>

static gboolean is_default(const ConfigKey *key, gpointer object, gpointer fallback)
{
    if (config_key_is_list(key))
        return g_strv_equal(*CONFIG_MEMBER(const char *const *, object, key),
                            *CONFIG_MEMBER(const char *const *, fallback, key));
    switch (key->kind) {
    case CONFIG_KIND_BOOL:
        return *CONFIG_MEMBER(gboolean, object, key) == *CONFIG_MEMBER(gboolean, fallback, key);
    case CONFIG_KIND_INT:
    case CONFIG_KIND_BYTES:
    case CONFIG_KIND_DURATION:
        return *CONFIG_MEMBER(gint64, object, key) == *CONFIG_MEMBER(gint64, fallback, key);
    default:
        return g_strcmp0(*CONFIG_MEMBER(char *, object, key), *CONFIG_MEMBER(char *, fallback, key)) == 0;
    }
}

/* Are the words before the text's first colon types, all of them? Then *is_one_of says whether the type is among them.
 */
static gboolean read_types(const char *text, const char *const *types, const char *type, gboolean *is_one_of)
{
    const char *colon = strchr(text, ':');
    g_autofree char *before = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
    g_auto(GStrv) words = g_strsplit(g_strstrip(before), ", ", -1);
    for (char **word = words; *word; word++) {
        if (!g_strv_contains(types, *word))
            return FALSE;
    }
    *is_one_of = colon && g_strv_contains((const char *const *)words, type);
    return colon != NULL;
}

/* The words of a key that only some types have begin with them: "s3: …", "folder: …; service, vault: …". */
static gboolean is_for(const ConfigKey *key, const char *const *types, const char *type)
{
    g_auto(GStrv) parts = g_strsplit(key->words, "; ", -1);
    gboolean is_one_of = FALSE;
    if (!read_types(parts[0], types, type, &is_one_of))
        return TRUE;
    for (char **part = parts + 1; *part && !is_one_of; part++)
        (void)read_types(*part, types, type, &is_one_of);
    return is_one_of;
}

void config_note_other_types(ConfigLoad *load, const ConfigThing *thing)
{
    const ConfigKey *name = config_key_find(thing->section, "name"), *type = config_key_find(thing->section, "type");
    const char *its = *CONFIG_MEMBER(const char *, thing->object, type);
    g_auto(GStrv) types = g_strsplit(type->allowed, " ", -1);
    /* "storages": one of them is a storage. */
    const char *section = config_section(thing->section)->name;
    int singular = (int)strlen(section) - 1;
    gpointer fallback = config_object_new(thing->section);
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section == thing->section && !is_for(key, (const char *const *)types, its) &&
            !is_default(key, thing->object, fallback))
            g_ptr_array_add(load->config->notes,
                            g_strdup_printf("%.*s '%s' is of type %s: its %s does nothing", singular, section,
                                            *CONFIG_MEMBER(const char *, thing->object, name), its, key->name));
    }
    config_object_clear(thing->section, fallback);
    g_free(fallback);
}
