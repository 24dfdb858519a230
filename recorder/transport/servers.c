#include "servers.h"

#include "steno/base/error.h"

#include <string.h>

struct StenoIceServers {
    StenoIceServer servers[STENO_ICE_SERVERS_MAX];
    guint n_servers, n_pending;
    StenoGeofence *geofence;
    const StenoLog *log;
    GCancellable *cancellable;
    GSource *idle;
    GError *error;
    StenoIceServersFunc done;
    gpointer user;
};

typedef struct {
    StenoIceServers *owner; /* not valid once cancelled */
    guint index;
    GCancellable *cancellable;
} Lookup;

static gboolean parse_host_port(const char *text, gsize length, char **host, guint16 *port)
{
    g_autofree char *copy = g_strndup(text, length);
    char *name = copy, *colon;
    guint64 number;

    if (copy[0] == '[') {
        char *end = strchr(copy, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return FALSE;
        *end = '\0';
        name = copy + 1;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else {
        colon = strchr(copy, ':');
    }
    if (colon) {
        if (!g_ascii_string_to_unsigned(colon + 1, 10, 1, G_MAXUINT16, &number, NULL))
            return FALSE;
        *colon = '\0';
        *port = (guint16)number;
    }
    if (name[0] == '\0' || strlen(name) > 253)
        return FALSE;
    *host = g_strdup(name);
    return TRUE;
}

gboolean steno_ice_server_parse(const char *url, StenoIceServerKind *kind, char **host, guint16 *port)
{
    static const struct {
        const char *scheme;
        StenoIceServerKind kind;
        guint16 port;
    } schemes[] = {
        {"stun:", STENO_ICE_STUN, 3478}, {"turn:", STENO_ICE_TURN_UDP, 3478}, {"turns:", STENO_ICE_TURN_TLS, 5349}};
    const char *rest = url;

    *kind = STENO_ICE_STUN;
    *port = 3478;
    for (guint i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (g_str_has_prefix(url, schemes[i].scheme)) {
            *kind = schemes[i].kind;
            *port = schemes[i].port;
            rest = url + strlen(schemes[i].scheme);
        }
    }
    gsize length = strcspn(rest, "?");
    if (rest[length] == '?') {
        const char *query = rest + length + 1;
        gboolean tcp = strcmp(query, "transport=tcp") == 0;
        if (*kind == STENO_ICE_STUN || (!tcp && strcmp(query, "transport=udp") != 0) ||
            (*kind == STENO_ICE_TURN_TLS && !tcp)) /* TURN over DTLS is not for us */
            return FALSE;
        if (*kind == STENO_ICE_TURN_UDP && tcp)
            *kind = STENO_ICE_TURN_TCP;
    }
    return parse_host_port(rest, length, host, port);
}

static gboolean outside(StenoIceServers *self, const StenoIceServer *server, const char *address, GError **error)
{
    if (steno_geofence_allows(self->geofence, address))
        return FALSE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_GEOFENCE,
                "using the %s server %s: its address %s lies outside of the allowed networks; add it with "
                "--allow-media-cidr or leave the server out",
                server->kind == STENO_ICE_STUN ? "STUN" : "TURN", server->host, address);
    return TRUE;
}

static gboolean add_server(StenoIceServers *self, const char *url, const char *user, StenoSecret *password,
                           GError **error)
{
    StenoIceServer *server = &self->servers[self->n_servers];

    if (self->n_servers == STENO_ICE_SERVERS_MAX) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "more than %d STUN and TURN servers", STENO_ICE_SERVERS_MAX);
        return FALSE;
    }
    if (!steno_ice_server_parse(url, &server->kind, &server->host, &server->port)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "reading the ICE server \"%s\": give host:port for STUN, and turn:host:port?transport=udp|tcp or "
                    "turns:host:port for TURN",
                    url);
        return FALSE;
    }
    self->n_servers++;
    if (server->kind == STENO_ICE_TURN_TLS) {
        /* libnice (0.1.21) knows TLS only as the imitation that Google and Microsoft used; else it would send the
         * credentials over bare TCP. */
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "using the TURN server \"%s\": libnice has no TURN over TLS; use turn:%s?transport=tcp (media is "
                    "encrypted by SRTP all the same), or a TLS tunnel to it",
                    url, server->host);
        return FALSE;
    }
    server->user = g_strdup(user);
    server->password = password ? steno_secret_ref(password) : NULL;
    if (g_hostname_is_ip_address(server->host)) {
        if (outside(self, server, server->host, error))
            return FALSE;
        server->address = g_strdup(server->host);
    }
    return TRUE;
}

