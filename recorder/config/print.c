#include "print.h"

#include "forms.h"

#include <string.h>

/* What the example shows of a list's entries, where the default says nothing. */
static const struct {
    ConfigSection section;
    const char *name, *value;
} examples[] = {
    {CONFIG_SECTION_PLATFORM, "name", "\"janus-1\""},
    {CONFIG_SECTION_PLATFORM, "url", "\"https://sfu.example.com:8089/janus\""},
    {CONFIG_SECTION_PLATFORM, "token_secret_file", "\"/etc/steno/secrets/janus-1-token\""},
    {CONFIG_SECTION_STORAGE, "name", "\"primary\""},
    {CONFIG_SECTION_STORAGE, "root", "\"/srv/recordings\""},
    {CONFIG_SECTION_WEBHOOK, "name", "\"ward-7\""},
    {CONFIG_SECTION_WEBHOOK, "url", "\"https://records.example.com/hooks/steno\""},
    {CONFIG_SECTION_WEBHOOK, "secret_file", "\"/etc/steno/secrets/ward-7\""},
    {CONFIG_SECTION_KEYS, "name", "\"ward-keys\""},
    {CONFIG_SECTION_KEYS, "path", "\"/etc/steno/keys\""},
    {CONFIG_SECTION_APP, "name", "\"clinic\""},
    {CONFIG_SECTION_APP, "platforms", "[ \"janus-1\" ]"},
    {CONFIG_SECTION_APP, "storages", "[ \"primary\" ]"},
    {CONFIG_SECTION_APP, "webhooks", "[ \"ward-7\" ]"},
    {CONFIG_SECTION_APP, "webhook", "\"ward-7\""},
};

static char *print_list(const char *text)
{
    if (!text[0])
        return g_strdup("[ ]");
    g_auto(GStrv) items = g_strsplit(text, " ", -1);
    g_autofree char *joined = g_strjoinv("\", \"", items);
    return g_strdup_printf("[ \"%s\" ]", joined);
}

char *config_print_default(const ConfigKey *key)
{
    const char *text = config_key_is_required(key) ? "" : key->fallback;
    if (config_key_is_list(key))
        return print_list(text);
    if (key->kind == CONFIG_KIND_BOOL || key->kind == CONFIG_KIND_INT || key->kind == CONFIG_KIND_BYTES)
        return g_strdup(text);
    return g_strdup_printf("\"%s\"", text);
}

char *config_print_example_value(const ConfigKey *key)
{
    for (guint i = 0; i < G_N_ELEMENTS(examples); i++) {
        if (examples[i].section == key->section && strcmp(examples[i].name, key->name) == 0)
            return g_strdup(examples[i].value);
    }
    return config_print_default(key);
}

char *config_print_allowed(const ConfigKey *key)
{
    if (key->kind == CONFIG_KIND_INT)
        return config_key_range(key);
    if (key->kind == CONFIG_KIND_BYTES)
        return g_strdup("a number, or text such as \"500G\"");
    if (key->kind == CONFIG_KIND_DURATION)
        return g_strdup("a number of seconds, or text such as \"90s\", \"60m\", \"2h\", \"1d\"");
    if (key->kind == CONFIG_KIND_REFS || !key->allowed[0] || config_is_form(key->allowed))
        return NULL;
    g_auto(GStrv) words = g_strsplit(key->allowed, " ", -1);
    return g_strjoinv(", ", words);
}

void config_print_wrapped(GString *out, const char *prefix, const char *text, gsize width)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    gsize filled = 0;
    for (char **word = words; *word; word++) {
        if (filled && filled + 1 + strlen(*word) > width) {
            g_string_append_c(out, '\n');
            filled = 0;
        }
        g_string_append_printf(out, "%s%s", filled ? " " : prefix, *word);
        filled += strlen(*word) + (filled ? 1 : strlen(prefix));
    }
    g_string_append_c(out, '\n');
}
