/* A request's JSON body: how deep it is is looked at before a parser builds anything of it. */
#ifndef STENO_API_BODY_H
#define STENO_API_BODY_H

#include <glib.h>
#include <jansson.h>

/* Do arrays and objects nest no deeper than max? Says nothing about whether it is JSON. */
gboolean body_depth_ok(const char *data, gsize bytes, guint max);
/* An object or array; NULL and USAGE for what is no JSON (RFC 8259), too deep, or has a member twice. */
json_t *body_read(const char *data, gsize bytes, GError **error);
/* "application/json", with or without parameters. */
gboolean body_type_ok(const char *content_type);

#endif
