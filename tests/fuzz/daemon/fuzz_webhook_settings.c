/* URLs and secret files of webhooks: what is allowed is https, and nothing secret of it is shown. */
#include "target_guard.h"
#include "webhook_sign.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_url(const char *url)
{
    g_autofree char *masked = target_guard_mask_url(url);
    g_assert_true(!strchr(masked, '?') && !strchr(masked, '#'));
    if (!target_guard_check_url(url, FALSE, NULL))
        return;
    g_assert_true(target_guard_check_url(url, TRUE, NULL));
    g_assert_cmpint(g_ascii_strncasecmp(masked, "https://", 8), ==, 0);
    /* The authority has no user. */
    g_autofree char *authority = g_strndup(masked + 8, strcspn(masked + 8, "/"));
    g_assert_null(strchr(authority, '@'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autofree char *text = g_strndup((const char *)data, bytes);
    g_autoptr(GPtrArray) secrets = webhook_secrets_parse(text, NULL);
    for (guint i = 0; secrets && i < secrets->len; i++) {
        gsize length = steno_secret_bytes(g_ptr_array_index(secrets, i));
        g_assert_true(length >= WEBHOOK_SECRET_MIN_BYTES && length <= WEBHOOK_SECRET_MAX_BYTES);
    }
    g_assert_true(!secrets || (secrets->len > 0 && secrets->len <= WEBHOOK_SECRETS_MAX));
    check_url(text);
    return 0;
}
