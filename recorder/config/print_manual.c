/* steno.conf(5), in mdoc(7). */
#include "print.h"

#include <string.h>

/* mandoc wants input lines of at most 80 bytes. */
#define WIDTH 78

static const char head[] = ".\\\" Made by steno-config-docs from include/steno/config_keys.def: change it there.\n"
                           ".Dd November 22, 2026\n"
                           ".Dt STENO.CONF 5\n"
                           ".Os\n"
                           ".Sh NAME\n"
                           ".Nm steno.conf\n"
                           ".Nd configuration of the recording daemon stenod\n"
                           ".Sh SYNOPSIS\n"
                           ".Nm /etc/steno/steno.conf\n"
                           ".Sh DESCRIPTION\n"
                           "A configuration tells\n"
                           ".Xr stenod 8\n"
                           "which\n"
                           ".Em platforms\n"
                           "there are to join channels of, which\n"
                           ".Em storages\n"
                           "finished files go to, which\n"
                           ".Em webhooks\n"
                           "are told what happens, which\n"
                           ".Em key_sources\n"
                           "have the keys of channels with an encryption of their own, and which\n"
                           ".Em apps\n"
                           "may use what of these.\n"
                           "It is read whole and checked, or refused whole: unknown keys, wrong types,\n"
                           "impossible values, names that nothing has, and secret files that are missing or\n"
                           "that others can read are all told at once, each with its file, its line and\n"
                           "what is allowed.\n"
                           ".Pp\n"
                           "Try a change with\n"
                           ".Ql stenod --check-config ,\n"
                           "and apply it with\n"
                           ".Ql systemctl reload stenod :\n"
                           "no recording is cut by that.\n"
                           ".Ss Language\n"
                           "Settings are\n"
                           ".Ql \"name = value\\&;\"\n"
                           "and comments begin with\n"
                           ".Ql #\n"
                           "or\n"
                           ".Ql // ,\n"
                           "or stand between\n"
                           ".Ql /*\n"
                           "and\n"
                           ".Ql */ .\n"
                           "Values are whole numbers,\n"
                           ".Cm true\n"
                           "and\n"
                           ".Cm false ,\n"
                           "texts in double quotes that end on their line, lists of texts\n"
                           ".Pq Ql \"[ \\(dqa\\(dq, \\(dqb\\(dq ]\" ,\n"
                           "groups\n"
                           ".Pq Ql \"{ ... }\"\n"
                           "and lists of groups\n"
                           ".Pq Ql \"( { ... }, { ... } )\" .\n"
                           ".Pp\n"
                           "The line\n"
                           ".Ql @include \\(dqFILE\\(dq\n"
                           "outside of all groups and lists reads another file at this place, from the\n"
                           "folder of the file that includes it.\n"
                           "The file's name may have\n"
                           ".Ql *\n"
                           "and\n"
                           ".Ql \\&? :\n"
                           "then all that fit are read, in the order of their names, but hidden ones.\n"
                           "What is read later adds to the lists\n"
                           ".Pq Cm platforms , storages , webhooks , key_sources , apps\n"
                           "and overrides single values.\n"
                           ".Pp\n"
                           "Names are 1 to 64 letters, digits, dots, underscores and hyphens.\n"
                           "Secrets are given by the absolute path of a file that has the secret alone in\n"
                           "it, owned by stenod's user and with mode 0600 (its group may read it), or as\n"
                           ".Ql credential:NAME\n"
                           "for a credential that systemd hands to the service\n"
                           ".Pq Cm LoadCredential= ,\n"
                           "see\n"
                           ".Xr systemd.exec 5 .\n"
                           ".Sh KEYS\n";

