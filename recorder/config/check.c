/* What no value can tell alone: what is missing, what refers to what, what contradicts what. */
#include "check.h"

#include "forms.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* RUNTIME_DIR/recordings/<26 characters>.sock must fit into a Unix socket's address. */
#define RUNTIME_DIR_MAX_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - strlen("/recordings/.sock") - 26)
#define SOCKET_MAX_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

void config_check_fault(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    config_faults_add(load->faults, config_thing_place(thing, key), config_section(thing->section)->name, key->name,
                      "%s", words);
}

static gboolean is_given(const ConfigThing *thing, const ConfigKey *key)
{
    return thing->places[key - config_keys()].line != 0;
}

static const char *name_of(const ConfigThing *thing)
{
    const ConfigKey *key = config_key_find(thing->section, "name");
    return key ? *CONFIG_MEMBER(const char *, thing->object, key) : NULL;
}

/* ---- each thing -------------------------------------------------------------------------------------------------- */

static void check_required(ConfigLoad *load, const ConfigThing *thing)
{
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section == thing->section && config_key_is_required(key) && !is_given(thing, key))
            config_check_fault(load, thing, key, "is missing, but must be given: %s", key->words);
    }
}

void config_name_file(ConfigLoad *load, const char *path)
{
    if (!g_ptr_array_find_with_equal_func(load->config->files, path, g_str_equal, NULL))
        g_ptr_array_add(load->config->files, g_strdup(path));
}

void config_check_file(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *path)
{
    struct stat status;
    config_name_file(load, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        config_check_fault(load, thing, key, "'%s' cannot be read: %s", path, g_strerror(errno));
    else if (!S_ISREG(status.st_mode))
        config_check_fault(load, thing, key, "'%s' is no file, but must be one", path);
    if (fd >= 0)
        close(fd);
}

/* Under systemd, it must have handed the credential over. */
static gboolean is_credential_elsewhere(const char *file)
{
    return g_str_has_prefix(file, "credential:") && !g_getenv("CREDENTIALS_DIRECTORY") && !g_getenv("NOTIFY_SOCKET");
}

static void check_secret(ConfigLoad *load, const ConfigThing *thing, const ConfigKey *key, const char *file)
{
    if (is_credential_elsewhere(file)) {
        g_ptr_array_add(
            load->config->notes,
            g_strdup_printf("%s is '%s', which systemd hands to the service alone: it was not looked at here",
                            key->name, file));
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) secret = NULL;
    if (file[0] == '/')
        config_name_file(load, file);
    if (!steno_config_secret(file, &secret, &error))
        config_check_fault(load, thing, key, "%s", error->message);
}

static void check_files(ConfigLoad *load, const ConfigThing *thing)
{
    for (const ConfigKey *key = config_keys(); key->name && !load->alone; key++) {
        if (key->section != thing->section || (key->kind != CONFIG_KIND_FILE && key->kind != CONFIG_KIND_SECRET_FILE))
            continue;
        const char *path = *CONFIG_MEMBER(const char *, thing->object, key);
        if (path && key->kind == CONFIG_KIND_FILE)
            config_check_file(load, thing, key, path);
        else if (path)
            check_secret(load, thing, key, path);
    }
}

/* Upper and lower case are the same: the names become folders, also on Windows shares. */
static void check_name(ConfigLoad *load, const ConfigThing *thing, GHashTable *names)
{
    const char *name = name_of(thing);
    if (!name)
        return;
    g_autofree char *lower = g_ascii_strdown(name, -1);
    g_autofree char *in_section = g_strdup_printf("%s/%s", config_section(thing->section)->name, lower);
    const ConfigThing *first = g_hash_table_lookup(names, in_section);
    if (!first) {
        g_hash_table_insert(names, g_steal_pointer(&in_section), (gpointer)thing);
        return;
    }
    const ConfigKey *key = config_key_find(thing->section, "name");
    ConfigPlace there = config_thing_place(first, key);
    config_check_fault(load, thing, key, "'%s' is there already (%s:%u), but must be the only one of its name", name,
                       there.file, there.line);
}

static char *names_of(const ConfigLoad *load, ConfigSection section)
{
    GString *names = g_string_new(NULL);
    for (guint i = 0; i < load->things->len; i++) {
        const ConfigThing *thing = g_ptr_array_index(load->things, i);
        if (thing->section == section && name_of(thing))
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", name_of(thing));
    }
    return g_string_free(names, FALSE);
}

static gboolean is_there(GHashTable *names, ConfigSection section, const char *name)
{
    g_autofree char *lower = g_ascii_strdown(name, -1);
    g_autofree char *in_section = g_strdup_printf("%s/%s", config_section(section)->name, lower);
    const ConfigThing *found = g_hash_table_lookup(names, in_section);
    return found && g_strcmp0(name_of(found), name) == 0;
}

static void check_references(ConfigLoad *load, const ConfigThing *thing, GHashTable *names)
{
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section != thing->section || key->kind != CONFIG_KIND_REFS)
            continue;
        ConfigSection section = config_section_by_id(key->allowed);
        for (char **name = *CONFIG_MEMBER(char **, thing->object, key); *name; name++) {
            if (is_there(names, section, *name))
                continue;
            g_autofree char *quoted = config_quote(*name), *all = names_of(load, section);
            config_check_fault(load, thing, key, "holds %s, but must hold only names of %s: %s", quoted,
                               config_section(section)->name, all[0] ? all : "there is none");
        }
    }
}

/* ---- each section ------------------------------------------------------------------------------------------------ */

