#include "routes.h"

#include <string.h>

typedef struct {
    const char *action;
    StenoRole role;
    const char *method, *path;
} Row;

static const Row rows[STENO_COMMANDS + 1] = {
#define STENO_COMMAND(name, action, role, audited, method, path, words)                                                \
    [STENO_COMMAND_##name] = {action, STENO_ROLE_##role, method, path},
#include "steno/commands.def"
#undef STENO_COMMAND
    [ROUTE_OPENAPI] = {"openapi", STENO_ROLE_NOBODY, "GET", "/openapi.json"},
};

/* Does "/v1/recordings/{id}" fit the segments? Then its {members} go into arguments (when there are any). */
static gboolean fits(const char *path, char *const *segments, json_t *arguments)
{
    const char *at = path;
    for (gsize i = 0; segments[i]; i++) {
        if (*at != '/')
            return FALSE;
        const char *part = ++at;
        gsize bytes = strcspn(part, "/");
        at += bytes;
        if (part[0] == '{') {
            if (arguments) {
                g_autofree char *name = g_strndup(part + 1, bytes - 2);
                json_object_set_new(arguments, name, json_string(segments[i]));
            }
        } else if (strlen(segments[i]) != bytes || memcmp(segments[i], part, bytes) != 0) {
            return FALSE;
        }
    }
    return *at == '\0' && path[0];
}

/* What HEAD would answer of an endless stream helps nobody. */
static gboolean has_head(guint route)
{
    return strcmp(rows[route].method, "GET") == 0 && route != STENO_COMMAND_EVENTS;
}

void routes_match(const char *method, char *const *segments, json_t *arguments, RouteMatch *match)
{
    *match = (RouteMatch){.route = ROUTE_NONE};
    gboolean head = strcmp(method, "HEAD") == 0;
    g_autoptr(GString) allow = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!fits(rows[i].path, segments, NULL))
            continue;
        g_string_append_printf(allow, "%s, %s", rows[i].method, has_head(i) ? "HEAD, " : "");
        if (strcmp(method, rows[i].method) == 0 || (head && has_head(i))) {
            fits(rows[i].path, segments, arguments);
            match->route = i;
            match->head = head;
        }
    }
    if (allow->len == 0)
        return;
    g_string_append(allow, "OPTIONS");
    match->allow = g_string_free(g_steal_pointer(&allow), FALSE);
}

const char *route_name(guint route)
{
    return route < ROUTE_NONE ? rows[route].action : "none";
}

gboolean route_is_open(guint route)
{
    return route >= ROUTE_NONE || rows[route].role == STENO_ROLE_NOBODY;
}

gboolean route_takes_body(guint route)
{
    return route < ROUTE_NONE && (strcmp(rows[route].method, "POST") == 0 || strcmp(rows[route].method, "PATCH") == 0);
}
