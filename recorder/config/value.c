/* One value of a key: of the right type, in its range, of its form. */
#include "forms.h"
#include "load.h"

#include <string.h>

/* Text longer than this is none of ours: a path may have so many bytes. */
#define TEXT_MAX_BYTES 4095

static const char *type_words(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return "a whole number";
    case CONFIG_TYPE_FLOAT:
        return "a number with a fraction";
    case CONFIG_TYPE_STRING:
        return "text in quotes";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_GROUP:
        return "a group { … }";
    case CONFIG_TYPE_ARRAY:
        return "a list [ … ]";
    default:
        return "a list ( … )";
    }
}

static char *wrong_type(const config_setting_t *setting, const char *wanted)
{
    return g_strdup_printf("is %s, but must be %s", type_words(setting), wanted);
}

static gboolean is_word(const char *words, const char *text)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);
    return g_strv_contains((const char *const *)list, text);
}

static char *not_a_word(const char *words, const char *text)
{
    g_autofree char *quoted = config_quote(text);
    g_auto(GStrv) list = g_strsplit(words, " ", -1);
    g_autofree char *all = g_strjoinv(", ", list);
    return g_strdup_printf("is %s, but must be %s%s", quoted, strchr(words, ' ') ? "one of: " : "", all);
}

/* Whether the text is printable, of the key's form and one of its words. */
static char *check_text(const ConfigKey *key, const char *text)
{
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        if (g_unichar_iscntrl(g_utf8_get_char(p)))
            return g_strdup("holds a control character, but must be text that can be printed");
    }
    if (strlen(text) > TEXT_MAX_BYTES)
        return g_strdup_printf("has %zu bytes, but must have at most %d", strlen(text), TEXT_MAX_BYTES);
    if (!key->allowed[0] || key->kind == CONFIG_KIND_REFS)
        return NULL;
    if (!config_is_form(key->allowed))
        return is_word(key->allowed, text) ? NULL : not_a_word(key->allowed, text);
    const char *wanted = config_form_check(key->allowed, text);
    if (!wanted)
        return NULL;
    g_autofree char *quoted = config_quote(text);
    return g_strdup_printf("is %s, but must be %s", quoted, wanted);
}

static char *check_path(const char *text)
{
    const char *wanted = config_path_check(text);
    if (!wanted)
        return NULL;
    g_autofree char *quoted = config_quote(text);
    return g_strdup_printf("is %s, but must be %s", quoted, wanted);
}

/* What stands there may be the secret itself: it is not repeated. */
static char *check_secret_file(const char *text)
{
    if (g_str_has_prefix(text, "credential:")) {
        const char *name = text + strlen("credential:");
        if (name[0] && name[0] != '.' && !strchr(name, '/'))
            return NULL;
    } else if (!config_path_check(text)) {
        return NULL;
    }
    return g_strdup(
        "is no path, but must be the absolute path of a file that holds the secret, or 'credential:NAME' of "
        "systemd (secrets are never written into the configuration itself)");
}

static char *read_text(const ConfigKey *key, const config_setting_t *setting, gpointer object)
{
    if (config_setting_type(setting) != CONFIG_TYPE_STRING)
        return wrong_type(setting, "text in quotes: \"…\"");
    const char *text = config_setting_get_string(setting);
    char *fault = NULL;
    /* libconfig makes bytes of \x…, which no longer have to be UTF-8. */
    if (!g_utf8_validate(text, -1, NULL))
        return g_strdup("is not UTF-8, but must be");
    if (text[0] == '\0' && key->fallback[0])
        return config_key_is_required(key)
                   ? g_strdup("is empty, but must be given")
                   : g_strdup_printf("is empty, but must be given (default: \"%s\")", key->fallback);
    if (text[0] && key->kind == CONFIG_KIND_SECRET_FILE)
        fault = check_secret_file(text);
    else if (text[0] && (key->kind == CONFIG_KIND_PATH || key->kind == CONFIG_KIND_FILE))
        fault = check_path(text);
    if (!fault && text[0])
        fault = check_text(key, text);
    if (fault)
        return fault;
    char **member = CONFIG_MEMBER(char *, object, key);
    g_free(*member);
    *member = text[0] ? g_strdup(text) : NULL;
    return NULL;
}

