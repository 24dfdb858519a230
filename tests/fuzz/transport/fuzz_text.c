/* What signalling and settings bring as text: candidates, fingerprints, networks, server URLs. */
#include "private.h"
#include "servers.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autofree char *text = g_strndup((const char *)data, bytes);
    const char *list[] = {text, NULL};
    StenoCandidate candidate;

    if (steno_candidate_parse(text, &candidate) &&
        (strlen(candidate.foundation) > 32 || candidate.component < 1 || candidate.component > 256))
        g_error("an impossible candidate");

    StenoFingerprints *fingerprints = steno_fingerprints_new(list, NULL);
    if (fingerprints) {
        /* What is read is written the same, but for spaces and case. */
        g_autofree char *written = steno_fingerprints_text(fingerprints);
        const char *again[] = {written, NULL};
        StenoFingerprints *second = steno_fingerprints_new(again, NULL);
        if (!second || !steno_fingerprints_equal(fingerprints, second))
            g_error("a fingerprint is not itself");
        steno_fingerprints_free(second);
    }
    steno_fingerprints_free(fingerprints);

    StenoGeofence *geofence = steno_geofence_new(list, NULL);
    if (geofence && strchr(text, '/') == NULL && !steno_geofence_allows(geofence, text))
        g_error("an address is not inside of itself");
    steno_geofence_unref(geofence);
    (void)steno_geofence_allows(NULL, text);

    StenoIceServerKind kind;
    guint16 port;
    char *host = NULL;
    if (steno_ice_server_parse(text, &kind, &host, &port) && (port == 0 || host[0] == '\0'))
        g_error("an impossible server");
    g_free(host);
    return 0;
}
