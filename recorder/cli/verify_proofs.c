/* Who wrote a manifest, and when. */
#include "verify.h"

#include "steno/base/clock.h"
#include "steno/config.h"
#include "steno/proof.h"

#include <string.h>
#include <unistd.h>

/* Beside the journal, made by stenod. */
#define PUBLIC_KEYS "signing/public.pem"

struct VerifyKeys {
    char *pem, *named; /* where it is from; both NULL: there is none */
    gboolean demanded; /* by --key */
    char *timestamp_ca;
};

void verify_keys_free(VerifyKeys *keys)
{
    if (!keys)
        return;
    g_free(keys->pem);
    g_free(keys->named);
    g_free(keys->timestamp_ca);
    g_free(keys);
}

static gboolean add_given(VerifyKeys *keys, char **paths, GError **error)
{
    g_autoptr(GString) pem = g_string_new(NULL);
    for (char **path = paths; *path; path++) {
        g_autofree char *text = NULL;
        g_autoptr(GError) why = NULL;
        if (!g_file_get_contents(*path, &text, NULL, &why) || !strstr(text, "-----BEGIN PUBLIC KEY-----")) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--key: %s",
                        why ? why->message : "there is no public key in PEM (-----BEGIN PUBLIC KEY-----) in it");
            return FALSE;
        }
        g_string_append_printf(pem, "%s\n", text);
    }
    keys->pem = g_strdup(pem->str);
    keys->named = g_strjoinv(", ", paths);
    return TRUE;
}

/* The configuration may be there and not for us: its secrets are. */
static void add_own(VerifyKeys *keys, const CliCall *call)
{
    const char *given = cli_text(call, "config");
    g_autoptr(StenoConfig) config = steno_config_load(given ? given : STENO_CONFIG_DEFAULT_PATH, NULL);
    g_autofree char *path = g_build_filename(config ? config->top.state_dir : "/var/lib/steno", PUBLIC_KEYS, NULL);
    if (g_file_get_contents(path, &keys->pem, NULL, NULL))
        keys->named = g_steal_pointer(&path);
}

gboolean verify_keys_load(const CliCall *call, VerifyKeys **keys, GError **error)
{
    char **given = cli_texts(call, "key");
    g_autoptr(VerifyKeys) loaded = g_new0(VerifyKeys, 1);
    loaded->demanded = given[0] != NULL;
    loaded->timestamp_ca = g_strdup(cli_text(call, "timestamp-ca"));
    if (loaded->timestamp_ca && access(loaded->timestamp_ca, R_OK) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--timestamp-ca: cannot read '%s'", loaded->timestamp_ca);
        return FALSE;
    }
    if (loaded->demanded && !add_given(loaded, given, error))
        return FALSE;
    if (!loaded->demanded)
        add_own(loaded, call);
    *keys = g_steal_pointer(&loaded);
    return TRUE;
}

/* ---- one manifest ------------------------------------------------------------------------------------------------ */

static void proof_fault(VerifyReport *report, const char *file, const char *words)
{
    report->proof_faults++;
    verify_fault(report, file, "%s", words);
}

static void check_signature(const VerifyKeys *keys, const char *manifest, GBytes *contents, GBytes *signature,
                            VerifyReport *report)
{
    g_autofree char *file = g_strconcat(manifest, STENO_PROOF_SIGNATURE_SUFFIX, NULL);
    g_autoptr(GError) error = NULL;
    if (!signature) {
        if (keys->demanded)
            proof_fault(report, file, "is missing: the manifest is not signed");
        else if (keys->pem)
            verify_note(report, manifest, "is not signed");
        return;
    }
    if (!keys->pem) {
        verify_note(report, file,
                    "was not checked, for want of a key: give --key with the server's signing/public.pem");
        return;
    }
    gsize bytes = 0, signature_bytes = 0;
    const guint8 *data = g_bytes_get_data(contents, &bytes), *sign = g_bytes_get_data(signature, &signature_bytes);
    if (steno_proof_verify(keys->pem, data, bytes, sign, signature_bytes, &error))
        verify_note(report, file, "is good, by the keys of %s", keys->named);
    else
        proof_fault(report, file, error->message);
}

static void check_timestamp(const VerifyKeys *keys, const char *manifest, GBytes *signature, GBytes *stamp,
                            VerifyReport *report)
{
    g_autofree char *file = g_strconcat(manifest, STENO_PROOF_TIMESTAMP_SUFFIX, NULL);
    g_autoptr(GError) error = NULL;
    gint64 stamped_us = 0;
    if (!stamp) {
        if (keys->timestamp_ca)
            proof_fault(report, file, "is missing: the signature has no timestamp");
        return;
    }
    if (!signature) {
        proof_fault(report, file, "is there, but not the signature that it is of");
        return;
    }
    gsize bytes = 0, stamp_bytes = 0;
    const guint8 *data = g_bytes_get_data(signature, &bytes), *answer = g_bytes_get_data(stamp, &stamp_bytes);
    if (!steno_timestamp_verify(keys->timestamp_ca, data, bytes, answer, stamp_bytes, &stamped_us, &error)) {
        proof_fault(report, file, error->message);
        return;
    }
    g_autofree char *when = steno_clock_format(stamped_us);
    verify_note(report, file, "says %s%s", when,
                keys->timestamp_ca ? "" : "; who says so was not checked: give --timestamp-ca");
}

gboolean verify_proofs(const VerifyKeys *keys, const VerifyPlace *place, const char *manifest, GBytes *contents,
                       VerifyReport *report, GError **error)
{
    g_autofree char *signature_name = g_strconcat(manifest, STENO_PROOF_SIGNATURE_SUFFIX, NULL);
    g_autofree char *stamp_name = g_strconcat(manifest, STENO_PROOF_TIMESTAMP_SUFFIX, NULL);
    g_autoptr(GBytes) signature = NULL, stamp = NULL;
    /* One byte too many is told as a wrong signature. */
    if (!verify_read(place, signature_name, STENO_PROOF_TIMESTAMP_MAX_BYTES, &signature, error) ||
        !verify_read(place, stamp_name, STENO_PROOF_TIMESTAMP_MAX_BYTES, &stamp, error))
        return FALSE;
    check_signature(keys, manifest, contents, signature, report);
    check_timestamp(keys, manifest, signature, stamp, report);
    return TRUE;
}
