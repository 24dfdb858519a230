#include "webhook_sign.h"

#include "steno/base/error.h"
#include "steno/base/log.h"
#include "steno/config.h"

#include <string.h>
#include <sys/stat.h>

#define PREFIX "whsec_"
#define DIGEST_BYTES 32

/* A file as it was when it was read. */
typedef struct {
    char *file; /* NULL: none */
    struct timespec modified;
    ino_t inode;
    off_t bytes;
} Seen;

struct WebhookSecrets {
    Seen seen, application_seen;
    GPtrArray *secrets; /* of StenoSecret, as bytes */
    StenoSecret *application;
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static gboolean is_base64(const char *text)
{
    gsize length = strlen(text), padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    for (gsize i = 0; i < length - padding; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/')
            return FALSE;
    return length % 4 == 0;
}

static StenoSecret *parse_line(const char *line)
{
    if (!g_str_has_prefix(line, PREFIX) || !is_base64(line + strlen(PREFIX)))
        return NULL;
    gsize bytes = 0;
    guchar *raw = g_base64_decode(line + strlen(PREFIX), &bytes);
    StenoSecret *secret = NULL;
    if (bytes >= WEBHOOK_SECRET_MIN_BYTES && bytes <= WEBHOOK_SECRET_MAX_BYTES)
        secret = steno_secret_new(raw, bytes);
    steno_secret_wipe(raw, bytes);
    g_free(raw);
    return secret;
}

static void wipe_lines(char **lines)
{
    for (guint i = 0; lines[i]; i++)
        steno_secret_wipe(lines[i], strlen(lines[i]));
    g_strfreev(lines);
}

/* The reason why the lines are no secrets, or NULL. */
static char *parse_lines(char **lines, GPtrArray *secrets)
{
    for (guint i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]);
        if (!line[0])
            continue;
        StenoSecret *secret = parse_line(line);
        if (!secret)
            return g_strdup_printf(
                "line %u is not whsec_ and %d to %d bytes in base64; make one with: echo whsec_$(openssl "
                "rand -base64 32)",
                i + 1, WEBHOOK_SECRET_MIN_BYTES, WEBHOOK_SECRET_MAX_BYTES);
        g_ptr_array_add(secrets, secret);
        if (secrets->len > WEBHOOK_SECRETS_MAX)
            return g_strdup_printf("it has more than %d secrets", WEBHOOK_SECRETS_MAX);
        steno_log_hide_secret(line);
    }
    return secrets->len > 0 ? NULL : g_strdup("there is no secret in it");
}

GPtrArray *webhook_secrets_parse(const char *text, GError **error)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func((GDestroyNotify)steno_secret_unref);
    char **lines = g_strsplit(text, "\n", -1);
    g_autofree char *why = parse_lines(lines, secrets);
    wipe_lines(lines);
    if (!why)
        return g_steal_pointer(&secrets);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFIG, why);
    return NULL;
}

/* Has the file changed since? What systemd gives does not change while we run. */
static gboolean has_changed(Seen *seen)
{
    struct stat status;
    if (!seen->file || !g_path_is_absolute(seen->file) || stat(seen->file, &status) != 0)
        return FALSE;
    if (status.st_mtim.tv_sec == seen->modified.tv_sec && status.st_mtim.tv_nsec == seen->modified.tv_nsec &&
        status.st_ino == seen->inode && status.st_size == seen->bytes)
        return FALSE;
    seen->modified = status.st_mtim;
    seen->inode = status.st_ino;
    seen->bytes = status.st_size;
    return TRUE;
}

static StenoSecret *read_file(const char *file, GError **error)
{
    g_autoptr(GError) why = NULL;
    StenoSecret *secret = NULL;
    if (!steno_config_secret(file, &secret, &why))
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_CONFIG, why->message);
    return secret;
}

static gboolean load_secrets(WebhookSecrets *secrets, GError **error)
{
    g_autoptr(StenoSecret) text = read_file(secrets->seen.file, error);
    if (!text)
        return FALSE;
    GPtrArray *parsed = webhook_secrets_parse(steno_secret_text(text), error);
    if (!parsed) {
        g_prefix_error(error, "the secret file '%s': ", secrets->seen.file);
        return FALSE;
    }
    g_clear_pointer(&secrets->secrets, g_ptr_array_unref);
    secrets->secrets = parsed;
    return TRUE;
}

static gboolean load_application(WebhookSecrets *secrets, GError **error)
{
    StenoSecret *secret = read_file(secrets->application_seen.file, error);
    if (!secret)
        return FALSE;
    steno_secret_unref(secrets->application);
    secrets->application = secret;
    return TRUE;
}

gboolean webhook_secrets_refresh(WebhookSecrets *secrets, GError **error)
{
    if (has_changed(&secrets->seen) && !load_secrets(secrets, error))
        return FALSE;
    return !has_changed(&secrets->application_seen) || load_application(secrets, error);
}

WebhookSecrets *webhook_secrets_new(const char *secret_file, const char *application_secret_file, GError **error)
{
    g_autoptr(WebhookSecrets) secrets = g_new0(WebhookSecrets, 1);
    secrets->seen.file = g_strdup(secret_file);
    secrets->application_seen.file = g_strdup(application_secret_file);
    /* Looked at before it is read: a change in between is then seen the next time. */
    (void)has_changed(&secrets->seen);
    (void)has_changed(&secrets->application_seen);
    if (secret_file && !load_secrets(secrets, error))
        return NULL;
    if (application_secret_file && !load_application(secrets, error))
        return NULL;
    return g_steal_pointer(&secrets);
}

void webhook_secrets_free(WebhookSecrets *secrets)
{
    if (!secrets)
        return;
    g_clear_pointer(&secrets->secrets, g_ptr_array_unref);
    steno_secret_unref(secrets->application);
    g_free(secrets->seen.file);
    g_free(secrets->application_seen.file);
    g_free(secrets);
}

/* ---- signing ----------------------------------------------------------------------------------------------------- */

static char *hmac_base64(const StenoSecret *secret, const char *const *texts)
{
    guint8 digest[DIGEST_BYTES];
    gsize bytes = sizeof digest;
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, steno_secret_data(secret), steno_secret_bytes(secret));
    for (guint i = 0; texts[i]; i++)
        g_hmac_update(hmac, (const guchar *)texts[i], (gssize)strlen(texts[i]));
    g_hmac_get_digest(hmac, digest, &bytes);
    g_hmac_unref(hmac);
    return g_base64_encode(digest, bytes);
}

char *webhook_secrets_sign(const WebhookSecrets *secrets, const char *id, gint64 timestamp_s, const char *body)
{
    if (!secrets->secrets)
        return NULL;
    g_autofree char *timestamp = g_strdup_printf("%" G_GINT64_FORMAT, timestamp_s);
    const char *const signed_texts[] = {id, ".", timestamp, ".", body, NULL};
    GString *signatures = g_string_new(NULL);
    for (guint i = 0; i < secrets->secrets->len; i++) {
        g_autofree char *signature = hmac_base64(g_ptr_array_index(secrets->secrets, i), signed_texts);
        g_string_append_printf(signatures, "%sv1,%s", i > 0 ? " " : "", signature);
    }
    return g_string_free(signatures, FALSE);
}

char *webhook_secrets_sign_application(const WebhookSecrets *secrets, const char *body)
{
    const char *const texts[] = {body, NULL};
    return secrets->application ? hmac_base64(secrets->application, texts) : NULL;
}
