#include "problem.h"

#include "http.h"

#include "steno/base/error.h"
#include "steno/base/log.h"

#include <string.h>

/* "/outputs/0/type: is …", ": is …" (the whole body) or "?page_size: is …": the name of what is wrong, and the words
 * after it. */
static const char *words_after_name(const char *message, int status, const char **kind, char **name)
{
    /* A fault of ours may begin with a path; one of the client's with a pointer only. */
    if (!message[0] || !strchr("/?:", message[0]) || status >= 500)
        return NULL;
    const char *colon = strstr(message, ": ");
    if (!colon)
        return NULL;
    *kind = message[0] == '?' ? "parameter" : "pointer";
    const char *start = message[0] == '?' ? message + 1 : message;
    *name = g_strndup(start, (gsize)(colon - start));
    return colon + 2;
}

/* Text of messages may have come from outside. */
static json_t *json_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static void add_instance(json_t *problem, const char *instance)
{
    if (instance)
        json_object_set_new(problem, "instance", json_text(instance));
}

json_t *problem_of_error(const GError *error, const char *instance, const json_t *more, int *status)
{
    StenoError code = error->domain == STENO_ERROR ? (StenoError)error->code : STENO_ERROR_INTERNAL;
    g_autofree char *detail = steno_log_redact(error->message);
    g_autofree char *type = g_strconcat("urn:steno:problem:", steno_error_slug(code), NULL);
    *status = steno_error_http_status(code);
    json_t *problem = json_object();
    json_object_set_new(problem, "type", json_string(type));
    json_object_set_new(problem, "title", json_string(steno_error_words(code)));
    json_object_set_new(problem, "status", json_integer(*status));
    json_object_set_new(problem, "detail", json_text(detail));
    add_instance(problem, instance);
    const char *kind;
    g_autofree char *name = NULL;
    const char *words = words_after_name(detail, *status, &kind, &name);
    if (words) {
        json_t *one = json_object();
        json_object_set_new(one, kind, json_text(name));
        json_object_set_new(one, "detail", json_text(words));
        json_object_set_new(problem, "errors", json_pack("[o]", one));
    }
    if (more)
        json_object_update_missing(problem, (json_t *)more);
    return problem;
}

json_t *problem_of_status(int status, const char *detail, const char *instance)
{
    json_t *problem = json_object();
    json_object_set_new(problem, "type", json_string("about:blank"));
    json_object_set_new(problem, "title", json_string(http_status_words(status)));
    json_object_set_new(problem, "status", json_integer(status));
    json_object_set_new(problem, "detail", json_text(detail));
    add_instance(problem, instance);
    return problem;
}
