#include "destination.h"

static StenoStore *open_configured(const CliCall *call, const char *name, GError **error)
{
    const char *given = cli_text(call, "config"), *path = given ? given : STENO_CONFIG_DEFAULT_PATH;
    g_autoptr(StenoConfig) config = steno_config_load(path, error);
    if (!config)
        return NULL;
    const StenoConfigStorage *settings = steno_config_storage(config, name);
    if (settings)
        return steno_store_open(config, settings, error);
    g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no storage '%s' in %s", name, path);
    return NULL;
}

StenoStore *destination_open(const CliCall *call, GError **error)
{
    const char *output = cli_text(call, "output"), *name = cli_text(call, "storage");
    if (output && name) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "give --output or --storage, not both");
        return NULL;
    }
    return name ? open_configured(call, name, error) : steno_store_open_local(output ? output : "recordings");
}

gboolean destination_signer(const CliCall *call, StenoSigner **signer, GError **error)
{
    const char *path = cli_text(call, "signing-key");
    *signer = path ? steno_signer_load_or_make(path, NULL, error) : NULL;
    return !path || *signer;
}

char *destination_shown(const char *uri)
{
    char *path = uri ? g_filename_from_uri(uri, NULL, NULL) : NULL;
    return path ? path : g_strdup(uri);
}
