/*
 * STUN and TURN servers: reads their URLs, resolves their names and keeps them inside of the geofence.
 */
#ifndef STENO_TRANSPORT_SERVERS_H
#define STENO_TRANSPORT_SERVERS_H

#include "private.h"

/* More servers only make gathering slower: each asks each of our addresses. */
#define STENO_ICE_SERVERS_MAX 8

typedef enum { STENO_ICE_STUN, STENO_ICE_TURN_UDP, STENO_ICE_TURN_TCP, STENO_ICE_TURN_TLS } StenoIceServerKind;

typedef struct {
    StenoIceServerKind kind;
    char *host, *address; /* the name as given, and one literal address of it once it is resolved (else NULL) */
    guint16 port;
    char *user;
    StenoSecret *password;
} StenoIceServer;

typedef struct StenoIceServers StenoIceServers;

/* All are resolved, or given up (address NULL, already logged); error (GEOFENCE) when one lies outside. */
typedef void (*StenoIceServersFunc)(gpointer user, const StenoIceServer *servers, guint n_servers, const GError *error);

/*
 * Reads them and starts to resolve; `done` comes from the context, once. NULL: USAGE for a URL that is none, GEOFENCE
 * for a literal address outside.
 */
StenoIceServers *steno_ice_servers_new(const char *stun, const StenoTurnServer *turn, guint n_turn,
                                       const StenoGeofence *geofence, const StenoLog *log, GMainContext *context,
                                       StenoIceServersFunc done, gpointer user, GError **error);
/* Cancels what is under way. */
void steno_ice_servers_free(StenoIceServers *servers);

/* "stun:host", "turn:host:port?transport=tcp", "turns:[::1]:443", "host:port" for STUN. FALSE when it is none. */
gboolean steno_ice_server_parse(const char *url, StenoIceServerKind *kind, char **host, guint16 *port);

#endif
