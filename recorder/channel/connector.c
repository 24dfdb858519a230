#include "connectors.h"

const StenoConnector *const *steno_connectors(void)
{
    static const StenoConnector *const connectors[] = {&steno_connector_janus, &steno_connector_sdp, NULL};
    return connectors;
}

const StenoConnector *steno_connector_find(const char *platform)
{
    for (const StenoConnector *const *one = steno_connectors(); *one; one++) {
        if (g_strcmp0((*one)->platform, platform) == 0)
            return *one;
    }
    return NULL;
}
