/* What a Janus wants to be shown: tokens (given, or minted and renewed), API secret, pin. */
#ifndef STENO_CHANNEL_JANUS_CREDENTIALS_H
#define STENO_CHANNEL_JANUS_CREDENTIALS_H

#include "steno/base/job.h"

typedef struct JanusCredentials JanusCredentials;

/* job must outlive it. */
JanusCredentials *janus_credentials_new(const StenoJobSpec *job);
void janus_credentials_free(JanusCredentials *credentials);

/* The token of the API or of the room, minted anew when 80 % of its life have passed; NULL when there is none. Lent. */
const char *janus_credentials_core(JanusCredentials *credentials);
const char *janus_credentials_room(JanusCredentials *credentials);
const char *janus_credentials_api_secret(const JanusCredentials *credentials);
const char *janus_credentials_pin(const JanusCredentials *credentials);

/* TOKEN_EXPIRED when a token that we were given has expired by our clock: no need to ask Janus. */
gboolean janus_credentials_check(const JanusCredentials *credentials, GError **error);

#endif
