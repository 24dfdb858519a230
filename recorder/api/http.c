#include "http.h"

#include "steno/base/secret.h"

#include <string.h>

static const char *const field_names[HTTP_FIELDS] = {
    [HTTP_AUTHORIZATION] = "authorization",
    [HTTP_CONNECTION] = "connection",
    [HTTP_CONTENT_LENGTH] = "content-length",
    [HTTP_CONTENT_TYPE] = "content-type",
    [HTTP_EXPECT] = "expect",
    [HTTP_HOST] = "host",
    [HTTP_IDEMPOTENCY_KEY] = "idempotency-key",
    [HTTP_IF_NONE_MATCH] = "if-none-match",
    [HTTP_IF_RANGE] = "if-range",
    [HTTP_LAST_EVENT_ID] = "last-event-id",
    [HTTP_RANGE] = "range",
    [HTTP_TRANSFER_ENCODING] = "transfer-encoding",
    [HTTP_UPGRADE] = "upgrade",
};

static const struct {
    int status;
    const char *words;
} statuses[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {302, "Found"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_words(int status)
{
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (statuses[i].status == status)
            return statuses[i].words;
    }
    return "Status";
}

static HttpResult bad(HttpFault *fault, int status, const char *words)
{
    *fault = (HttpFault){status, words};
    return HTTP_BAD;
}

static gboolean is_token_char(char c)
{
    return g_ascii_isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static gboolean is_token(const char *text, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++) {
        if (!is_token_char(text[i]))
            return FALSE;
    }
    return bytes > 0;
}

/* ---- request line ------------------------------------------------------------------------------------------------ */

/* Absolute-form ("GET https://host/path", as a client of a proxy sends it) is brought to origin-form. */
static char *origin_form(const char *target, gsize bytes)
{
    g_autofree char *text = g_strndup(target, bytes);
    const char *rest = text;
    if (g_ascii_strncasecmp(text, "https://", 8) == 0 || g_ascii_strncasecmp(text, "http://", 7) == 0) {
        rest = strchr(strstr(text, "://") + 3, '/');
        return g_strdup(rest ? rest : "/");
    }
    return rest[0] == '/' || strcmp(rest, "*") == 0 ? g_steal_pointer(&text) : NULL;
}

static HttpResult read_request_line(const char *line, gsize bytes, HttpHead *head, HttpFault *fault)
{
    const char *end = line + bytes;
    const char *space = memchr(line, ' ', bytes);
    if (!space || !is_token(line, (gsize)(space - line)) || space - line > 16)
        return bad(fault, 400, "the request line does not begin with a method");
    const char *target = space + 1;
    const char *second = memchr(target, ' ', (gsize)(end - target));
    if (!second)
        return bad(fault, 400, "the request line has no protocol version");
    const char *version = second + 1;
    gsize version_bytes = (gsize)(end - version);
    if (version_bytes != 8 || memcmp(version, "HTTP/", 5) != 0)
        return bad(fault, 400, "the request line does not end with a protocol version");
    gboolean eleven = memcmp(version, "HTTP/1.1", 8) == 0;
    if (!eleven && memcmp(version, "HTTP/1.0", 8) != 0)
        return bad(fault, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    for (const char *c = target; c < second; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return bad(fault, 400, "the request's target has characters that must be percent-encoded");
    }
    head->target = origin_form(target, (gsize)(second - target));
    if (!head->target)
        return bad(fault, 400, "the request's target does not begin with /");
    head->method = g_strndup(line, (gsize)(space - line));
    head->keep_alive = eleven;
    return HTTP_DONE;
}

/* ---- header lines ------------------------------------------------------------------------------------------------ */

/* Lists may be sent as several lines; of all else a second one would let two readers see two requests. */
static gboolean may_repeat(HttpField field)
{
    return field == HTTP_CONNECTION || field == HTTP_IF_NONE_MATCH || field == HTTP_UPGRADE;
}

static HttpResult read_header_line(const char *line, gsize bytes, HttpHead *head, HttpFault *fault)
{
    const char *colon = memchr(line, ':', bytes);
    if (!colon || !is_token(line, (gsize)(colon - line)))
        return bad(fault, 400, "a header line is not of the form name: value");
    const char *value = colon + 1;
    const char *end = line + bytes;
    for (const char *c = value; c < end; c++) {
        if (((guchar)*c < ' ' && *c != '\t') || *c == 0x7f)
            return bad(fault, 400, "a header line has a control character");
    }
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    gsize name_bytes = (gsize)(colon - line);
    for (int i = 0; i < HTTP_FIELDS; i++) {
        if (strlen(field_names[i]) != name_bytes || g_ascii_strncasecmp(field_names[i], line, name_bytes) != 0)
            continue;
        if (head->fields[i] && !may_repeat((HttpField)i))
            return bad(fault, 400, "a header line that may be sent once was sent twice");
        g_autofree char *before = head->fields[i];
        g_autofree char *text = g_strndup(value, (gsize)(end - value));
        head->fields[i] = before ? g_strconcat(before, ", ", text, NULL) : g_steal_pointer(&text);
        break;
    }
    return HTTP_DONE;
}

/* Is the word in a comma-separated list? */
static gboolean list_has(const char *list, const char *word)
{
    if (!list)
        return FALSE;
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);
    for (gsize i = 0; parts[i]; i++) {
        if (g_ascii_strcasecmp(g_strstrip(parts[i]), word) == 0)
            return TRUE;
    }
    return FALSE;
}

static HttpResult read_length(HttpHead *head, gboolean eleven, HttpFault *fault)
{
    const char *length = head->fields[HTTP_CONTENT_LENGTH];
    const char *coding = head->fields[HTTP_TRANSFER_ENCODING];
    head->length = -1;
    if (coding && (length || !eleven))
        return bad(fault, 400, "Transfer-Encoding does not go with Content-Length or HTTP/1.0");
    if (coding) {
        if (g_ascii_strcasecmp(coding, "chunked") != 0)
            return bad(fault, 501, "the only Transfer-Encoding here is chunked");
        head->chunked = TRUE;
    }
    if (length) {
        gsize digits = strspn(length, "0123456789");
        if (digits == 0 || length[digits] || digits > 18)
            return bad(fault, 400, "Content-Length is not a number");
        head->length = g_ascii_strtoll(length, NULL, 10);
    }
    return HTTP_DONE;
}

static HttpResult finish_head(HttpHead *head, HttpFault *fault)
{
    gboolean eleven = head->keep_alive;
    if (eleven && !head->fields[HTTP_HOST])
        return bad(fault, 400, "the Host header is missing");
    if (read_length(head, eleven, fault) == HTTP_BAD)
        return HTTP_BAD;
    if (list_has(head->fields[HTTP_CONNECTION], "close"))
        head->keep_alive = FALSE;
    const char *expect = head->fields[HTTP_EXPECT];
    if (expect && g_ascii_strcasecmp(expect, "100-continue") != 0)
        return bad(fault, 417, "the only expectation that can be met is 100-continue");
    head->expect_continue = expect && eleven;
    if (list_has(head->fields[HTTP_UPGRADE], "websocket"))
        return bad(fault, 400, "there is no WebSocket here; follow events by GET /v1/events (SSE)");
    return HTTP_DONE;
}

static HttpResult read_lines(const char *data, gsize bytes, HttpHead *head, HttpFault *fault)
{
    guint number = 0;
    for (gsize at = 0; at < bytes; number++) {
        const char *line = data + at;
        const char *lf = memchr(line, '\n', bytes - at);
        gsize line_bytes = (gsize)(lf - line);
        if (line_bytes == 0 || line[line_bytes - 1] != '\r')
            return bad(fault, 400, "a line does not end with CR LF");
        line_bytes--;
        HttpResult result = HTTP_DONE;
        if (number == 0)
            result = read_request_line(line, line_bytes, head, fault);
        else if (number > HTTP_HEADER_LINES_MAX)
            return bad(fault, 431, "there are more than 100 header lines");
        else
            result = read_header_line(line, line_bytes, head, fault);
        if (result != HTTP_DONE)
            return result;
        at += line_bytes + 2;
    }
    return finish_head(head, fault);
}

HttpResult http_head_read(const char *data, gsize bytes, gsize *used, HttpHead *head, HttpFault *fault)
{
    *head = (HttpHead){0};
    gsize start = 0;
    /* An empty line before a request comes from clients of old that sent one too much after a body. */
    if (bytes >= 2 && data[0] == '\r' && data[1] == '\n')
        start = 2;
    const char *end = memmem(data + start, MIN(bytes - start, HTTP_HEAD_MAX_BYTES), "\r\n\r\n", 4);
    if (!end) {
        if (bytes - start >= HTTP_HEAD_MAX_BYTES)
            return bad(fault, 431, "the request's header lines are longer than 16 KiB");
        /* Told at once, rather than after the time that a slow client has. */
        if (bytes > start && !is_token_char(data[start]) && data[start] != '\r')
            return bad(fault, 400, "this is not HTTP");
        return HTTP_MORE;
    }
    HttpResult result = read_lines(data + start, (gsize)(end - data) - start + 2, head, fault);
    *used = (gsize)(end - data) + 4;
    if (result == HTTP_BAD)
        http_head_clear(head);
    return result;
}

void http_head_clear(HttpHead *head)
{
    for (int i = 0; i < HTTP_FIELDS; i++) {
        if (head->fields[i])
            steno_secret_wipe(head->fields[i], strlen(head->fields[i]));
        g_free(head->fields[i]);
    }
    g_free(head->method);
    g_free(head->target);
    *head = (HttpHead){0};
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

/* "1a3" or "1a3;extension": hexadecimal digits, no sign, no space. */
static gboolean chunk_size(const char *line, gint64 *size)
{
    gsize digits = strspn(line, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 8 || (line[digits] && line[digits] != ';'))
        return FALSE;
    *size = g_ascii_strtoll(line, NULL, 16);
    return TRUE;
}

static HttpResult end_of_chunk_line(HttpChunks *chunks, GString *body, gsize max, HttpFault *fault)
{
    gsize bytes = chunks->line_bytes;
    chunks->line_bytes = 0;
    if (bytes == 0 || chunks->line[bytes - 1] != '\r' || memchr(chunks->line, 0, bytes))
        return bad(fault, 400, "a line of the chunked body does not end with CR LF");
    chunks->line[--bytes] = '\0';
    switch (chunks->state) {
    case HTTP_CHUNK_SIZE:
        if (!chunk_size(chunks->line, &chunks->left))
            return bad(fault, 400, "a chunk of the body has no valid size");
        if (chunks->left + (gint64)body->len > (gint64)max)
            return bad(fault, 413, NULL);
        chunks->state = chunks->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
        return HTTP_MORE;
    case HTTP_CHUNK_END:
        chunks->state = HTTP_CHUNK_SIZE;
        return bytes == 0 ? HTTP_MORE : bad(fault, 400, "a chunk of the body is longer than its size");
    default:
        if (bytes == 0)
            return HTTP_DONE;
        chunks->trailer_bytes += bytes;
        return chunks->trailer_bytes <= HTTP_HEAD_MAX_BYTES ? HTTP_MORE
                                                            : bad(fault, 431, "the body's trailer is too long");
    }
}

HttpResult http_chunks_read(HttpChunks *chunks, const char *data, gsize bytes, gsize *used, GString *body, gsize max,
                            HttpFault *fault)
{
    HttpResult result = HTTP_MORE;
    gsize at = 0;
    while (at < bytes && result == HTTP_MORE) {
        if (chunks->state == HTTP_CHUNK_DATA) {
            gsize take = MIN(bytes - at, (gsize)chunks->left);
            g_string_append_len(body, data + at, (gssize)take);
            at += take;
            chunks->left -= (gint64)take;
            if (chunks->left == 0)
                chunks->state = HTTP_CHUNK_END;
            continue;
        }
        char c = data[at++];
        if (c == '\n')
            result = end_of_chunk_line(chunks, body, max, fault);
        else if (chunks->line_bytes + 1 >= sizeof(chunks->line))
            result = bad(fault, 400, "a line of the chunked body is too long");
        else
            chunks->line[chunks->line_bytes++] = c;
    }
    *used = at;
    return result;
}
