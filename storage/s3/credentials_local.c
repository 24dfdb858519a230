#include "credentials_source.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static S3Keys *absent(GError **error, const char *words)
{
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, words);
    return NULL;
}

static S3Span span_of_secret(const StenoSecret *secret)
{
    return (S3Span){steno_secret_text(secret), steno_secret_bytes(secret)};
}

S3Keys *s3_source_file(const S3Source *source, GError **error)
{
    const char *file = source->settings->access_key_file;
    g_autoptr(GError) local_error = NULL;
    g_autoptr(StenoSecret) secret = NULL;
    if (!file)
        return absent(error, "there is no access_key_file");
    if (!steno_config_secret(file, &secret, &local_error)) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, local_error->message);
        return NULL;
    }
    S3Keys *keys = s3_keys_of_lines(span_of_secret(secret), error);
    if (!keys)
        g_prefix_error(error, "'%s': ", file);
    return keys;
}

S3Keys *s3_source_environment(const S3Source *source, GError **error)
{
    (void)source;
    const char *id = g_getenv("AWS_ACCESS_KEY_ID"), *secret = g_getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = g_getenv("AWS_SESSION_TOKEN");
    if (!id && !secret)
        return absent(error, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
    if (!id || !secret) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, "%s is set without %s",
                    id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                    id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
        return NULL;
    }
    S3Span session = {token && token[0] ? token : NULL, token ? strlen(token) : 0};
    return s3_keys_new((S3Span){id, strlen(id)}, (S3Span){secret, strlen(secret)}, session, 0, error);
}

S3Keys *s3_source_profile(const S3Source *source, GError **error)
{
    const char *given = source->settings->profile_file;
    g_autofree char *file = given ? g_strdup(given) : g_build_filename(g_get_home_dir(), ".aws", "credentials", NULL);
    g_autoptr(GError) local_error = NULL;
    if (!given && access(file, F_OK) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no %s", file);
        return NULL;
    }
    g_autoptr(StenoSecret) text = steno_secret_read_file(file, &local_error);
    if (!text) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, local_error->message);
        return NULL;
    }
    S3Keys *keys = s3_keys_of_profile(span_of_secret(text), source->settings->profile, error);
    if (!keys)
        g_prefix_error(error, "'%s': ", file);
    return keys;
}

StenoSecret *s3_read_token(const char *path, GError **error)
{
    g_autofree char *what = g_strdup_printf("the token in '%s'", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buffer = g_malloc(S3_CREDENTIALS_ANSWER_MAX_BYTES);
    gssize bytes = fd < 0 ? -1 : steno_file_read(fd, buffer, S3_CREDENTIALS_ANSWER_MAX_BYTES);
    int saved_errno = errno;
    StenoSecret *token = NULL;
    if (fd >= 0)
        close(fd);
    if (bytes < 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED, "cannot read %s: %s", what,
                    g_strerror(saved_errno));
    else
        token = s3_token_of((S3Span){buffer, (gsize)bytes}, what, error);
    steno_secret_wipe(buffer, S3_CREDENTIALS_ANSWER_MAX_BYTES);
    g_free(buffer);
    return token;
}
