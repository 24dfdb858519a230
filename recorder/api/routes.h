/* The routes: the rows of commands.def, and this API's own description. */
#ifndef STENO_API_ROUTES_H
#define STENO_API_ROUTES_H

#include "steno/daemon.h"

/* GET /openapi.json: answered here. */
#define ROUTE_OPENAPI STENO_COMMANDS
/* For counting what has no route. */
#define ROUTE_NONE (STENO_COMMANDS + 1)
#define ROUTES (STENO_COMMANDS + 2)

typedef struct {
    guint route; /* a StenoCommand, ROUTE_OPENAPI, or ROUTE_NONE: no such method */
    gboolean head;
    /* Every method of the path, "GET, HEAD, OPTIONS"; NULL: there is no such path. Caller frees. */
    char *allow;
} RouteMatch;

/* Finds the route of a method and of decoded path segments; the path's members go into arguments. */
void routes_match(const char *method, char *const *segments, json_t *arguments, RouteMatch *match);
/* "recording.start"; "openapi", "none". Static. */
const char *route_name(guint route);
/* Is it done without credentials? */
gboolean route_is_open(guint route);
/* Does its method take a body? */
gboolean route_takes_body(guint route);

#endif