static const char tail[] = ".Sh FILES\n"
                           ".Bl -tag -width Ds\n"
                           ".It Pa /etc/steno/steno.conf\n"
                           "The configuration, with every key commented out at its default.\n"
                           ".It Pa /etc/steno/conf.d/*.conf\n"
                           "More of it, included by its last line.\n"
                           ".El\n"
                           ".Sh EXAMPLES\n"
                           "One platform, one storage, one app:\n"
                           ".Bd -literal -offset indent\n"
                           "platforms = ( {\n"
                           "    name = \"janus-1\";\n"
                           "    url = \"https://sfu.example.com:8089/janus\";\n"
                           "    token_secret_file = \"/etc/steno/secrets/janus-1-token\";\n"
                           "} );\n"
                           "storages = ( { name = \"primary\"; root = \"/srv/recordings\"; } );\n"
                           "apps = ( { name = \"clinic\"; retention_days = 365; } );\n"
                           ".Ed\n"
                           ".Sh DIAGNOSTICS\n"
                           "A fault is told as\n"
                           ".Pp\n"
                           ".Dl FILE:LINE: KEY: what it is, but must be ...\n"
                           ".Pp\n"
                           "one line each: what is wrong with single values in the order of the files, then\n"
                           "what does not fit together.\n"
                           ".Sh SEE ALSO\n"
                           ".Xr steno 1 ,\n"
                           ".Xr systemd.exec 5 ,\n"
                           ".Xr stenod 8\n";

/* Text as roff reads it: nothing of it is a request or an escape. */
static char *escape(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        gboolean first = p == text || p[-1] == ' ';
        if (c == '\\')
            g_string_append(out, "\\e");
        else if (c == '"')
            g_string_append(out, "\\(dq");
        else if (c == '`')
            g_string_append(out, "\\(ga");
        else if (c == '-')
            g_string_append(out, "\\-");
        else if (c > 0x7e)
            g_string_append_printf(out, "\\[u%04X]", c);
        else
            g_string_append_printf(out, "%s%c", first && (c == '.' || c == '\'') ? "\\&" : "", (char)c);
    }
    return g_string_free(out, FALSE);
}

static const char *kind_words(const ConfigKey *key)
{
    switch (key->kind) {
    case CONFIG_KIND_BOOL:
        return "true or false";
    case CONFIG_KIND_INT:
        return "whole number";
    case CONFIG_KIND_BYTES:
        return "number of bytes";
    case CONFIG_KIND_DURATION:
        return "time span";
    case CONFIG_KIND_PATH:
        return "absolute path";
    case CONFIG_KIND_FILE:
        return "path of a file";
    case CONFIG_KIND_SECRET_FILE:
        return "path of a secret";
    case CONFIG_KIND_LIST:
        return "list of texts";
    case CONFIG_KIND_REFS:
        return "list of names";
    default:
        return "text";
    }
}

static void print_sentence(GString *out, const char *words)
{
    g_autofree char *escaped = escape(words);
    if (!g_ascii_isupper(escaped[1])) /* mTLS */
        escaped[0] = g_ascii_toupper(escaped[0]);
    GString *sentence = g_string_new(escaped);
    g_string_append_c(sentence, '.');
    config_print_wrapped(out, "", sentence->str, WIDTH);
    g_string_free(sentence, TRUE);
}

static void print_key(GString *out, const ConfigKey *key)
{
    g_autofree char *value = config_print_default(key), *allowed = config_print_allowed(key);
    g_string_append_printf(out, ".It Cm %s Pq %s\n", key->name, kind_words(key));
    print_sentence(out, key->words);
    if (allowed) {
        g_autofree char *words = g_strdup_printf("Allowed: %s", allowed);
        print_sentence(out, words);
    }
    if (config_key_is_required(key))
        g_string_append(out, "It must be given.\n");
    else if (strcmp(value, "\"\"") != 0 && strcmp(value, "[ ]") != 0) {
        g_autofree char *escaped = escape(value);
        g_string_append_printf(out, "Default:\n.Ql \"%s\" .\n", escaped);
    }
}

char *steno_config_print_manual(void)
{
    GString *out = g_string_new(head);
    for (guint i = 0; i < CONFIG_SECTIONS; i++) {
        const ConfigSectionRow *row = config_section((ConfigSection)i);
        if (row->name[0])
            g_string_append_printf(out, ".Ss The %s %s\n", row->is_list ? "list" : "group", row->name);
        else
            g_string_append(out, ".Ss Outside of groups\n");
        print_sentence(out, row->words);
        g_string_append(out, ".Bl -tag -width Ds\n");
        for (const ConfigKey *key = config_keys(); key->name; key++) {
            if (key->section == (ConfigSection)i)
                print_key(out, key);
        }
        g_string_append(out, ".El\n");
    }
    g_string_append(out, tail);
    return g_string_free(out, FALSE);
}
