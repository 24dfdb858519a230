/*
 * Signs requests with storage's signer, for tests that compare it with another's. A line of standard input is one
 * request: {"method", "path" (in clear), "query": [[name, value]…], "headers": [[name, value]…], "payload_sha256",
 * "region", "service", "wall_us", "access_key_id", "secret_access_key", "session_token" (or null), "expires_s" (null:
 * by header)}. A line comes back: {"path", "query" (as they go out), "authorization" (by header)}.
 */
#include "s3/sign.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* The texts are lent by the list. */
static S3Pair *pairs_of(const json_t *list)
{
    S3Pair *pairs = g_new0(S3Pair, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        pairs[i] = (S3Pair){json_string_value(json_array_get(item, 0)), json_string_value(json_array_get(item, 1))};
    }
    return pairs;
}

static json_t *sign(const json_t *given)
{
    g_autofree S3Pair *query = pairs_of(json_object_get(given, "query"));
    g_autofree S3Pair *headers = pairs_of(json_object_get(given, "headers"));
    g_autofree char *path = s3_encode_path(text(given, "path"));
    const char *secret = text(given, "secret_access_key"), *token = text(given, "session_token");
    g_autofree char *access_key_id = g_strdup(text(given, "access_key_id"));
    g_autoptr(StenoSecret) secret_access_key = steno_secret_new(secret, strlen(secret));
    g_autoptr(StenoSecret) session_token = token ? steno_secret_new(token, strlen(token)) : NULL;
    const S3Keys keys = {
        .access_key_id = access_key_id, .secret_access_key = secret_access_key, .session_token = session_token};
    const S3ToSign request = {.method = text(given, "method"),
                              .path = path,
                              .query = query,
                              .headers = headers,
                              .payload_sha256_hex = text(given, "payload_sha256"),
                              .region = text(given, "region"),
                              .service = text(given, "service"),
                              .wall_us = json_integer_value(json_object_get(given, "wall_us"))};
    const json_t *expires = json_object_get(given, "expires_s");
    if (json_is_integer(expires)) {
        g_autofree char *presigned = s3_presign_query(&request, &keys, (guint)json_integer_value(expires));
        return json_pack("{s:s, s:s}", "path", path, "query", presigned);
    }
    g_autofree char *encoded = s3_encode_query(query);
    g_autofree char *authorization = s3_sign(&request, &keys);
    return json_pack("{s:s, s:s, s:s}", "path", path, "query", encoded, "authorization", authorization);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_t *given = json_loads(line, 0, NULL);
        json_t *made = given ? sign(given) : NULL;
        if (!made)
            return 1;
        json_dumpf(made, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(made);
        json_decref(given);
    }
    free(line);
    return 0;
}
