/* What is encrypted for storage, read by the openssl command. */
#include "certificates.h"

#include "steno/base/error.h"
#include "steno/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400

static const TestCertificate recipients[] = {
    {"alice", "RSA", 2048, NULL, -DAY_S, DAY_S, NULL, 0x1234},
    {"bob", "EC", 0, "P-256", -DAY_S, DAY_S, "keyAgreement", 2},
    {"Zoë, Ltd", "RSA", 3072, NULL, -DAY_S, DAY_S, "keyEncipherment,digitalSignature", 3},
    {"mallory", "RSA", 2048, NULL, -DAY_S, DAY_S, NULL, 4},
    {"eve", "EC", 0, "P-256", -DAY_S, DAY_S, NULL, 5},
    {"dave", "EC", 0, "P-384", -DAY_S, DAY_S, NULL, 6},
};

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static int run(const char *folder, const char *command)
{
    const char *words[] = {"sh", "-c", command, NULL};
    int status = -1;
    g_assert_true(g_spawn_sync(folder, (char **)words, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                               NULL, NULL, NULL, &status, NULL));
    return status;
}

static int setup(void **state)
{
    char *folder = g_dir_make_tmp("steno-envelope-XXXXXX", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(recipients); i++)
        certificate_make(folder, &recipients[i]);
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    g_autofree char *folder = *state;
    return run(folder, "rm -rf \"$PWD\"");
}

static char *in(const char *folder, const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* names: "alice|bob" */
static StenoEnvelope *envelope_of(const char *folder, const char *names, GError **error)
{
    g_auto(GStrv) words = g_strsplit(names, "|", -1);
    for (char **word = words; *word; word++) {
        char *path = g_strdup_printf("%s/%s.pem", folder, *word);
        g_free(*word);
        *word = path;
    }
    return steno_envelope_new((const char *const *)words, error);
}

static void count(gpointer user, gsize bytes)
{
    *(gint64 *)user += (gint64)bytes;
}

static void seal(const char *folder, const char *names)
{
    g_autofree char *from = in(folder, "plain"), *to = in(folder, "sealed");
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoEnvelope) envelope = envelope_of(folder, names, &error);
    gint64 done = 0;
    struct stat plain, sealed;
    assert_non_null(envelope);
    (void)g_unlink(to);
    if (!steno_envelope_seal(envelope, from, to, count, &done, &error))
        fail_msg("%s", error->message);
    assert_int_equal(g_stat(from, &plain), 0);
    assert_int_equal(g_stat(to, &sealed), 0);
    assert_int_equal(done, plain.st_size);
    assert_int_equal(sealed.st_mode & 0777, 0600);
    assert_true(sealed.st_size > plain.st_size);
    assert_true(sealed.st_size < plain.st_size + plain.st_size / 500 + 4096);
}

/* Is what the openssl command makes of it the plain text? */
static gboolean opens(const char *folder, const char *name)
{
    g_autofree char *command = g_strdup_printf("rm -f opened; openssl cms -decrypt -binary -inform DER -in sealed "
                                               "-inkey '%s.key' -out opened && cmp opened plain",
                                               name);
    return run(folder, command) == 0;
}

static void make_plain(const char *folder, const char *how)
{
    g_autofree char *command = g_strdup_printf("%s > plain", how);
    assert_int_equal(run(folder, command), 0);
}

/* ---- what is written --------------------------------------------------------------------------------------------- */

static void test_openssl_reads_it(void **state)
{
    static const char *const plains[] = {"true", "printf x", "head -c 4096 /dev/urandom", "head -c 65536 /dev/urandom",
                                         "head -c 300001 /dev/urandom"};
    for (guint i = 0; i < G_N_ELEMENTS(plains); i++) {
        make_plain(*state, plains[i]);
        seal(*state, "alice");
        assert_true(opens(*state, "alice"));
        assert_false(opens(*state, "mallory"));
        assert_false(opens(*state, "bob"));
        seal(*state, "bob");
        assert_true(opens(*state, "bob"));
        assert_false(opens(*state, "eve"));
        assert_false(opens(*state, "alice"));
        seal(*state, "alice|bob|Zoë, Ltd");
        assert_true(opens(*state, "alice"));
        assert_true(opens(*state, "bob"));
        assert_true(opens(*state, "Zoë, Ltd"));
        assert_false(opens(*state, "mallory"));
        assert_false(opens(*state, "eve"));
    }
    seal(*state, "dave");
    assert_true(opens(*state, "dave"));
}

static void test_large(void **state)
{
    make_plain(*state, "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 104857600");
    seal(*state, "alice|bob");
    assert_true(opens(*state, "alice"));
    assert_true(opens(*state, "bob"));
    /* The very end of it: the tag. */
    assert_int_equal(run(*state, "truncate -s -1 sealed"), 0);
    assert_false(opens(*state, "alice"));
}