static char *read_bool(const ConfigKey *key, const config_setting_t *setting, gpointer object)
{
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
        return wrong_type(setting, "true or false");
    *CONFIG_MEMBER(gboolean, object, key) = config_setting_get_bool(setting) ? TRUE : FALSE;
    return NULL;
}

static gboolean is_whole(const config_setting_t *setting)
{
    int type = config_setting_type(setting);
    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static char *set_number(const ConfigKey *key, gint64 number, gpointer object)
{
    if (number < key->minimum || number > key->maximum) {
        g_autofree char *range = config_key_range(key);
        return g_strdup_printf("is %" G_GINT64_FORMAT ", but must be %s", number, range);
    }
    *CONFIG_MEMBER(gint64, object, key) = number;
    return NULL;
}

static char *read_int(const ConfigKey *key, const config_setting_t *setting, gpointer object)
{
    g_autofree char *range = config_key_range(key);
    g_autofree char *wanted = g_strdup_printf("a whole number, %s", range);
    if (!is_whole(setting))
        return wrong_type(setting, wanted);
    return set_number(key, config_setting_get_int64(setting), object);
}

/* A number, or text with a unit. */
static char *read_scaled(const ConfigKey *key, const config_setting_t *setting, gpointer object,
                         gboolean (*parse)(const char *text, gint64 *number), const char *wanted)
{
    gint64 number;
    if (is_whole(setting))
        return set_number(key, config_setting_get_int64(setting), object);
    if (config_setting_type(setting) != CONFIG_TYPE_STRING)
        return wrong_type(setting, wanted);
    const char *text = config_setting_get_string(setting);
    if (parse(text, &number))
        return set_number(key, number, object);
    g_autofree char *quoted = config_quote(text);
    return g_strdup_printf("is %s, but must be %s", quoted, wanted);
}

static char *check_item(const ConfigKey *key, const config_setting_t *item, GPtrArray *before)
{
    if (config_setting_type(item) != CONFIG_TYPE_STRING)
        return g_strdup_printf("holds %s, but must be a list of texts: [ \"…\", \"…\" ]", type_words(item));
    const char *text = config_setting_get_string(item);
    if (!text[0])
        return g_strdup("holds an empty text, but must not");
    if (!g_utf8_validate(text, -1, NULL))
        return g_strdup("holds text that is not UTF-8, but must not");
    for (guint i = 0; i < before->len; i++) {
        if (strcmp(g_ptr_array_index(before, i), text) == 0) {
            g_autofree char *quoted = config_quote(text);
            return g_strdup_printf("holds %s twice, but must hold it once", quoted);
        }
    }
    return check_text(key, text);
}

static char *read_list(const ConfigKey *key, const config_setting_t *setting, gpointer object)
{
    int type = config_setting_type(setting);
    int length = config_setting_length(setting);
    gint64 most = key->maximum ? key->maximum : STENO_CONFIG_NAMES_MAX;
    if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
        return wrong_type(setting, "a list of texts: [ \"…\", \"…\" ]");
    if (length > most)
        return g_strdup_printf("has %d entries, but must have at most %" G_GINT64_FORMAT, length, most);
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < length; i++) {
        const config_setting_t *item = config_setting_get_elem(setting, (unsigned)i);
        char *fault = check_item(key, item, items);
        if (fault)
            return fault;
        g_ptr_array_add(items, g_strdup(config_setting_get_string(item)));
    }
    g_ptr_array_add(items, NULL);
    char ***member = CONFIG_MEMBER(char **, object, key);
    g_strfreev(*member);
    *member = (char **)g_ptr_array_free(g_steal_pointer(&items), FALSE);
    return NULL;
}

char *config_value_read(const ConfigKey *key, const config_setting_t *setting, gpointer object)
{
    switch (key->kind) {
    case CONFIG_KIND_BOOL:
        return read_bool(key, setting, object);
    case CONFIG_KIND_INT:
        return read_int(key, setting, object);
    case CONFIG_KIND_BYTES:
        return read_scaled(key, setting, object, config_bytes_parse,
                           "a whole number of bytes, or text such as \"500G\" (K, M, G, T: powers of 1024)");
    case CONFIG_KIND_DURATION:
        return read_scaled(key, setting, object, config_duration_parse,
                           "a whole number of seconds, or text such as \"60m\" (s, m, h, d)");
    case CONFIG_KIND_LIST:
    case CONFIG_KIND_REFS:
        return read_list(key, setting, object);
    default:
        return read_text(key, setting, object);
    }
}
