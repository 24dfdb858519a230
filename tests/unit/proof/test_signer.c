/* Signing keys and signatures, held against the openssl command. */
#include "shell.h"

#include "steno/base/error.h"
#include "steno/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* RFC 8032 §7.1, test 1 (no message) and test 3, as PKCS#8. */
#define RFC8032_KEY_1                                                                                                  \
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                  \
    "-----END PRIVATE KEY-----\n"
static const guint8 rfc8032_signature_1[STENO_PROOF_SIGNATURE_BYTES] = {
    0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72, 0x90, 0x86, 0xe2, 0xcc, 0x80, 0x6e, 0x82, 0x8a,
    0x84, 0x87, 0x7f, 0x1e, 0xb8, 0xe5, 0xd9, 0x74, 0xd8, 0x73, 0xe0, 0x65, 0x22, 0x49, 0x01, 0x55,
    0x5f, 0xb8, 0x82, 0x15, 0x90, 0xa3, 0x3b, 0xac, 0xc6, 0x1e, 0x39, 0x70, 0x1c, 0xf9, 0xb4, 0x6b,
    0xd2, 0x5b, 0xf5, 0xf0, 0x59, 0x5b, 0xbe, 0x24, 0x65, 0x51, 0x41, 0x43, 0x8e, 0x7a, 0x10, 0x0b};

static int setup(void **state)
{
    *state = folder_new();
    return 0;
}

static int teardown(void **state)
{
    folder_free(*state);
    return 0;
}

static StenoSigner *signer_of(const char *pem, GError **error)
{
    g_autoptr(StenoSecret) secret = steno_secret_new(pem, strlen(pem));
    return steno_signer_new(secret, error);
}

static void published_vector(void **state)
{
    g_autofree char *path = in_folder(*state, "empty");
    g_autofree char *signature_path = in_folder(*state, "empty.sig");
    g_autofree char *signature = NULL;
    gsize bytes = 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSigner) signer = signer_of(RFC8032_KEY_1, &error);
    assert_null(error);
    assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_true(steno_signer_sign(signer, path, &error));
    assert_true(g_file_get_contents(signature_path, &signature, &bytes, NULL));
    assert_int_equal(bytes, sizeof rfc8032_signature_1);
    assert_memory_equal(signature, rfc8032_signature_1, bytes);
    assert_true(
        steno_proof_verify(steno_signer_public_pem(signer), (const guint8 *)"", 0, (guint8 *)signature, bytes, &error));
}

static void openssl_agrees(void **state)
{
    const char *folder = *state;
    g_autofree char *key = in_folder(folder, "signing/key.pem"), *path = in_folder(folder, "manifest.json");
    g_autoptr(GError) error = NULL;
    gboolean made = FALSE;
    g_autoptr(StenoSigner) signer = steno_signer_load_or_make(key, &made, &error);
    assert_null(error);
    assert_true(made);
    g_autofree char *text = g_strnfill(100000, 'x');
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_true(steno_signer_sign(signer, path, &error));
    const char *verify = "openssl pkeyutl -verify -pubin -inkey signing/public.pem -rawin -in manifest.json "
                         "-sigfile manifest.json.sig";
    assert_true(shell(folder, verify));
    assert_true(
        shell(folder, "test $(stat -c %a signing/key.pem) = 600 && test $(stat -c %a signing/public.pem) = 644"));
    assert_true(shell(folder, "test -z \"$(ls -A . signing | grep -E '\\.[A-Za-z0-9]{6}$')\""));
    g_autofree char *names_it = g_strdup_printf("openssl pkey -pubin -in signing/public.pem -outform DER | sha256sum | "
                                                "grep -q ^%s",
                                                steno_signer_fingerprint(signer));
    assert_true(shell(folder, names_it));

    /* A bit of the signature, of the file. */
    assert_true(shell(folder, "cp manifest.json.sig good.sig; printf '\\377' | dd of=manifest.json.sig bs=1 seek=9 "
                              "conv=notrunc 2>/dev/null"));
    assert_false(shell(folder, verify));
}