/* As RFC 5083 has it, with nothing of SHA-1 or PKCS #1 v1.5 in it. */
static void test_what_it_is(void **state)
{
    make_plain(*state, "printf hello");
    seal(*state, "alice|bob");
    assert_int_equal(run(*state, "openssl cms -cmsout -print -noout -inform DER -in sealed > printed"), 0);
    static const char *const words[] = {"id-smime-ct-authEnvelopedData", "aes-256-gcm", "rsaesOaep",
                                        "dhSinglePass-stdDH-sha256kdf-scheme", "sha256"};
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autofree char *command = g_strdup_printf("grep -q -e '%s' printed", words[i]);
        assert_int_equal(run(*state, command), 0);
    }
    assert_int_not_equal(run(*state, "grep -qi sha1 printed"), 0);
    /* No message is like another. */
    assert_int_equal(run(*state, "mv sealed before"), 0);
    seal(*state, "alice|bob");
    assert_int_not_equal(run(*state, "cmp before sealed"), 0);
}

static void test_recipients(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoEnvelope) envelope = envelope_of(*state, "alice|Zoë, Ltd", &error);
    const char *const *words = steno_envelope_recipients(envelope);
    assert_string_equal(words[0], "CN=alice, serial 1234");
    assert_string_equal(words[1], "CN=Zoë\\, Ltd, serial 03");
    assert_null(words[2]);
}

/* ---- what was changed -------------------------------------------------------------------------------------------- */

/* What `openssl cms -decrypt` does, without a process for each of so many changes. */
static gboolean opens_here(const char *sealed, gsize bytes, EVP_PKEY *key, const char *plain, gsize plain_bytes,
                           gboolean *same)
{
    BIO *from = BIO_new_mem_buf(sealed, (int)bytes), *to = BIO_new(BIO_s_mem());
    CMS_ContentInfo *cms = d2i_CMS_bio(from, NULL);
    gboolean opened = cms && CMS_decrypt(cms, key, NULL, NULL, to, CMS_BINARY) == 1;
    char *text = NULL;
    long text_bytes = BIO_get_mem_data(to, &text);
    *same = (gsize)text_bytes == plain_bytes && memcmp(text, plain, plain_bytes) == 0;
    CMS_ContentInfo_free(cms);
    BIO_free(from);
    BIO_free(to);
    return opened;
}

static EVP_PKEY *key_of(const char *folder, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s.key", folder, name);
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    return key;
}

static void flip_each_bit(const char *folder, const char *name)
{
    g_autofree char *path = in(folder, "sealed"), *plain_path = in(folder, "plain"), *sealed = NULL, *plain = NULL;
    gsize bytes, plain_bytes;
    gboolean same;
    make_plain(folder, "head -c 300 /dev/urandom");
    seal(folder, name);
    assert_true(g_file_get_contents(path, &sealed, &bytes, NULL));
    assert_true(g_file_get_contents(plain_path, &plain, &plain_bytes, NULL));
    EVP_PKEY *key = key_of(folder, name);
    assert_true(opens_here(sealed, bytes, key, plain, plain_bytes, &same));
    assert_true(same);
    for (gsize bit = 0; bit < bytes * 8; bit++) {
        sealed[bit / 8] = (char)(sealed[bit / 8] ^ (1 << (bit % 8)));
        gboolean opened = opens_here(sealed, bytes, key, plain, plain_bytes, &same);
        /* Who may read it is not authenticated, and need not be: but nothing else than what was sealed comes out. And
         * all behind the recipients is: the last 300 bytes of content and 16 of tag, with what is around them. */
        if (opened)
            assert_true(same && bit / 8 < bytes - 316);
        sealed[bit / 8] = (char)(sealed[bit / 8] ^ (1 << (bit % 8)));
    }
    EVP_PKEY_free(key);
}

