/*
 * Whatever STS, a container's endpoint, an instance's metadata or a file says: keys that a header can take and that
 * stood there, or an error that can be told. The first byte says who speaks.
 */
#include "s3/credentials_source.h"

#include "steno/base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(gboolean good)
{
    if (!good)
        abort();
}

static S3Keys *of_profile(S3Span text, GError **error)
{
    return s3_keys_of_profile(text, "default", error);
}

static void check_text(const char *text, S3Span from, gboolean in_place)
{
    gsize bytes = strlen(text);
    require(bytes > 0);
    for (gsize i = 0; i < bytes; i++)
        require(text[i] >= ' ' && text[i] <= '~');
    /* JSON may have escaped it. */
    if (in_place)
        require(memmem(from.data, from.bytes, text, bytes) != NULL);
}

static void check_keys(const S3Keys *keys, S3Span from, gboolean in_place)
{
    check_text(keys->access_key_id, from, in_place);
    require(!strchr(keys->access_key_id, ' '));
    check_text(steno_secret_text(keys->secret_access_key), from, in_place);
    if (keys->session_token)
        check_text(steno_secret_text(keys->session_token), from, in_place);
}

static void check_error(const GError *error)
{
    require(error->domain == STENO_ERROR);
    require(error->code == STENO_ERROR_STORAGE_DENIED || error->code == STENO_ERROR_STORAGE_UNREACHABLE ||
            error->code == STENO_ERROR_NOT_FOUND);
    require(g_utf8_validate(error->message, -1, NULL) && error->message[0]);
    for (const char *p = error->message; *p; p++)
        require(!g_ascii_iscntrl(*p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static S3Keys *(*const parsers[])(S3Span text, GError * *error) = {s3_keys_of_sts, s3_keys_of_json, of_profile,
                                                                       s3_keys_of_lines};
    if (bytes == 0)
        return 0;
    guint which = data[0] % G_N_ELEMENTS(parsers);
    /* Of its own size, so that a byte too far is seen. */
    g_autofree char *copy = g_memdup2(data + 1, bytes - 1);
    const S3Span text = {copy ? copy : "", bytes - 1};
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Keys) keys = parsers[which](text, &error);
    if (keys)
        check_keys(keys, text, parsers[which] != s3_keys_of_json);
    else
        check_error(error);
    require(!keys == (error != NULL));
    return 0;
}
