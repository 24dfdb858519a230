/*
 * server: an HTTP server on 127.0.0.1 with threads of its own, that counts its connections.
 *
 * GET /ok: "ok", and the connection stays open. /moved: a redirect to /ok. /hang: no answer, ever.
 */
#ifndef STENO_TEST_HTTP_SERVER_H
#define STENO_TEST_HTTP_SERVER_H

#include <glib.h>

typedef struct Server Server;

Server *server_start(void);
/* All clients must have gone. */
void server_stop(Server *server);

guint16 server_port(const Server *server);
guint server_connections(Server *server); /* accepted so far */
guint server_requests(Server *server);    /* read so far */
/* Waits, 60 s at most, until nothing is connected any more. */
gboolean server_wait_until_alone(Server *server);

#endif