static void test_changed(void **state)
{
    flip_each_bit(*state, "bob");
    flip_each_bit(*state, "alice");
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static gint64 peak_bytes(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (gint64)usage.ru_maxrss * 1024;
}

static void test_memory(void **state)
{
    make_plain(*state, "printf x");
    seal(*state, "alice|bob");
    gint64 before = peak_bytes();
    g_autofree char *path = in(*state, "plain");
    assert_int_equal(truncate(path, G_GINT64_CONSTANT(1) << 30), 0);
    seal(*state, "alice|bob");
    assert_true(peak_bytes() - before < 16 * 1024 * 1024);
    (void)run(*state, "rm -f plain sealed");
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void expect_refused(const char *folder, const char *name, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *names = g_strdup_printf("alice|%s", name);
    assert_null(envelope_of(folder, names, &error));
    assert_int_equal(error->domain, STENO_ERROR);
    assert_int_equal(error->code, STENO_ERROR_USAGE);
    if (!strstr(error->message, words) || !strstr(error->message, name))
        fail_msg("%s", error->message);
}

static void test_refused_certificates(void **state)
{
    static const struct {
        TestCertificate certificate;
        const char *words;
    } rows[] = {
        {{"expired", "RSA", 2048, NULL, -2 * DAY_S, -1, NULL, 1}, "expired at"},
        {{"future", "EC", 0, "P-256", DAY_S, 2 * DAY_S, NULL, 1}, "is not valid before"},
        {{"weak", "RSA", 1024, NULL, -DAY_S, DAY_S, NULL, 1}, "weak key, RSA with 1024 bits"},
        {{"weakcurve", "EC", 0, "secp160r1", -DAY_S, DAY_S, NULL, 1}, "weak key, EC"},
        {{"signer", "ED25519", 0, NULL, -DAY_S, DAY_S, NULL, 1}, "type ED25519"},
        {{"rsasigns", "RSA", 2048, NULL, -DAY_S, DAY_S, "digitalSignature", 1}, "lacks keyEncipherment"},
        {{"ecsigns", "EC", 0, "P-256", -DAY_S, DAY_S, "digitalSignature", 1}, "lacks keyAgreement"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        certificate_make(*state, &rows[i].certificate);
        expect_refused(*state, rows[i].certificate.name, rows[i].words);
    }
    assert_int_equal(run(*state,
                         "sed 5d alice.pem > broken.pem; : > empty.pem; cp alice.key akey.pem; mkdir folder.pem; "
                         "openssl x509 -in alice.pem -outform DER -out der.pem; head -c 100000 /dev/zero > big.pem"),
                     0);
    expect_refused(*state, "broken", "no X.509 certificate");
    expect_refused(*state, "empty", "no X.509 certificate");
    expect_refused(*state, "akey", "no X.509 certificate");
    expect_refused(*state, "der", "no X.509 certificate");
    expect_refused(*state, "big", "no X.509 certificate");
    expect_refused(*state, "folder", "cannot read");
    expect_refused(*state, "missing", "cannot read");
    g_autoptr(GError) error = NULL;
    const char *const nobody[] = {NULL};
    assert_null(steno_envelope_new(nobody, &error));
    assert_int_equal(error->code, STENO_ERROR_USAGE);
}

static void expect_fails(const StenoEnvelope *envelope, const char *from, const char *to, StenoError code)
{
    g_autoptr(GError) error = NULL;
    assert_false(steno_envelope_seal(envelope, from, to, NULL, NULL, &error));
    assert_int_equal(error->domain, STENO_ERROR);
    if (error->code != (gint)code)
        fail_msg("%s: %s", steno_error_slug((StenoError)error->code), error->message);
}

static void test_failures(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoEnvelope) envelope = envelope_of(*state, "alice", &error);
    g_autofree char *from = in(*state, "plain"), *to = in(*state, "sealed"), *missing = in(*state, "missing"),
                    *below = in(*state, "missing/sealed");
    make_plain(*state, "head -c 1000000 /dev/zero");
    (void)g_unlink(to);
    expect_fails(envelope, missing, to, STENO_ERROR_STORAGE_UNWRITABLE);
    expect_fails(envelope, from, below, STENO_ERROR_STORAGE_UNWRITABLE);
    expect_fails(envelope, *state, to, STENO_ERROR_STORAGE_FAILED);
    assert_false(g_file_test(to, G_FILE_TEST_EXISTS));
    /* A disk that is full (as a limit), and nothing of it is left. */
    const struct rlimit small = {100000, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    expect_fails(envelope, from, to, STENO_ERROR_STORAGE_FULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_false(g_file_test(to, G_FILE_TEST_EXISTS));
    /* What is there is not replaced, and not removed. */
    assert_true(g_file_set_contents(to, "mine", -1, NULL));
    expect_fails(envelope, from, to, STENO_ERROR_STORAGE_FAILED);
    assert_true(g_file_test(to, G_FILE_TEST_EXISTS));
    (void)g_unlink(to);
    assert_int_equal(truncate(from, (G_GINT64_CONSTANT(1) << 36) - 31), 0);
    expect_fails(envelope, from, to, STENO_ERROR_STORAGE_FAILED);
    assert_false(g_file_test(to, G_FILE_TEST_EXISTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_reads_it),     cmocka_unit_test(test_large),    cmocka_unit_test(test_what_it_is),
        cmocka_unit_test(test_recipients),           cmocka_unit_test(test_changed),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refused_certificates), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