static void openssl_signs(void **state)
{
    const char *folder = *state;
    assert_true(shell(folder,
                      "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out pub.pem"
                      " && echo hello >file && openssl pkeyutl -sign -inkey key.pem -rawin -in file -out file.sig"));
    g_autofree char *pub_path = in_folder(folder, "pub.pem"), *signature_path = in_folder(folder, "file.sig");
    g_autofree char *pub = NULL, *signature = NULL;
    gsize bytes = 0;
    assert_true(g_file_get_contents(pub_path, &pub, NULL, NULL));
    assert_true(g_file_get_contents(signature_path, &signature, &bytes, NULL));
    g_autoptr(GError) error = NULL;
    assert_true(steno_proof_verify(pub, (const guint8 *)"hello\n", 6, (guint8 *)signature, bytes, &error));
    for (guint bit = 0; bit < bytes * 8; bit++) {
        signature[bit / 8] ^= (char)(1 << bit % 8);
        g_autoptr(GError) refused = NULL;
        assert_false(steno_proof_verify(pub, (const guint8 *)"hello\n", 6, (guint8 *)signature, bytes, &refused));
        assert_true(g_error_matches(refused, STENO_ERROR, STENO_ERROR_SIGNATURE));
        signature[bit / 8] ^= (char)(1 << bit % 8);
    }
    const char *bad[] = {"hello", "hellp\n", "hello\n\n", ""};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(steno_proof_verify(pub, (const guint8 *)bad[i], strlen(bad[i]), (guint8 *)signature, bytes, NULL));
    g_autoptr(GError) refused = NULL;
    assert_false(steno_proof_verify(pub, (const guint8 *)"hello\n", 6, (guint8 *)signature, 63, &refused));
    assert_non_null(strstr(refused->message, "63 bytes"));
}

static void one_of_several_keys(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSigner) ours = signer_of(RFC8032_KEY_1, &error);
    assert_null(error);
    assert_true(shell(*state,
                      "openssl genpkey -algorithm ed25519 | openssl pkey -pubout >other.pem; "
                      "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout >ec.pem"));
    g_autofree char *other_path = in_folder(*state, "other.pem"), *ec_path = in_folder(*state, "ec.pem");
    g_autofree char *other = NULL, *ec = NULL;
    assert_true(g_file_get_contents(other_path, &other, NULL, NULL));
    assert_true(g_file_get_contents(ec_path, &ec, NULL, NULL));
    g_autofree char *all = g_strconcat("# keys\n", ec, other, steno_signer_public_pem(ours), NULL);
    const guint8 *nothing = (const guint8 *)"";
    assert_true(steno_proof_verify(all, nothing, 0, rfc8032_signature_1, STENO_PROOF_SIGNATURE_BYTES, &error));
    assert_false(steno_proof_verify(other, nothing, 0, rfc8032_signature_1, STENO_PROOF_SIGNATURE_BYTES, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SIGNATURE));
    g_clear_error(&error);
    const char *none[] = {"", "no key", ec, RFC8032_KEY_1};
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        assert_false(steno_proof_verify(none[i], nothing, 0, rfc8032_signature_1, STENO_PROOF_SIGNATURE_BYTES, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
        g_clear_error(&error);
    }
}

static void keys_that_are_none(void **state)
{
    const struct {
        const char *make, *words;
    } rows[] = {
        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem", "of type id-ecPublicKey"},
        {"openssl genpkey -algorithm ed448 -out key.pem", "of type ED448"},
        {"openssl genpkey -algorithm x25519 -out key.pem", "of type X25519"},
        {"openssl genpkey -algorithm ed25519 | openssl pkey -aes256 -passout pass:secret -out key.pem", "is encrypted"},
        {"openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out key.pem", "no PKCS#8 private key"},
        {"echo nothing >key.pem", "no PKCS#8 private key"},
        {": >key.pem", "empty"},
        {"openssl genpkey -algorithm ed25519 -out key.pem; chmod 0644 key.pem", "chmod 0600"},
        {"mkdir key.pem", "key.pem"},
    };
    g_autofree char *path = in_folder(*state, "key.pem");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *command = g_strdup_printf("umask 077; rm -rf key.pem; %s", rows[i].make);
        assert_true(shell(*state, command));
        g_autoptr(GError) error = NULL;
        gboolean made = TRUE;
        assert_null(steno_signer_load_or_make(path, &made, &error));
        assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
        if (!strstr(error->message, rows[i].words))
            fail_msg("'%s' says nothing of '%s'", error->message, rows[i].words);
        assert_false(made);
    }
}

