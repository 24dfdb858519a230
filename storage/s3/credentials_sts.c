/*
 * The answer of STS. GLib's parser would leave copies of the keys in memory that nobody wipes; this one reads them
 * where they lie. It knows elements and text, and refuses what an answer does not have: a DOCTYPE, entities in keys.
 */
#include "credentials_source.h"

#include "steno/base/error.h"

#include <string.h>

#define DEPTH_MAX 16

typedef struct {
    S3Span id, secret, token, expires, code, message;
} Answer;

typedef struct {
    const char *at, *end;
    S3Span open[DEPTH_MAX]; /* names */
    guint depth;
    const char *text; /* behind the last start tag; NULL: an element came in between */
    Answer *answer;
} Reader;

static gboolean starts(const Reader *reader, const char *text)
{
    gsize bytes = strlen(text);
    return (gsize)(reader->end - reader->at) >= bytes && memcmp(reader->at, text, bytes) == 0;
}

/* Behind the next occurrence of text. */
static gboolean skip_past(Reader *reader, const char *text)
{
    const char *found = memmem(reader->at, (gsize)(reader->end - reader->at), text, strlen(text));
    if (!found)
        return FALSE;
    reader->at = found + strlen(text);
    return TRUE;
}

static S3Span read_name(Reader *reader)
{
    const char *from = reader->at;
    while (reader->at < reader->end && !g_ascii_isspace(*reader->at) && !strchr("<>/=\"'", *reader->at))
        reader->at++;
    const char *colon = memchr(from, ':', (gsize)(reader->at - from));
    if (colon)
        from = colon + 1;
    return (S3Span){from, (gsize)(reader->at - from)};
}

static gboolean same(S3Span a, S3Span b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* An element without elements. FALSE when it is there twice. */
static gboolean take(Answer *answer, S3Span parent, S3Span name, S3Span text)
{
    const struct {
        const char *parent, *name;
        S3Span *value;
    } wanted[] = {{"Credentials", "AccessKeyId", &answer->id},
                  {"Credentials", "SecretAccessKey", &answer->secret},
                  {"Credentials", "SessionToken", &answer->token},
                  {"Credentials", "Expiration", &answer->expires},
                  {"Error", "Code", &answer->code},
                  {"Error", "Message", &answer->message}};
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        if (!s3_span_is(parent, wanted[i].parent) || !s3_span_is(name, wanted[i].name))
            continue;
        if (wanted[i].value->data)
            return FALSE;
        *wanted[i].value = text;
    }
    return TRUE;
}

static gboolean end_tag(Reader *reader)
{
    const char *from = reader->at;
    reader->at += strlen("</");
    S3Span name = read_name(reader);
    while (reader->at < reader->end && g_ascii_isspace(*reader->at))
        reader->at++;
    if (!starts(reader, ">") || reader->depth == 0 || !same(name, reader->open[reader->depth - 1]))
        return FALSE;
    reader->at++;
    reader->depth--;
    const char *text = reader->text;
    reader->text = NULL;
    if (!text || reader->depth == 0)
        return TRUE;
    return take(reader->answer, reader->open[reader->depth - 1], name, (S3Span){text, (gsize)(from - text)});
}

static gboolean start_tag(Reader *reader)
{
    reader->at++;
    S3Span name = read_name(reader);
    if (!name.bytes || reader->depth == DEPTH_MAX)
        return FALSE;
    char quote = 0;
    for (; reader->at < reader->end && (quote || *reader->at != '>'); reader->at++) {
        if (quote ? *reader->at == quote : (*reader->at == '"' || *reader->at == '\''))
            quote = quote ? 0 : *reader->at;
        else if (!quote && *reader->at == '<')
            return FALSE;
    }
    if (reader->at == reader->end)
        return FALSE;
    gboolean empty = reader->at[-1] == '/';
    reader->at++;
    reader->text = empty ? NULL : reader->at;
    if (!empty)
        reader->open[reader->depth++] = name;
    return TRUE;
}

static gboolean read_markup(Reader *reader)
{
    if (starts(reader, "<?"))
        return skip_past(reader, "?>");
    if (starts(reader, "<!--"))
        return skip_past(reader, "-->");
    if (starts(reader, "<!"))
        return FALSE;
    return starts(reader, "</") ? end_tag(reader) : start_tag(reader);
}

static gboolean read_answer(S3Span text, Answer *answer)
{
    Reader reader = {.at = text.data, .end = text.data + text.bytes, .answer = answer};
    gboolean any = FALSE;
    while (reader.at < reader.end) {
        if (*reader.at != '<') {
            reader.at++;
            continue;
        }
        if (!read_markup(&reader))
            return FALSE;
        any = TRUE;
    }
    return any && reader.depth == 0;
}

/* What passes by itself. */
static gboolean is_passing(S3Span code)
{
    static const char *const codes[] = {
        "IDPCommunicationError", "InternalFailure",     "InternalError", "ServiceUnavailable", "SlowDown", "Throttling",
        "ThrottlingException",   "RequestLimitExceeded"};
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
        if (s3_span_is(code, codes[i]))
            return TRUE;
    return FALSE;
}

static void tell_error(const Answer *answer, GError **error)
{
    g_autofree char *code = s3_span_words(answer->code), *message = s3_span_words(answer->message);
    g_set_error(error, STENO_ERROR,
                is_passing(answer->code) ? STENO_ERROR_STORAGE_UNREACHABLE : STENO_ERROR_STORAGE_DENIED,
                "the answer holds no credentials: %s %s", code, message);
}

/* Is what was written what is meant? */
static gboolean is_literal(S3Span span)
{
    return !span.data || (!memchr(span.data, '&', span.bytes) && !memchr(span.data, '<', span.bytes));
}

S3Keys *s3_keys_of_sts(S3Span text, GError **error)
{
    Answer answer = {0};
    gint64 expires_wall_us = 0;
    if (!text.bytes || !read_answer(text, &answer)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, "the answer is no XML of STS");
        return NULL;
    }
    if (!answer.id.data || !is_literal(answer.id) || !is_literal(answer.secret) || !is_literal(answer.token)) {
        tell_error(&answer, error);
        return NULL;
    }
    if (answer.expires.data && !s3_span_time(answer.expires, &expires_wall_us, error))
        return NULL;
    return s3_keys_new(answer.id, answer.secret, answer.token, expires_wall_us, error);
}
