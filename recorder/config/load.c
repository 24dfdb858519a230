/* Files into one configuration: each is parsed alone, and what it says is added to what the ones before said. */
#include "load.h"

#include "source.h"

#include <string.h>

static void load_file(ConfigLoad *load, const char *path, ConfigPlace from, guint depth);

/* ---- things ------------------------------------------------------------------------------------------------------ */

static void thing_free(gpointer data)
{
    ConfigThing *thing = data;
    g_free(thing->places);
    g_free(thing);
}

static ConfigThing *thing_add(ConfigLoad *load, ConfigSection section, gpointer object, ConfigPlace place)
{
    ConfigThing *thing = g_new0(ConfigThing, 1);
    thing->section = section;
    thing->object = object;
    thing->place = place;
    thing->places = g_new0(ConfigPlace, config_keys_count());
    g_ptr_array_add(load->things, thing);
    return thing;
}

ConfigPlace config_thing_place(const ConfigThing *thing, const ConfigKey *key)
{
    ConfigPlace place = thing->places[key - config_keys()];
    return place.line ? place : thing->place;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static ConfigPlace place_of(const config_setting_t *setting, const char *file)
{
    return (ConfigPlace){file, config_setting_source_line(setting)};
}

static void unknown_key(ConfigLoad *load, ConfigPlace place, ConfigSection section, const char *name)
{
    GString *known = g_string_new(NULL);
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section == section)
            g_string_append_printf(known, "%s%s", known->len ? ", " : "", key->name);
    }
    for (guint i = CONFIG_SECTION_TOP + 1; section == CONFIG_SECTION_TOP && i < CONFIG_SECTIONS; i++)
        g_string_append_printf(known, ", %s", config_section((ConfigSection)i)->name);
    g_autofree char *quoted = config_quote(name);
    config_faults_add(load->faults, place, config_section(section)->name, NULL,
                      "%s is not known, but must be one of: %s", quoted, known->str);
    g_string_free(known, TRUE);
}

static void read_key(ConfigLoad *load, ConfigThing *thing, const config_setting_t *setting, const char *file)
{
    const char *name = config_setting_name(setting);
    const ConfigKey *key = config_key_find(thing->section, name);
    ConfigPlace place = place_of(setting, file);
    if (!key) {
        unknown_key(load, place, thing->section, name);
        return;
    }
    thing->places[key - config_keys()] = place;
    g_autofree char *fault = config_value_read(key, setting, thing->object);
    if (fault)
        config_faults_add(load->faults, place, config_section(thing->section)->name, key->name, "%s", fault);
}

static void read_group(ConfigLoad *load, ConfigThing *thing, const config_setting_t *group, const char *file)
{
    for (int i = 0; i < config_setting_length(group); i++)
        read_key(load, thing, config_setting_get_elem(group, (unsigned)i), file);
}

static void read_list(ConfigLoad *load, ConfigSection section, const config_setting_t *setting, const char *file)
{
    const ConfigSectionRow *row = config_section(section);
    GPtrArray *list = config_section_list(load->config, section);
    ConfigPlace place = place_of(setting, file);
    if (config_setting_type(setting) != CONFIG_TYPE_LIST) {
        config_faults_add(load->faults, place, NULL, row->name, "must be a list of groups: ( { … }, { … } )");
        return;
    }
    if (list->len + (guint)config_setting_length(setting) > STENO_CONFIG_NAMES_MAX) {
        config_faults_add(load->faults, place, NULL, row->name,
                          "has more than %d entries, but must have at most so many", STENO_CONFIG_NAMES_MAX);
        load->incomplete = TRUE;
        return;
    }
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *entry = config_setting_get_elem(setting, (unsigned)i);
        if (config_setting_type(entry) != CONFIG_TYPE_GROUP) {
            config_faults_add(load->faults, place_of(entry, file), NULL, row->name,
                              "holds something that is no group, but must be a list of groups: ( { … }, { … } )");
            continue;
        }
        gpointer object = config_object_new(section);
        g_ptr_array_add(list, object);
        read_group(load, thing_add(load, section, object, place_of(entry, file)), entry, file);
    }
}

