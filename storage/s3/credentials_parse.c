#include "credentials_source.h"

#include "steno/base/error.h"
#include "steno/base/log.h"

#include <jansson.h>
#include <string.h>

#define ID_MAX_BYTES 256
#define SECRET_MAX_BYTES 1024
#define TOKEN_MAX_BYTES (32 * 1024)
/* What a server says for why it has none is told this far. */
#define WORDS_MAX_BYTES 300

static gboolean denied(GError **error, const char *words)
{
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, words);
    return FALSE;
}

void s3_wipe_free(char *text)
{
    if (text)
        steno_secret_wipe(text, strlen(text));
    g_free(text);
}

/* ---- spans ------------------------------------------------------------------------------------------------------- */

static S3Span span_of(const char *text)
{
    return (S3Span){text, text ? strlen(text) : 0};
}

gboolean s3_span_is(S3Span span, const char *text)
{
    return span.bytes == strlen(text) && memcmp(span.data, text, span.bytes) == 0;
}

static S3Span span_stripped(S3Span span)
{
    while (span.bytes && g_ascii_isspace(span.data[0]))
        span = (S3Span){span.data + 1, span.bytes - 1};
    while (span.bytes && g_ascii_isspace(span.data[span.bytes - 1]))
        span.bytes--;
    return span;
}

/* The bytes before the separator; *rest becomes those behind it (none: its data is NULL). */
static S3Span span_cut(S3Span *rest, char separator)
{
    S3Span whole = *rest;
    const char *at = whole.bytes ? memchr(whole.data, separator, whole.bytes) : NULL;
    if (!at) {
        *rest = (S3Span){NULL, 0};
        return whole;
    }
    gsize bytes = (gsize)(at - whole.data);
    *rest = (S3Span){at + 1, whole.bytes - bytes - 1};
    return (S3Span){whole.data, bytes};
}

S3Span s3_span_first_line(S3Span span)
{
    return span_stripped(span_cut(&span, '\n'));
}

char *s3_span_words(S3Span span)
{
    g_autofree char *cut = g_strndup(span.data ? span.data : "", MIN(span.bytes, WORDS_MAX_BYTES));
    char *words = g_utf8_make_valid(cut, -1);
    for (char *p = words; *p; p++)
        if (g_ascii_iscntrl(*p))
            *p = ' ';
    return words;
}

gboolean s3_span_is_clean(S3Span span, gsize max_bytes, char least)
{
    if (!span.bytes || span.bytes > max_bytes)
        return FALSE;
    for (gsize i = 0; i < span.bytes; i++)
        if (span.data[i] < least || span.data[i] > '~')
            return FALSE;
    return TRUE;
}

gboolean s3_span_time(S3Span span, gint64 *wall_us, GError **error)
{
    g_autofree char *text = g_strndup(span.data, MIN(span.bytes, 64));
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, utc);
    if (!time)
        return denied(error, "the answer's Expiration is no time");
    *wall_us = g_date_time_to_unix(time) * G_USEC_PER_SEC;
    return TRUE;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* A secret access key does not go into a header, and may have spaces. */
S3Keys *s3_keys_new(S3Span id, S3Span secret, S3Span token, gint64 expires_wall_us, GError **error)
{
    const char *wrong = !s3_span_is_clean(id, ID_MAX_BYTES, '!')                       ? "access key id"
                        : !s3_span_is_clean(secret, SECRET_MAX_BYTES, ' ')             ? "secret access key"
                        : token.data && !s3_span_is_clean(token, TOKEN_MAX_BYTES, '!') ? "session token"
                                                                                       : NULL;
    if (wrong) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                    "the %s is empty, too long, or has characters that none has", wrong);
        return NULL;
    }
    S3Keys *keys = g_new0(S3Keys, 1);
    keys->ref_count = 1;
    keys->access_key_id = g_strndup(id.data, id.bytes);
    keys->secret_access_key = steno_secret_new(secret.data, secret.bytes);
    keys->session_token = token.data ? steno_secret_new(token.data, token.bytes) : NULL;
    keys->expires_wall_us = expires_wall_us;
    steno_log_hide_secret(steno_secret_text(keys->secret_access_key));
    if (keys->session_token)
        steno_log_hide_secret(steno_secret_text(keys->session_token));
    return keys;
}

StenoSecret *s3_token_of(S3Span text, const char *what, GError **error)
{
    S3Span token = span_stripped(text);
    if (s3_span_is_clean(token, TOKEN_MAX_BYTES, '!'))
        return steno_secret_new(token.data, token.bytes);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                "%s is empty, too long, or has characters that no token has", what);
    return NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

