/*
 * The sources of credentials, and what they answer. A source that is not configured, or has nothing, says NOT_FOUND:
 * the next one is looked at. One that has something wrong says what.
 */
#ifndef STENO_STORAGE_S3_CREDENTIALS_SOURCE_H
#define STENO_STORAGE_S3_CREDENTIALS_SOURCE_H

#include "credentials.h"

/* A document of credentials larger than this is none. */
#define S3_CREDENTIALS_ANSWER_MAX_BYTES 65536

/* Who is asked, and how. */
typedef struct {
    const StenoConfigStorage *settings;
    const S3CredentialsHttp *http;
    GCancellable *cancellable; /* or NULL */
} S3Source;

/* Each: NULL with NOT_FOUND, STORAGE_DENIED, STORAGE_UNREACHABLE, or what the request said. Blocking. */
S3Keys *s3_source_file(const S3Source *source, GError **error);
S3Keys *s3_source_environment(const S3Source *source, GError **error);
S3Keys *s3_source_profile(const S3Source *source, GError **error);
S3Keys *s3_source_web_identity(const S3Source *source, GError **error);
S3Keys *s3_source_container(const S3Source *source, GError **error);
S3Keys *s3_source_imds(const S3Source *source, GError **error);

/* ---- parsing: of bytes in place, without a copy that nobody wipes ------------------------------------------------ */

typedef struct {
    const char *data; /* not terminated; NULL: none */
    gsize bytes;
} S3Span;

gboolean s3_span_is(S3Span span, const char *text);
/* Without white space around it. */
S3Span s3_span_first_line(S3Span span);
/* Is it something, not too long, and all of it between least and '~'? '!': as a header without spaces may be. */
gboolean s3_span_is_clean(S3Span span, gsize max_bytes, char least);
/* A stranger's words for an error message: valid, on one line, not too many. Caller frees. */
char *s3_span_words(S3Span span);
/* "2026-11-22T04:00:00Z". STORAGE_DENIED. */
gboolean s3_span_time(S3Span span, gint64 *wall_us, GError **error);

/* Checks what a header and a signature can take. token.data may be NULL. STORAGE_DENIED. */
S3Keys *s3_keys_new(S3Span id, S3Span secret, S3Span token, gint64 expires_wall_us, GError **error);
/* Access key id, secret access key and perhaps session token, a line each. STORAGE_DENIED. */
S3Keys *s3_keys_of_lines(S3Span text, GError **error);
/* A shared credentials file. NOT_FOUND when it has no such profile, STORAGE_DENIED. */
S3Keys *s3_keys_of_profile(S3Span text, const char *profile, GError **error);
/* What a container's or instance's metadata service answers. STORAGE_DENIED, with its code and message. */
S3Keys *s3_keys_of_json(S3Span text, GError **error);
/* What AssumeRoleWithWebIdentity answers. STORAGE_DENIED, with its code and message; UNREACHABLE when they say that it
 * will pass. */
S3Keys *s3_keys_of_sts(S3Span text, GError **error);

/*
 * A token that somebody else keeps fresh: unlike our own secret files it may be readable for others (Kubernetes writes
 * it so). Without white space around it. STORAGE_DENIED.
 */
StenoSecret *s3_read_token(const char *path, GError **error);
/* The same of bytes that are there already; what: "the token in …". */
StenoSecret *s3_token_of(S3Span text, const char *what, GError **error);

/* Frees text (may be NULL) after wiping it. */
void s3_wipe_free(char *text);

/* For tests: another clock than the wall's. */
void s3_credentials_set_clock(S3Credentials *credentials, gint64 (*wall_us)(void));

#endif
