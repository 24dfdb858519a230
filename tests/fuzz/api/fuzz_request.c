/* A connection's bytes: head, target, route, chunked body; whole and in two pieces the same comes out. */
#include "http.h"
#include "routes.h"
#include "target.h"

#include "steno/api.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use_target(const HttpHead *head)
{
    Target target;
    g_autoptr(GError) error = NULL;
    if (target_read(head->target, &target, &error)) {
        json_t *arguments = json_object();
        RouteMatch match;
        routes_match(head->method, target.segments, arguments, &match);
        g_assert_true(match.route == ROUTE_NONE || match.allow);
        for (gsize i = 0; target.segments[i]; i++) {
            g_assert_null(strchr(target.segments[i], '/'));
            g_assert_cmpstr(target.segments[i], !=, "..");
            g_assert_true(g_utf8_validate(target.segments[i], -1, NULL));
        }
        g_free(match.allow);
        json_decref(arguments);
    }
    target_clear(&target);
}

static void use_chunks(const char *data, size_t bytes)
{
    HttpResult results[2] = {HTTP_MORE, HTTP_MORE};
    g_autoptr(GString) whole = g_string_new(NULL);
    g_autoptr(GString) pieces = g_string_new(NULL);
    HttpFault fault;
    gsize used, total = 0;
    HttpChunks chunks = {0};
    results[0] = http_chunks_read(&chunks, data, bytes, &used, whole, 4096, &fault);
    chunks = (HttpChunks){0};
    for (gsize at = 0; at < bytes && results[1] == HTTP_MORE; at += used) {
        results[1] = http_chunks_read(&chunks, data + at, MIN(bytes - at, 3), &used, pieces, 4096, &fault);
        total += used;
    }
    g_assert_cmpint(results[0], ==, results[1]);
    g_assert_true(total <= bytes && whole->len <= 4096);
    g_assert_cmpstr(whole->str, ==, pieces->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    HttpHead head;
    HttpFault fault;
    gsize used = 0;
    HttpResult result = http_head_read((const char *)data, bytes, &used, &head, &fault);
    if (result == HTTP_BAD) {
        g_assert_true(fault.status >= 400 && fault.words);
    } else if (result == HTTP_DONE) {
        g_assert_true(used <= bytes && used <= HTTP_HEAD_MAX_BYTES + 6);
        use_target(&head);
        if (head.chunked)
            use_chunks((const char *)data + used, bytes - used);
        http_head_clear(&head);
    }
    return 0;
}
