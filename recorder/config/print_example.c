/* conf/steno.conf. A line whose # is followed by a space is words; a # right before a setting is a setting. */
#include "print.h"

#define WIDTH 110

static const char head[] =
    "# steno.conf: what stenod is told. Every key is here, commented out at its default; see steno.conf(5).\n"
    "#\n"
    "# Lines that begin with \"# \" are words. A \"#\" right before a setting comments it out: take it away.\n"
    "# After a change: stenod --check-config && systemctl reload stenod\n"
    "#\n"
    "# Secrets are given as files that nobody else can read (owned by steno, mode 0600), or as systemd's credentials\n"
    "# (\"credential:NAME\"): they never stand in here.\n";

static const char tail[] =
    "\n# More files, in the order of their names: they add to the lists above and override single values.\n"
    "@include \"conf.d/*.conf\"\n";

static void print_words(GString *out, const ConfigKey *key, const char *indent)
{
    g_autofree char *prefix = g_strdup_printf("%s# ", indent), *allowed = config_print_allowed(key);
    const char *required = config_key_is_required(key) ? "; must be given" : "";
    g_autofree char *text = g_strconcat(key->words, required, allowed ? "; allowed: " : NULL, allowed, NULL);
    config_print_wrapped(out, prefix, text, WIDTH);
}

static void print_keys(GString *out, ConfigSection section, const char *indent)
{
    for (const ConfigKey *key = config_keys(); key->name; key++) {
        if (key->section != section)
            continue;
        g_autofree char *value = config_print_example_value(key);
        print_words(out, key, indent);
        g_string_append_printf(out, "%s#%s = %s;\n", indent, key->name, value);
    }
}

char *steno_config_print_example(void)
{
    GString *out = g_string_new(head);
    for (guint i = 0; i < CONFIG_SECTIONS; i++) {
        const ConfigSectionRow *row = config_section((ConfigSection)i);
        g_string_append_printf(out, "\n# ---- %s\n", row->words);
        if (row->is_list)
            g_string_append_printf(out, "#%s = (\n    #{\n", row->name);
        else if (row->name[0])
            g_string_append_printf(out, "%s = {\n", row->name);
        print_keys(out, (ConfigSection)i, row->is_list ? "        " : row->name[0] ? "    " : "");
        if (row->is_list)
            g_string_append(out, "    #}\n    # more of them: , { … }\n#);\n");
        else if (row->name[0])
            g_string_append(out, "};\n");
    }
    g_string_append(out, tail);
    return g_string_free(out, FALSE);
}