static void check_top(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigTop *top = thing->object;
    if (strlen(top->runtime_dir) > RUNTIME_DIR_MAX_BYTES)
        FAULT(load, thing, TOP, runtime_dir, "has %zu bytes, but must have at most %zu: it holds Unix sockets",
              strlen(top->runtime_dir), RUNTIME_DIR_MAX_BYTES);
    const char *wrong = top->timestamp_url ? config_url_check(top->timestamp_url, TRUE, TRUE) : NULL;
    if (wrong)
        FAULT(load, thing, TOP, timestamp_url, "%s", wrong);
    if (top->timestamp_required && !top->timestamp_url)
        FAULT(load, thing, TOP, timestamp_required, "is true without timestamp_url, but must be given with it");
}

static void check_api(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigApi *api = thing->object;
    if (api->certificate_file && !api->private_key_file)
        FAULT(load, thing, API, certificate_file, "is given without private_key_file, but must be given with it");
    if (api->private_key_file && !api->certificate_file)
        FAULT(load, thing, API, private_key_file, "is given without certificate_file, but must be given with it");
    if (strlen(api->socket) > SOCKET_MAX_BYTES)
        FAULT(load, thing, API, socket, "has %zu bytes, but must have at most %zu: so many has a Unix socket's address",
              strlen(api->socket), SOCKET_MAX_BYTES);
}

static void check_limits(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigLimits *limits = thing->object;
    if (limits->refuse_below_percent >= limits->finish_below_percent)
        return;
    if (is_given(thing, config_key_find(CONFIG_SECTION_LIMITS, "refuse_below_percent")))
        FAULT(load, thing, LIMITS, refuse_below_percent,
              "is %" G_GINT64_FORMAT ", but must be at least finish_below_percent (%" G_GINT64_FORMAT
              "): what is begun would be finished at once",
              limits->refuse_below_percent, limits->finish_below_percent);
    else
        FAULT(load, thing, LIMITS, finish_below_percent,
              "is %" G_GINT64_FORMAT ", but must be at most refuse_below_percent (%" G_GINT64_FORMAT ")",
              limits->finish_below_percent, limits->refuse_below_percent);
}

static void check_platform(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigPlatform *platform = thing->object;
    gboolean is_sdp = strcmp(platform->connector, "sdp") == 0;
    const char *wrong = platform->url && !is_sdp ? config_url_check(platform->url, TRUE, FALSE) : NULL;
    if (wrong)
        FAULT(load, thing, PLATFORM, url, "%s (connector \"%s\")", wrong, platform->connector);
    if (platform->url && is_sdp && config_path_check(platform->url))
        FAULT(load, thing, PLATFORM, url, "must be a folder (connector \"sdp\"): %s", config_path_check(platform->url));
    if (platform->turn[0] && (!platform->turn_user || !platform->turn_password_file))
        FAULT(load, thing, PLATFORM, turn,
              "is given without turn_user and turn_password_file, but must be given with both");
}

static void check_webhook(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigWebhook *webhook = thing->object;
    const char *wrong = webhook->url ? config_url_check(webhook->url, webhook->allow_http, TRUE) : NULL;
    if (wrong)
        FAULT(load, thing, WEBHOOK, url, "%s", wrong);
    if (webhook->name && !webhook->secret_file && !webhook->application_secret_file)
        g_ptr_array_add(
            load->config->notes,
            g_strdup_printf("webhook '%s' has neither secret_file nor application_secret_file: its receiver "
                            "cannot tell our events from others'",
                            webhook->name));
}

static void check_app(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigApp *app = thing->object;
    if (app->webhook && !steno_config_app_has(app->webhooks, FALSE, app->webhook)) {
        g_autofree char *all = g_strjoinv(", ", app->webhooks);
        FAULT(load, thing, APP, webhook, "is '%s', but must be one of the app's webhooks: %s", app->webhook,
              all[0] ? all : "it has none");
    }
    config_check_app_content(load, thing);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void note_what_is_missing(StenoConfig *config)
{
    for (guint i = 0; i < CONFIG_SECTIONS; i++) {
        const GPtrArray *list = config_section_list(config, (ConfigSection)i);
        if (list && list->len == 0 && i != CONFIG_SECTION_WEBHOOK && i != CONFIG_SECTION_KEYS)
            g_ptr_array_add(config->notes,
                            g_strdup_printf("there is nothing in %s: nothing can be recorded until there is",
                                            config_section((ConfigSection)i)->name));
    }
}

void config_check(ConfigLoad *load)
{
    static void (*const checks[CONFIG_SECTIONS])(ConfigLoad *, const ConfigThing *) = {
        [CONFIG_SECTION_TOP] = check_top,
        [CONFIG_SECTION_API] = check_api,
        [CONFIG_SECTION_LIMITS] = check_limits,
        [CONFIG_SECTION_PLATFORM] = check_platform,
        [CONFIG_SECTION_STORAGE] = config_check_storage,
        [CONFIG_SECTION_WEBHOOK] = check_webhook,
        [CONFIG_SECTION_KEYS] = config_check_key_source,
        [CONFIG_SECTION_APP] = check_app};
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < load->things->len; i++)
        check_name(load, g_ptr_array_index(load->things, i), names);
    for (guint i = 0; i < load->things->len; i++) {
        const ConfigThing *thing = g_ptr_array_index(load->things, i);
        check_required(load, thing);
        check_references(load, thing, names);
        check_files(load, thing);
        if (checks[thing->section])
            checks[thing->section](load, thing);
    }
    note_what_is_missing(load->config);
}
