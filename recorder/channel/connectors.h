/* The connectors there are; each is one file's only symbol. */
#ifndef STENO_CHANNEL_CONNECTORS_H
#define STENO_CHANNEL_CONNECTORS_H

#include "steno/channel.h"

extern const StenoConnector steno_connector_janus;
extern const StenoConnector steno_connector_sdp;

#endif
