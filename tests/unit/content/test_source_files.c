/* Key files and folders, watched; files for a token's key, by a key in a PEM file. */
#include "source_fixture.h"

#include "steno/base/error.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "keys/app/room.json"
#define PIN PLANTED "-pin"

static void use_folder(Fixture *fixture)
{
    g_autofree char *path = fixture_path(fixture, "keys");
    fixture_set(&fixture->job->content_keys, "folder");
    fixture_set(&fixture->job->key_path, path);
}

static void write_keys(const Fixture *fixture, const char *name, guint keys, int mode)
{
    g_autofree char *text = fixture_key_set(keys);
    fixture_write(fixture, name, text, mode);
}

static void expect_error(Fixture *fixture, int code, const char *words)
{
    const GError *error = fixture_last_error(fixture);
    if (!g_error_matches(error, STENO_ERROR, code) || !strstr(error->message, words))
        fail_msg("'%s' is not in: %s", words, error->message);
}

static void test_rotation(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    write_keys(fixture, FILE_NAME, 1, 0400);
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 1);
    /* By rename, as editors and secret managers do. */
    write_keys(fixture, FILE_NAME, 2, 0600);
    fixture_await_keys(fixture, 2);
    assert_int_equal(fixture_last_count(fixture), 2);
    /* In place. */
    g_autofree char *path = fixture_path(fixture, FILE_NAME);
    g_autofree char *text = fixture_key_set(3);
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    fixture_await_keys(fixture, 3);
    assert_int_equal(fixture_last_count(fixture), 3);
    assert_int_equal(fixture->errors->len, 0);
}

/* Neither the folder nor what is in it is there at first. */
static void test_late(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    fixture_start(fixture);
    steno_content_source_want(fixture->source, "alice", 0);
    g_autofree char *keys = fixture_path(fixture, "keys");
    g_autofree char *app = fixture_path(fixture, "keys/app");
    assert_int_equal(g_mkdir(keys, 0700), 0);
    assert_int_equal(g_mkdir(app, 0700), 0);
    write_keys(fixture, FILE_NAME, 1, 0400);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture->errors->len, 0);
}

/* The old keys stay; told once, although it is asked for again and again. */
static void test_broken(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    write_keys(fixture, FILE_NAME, 1, 0400);
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    fixture_write(fixture, FILE_NAME, "{\"keys\": [{\"key\": \"" PLANTED, 0400);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "");
    g_autofree char *path = fixture_path(fixture, FILE_NAME);
    for (guint i = 0; i < 3; i++) {
        steno_content_source_want(fixture->source, "alice", i);
        assert_int_equal(g_chmod(path, 0400), 0); /* something about it changed */
    }
    write_keys(fixture, FILE_NAME, 2, 0400);
    fixture_await_keys(fixture, 2);
    assert_int_equal(fixture->errors->len, 1);
    /* Once more the same: it was over meanwhile. */
    fixture_write(fixture, FILE_NAME, "{\"keys\": [{\"key\": \"" PLANTED, 0400);
    fixture_await_errors(fixture, 2);
}

static void test_custody(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    write_keys(fixture, FILE_NAME, 1, 0644);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "(mode 0644)");
    g_autofree char *path = fixture_path(fixture, FILE_NAME);
    assert_int_equal(g_chmod(path, 0400), 0);
    fixture_await_keys(fixture, 1);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, 65534), 0);
        fixture_await_errors(fixture, 2);
        expect_error(fixture, STENO_ERROR_KEY_SOURCE, "belongs to user 65534");
    }
}

static void test_links(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    write_keys(fixture, "elsewhere.json", 1, 0400);
    write_keys(fixture, "keys/app/other.json", 2, 0400);
    g_autofree char *path = fixture_path(fixture, FILE_NAME);
    assert_int_equal(symlink("../../elsewhere.json", path), 0);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "leads out of the folder");
    /* Below the folder a link is as good as a file. */
    g_autofree char *link = fixture_path(fixture, "keys/app/link");
    assert_int_equal(symlink("other.json", link), 0);
    assert_int_equal(g_rename(link, path), 0);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 2);
}

static void test_no_file(void **state)
{
    Fixture *fixture = *state;
    use_folder(fixture);
    g_autofree char *path = fixture_path(fixture, FILE_NAME);
    assert_int_equal(g_mkdir_with_parents(path, 0700), 0);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "no regular file");
    assert_int_equal(g_rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    g_autofree char *moved = g_strconcat(path, ".fifo", NULL);
    assert_int_equal(g_rename(path, moved), 0);
    assert_int_equal(g_rename(moved, path), 0);
    /* It is not waited for: what comes next is seen. */
    write_keys(fixture, FILE_NAME, 1, 0400);
    fixture_await_keys(fixture, 1);
}

static void test_too_large(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_strnfill(STENO_CONTENT_KEYS_MAX_BYTES + 1, ' ');
    use_folder(fixture);
    fixture_write(fixture, FILE_NAME, large, 0400);
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "larger than 1048576 bytes");
}

/* key_path is a file: of any channel's name. */
static void test_one_file(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = fixture_path(fixture, "one.json");
    fixture_set(&fixture->job->content_keys, "folder");
    fixture_set(&fixture->job->key_path, path);
    fixture_set(&fixture->job->channel, "../../room");
    fixture_start(fixture);
    write_keys(fixture, "one.json", 4, 0600);
    fixture_await_keys(fixture, 1);
    assert_int_equal(fixture_last_count(fixture), 4);
}

/* ---- files for a token ------------------------------------------------------------------------------------------- */

