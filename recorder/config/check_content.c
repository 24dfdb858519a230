/* Channels' own encryption: what the settings of a key source and of an app need of each other. */
#include "check.h"
#include "forms.h"

#include <gio/gio.h>
#include <string.h>

/* KID:KEY, 32 hex digits each. */
#define OUTPUT_KEY_BYTES 65

/* ---- key_sources ------------------------------------------------------------------------------------------------- */

static gboolean is_type(const StenoConfigKeys *source, const char *type)
{
    return strcmp(source->type, type) == 0;
}

/* Keys over plain HTTP stay on this machine. */
static gboolean is_loopback(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
    const char *host = uri ? g_uri_get_host(uri) : NULL;
    g_autoptr(GInetAddress) address = host ? g_inet_address_new_from_string(host) : NULL;
    return address ? g_inet_address_get_is_loopback(address) : host && strcmp(host, "localhost") == 0;
}

static const char *check_pkcs11_url(const char *url)
{
    if (!g_str_has_prefix(url, "pkcs11:") && !g_str_has_prefix(url, "file:/"))
        return "is no RFC 7512 URI, but must be, as in 'pkcs11:token=keys;object=steno' (or file:/PATH of a PEM key)";
    /* Attributes of path and query, as RFC 7512 names them. */
    if (strstr(url, "pin-value=") || strstr(url, "pin-source="))
        return "holds a PIN, but must not: it is given by secret_file";
    return NULL;
}

static const char *check_url(const StenoConfigKeys *source)
{
    if (is_type(source, "pkcs11"))
        return check_pkcs11_url(source->url);
    gboolean is_http = g_str_has_prefix(source->url, "http:");
    if (is_http && !(is_type(source, "vault") && is_loopback(source->url)))
        return is_type(source, "vault") ? "is http://, but must be https:// (http:// is for this machine's loopback)"
                                        : "is http://, but must be https://";
    return config_url_check(source->url, is_http, is_type(source, "service"));
}

static void check_needs(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigKeys *source = thing->object;
    gboolean has_path = is_type(source, "folder") || is_type(source, "pkcs11") || is_type(source, "command");
    gboolean has_url = is_type(source, "service") || is_type(source, "vault") || is_type(source, "pkcs11");
    const char *wrong = has_url && source->url ? check_url(source) : NULL;
    if (has_path && !source->path)
        FAULT(load, thing, KEYS, path, "is missing, but must be given (type \"%s\")", source->type);
    if (has_url && !source->url)
        FAULT(load, thing, KEYS, url, "is missing, but must be given (type \"%s\")", source->type);
    if (wrong)
        FAULT(load, thing, KEYS, url, "%s", wrong);
    gboolean is_known = source->secret_file || source->client_certificate_file || source->client_key_file;
    if (is_type(source, "service") && source->url && !wrong && !is_known)
        FAULT(load, thing, KEYS, secret_file,
              "is missing, and so is client_certificate_file, but one of them must be given (type \"service\"): the "
              "service must know who asks");
    if (is_type(source, "vault") && !source->secret_file)
        FAULT(load, thing, KEYS, secret_file, "is missing, but must be given (type \"vault\"): the token");
}

void config_check_key_source(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigKeys *source = thing->object;
    if (g_strcmp0(source->name, STENO_CONFIG_KEYS_LATER) == 0 || g_strcmp0(source->name, "inline") == 0)
        FAULT(load, thing, KEYS, name, "is '%s', but must be another name: in \"keys\" that word has a meaning",
              source->name);
    check_needs(load, thing);
    if (source->client_certificate_file && !source->client_key_file)
        FAULT(load, thing, KEYS, client_certificate_file, "is given without client_key_file, but must be with it");
    if (source->client_key_file && !source->client_certificate_file)
        FAULT(load, thing, KEYS, client_key_file, "is given without client_certificate_file, but must be with it");
    if (source->name)
        config_note_other_types(load, thing);
}

/* ---- apps -------------------------------------------------------------------------------------------------------- */

static gboolean is_key_source(const ConfigLoad *load, const StenoConfigApp *app, const char *name)
{
    return steno_config_key_source(load->config, name) && steno_config_app_has(app->key_sources, TRUE, name);
}

static void check_keys(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigApp *app = thing->object;
    if (app->keys && strcmp(app->keys, STENO_CONFIG_KEYS_LATER) != 0 && !is_key_source(load, app, app->keys))
        FAULT(load, thing, APP, keys,
              "is '%s', but must be \"later\", or the name of an entry of key_sources that the app may use", app->keys);
    if (!app->allow_insecure_modes &&
        (g_str_has_suffix(app->content, "-ecb") || g_str_has_suffix(app->content, "-xts")))
        FAULT(load, thing, APP, content,
              "is '%s', which tells nobody that a frame was changed, but must be one that does (or "
              "allow_insecure_modes = true)",
              app->content);
}

static gboolean is_output_key(const char *text)
{
    if (strlen(text) != OUTPUT_KEY_BYTES || text[OUTPUT_KEY_BYTES / 2] != ':')
        return FALSE;
    for (gsize i = 0; i < OUTPUT_KEY_BYTES; i++) {
        if (i != OUTPUT_KEY_BYTES / 2 && !g_ascii_isxdigit(text[i]))
            return FALSE;
    }
    return TRUE;
}

static void check_output_key(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigApp *app = thing->object;
    g_autoptr(StenoSecret) secret = NULL;
    /* That it cannot be read is told already. */
    if (load->alone || !steno_config_secret(app->output_key_file, &secret, NULL) || !secret)
        return;
    if (!is_output_key(steno_secret_text(secret)))
        FAULT(load, thing, APP, output_key_file,
              "'%s' does not hold KID:KEY, but must: 32 hex digits, a colon, and 32 hex digits", app->output_key_file);
}

/* Whoever gives a recipient or a key means that it is used: not to encrypt would be worse than to stop. */
static void check_output(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigApp *app = thing->object;
    const ConfigKey *recipients = config_key_find(CONFIG_SECTION_APP, "output_recipients");
    gboolean is_cms = strcmp(app->output_encryption, "cms") == 0, is_cenc = strcmp(app->output_encryption, "cenc") == 0;
    if (is_cms && !app->output_recipients[0])
        FAULT(load, thing, APP, output_encryption, "is \"cms\", but output_recipients is not given");
    if (!is_cms && app->output_recipients[0])
        FAULT(load, thing, APP, output_recipients, "is given, but output_encryption is \"%s\", not \"cms\"",
              app->output_encryption);
    if (is_cenc && !app->output_key_file)
        FAULT(load, thing, APP, output_encryption, "is \"cenc\", but output_key_file is not given");
    if (!is_cenc && app->output_key_file)
        FAULT(load, thing, APP, output_key_file, "is given, but output_encryption is \"%s\", not \"cenc\"",
              app->output_encryption);
    for (char **path = app->output_recipients; *path; path++) {
        if (config_path_check(*path))
            config_check_fault(load, thing, recipients, "holds '%s', but must hold only files, each as %s", *path,
                               config_path_check(*path));
        else if (!load->alone)
            config_check_file(load, thing, recipients, *path);
    }
    check_output_key(load, thing);
}

void config_check_app_content(ConfigLoad *load, const ConfigThing *thing)
{
    check_keys(load, thing);
    check_output(load, thing);
}