S3Keys *s3_keys_of_lines(S3Span text, GError **error)
{
    S3Span lines[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    guint n = 0;
    while (text.data) {
        S3Span line = span_stripped(span_cut(&text, '\n'));
        if (!line.bytes)
            continue;
        if (n == G_N_ELEMENTS(lines)) {
            denied(error, "there are more than three lines: access key id, secret access key, and perhaps a session "
                          "token, each on its own, and nothing else");
            return NULL;
        }
        lines[n++] = line;
    }
    if (n < 2) {
        denied(error, "there are not two lines: the access key id, and the secret access key below it");
        return NULL;
    }
    return s3_keys_new(lines[0], lines[1], lines[2], 0, error);
}

typedef struct {
    gboolean found;
    S3Span id, secret, token;
} Profile;

static gboolean take_setting(Profile *profile, S3Span line, GError **error)
{
    const struct {
        const char *name;
        S3Span *value;
    } settings[] = {{"aws_access_key_id", &profile->id},
                    {"aws_secret_access_key", &profile->secret},
                    {"aws_session_token", &profile->token}};
    S3Span value = line;
    S3Span name = span_stripped(span_cut(&value, '='));
    if (!value.data)
        return denied(error, "the profile has a line that is no 'name = value'");
    for (guint i = 0; i < G_N_ELEMENTS(settings); i++) {
        if (!s3_span_is(name, settings[i].name))
            continue;
        if (settings[i].value->data) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, "the profile has %s twice", settings[i].name);
            return FALSE;
        }
        *settings[i].value = span_stripped(value);
    }
    return TRUE;
}

/* Only the profile's own lines are judged: the others are not ours. */
static gboolean read_profile(S3Span text, const char *name, Profile *profile, GError **error)
{
    gboolean inside = FALSE;
    while (text.data) {
        S3Span raw = span_cut(&text, '\n');
        S3Span line = span_stripped(raw);
        /* An indented line belongs to the setting above it. */
        if (!line.bytes || line.data[0] == '#' || line.data[0] == ';' || line.data != raw.data)
            continue;
        if (line.data[0] != '[') {
            if (inside && !take_setting(profile, line, error))
                return FALSE;
            continue;
        }
        S3Span title = {line.data + 1, line.bytes - 1};
        S3Span section = span_stripped(span_cut(&title, ']'));
        inside = title.data && s3_span_is(section, name);
        if (inside && profile->found)
            return denied(error, "the profile is there twice");
        profile->found |= inside;
    }
    return TRUE;
}

S3Keys *s3_keys_of_profile(S3Span text, const char *name, GError **error)
{
    Profile profile = {0};
    if (!read_profile(text, name, &profile, error))
        return NULL;
    if (!profile.found) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no profile [%s]", name);
        return NULL;
    }
    if (!profile.id.data || !profile.secret.data) {
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
            "the profile [%s] lacks aws_access_key_id or aws_secret_access_key (what leads to other profiles or "
            "programs is not followed)",
            name);
        return NULL;
    }
    if (profile.token.data && !profile.token.bytes)
        profile.token.data = NULL;
    return s3_keys_new(profile.id, profile.secret, profile.token, 0, error);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static S3Span member(const json_t *object, const char *name)
{
    return span_of(json_string_value(json_object_get(object, name)));
}

static S3Keys *keys_of_object(const json_t *object, GError **error)
{
    S3Span code = member(object, "Code"), id = member(object, "AccessKeyId"), expires = member(object, "Expiration");
    gint64 expires_wall_us = 0;
    if ((code.data && !s3_span_is(code, "Success")) || !id.data) {
        S3Span message = member(object, "Message");
        g_autofree char *code_words = s3_span_words(code.data ? code : member(object, "code"));
        g_autofree char *words = s3_span_words(message.data ? message : member(object, "message"));
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, "the answer holds no credentials: %s %s",
                    code_words, words);
        return NULL;
    }
    if (expires.data && !s3_span_time(expires, &expires_wall_us, error))
        return NULL;
    S3Span token = member(object, "Token");
    if (!token.bytes)
        token.data = NULL;
    return s3_keys_new(id, member(object, "SecretAccessKey"), token, expires_wall_us, error);
}

S3Keys *s3_keys_of_json(S3Span text, GError **error)
{
    json_t *object = json_loadb(text.data, text.bytes, JSON_REJECT_DUPLICATES, NULL);
    S3Keys *keys = NULL;
    if (!json_is_object(object))
        denied(error, "the answer is no JSON object");
    else
        keys = keys_of_object(object, error);
    json_decref(object);
    return keys;
}