static void run(const Fixture *fixture, const char *command)
{
    g_autofree char *line = g_strdup_printf("cd %s && %s 2>/dev/null", fixture->folder, command);
    int status = 0;
    char *arguments[] = {"/bin/sh", "-c", line, NULL};
    assert_true(g_spawn_sync(NULL, arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
}

static void use_token(Fixture *fixture, const char *url_of)
{
    g_autofree char *path = fixture_path(fixture, "keys");
    g_autofree char *key = fixture_path(fixture, url_of);
    g_autofree char *url = g_strconcat("file:", key, NULL);
    fixture_set(&fixture->job->content_keys, "pkcs11");
    fixture_set(&fixture->job->key_path, path);
    fixture_set(&fixture->job->key_url, url);
}

static void make_keys(const Fixture *fixture)
{
    run(fixture, "openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=rsa -days 2 && "
                 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.pem "
                 "-subj /CN=ec -days 2 && mkdir -p keys/app");
}

static void seal(const Fixture *fixture, guint keys, const char *how)
{
    write_keys(fixture, "plain.json", keys, 0600);
    g_autofree char *command = g_strdup_printf(
        "openssl cms -encrypt -in plain.json -out sealed %s && chmod 644 sealed && mv sealed keys/app/room.json.cms",
        how);
    run(fixture, command);
}

static void test_cms(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *how, *key;
    } ways[] = {{"-binary -aes-256-gcm -outform DER rsa.pem", "rsa.key"},
                {"-binary -aes-256-gcm -outform PEM ec.pem", "ec.key"},
                {"-aes-256-cbc -outform DER rsa.pem ec.pem", "ec.key"},
                {"-binary -aes-128-gcm -outform DER -recip rsa.pem -keyopt rsa_padding_mode:oaep", "rsa.key"}};
    make_keys(fixture);
    for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
        use_token(fixture, ways[i].key);
        seal(fixture, i + 1, ways[i].how);
        fixture_start(fixture);
        fixture_await_keys(fixture, i + 1);
        assert_int_equal(fixture_last_count(fixture), i + 1);
        fixture_stop(fixture);
    }
    assert_int_equal(fixture->errors->len, 0);
}

static void test_cms_rotation(void **state)
{
    Fixture *fixture = *state;
    make_keys(fixture);
    use_token(fixture, "ec.key");
    fixture_start(fixture);
    seal(fixture, 1, "-binary -aes-256-gcm -outform DER ec.pem");
    fixture_await_keys(fixture, 1);
    seal(fixture, 2, "-binary -aes-256-gcm -outform DER ec.pem");
    fixture_await_keys(fixture, 2);
    /* Damaged: the last bytes are the tag, or the padding. */
    run(fixture,
        "cp keys/app/room.json.cms bad && printf XXXX | dd of=bad bs=1 conv=notrunc seek=$(($(stat -c %s bad) - "
        "8)) && mv bad keys/app/room.json.cms");
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "cannot be decrypted");
    write_keys(fixture, "keys/app/room.json.cms", 1, 0644);
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "no encrypted CMS");
    write_keys(fixture, "keys/app/room.json.cms", 1, 0666);
    fixture_await_errors(fixture, 3);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "can be changed by others");
    seal(fixture, 4, "-binary -aes-256-gcm -outform DER rsa.pem");
    fixture_await_errors(fixture, 4);
    expect_error(fixture, STENO_ERROR_KEYS_INVALID, "cannot be decrypted");
    assert_int_equal(fixture->counts->len, 2);
}

static void test_pin(void **state)
{
    Fixture *fixture = *state;
    make_keys(fixture);
    run(fixture, "openssl pkcs8 -topk8 -in ec.key -out locked.key -passout pass:" PIN);
    use_token(fixture, "locked.key");
    seal(fixture, 1, "-binary -aes-256-gcm -outform DER ec.pem");
    fixture->job->key_secret = fixture_secret(PIN);
    fixture_start(fixture);
    fixture_await_keys(fixture, 1);
    fixture_stop(fixture);
    /* A wrong one is given once, and not again before the key file changes: tokens lock themselves. */
    steno_secret_unref(fixture->job->key_secret);
    fixture->job->key_secret = fixture_secret(PIN "-wrong");
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "is not given again");
    fixture_stop(fixture);
    g_clear_pointer(&fixture->job->key_secret, steno_secret_unref);
    fixture_start(fixture);
    fixture_await_errors(fixture, 2);
    expect_error(fixture, STENO_ERROR_KEY_SOURCE, "no private key");
    assert_null(strstr(fixture_last_error(fixture)->message, "PIN"));
}

static void test_no_provider(void **state)
{
    Fixture *fixture = *state;
    make_keys(fixture);
    use_token(fixture, "ec.key");
    seal(fixture, 1, "-binary -aes-256-gcm -outform DER ec.pem");
    fixture_set(&fixture->job->key_url, "pkcs11:token=none-of-this-name;object=keys;type=private");
    fixture_start(fixture);
    fixture_await_errors(fixture, 1);
    /* Where there is a provider, there is no such token. */
    if (!strstr(fixture_last_error(fixture)->message, "no private key"))
        expect_error(fixture, STENO_ERROR_KEY_SOURCE, "install pkcs11-provider");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_rotation),     TEST(test_late),     TEST(test_broken),
                                       TEST(test_custody),      TEST(test_links),    TEST(test_no_file),
                                       TEST(test_too_large),    TEST(test_one_file), TEST(test_cms),
                                       TEST(test_cms_rotation), TEST(test_pin),      TEST(test_no_provider)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
