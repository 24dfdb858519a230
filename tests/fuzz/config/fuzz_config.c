/*
 * Any bytes as a configuration, from which no other file may be opened. What is refused is told in lines that print,
 * each with the file and a line that it has; what is accepted holds what config.h promises.
 */
#include "load.h"

#include "steno/base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME "fuzz.conf"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 does not free the text that its lexer had gathered when it found a syntax error. */
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

/*
 * Where more was allocated than freed, libFuzzer looks for leaks at once, in all of its memory: with libconfig's that
 * would be half of the time. They are looked for when the process ends.
 */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char **more = g_new0(char *, (gsize)*argc + 2);
    memcpy(more, *argv, (gsize)*argc * sizeof *more);
    more[(*argc)++] = (char *)"-detect_leaks=0";
    *argv = more;
    return 0;
}

static void require(gboolean good)
{
    if (!good)
        abort();
}

static void check_message(const GError *error, guint lines_of_file)
{
    require(error->domain == STENO_ERROR && error->code == STENO_ERROR_CONFIG);
    require(g_utf8_validate(error->message, -1, NULL));
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    require(lines[0] != NULL);
    for (char **line = lines; *line; line++) {
        require(g_str_has_prefix(*line, NAME ":") || g_str_has_prefix(*line, "(and "));
        if (g_str_has_prefix(*line, NAME ":") && g_ascii_isdigit((*line)[strlen(NAME ":")]))
            require(g_ascii_strtoull(*line + strlen(NAME ":"), NULL, 10) <= lines_of_file);
        for (const char *p = *line; *p; p = g_utf8_next_char(p))
            require(!g_unichar_iscntrl(g_utf8_get_char(p)));
    }
}

static void check_name(const char *name)
{
    require(name && name[0] && name[0] != '.' && strlen(name) <= STENO_CONFIG_NAME_MAX_BYTES && !strchr(name, '/'));
}

static void check_numbers(ConfigSection section, gpointer object)
{
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section != section ||
            (key->kind != CONFIG_KIND_INT && key->kind != CONFIG_KIND_BYTES && key->kind != CONFIG_KIND_DURATION))
            continue;
        gint64 number = *CONFIG_MEMBER(gint64, object, key);
        require(number >= key->minimum && number <= key->maximum);
    }
}

/* What the storage room takes for granted. */
static void check_storage(const StenoConfigStorage *storage)
{
    gboolean is_s3 = strcmp(storage->type, "s3") == 0;
    check_name(storage->name);
    require(is_s3 ? storage->bucket != NULL : storage->root != NULL);
    require(!storage->root || storage->root[0] == '/');
    require(!storage->key || (g_str_has_suffix(storage->key, "/{file}") && strstr(storage->key, "{recording}") &&
                              storage->key[0] != '/' && storage->key[0] != '.' && !strstr(storage->key, "//") &&
                              !strstr(storage->key, "/../")));
    require(storage->mode && (g_ascii_strtoull(storage->mode, NULL, 8) & 0602) == 0600);
    require(!storage->upload_window || strlen(storage->upload_window) == strlen("20:00-06:00"));
    for (char **tag = storage->tags; *tag; tag++)
        require(strchr(*tag, '=') > *tag);
    if (!is_s3)
        return;
    require(!storage->endpoint || g_ascii_strncasecmp(storage->endpoint, "https://", 8) == 0 || storage->allow_http);
    require((strcmp(storage->encryption, "customer") == 0) == (storage->customer_key_file != NULL));
    require((strcmp(storage->lock_mode, "none") == 0) == (storage->lock_days == 0));
}

static void check_config(StenoConfig *config)
{
    check_name(config->top.instance);
    require(config->top.state_dir[0] == '/' && config->top.runtime_dir[0] == '/' && config->api.socket[0] == '/');
    require(config->limits.finish_below_percent <= config->limits.refuse_below_percent);
    check_numbers(CONFIG_SECTION_API, &config->api);
    check_numbers(CONFIG_SECTION_LIMITS, &config->limits);
    for (guint section = 0; section < CONFIG_SECTIONS; section++) {
        GPtrArray *list = config_section_list(config, (ConfigSection)section);
        for (guint i = 0; list && i < list->len; i++)
            check_numbers((ConfigSection)section, list->pdata[i]);
    }
    for (guint i = 0; i < config->apps->len; i++) {
        const StenoConfigApp *app = config->apps->pdata[i];
        check_name(app->name);
        require(steno_config_app(config, app->name) == app);
        for (char **name = app->platforms; *name; name++)
            require(steno_config_platform(config, *name) != NULL);
        for (char **name = app->storages; *name; name++)
            require(steno_config_storage(config, *name) != NULL);
        require(!app->webhook || steno_config_webhook(config, app->webhook));
    }
    for (guint i = 0; i < config->storages->len; i++)
        check_storage(config->storages->pdata[i]);
    for (guint i = 0; i < config->webhooks->len; i++) {
        const StenoConfigWebhook *webhook = config->webhooks->pdata[i];
        require(g_ascii_strncasecmp(webhook->url, "https://", 8) == 0 || webhook->allow_http);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    guint lines = 1;
    for (size_t i = 0; i < bytes; i++)
        lines += data[i] == '\n';
    g_autoptr(StenoConfig) config = config_load_text(NAME, (const char *)data, bytes, TRUE, &error);
    require((config == NULL) == (error != NULL));
    if (error)
        check_message(error, lines);
    else
        check_config(config);
    return 0;
}