static void finish_one(StenoIceServers *self)
{
    if (--self->n_pending == 0)
        self->done(self->user, self->servers, self->n_servers, self->error);
}

static gboolean on_idle(gpointer user)
{
    StenoIceServers *self = user;

    steno_transport_timer_clear(&self->idle);
    finish_one(self);
    return G_SOURCE_REMOVE;
}

static void take_addresses(StenoIceServers *self, StenoIceServer *server, GList *addresses)
{
    for (GList *item = addresses; item; item = item->next) {
        g_autofree char *address = g_inet_address_to_string(item->data);
        if (outside(self, server, address, self->error ? NULL : &self->error))
            return;
        /* IPv4 first: an SFU's network always has it. */
        if (!server->address ||
            (g_inet_address_get_family(item->data) == G_SOCKET_FAMILY_IPV4 && strchr(server->address, ':'))) {
            g_free(server->address);
            server->address = g_steal_pointer(&address);
        }
    }
}

static void on_resolved(GObject *resolver, GAsyncResult *result, gpointer user)
{
    Lookup *lookup = user;
    g_autoptr(GError) error = NULL;
    GList *addresses = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, &error);
    gboolean cancelled = g_cancellable_is_cancelled(lookup->cancellable);

    if (!cancelled) {
        StenoIceServers *self = lookup->owner;
        StenoIceServer *server = &self->servers[lookup->index];
        if (addresses)
            take_addresses(self, server, addresses);
        else
            steno_warning(self->log, "going on without the %s server %s: its name cannot be resolved (%s)",
                          server->kind == STENO_ICE_STUN ? "STUN" : "TURN", server->host, error->message);
        finish_one(self);
    }
    g_resolver_free_addresses(addresses);
    g_object_unref(lookup->cancellable);
    g_free(lookup);
}

static void resolve(StenoIceServers *self, GMainContext *context)
{
    g_autoptr(GResolver) resolver = g_resolver_get_default();

    self->cancellable = g_cancellable_new();
    self->n_pending = 1;
    self->idle = steno_transport_timer(context, 0, on_idle, self);
    g_main_context_push_thread_default(context);
    for (guint i = 0; i < self->n_servers; i++) {
        if (self->servers[i].address)
            continue;
        Lookup *lookup = g_new0(Lookup, 1);
        lookup->owner = self;
        lookup->index = i;
        lookup->cancellable = g_object_ref(self->cancellable);
        self->n_pending++;
        g_resolver_lookup_by_name_async(resolver, self->servers[i].host, self->cancellable, on_resolved, lookup);
    }
    g_main_context_pop_thread_default(context);
}

StenoIceServers *steno_ice_servers_new(const char *stun, const StenoTurnServer *turn, guint n_turn,
                                       const StenoGeofence *geofence, const StenoLog *log, GMainContext *context,
                                       StenoIceServersFunc done, gpointer user, GError **error)
{
    StenoIceServers *self = g_new0(StenoIceServers, 1);
    gboolean ok = TRUE;

    self->geofence = steno_geofence_ref((StenoGeofence *)geofence);
    self->log = log;
    self->done = done;
    self->user = user;
    if (stun)
        ok = add_server(self, stun, NULL, NULL, error);
    for (guint i = 0; ok && i < n_turn; i++)
        ok = add_server(self, turn[i].url, turn[i].user, turn[i].password, error);
    if (!ok) {
        steno_ice_servers_free(self);
        return NULL;
    }
    resolve(self, context);
    return self;
}

void steno_ice_servers_free(StenoIceServers *servers)
{
    if (!servers)
        return;
    if (servers->cancellable) {
        g_cancellable_cancel(servers->cancellable);
        g_object_unref(servers->cancellable);
    }
    steno_transport_timer_clear(&servers->idle);
    for (guint i = 0; i < servers->n_servers; i++) {
        g_free(servers->servers[i].host);
        g_free(servers->servers[i].address);
        g_free(servers->servers[i].user);
        if (servers->servers[i].password)
            steno_secret_unref(servers->servers[i].password);
    }
    g_clear_error(&servers->error);
    steno_geofence_unref(servers->geofence);
    g_free(servers);
}
