/* Where the commands that work without stenod store, and with which key they sign. */
#ifndef STENO_CLI_DESTINATION_H
#define STENO_CLI_DESTINATION_H

#include "cli.h"

#include "steno/config.h"
#include "steno/proof.h"
#include "steno/storage.h"

/* Rows of a command's options that destination_open() and destination_signer() read. */
#define DESTINATION_OPTIONS                                                                                            \
    {"output", 'o', CLI_TEXT, "DIR", "folder for finished recordings (default: recordings)"},                          \
        {"storage", 0, CLI_TEXT, "NAME", "store into this storage of the configuration instead"},                      \
        {"config", 'c', CLI_TEXT, "FILE", "with --storage: stenod's configuration (default: /etc/steno/steno.conf)"},  \
    {                                                                                                                  \
        "signing-key", 0, CLI_TEXT, "FILE", "sign the manifest with this Ed25519 key, PEM (made when it is missing)"   \
    }

/* NULL: USAGE, CONFIG. */
StenoStore *destination_open(const CliCall *call, GError **error);
/* *signer is NULL when none is wanted. */
gboolean destination_signer(const CliCall *call, StenoSigner **signer, GError **error);
/* The path of a file:// address, or the address itself: what people can use. Caller frees. */
char *destination_shown(const char *uri);

#endif