/* A new key does not take away what earlier signatures are checked with. */
static void another_key(void **state)
{
    const char *folder = *state;
    g_autofree char *key = in_folder(folder, "key.pem"), *public_path = in_folder(folder, "public.pem");
    g_autoptr(GError) error = NULL;
    gboolean made = FALSE;
    g_autoptr(StenoSigner) first = steno_signer_load_or_make(key, &made, &error);
    assert_null(error);
    g_autoptr(StenoSigner) again = steno_signer_load_or_make(key, &made, &error);
    assert_false(made);
    assert_string_equal(steno_signer_fingerprint(first), steno_signer_fingerprint(again));
    assert_int_equal(g_unlink(key), 0);
    g_autoptr(StenoSigner) second = steno_signer_load_or_make(key, &made, &error);
    assert_true(made);
    assert_string_not_equal(steno_signer_fingerprint(first), steno_signer_fingerprint(second));
    g_autofree char *expected = g_strconcat(steno_signer_public_pem(second), steno_signer_public_pem(first), NULL);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(public_path, &text, NULL, NULL));
    assert_string_equal(text, expected);
    /* One of the administrator's whose public half is nowhere. */
    assert_int_equal(g_unlink(public_path), 0);
    g_autoptr(StenoSigner) third = steno_signer_load_or_make(key, &made, &error);
    assert_false(made);
    assert_non_null(third);
    assert_true(g_file_test(public_path, G_FILE_TEST_EXISTS));
}

static gpointer maker(gpointer path)
{
    return steno_signer_load_or_make(path, NULL, NULL);
}

/* Whoever comes first makes it; all have the same one then. */
static void made_by_many(void **state)
{
    g_autofree char *path = in_folder(*state, "signing/key.pem");
    GThread *threads[8];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new(NULL, maker, path);
    g_autofree char *fingerprint = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_autoptr(StenoSigner) signer = g_thread_join(threads[i]);
        assert_non_null(signer);
        if (!fingerprint)
            fingerprint = g_strdup(steno_signer_fingerprint(signer));
        assert_string_equal(fingerprint, steno_signer_fingerprint(signer));
    }
}

static void nowhere_to_write(void **state)
{
    g_autofree char *file = in_folder(*state, "file"), *below = in_folder(*state, "file/signing/key.pem");
    g_autofree char *missing = in_folder(*state, "missing");
    assert_true(g_file_set_contents(file, "", 0, NULL));
    g_autoptr(GError) error = NULL;
    assert_null(steno_signer_load_or_make(below, NULL, &error));
    assert_true(steno_error_is_storage(error));
    g_clear_error(&error);
    g_autoptr(StenoSigner) signer = signer_of(RFC8032_KEY_1, &error);
    assert_false(steno_signer_sign(signer, missing, &error));
    assert_true(steno_error_is_storage(error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_vector, setup, teardown),
        cmocka_unit_test_setup_teardown(openssl_agrees, setup, teardown),
        cmocka_unit_test_setup_teardown(openssl_signs, setup, teardown),
        cmocka_unit_test_setup_teardown(one_of_several_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key, setup, teardown),
        cmocka_unit_test_setup_teardown(made_by_many, setup, teardown),
        cmocka_unit_test_setup_teardown(nowhere_to_write, setup, teardown),
    };
    return cmocka_run_group_tests_name("proof_signer", tests, NULL, NULL);
}