static void read_setting(ConfigLoad *load, const config_setting_t *setting, const char *file)
{
    const char *name = config_setting_name(setting);
    ConfigSection section = CONFIG_SECTION_API;
    while (section < CONFIG_SECTIONS && strcmp(config_section(section)->name, name) != 0)
        section++;
    if (section == CONFIG_SECTIONS) {
        read_key(load, g_ptr_array_index(load->things, CONFIG_SECTION_TOP), setting, file);
    } else if (config_section(section)->is_list) {
        read_list(load, section, setting, file);
    } else if (config_setting_type(setting) != CONFIG_TYPE_GROUP) {
        config_faults_add(load->faults, place_of(setting, file), NULL, name, "must be a group: { … }");
    } else {
        ConfigThing *thing = g_ptr_array_index(load->things, section);
        thing->place = place_of(setting, file);
        read_group(load, thing, setting, file);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void load_include(ConfigLoad *load, const ConfigInclude *include, const char *file, guint depth)
{
    ConfigPlace place = {file, include->line};
    g_autofree char *fault = NULL, *quoted = config_quote(include->pattern);
    if (load->alone) {
        config_faults_add(load->faults, place, NULL, "@include", "%s cannot be read here", quoted);
        return;
    }
    if (depth == STENO_CONFIG_INCLUDE_DEPTH_MAX) {
        config_faults_add(load->faults, place, NULL, "@include",
                          "%s is included %d files deep, but must be less deep (does a file include itself?)", quoted,
                          depth);
        load->incomplete = TRUE;
        return;
    }
    g_auto(GStrv) paths = config_source_expand(file, include->pattern, &fault);
    for (char **path = paths; path && *path; path++)
        load_file(load, *path, place, depth + 1);
    if (!paths) {
        config_faults_add(load->faults, place, NULL, "@include", "%s %s", quoted, fault);
        load->incomplete = TRUE;
    }
}

/* An include's settings come after the ones above it and before the ones below it. */
static void read_settings(ConfigLoad *load, const config_t *parsed, const GArray *includes, const char *file,
                          guint depth)
{
    const config_setting_t *root = parsed ? config_root_setting(parsed) : NULL;
    guint next = 0;
    for (int i = 0; root && i < config_setting_length(root); i++) {
        const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
        for (; next < includes->len; next++) {
            const ConfigInclude *include = &g_array_index(includes, ConfigInclude, next);
            if (include->line >= config_setting_source_line(setting))
                break;
            load_include(load, include, file, depth);
        }
        read_setting(load, setting, file);
    }
    for (; next < includes->len; next++)
        load_include(load, &g_array_index(includes, ConfigInclude, next), file, depth);
}

static void load_text(ConfigLoad *load, const char *file, const char *text, gsize bytes, guint depth)
{
    g_autoptr(ConfigSource) source = config_source_scan(file, text, bytes, load->faults);
    if (!source) {
        load->incomplete = TRUE;
        return;
    }
    config_t parsed;
    config_init(&parsed);
    gboolean good = config_read_string(&parsed, source->text) == CONFIG_TRUE;
    if (!good) {
        ConfigPlace place = {file, (guint)config_error_line(&parsed)};
        config_faults_add(load->faults, place, NULL, NULL, "%s", config_error_text(&parsed));
        load->incomplete = TRUE;
    }
    read_settings(load, good ? &parsed : NULL, source->includes, file, depth);
    config_destroy(&parsed);
}

static void load_file(ConfigLoad *load, const char *path, ConfigPlace from, guint depth)
{
    gsize bytes = 0;
    g_autofree char *fault = NULL;
    g_autofree char *text = NULL;
    const char *file = g_string_chunk_insert_const(load->file_names, path);
    if (load->files++ >= STENO_CONFIG_FILES_MAX) {
        if (load->files == STENO_CONFIG_FILES_MAX + 1)
            config_faults_add(load->faults, from, NULL, NULL,
                              "more than %d files are included, but must be at most so many", STENO_CONFIG_FILES_MAX);
        load->incomplete = TRUE;
        return;
    }
    text = config_source_read(path, &bytes, &fault);
    if (text) {
        config_name_file(load, path);
        load_text(load, file, text, bytes, depth);
        return;
    }
    load->incomplete = TRUE;
    if (from.line) {
        g_autofree char *quoted = config_quote(path);
        config_faults_add(load->faults, from, NULL, "@include", "%s %s", quoted, fault);
    } else {
        config_faults_add(load->faults, (ConfigPlace){file, 0}, NULL, NULL, "%s", fault);
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static void load_init(ConfigLoad *load, const char *path, gboolean alone)
{
    load->config = config_new();
    load->faults = config_faults_new();
    load->things = g_ptr_array_new_with_free_func(thing_free);
    load->file_names = g_string_chunk_new(256);
    load->alone = alone;
    const char *file = g_string_chunk_insert_const(load->file_names, path);
    /* What is no list is there once, whether it was given or not, at the index of its section. */
    for (guint i = 0; i < CONFIG_SECTIONS && !config_section((ConfigSection)i)->is_list; i++) {
        gpointer object = (char *)load->config + config_section((ConfigSection)i)->offset;
        thing_add(load, (ConfigSection)i, object, (ConfigPlace){file, 0});
    }
}

static StenoConfig *load_finish(ConfigLoad *load, GError **error)
{
    if (!load->incomplete)
        config_check(load);
    StenoConfig *config = g_steal_pointer(&load->config);
    if (load->faults->count) {
        config_faults_raise(load->faults, error);
        g_clear_pointer(&config, steno_config_unref);
    }
    config_faults_free(load->faults);
    g_ptr_array_unref(load->things);
    g_string_chunk_free(load->file_names);
    return config;
}

StenoConfig *config_load_text(const char *file, const char *text, gsize bytes, gboolean alone, GError **error)
{
    ConfigLoad load = {NULL};
    load_init(&load, file, alone);
    load_text(&load, g_string_chunk_insert_const(load.file_names, file), text, bytes, 0);
    return load_finish(&load, error);
}

StenoConfig *steno_config_load(const char *path, GError **error)
{
    ConfigLoad load = {NULL};
    load_init(&load, path, FALSE);
    load_file(&load, path, (ConfigPlace){NULL, 0}, 0);
    return load_finish(&load, error);
}
