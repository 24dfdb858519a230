/* Problem documents (RFC 9457). */
#ifndef STENO_API_PROBLEM_H
#define STENO_API_PROBLEM_H

#include <glib.h>
#include <jansson.h>

/*
 * The document of an error: type and title by errors.def, errors[] when the message names a member of the request
 * ("/pointer: words", "?name: words"; see daemon.h). more: further members, or NULL. *status is set. Caller owns.
 */
json_t *problem_of_error(const GError *error, const char *instance, const json_t *more, int *status);
/* One that has no type but its HTTP status (RFC 9457 §4.2.1). Caller owns. */
json_t *problem_of_status(int status, const char *detail, const char *instance);

#endif
