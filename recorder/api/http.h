/*
 * Request heads and chunked bodies of HTTP/1.1 (RFC 9110, 9112), read strictly: what two programs could read in two
 * ways (bare LF, folded lines, a length twice, a length and chunks) is refused. Pure functions of bytes.
 */
#ifndef STENO_API_HTTP_H
#define STENO_API_HTTP_H

#include <glib.h>

/* Request line and header lines together: browsers and proxies send up to 8 KiB. */
#define HTTP_HEAD_MAX_BYTES (16 * 1024)
#define HTTP_HEADER_LINES_MAX 100
/* A chunk's size line, with its extensions, and a trailer line. */
#define HTTP_CHUNK_LINE_MAX_BYTES 256

/* The header fields that mean something to us. */
typedef enum {
    HTTP_AUTHORIZATION,
    HTTP_CONNECTION,
    HTTP_CONTENT_LENGTH,
    HTTP_CONTENT_TYPE,
    HTTP_EXPECT,
    HTTP_HOST,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_IF_NONE_MATCH,
    HTTP_IF_RANGE,
    HTTP_LAST_EVENT_ID,
    HTTP_RANGE,
    HTTP_TRANSFER_ENCODING,
    HTTP_UPGRADE,
    HTTP_FIELDS
} HttpField;

typedef struct {
    char *method; /* a token */
    char *target; /* origin-form: begins with '/'; printable ASCII */
    char *fields[HTTP_FIELDS];
    gboolean keep_alive, chunked, expect_continue;
    gint64 length; /* of the body; -1: none was told */
} HttpHead;

typedef enum { HTTP_MORE, HTTP_DONE, HTTP_BAD } HttpResult;

/* What is wrong with a request. words: static. */
typedef struct {
    int status;
    const char *words;
} HttpFault;

/*
 * Reads one head from the beginning of data. HTTP_DONE: *used bytes of it were the head, which the caller clears later.
 * HTTP_BAD: nothing after it can be trusted; answer, then close.
 */
HttpResult http_head_read(const char *data, gsize bytes, gsize *used, HttpHead *head, HttpFault *fault);
/* Frees what is in it; credentials are wiped. */
void http_head_clear(HttpHead *head);
/* The words of a status. Static. */
const char *http_status_words(int status);

/* A chunked body, piece by piece. Zeroed at first. */
typedef struct {
    enum { HTTP_CHUNK_SIZE, HTTP_CHUNK_DATA, HTTP_CHUNK_END, HTTP_CHUNK_TRAILER } state;
    gint64 left;
    char line[HTTP_CHUNK_LINE_MAX_BYTES];
    gsize line_bytes, trailer_bytes;
} HttpChunks;

/* Takes bytes, appends what they carry to body. *used: how many belonged to it. body grows to at most max bytes. */
HttpResult http_chunks_read(HttpChunks *chunks, const char *data, gsize bytes, gsize *used, GString *body, gsize max,
                            HttpFault *fault);

#endif
