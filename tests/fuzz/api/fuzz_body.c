/* Bodies; and error messages, from which problem documents are made. */
#include "body.h"
#include "problem.h"

#include "steno/api.h"
#include "steno/base/error.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static guint depth_of(const json_t *json)
{
    guint deepest = 0;
    const char *name;
    size_t i;
    json_t *item;
    json_array_foreach (json, i, item)
        deepest = MAX(deepest, depth_of(item));
    json_object_foreach ((json_t *)json, name, item)
        deepest = MAX(deepest, depth_of(item));
    return deepest + (json_is_array(json) || json_is_object(json));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *json = body_read((const char *)data, bytes, &error);
    g_assert_true((json != NULL) != (error != NULL));
    if (json)
        g_assert_cmpuint(depth_of(json), <=, STENO_API_JSON_DEPTH_MAX);
    json_decref(json);
    g_autofree char *message = g_strndup((const char *)data, bytes);
    g_autoptr(GError) told = g_error_new_literal(STENO_ERROR, STENO_ERROR_USAGE, message);
    int status;
    json_t *problem = problem_of_error(told, message, NULL, &status);
    g_assert_cmpint(status, ==, 400);
    char *text = json_dumps(problem, JSON_COMPACT);
    g_assert_nonnull(text);
    free(text);
    json_decref(problem);
    return 0;
}
