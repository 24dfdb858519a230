/* Fetching one file: resumed, checked, in one piece or not at all. */
#ifndef STENO_CLI_DOWNLOAD_H
#define STENO_CLI_DOWNLOAD_H

#include "client.h"

typedef struct {
    const char *path;   /* of the API */
    const char *folder; /* where to */
    const char *name;   /* without a slash */
    gint64 bytes;       /* that it must have, -1: not known */
    const char *sha256; /* lower case hex, "" : not known */
    gboolean force;     /* replace another file of this name */
    gboolean progress;  /* on standard error */
    gboolean direct;    /* where stenod sends us, as of CliExchange */
    const char *storage_ca;
} CliDownload;

/*
 * Into FOLDER/NAME.part, from where that ends; then compared by size and SHA-256, then renamed. *fetched is FALSE when
 * it was there already. STORAGE_* when it can't be written or another file has its name, VERIFY_FAILED when what came
 * is not what was promised, and the errors of the exchange; what came stays in NAME.part for the next time.
 */
gboolean cli_download(CliClient *client, const CliDownload *download, gboolean *fetched, GError **error);

#endif
