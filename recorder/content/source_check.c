#include "source_kind.h"

#include "steno/base/error.h"
#include "steno/base/safe_name.h"

#include <string.h>

#define COMMAND_TIMEOUT_MS 10000

static const SourceKind *const kinds[] = {&source_inline, &source_folder, &source_service,
                                          &source_vault,  &source_pkcs11, &source_command};

static gboolean is_set(const char *text)
{
    return text && text[0];
}

static gboolean says(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static char *copy(const char *text)
{
    return is_set(text) ? g_strdup(text) : NULL;
}

SourceSettings *source_settings_new(const StenoJobSpec *job)
{
    SourceSettings *settings = g_new0(SourceSettings, 1);
    settings->format = steno_content_format(job->content);
    settings->app = copy(job->app);
    settings->channel = copy(job->channel);
    settings->recording = copy(job->id);
    settings->path = copy(job->key_path);
    settings->url = copy(job->key_url);
    settings->mount = copy(job->key_mount);
    settings->prefix = copy(job->key_prefix);
    settings->ca_file = copy(job->key_ca_file);
    settings->certificate_file = copy(job->key_client_certificate_file);
    settings->key_set = steno_secret_ref(job->key_set);
    settings->client_key = steno_secret_ref(job->key_client_key);
    settings->secret = steno_secret_ref(job->key_secret);
    settings->command_timeout_ms = COMMAND_TIMEOUT_MS;
    settings->agent_fd = -1;
    return settings;
}

void source_settings_free(SourceSettings *settings)
{
    if (!settings)
        return;
    char *const texts[] = {settings->app,    settings->channel, settings->recording,
                           settings->path,   settings->url,     settings->mount,
                           settings->prefix, settings->ca_file, settings->certificate_file};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    steno_secret_unref(settings->key_set);
    steno_secret_unref(settings->client_key);
    steno_secret_unref(settings->secret);
    g_free(settings);
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

static gboolean set_no_kind(const char *name, GError **error)
{
    GString *words = g_string_new("later");
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
        g_string_append_printf(words, ", %s", kinds[i]->name);
    if (is_set(name))
        steno_error_set(error, STENO_ERROR_USAGE, "content_keys is '%s', but must be one of: %s", name, words->str);
    else
        steno_error_set(error, STENO_ERROR_USAGE,
                        "content is given, but not where its keys come from: content_keys must be one of: %s (later: "
                        "record sealed)",
                        words->str);
    g_string_free(words, TRUE);
    return FALSE;
}

/* A key set alone says well enough that it is the source. */
static const char *name_of(const StenoJobSpec *job)
{
    return !is_set(job->content_keys) && job->key_set ? source_inline.name : job->content_keys;
}

const SourceKind *source_kind_of_job(const StenoJobSpec *job, GError **error)
{
    if (!is_set(job->content) || says(job->content, "none") || says(job->content_keys, "later"))
        return NULL;
    const char *name = name_of(job);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (says(name, kinds[i]->name))
            return kinds[i];
    }
    set_no_kind(name, error);
    return NULL;
}

StenoContentApart steno_content_apart(const StenoJobSpec *job)
{
    const SourceKind *kind = source_kind_of_job(job, NULL);
    return kind ? kind->apart : STENO_CONTENT_INSIDE;
}

static gboolean check_name(const char *what, const char *name, GError **error)
{
    g_autofree char *safe = steno_safe_name(name);
    if (strcmp(safe, name) == 0)
        return TRUE;
    return steno_error_set(error, STENO_ERROR_USAGE,
                           "keys cannot be looked up by the %s's name: it is longer than %d bytes, or has signs that "
                           "must not be in a path; give a key file of its own, or another kind of key source",
                           what, STENO_SAFE_NAME_MAX_BYTES);
}

gboolean source_check_names(const char *app, const char *channel, GError **error)
{
    if (!is_set(channel))
        return steno_error_set(error, STENO_ERROR_USAGE, "keys are looked up by the channel's name, but there is none");
    return (!app || check_name("app", app, error)) && check_name("channel", channel, error);
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

static gboolean is_hex(const char *text, gsize digits)
{
    for (gsize i = 0; i < digits; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return FALSE;
    }
    return TRUE;
}

#define CENC_DIGITS 32

static gboolean is_output_key(const StenoSecret *key)
{
    const char *text = key ? steno_secret_text(key) : "";
    return key && steno_secret_bytes(key) == 2 * CENC_DIGITS + 1 && is_hex(text, CENC_DIGITS) &&
           text[CENC_DIGITS] == ':' && is_hex(text + CENC_DIGITS + 1, CENC_DIGITS);
}

static gboolean check_output(const StenoJobSpec *job, GError **error)
{
    if (says(job->output_encryption, "cms")) {
        if (job->output_recipients[0])
            return TRUE;
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "output_encryption is cms, but there are no output_recipients: nobody could read the "
                               "files");
    }
    if (says(job->output_encryption, "cenc")) {
        if (is_output_key(job->output_key))
            return TRUE;
        return steno_error_set(
            error, STENO_ERROR_USAGE,
            "output_encryption is cenc: output_key must be key id and key, %d hex digits each, as in "
            "KID:KEY",
            CENC_DIGITS);
    }
    if (is_set(job->output_encryption) && !says(job->output_encryption, "none"))
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "output_encryption is '%s', but must be one of: none, cms, cenc",
                               job->output_encryption);
    return TRUE;
}

static gboolean check_format(const StenoJobSpec *job, GError **error)
{
    const StenoContentFormat *format = steno_content_format(job->content);
    if (!format) {
        g_autofree char *names = g_strjoinv(", ", (char **)steno_content_format_names());
        return steno_error_set(error, STENO_ERROR_USAGE, "content is '%s', but must be one of: none, %s", job->content,
                               names);
    }
    if (steno_content_format_is_insecure(format) && !job->allow_insecure_modes)
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "content %s cannot tell a changed frame, or a wrong key, from a right one: it is "
                               "refused unless allow_insecure_modes is set",
                               job->content);
    return TRUE;
}

gboolean steno_content_check_job(const StenoJobSpec *job, GError **error)
{
    if (!check_output(job, error))
        return FALSE;
    if (!is_set(job->content) || says(job->content, "none")) {
        if (!is_set(job->content_keys) && !job->key_set)
            return TRUE;
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "content keys are given, but content is none: which format has the channel?");
    }
    if (!check_format(job, error))
        return FALSE;
    if (says(job->content_keys, "later")) {
        if (!job->key_set)
            return TRUE;
        return steno_error_set(error, STENO_ERROR_USAGE,
                               "content_keys is later, that is, the recorder gets none, but a key_set is given");
    }
    const SourceKind *kind = source_kind_of_job(job, error);
    if (!kind)
        return FALSE;
    if (job->key_set && kind != &source_inline)
        return steno_error_set(error, STENO_ERROR_USAGE, "both a key_set and the key source %s are given", kind->name);
    return kind->check(job, error);
}
