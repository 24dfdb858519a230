/* Text that has to be of a form: names, addresses, networks, URLs. */
#ifndef STENO_CONFIG_FORMS_H
#define STENO_CONFIG_FORMS_H

#include <glib.h>

/* Does `allowed` of the table name a form (else it is empty, or words)? */
gboolean config_is_form(const char *allowed);
/* NULL when the text is of the form, else what it must be. Static. */
const char *config_form_check(const char *form, const char *text);

/*
 * NULL when the text is a URL of one of the two schemes with a host and nothing that is secret (user, password), nor a
 * fragment, nor, but if may_query, a query; else what is wrong, to follow "the URL ". Static.
 */
const char *config_url_check(const char *url, gboolean may_http, gboolean may_query);

/* The same for a server without a path: SCHEME://HOST[:PORT]. */
const char *config_server_url_check(const char *url, gboolean may_http);

/* NULL when the text is a key template (`key` of storages); else what is wrong, to follow "the template ". Static. */
const char *config_template_check(const char *text);

/* NULL when the text is an absolute path without empty, "." or ".." parts; else what it must be. Static. */
const char *config_path_check(const char *path);

#endif
