/* Key sets: what is taken, what is refused, and that a refusal shows no key. */
#include "format.h"
#include "seal.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEX16 "hex:000102030405060708090a0b0c0d0e0f"
#define HEX32 HEX16 "101112131415161718191a1b1c1d1e1f"
#define BASE64_32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
/* What must never be seen again; base64 as well, since keys are. */
#define PLANTED "PLANTEDplantedPLANTEDplantedPLANTEDplantedAA"

static StenoContentKeys *parse(const char *format, const char *json, GError **error)
{
    g_autofree char *exact = g_memdup2(json, strlen(json)); /* without a NUL */
    return steno_content_keys_parse(steno_content_format(format), exact, strlen(json), "the file x.json", error);
}

static void expect_taken(const char *format, const char *json, guint count)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoContentKeys) keys = parse(format, json, &error);
    if (!keys)
        fail_msg("%s: %s", json, error->message);
    assert_int_equal(steno_content_keys_count(keys), count);
}

static void expect_refused(const char *format, const char *json, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoContentKeys) keys = parse(format, json, &error);
    if (keys)
        fail_msg("taken: %s", json);
    if (!g_error_matches(error, STENO_ERROR, STENO_ERROR_KEYS_INVALID) || !strstr(error->message, words) ||
        !strstr(error->message, "the file x.json") || strstr(error->message, "PLANTED"))
        fail_msg("%s\n%s", json, error->message);
}

static void test_taken(void **state)
{
    (void)state;
    expect_taken("livekit", "{\"keys\": [{\"passphrase\": \"x\"}]}", 1);
    expect_taken("livekit", "{\"keys\": [{\"passphrase\": \"grüße 🔑\", \"participant\": \"Zoë\"}]}", 1);
    expect_taken("livekit",
                 "{\"format\": \"livekit\", \"kdf\": \"hkdf\", \"salt\": \"pepper\", \"key_bits\": 256, "
                 "\"ratchet_window\": 256, \"keys\": [{\"key\": \"" BASE64_32 "\"}, "
                 "{\"kid\": 255, \"key\": \"" HEX16 "\"}, {\"kid\": \"1\", \"key\": \"" HEX32 "\"}, "
                 "{\"participant\": \"bob\", \"key\": \"" HEX32 "\"}]}",
                 4);
    expect_taken("jitsi", "{\"keys\": [{\"key\": \"" BASE64_32 "\", \"kid\": 15}]}", 1);
    expect_taken("jitsi",
                 "{\"kdf\": \"none\", \"keys\": [{\"key\": \"" HEX16 "\"}, {\"kid\": 1, \"key\": \"" HEX32 "\"}]}", 2);
    expect_taken("jitsi", "{\"kdf\": \"none\", \"ratchet_window\": 0, \"keys\": [{\"key\": \"" HEX16 "\"}]}", 1);
    expect_taken(
        "sframe",
        "{\"suite\": 5, \"metadata\": \"aGk=\", \"keys\": [{\"kid\": \"18446744073709551615\", \"key\": \"" HEX16
        "\"}]}",
        1);
    expect_taken(
        "sframe-packet",
        "{\"suite\": 1, \"ratchet_bits\": 8, \"keys\": [{\"kid\": 9223372036854775807, \"key\": \"" HEX16 "\"}]}", 1);
    expect_taken("sframe",
                 "{\"suite\": 4, \"mls\": {\"epoch_bits\": 8, \"sender_bits\": 8}, \"keys\": [{\"epoch\": 1, \"key\": "
                 "\"" HEX16 "\"}, {\"epoch\": 257, \"key\": \"" HEX32 "\"}]}",
                 2);
    expect_taken("aes-256-gcm2", "{\"keys\": [{\"secret\": \"s\", \"salt\": \"" BASE64_32 "\"}]}", 1);
    expect_taken("aes-128-gcm", "{\"keys\": [{\"secret\": \"s\"}]}", 1);
}

static void test_settings(void **state)
{
    (void)state;
    g_autoptr(StenoContentKeys) plain = seal_keys("livekit", "{\"keys\": [{\"passphrase\": \"x\"}]}");
    const ContentSettings *settings = content_keys_settings(plain);
    assert_string_equal(settings->salt, "LKFrameEncryptionKey");
    assert_int_equal(settings->key_bits, 128);
    assert_int_equal(settings->ratchet_window, 8);
    g_autoptr(StenoContentKeys) numbers = seal_keys(
        "sframe", "{\"suite\": 3, \"ratchet_bits\": 12, \"ratchet_window\": 3, \"metadata\": \"hex:00ff\", "
                  "\"keys\": [{\"participant\": \"a\", \"kid\": \"18446744073709551615\", \"key\": \"" HEX16 "\"}]}");
    settings = content_keys_settings(numbers);
    assert_int_equal(settings->suite, 3);
    assert_int_equal(settings->ratchet_bits, 12);
    assert_int_equal(settings->ratchet_window, 3);
    assert_int_equal(settings->metadata_bytes, 2);
    assert_memory_equal(settings->metadata, "\0\xff", 2);
    const ContentKey *key = content_keys_at(numbers, 0);
    assert_string_equal(key->participant, "a");
    assert_true(key->kid == G_MAXUINT64);
    assert_int_equal(key->material_bytes, 16);
    assert_memory_equal(key->material, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format, *json, *words;
    } sets[] = {
        {"livekit", "", "not valid JSON"},
        {"livekit", "\"" PLANTED "\"", "not valid JSON"},
        {"livekit", "[]", "JSON object"},
        {"livekit", "{}", "\"keys\" must be a list"},
        {"livekit", "{\"keys\": []}", "\"keys\" must be a list"},
        {"livekit", "{\"keys\": {\"a\": \"" PLANTED "\"}}", "\"keys\" must be a list"},
        {"livekit", "{\"keys\": [\"" PLANTED "\"]}", "keys[0]: must be an object"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\"}]", "not valid JSON"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\"}]} x", "not valid JSON"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\n\"}]}", "not valid JSON"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"PLANTED\\u0000\"}]}", "not valid JSON"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"PLANTED\xff\"}]}", "not valid JSON"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\", \"passphrase\": \"x\"}]}", "twice"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\", \"key\": \"" BASE64_32 "\"}]}", "exactly one"},
        {"livekit", "{\"keys\": [{\"participant\": \"a\"}]}", "exactly one of \"passphrase\", \"key\""},
        {"livekit", "{\"keys\": [{\"passphrase\": \"\"}]}", "\"passphrase\" must be"},
        {"livekit", "{\"keys\": [{\"passphrase\": 12345678}]}", "\"passphrase\" must be"},
        {"livekit", "{\"keys\": [{\"secret\": \"" PLANTED "\"}]}", "\"secret\" is no member"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"" PLANTED "\", \"pass\": 1}]}", "\"pass\" is no member"},
        {"livekit", "{\"passphrase\": \"" PLANTED "\", \"keys\": []}", "\"passphrase\" is no member"},
        {"livekit", "{\"suite\": 1, \"keys\": [{\"passphrase\": \"" PLANTED "\"}]}", "\"suite\" is no member"},
        {"livekit", "{\"format\": \"jitsi\", \"keys\": [{\"passphrase\": \"x\"}]}", "\"format\" must be \"livekit\""},
        {"livekit", "{\"format\": 1, \"keys\": [{\"passphrase\": \"x\"}]}", "\"format\" must be"},
        {"livekit", "{\"kdf\": \"none\", \"keys\": [{\"passphrase\": \"x\"}]}", "\"kdf\" of LiveKit"},
        {"livekit", "{\"kdf\": \"argon2\", \"keys\": [{\"passphrase\": \"x\"}]}", "\"kdf\" must be"},
        {"livekit", "{\"kdf\": null, \"keys\": [{\"passphrase\": \"x\"}]}", "\"kdf\" must be"},
        {"livekit", "{\"salt\": \"\", \"keys\": [{\"passphrase\": \"x\"}]}", "\"salt\" must be"},
        {"livekit", "{\"salt\": 1, \"keys\": [{\"passphrase\": \"x\"}]}", "\"salt\" must be"},
        {"livekit", "{\"key_bits\": 192, \"keys\": [{\"passphrase\": \"x\"}]}", "\"key_bits\" must be"},
        {"livekit", "{\"ratchet_window\": 257, \"keys\": [{\"passphrase\": \"x\"}]}", "\"ratchet_window\" must be"},
        {"livekit", "{\"ratchet_window\": -1, \"keys\": [{\"passphrase\": \"x\"}]}", "\"ratchet_window\" must be"},
        {"livekit", "{\"ratchet_window\": 1.5, \"keys\": [{\"passphrase\": \"x\"}]}", "\"ratchet_window\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": 256, \"passphrase\": \"x\"}]}",
         "keys[0]: \"kid\" must be a number, 0 to 255"},
        {"livekit", "{\"keys\": [{\"kid\": -1, \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \"-1\", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \"+1\", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \" 1\", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \"1 \", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \"\", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": \"0x1\", \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": 1.0, \"passphrase\": \"x\"}]}", "\"kid\" must be"},
        {"livekit", "{\"keys\": [{\"kid\": 18446744073709551615, \"passphrase\": \"x\"}]}", "as text"},
        {"livekit", "{\"keys\": [{\"epoch\": 1, \"passphrase\": \"x\"}]}", "\"epoch\" is no member"},
        {"livekit", "{\"keys\": [{\"participant\": \"\", \"passphrase\": \"x\"}]}", "\"participant\" must be"},
        {"livekit", "{\"keys\": [{\"participant\": 7, \"passphrase\": \"x\"}]}", "\"participant\" must be"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"x\"}, {\"kid\": \"0\", \"passphrase\": \"y\"}]}",
         "keys[1] has the same participant and key id as keys[0]"},
        {"livekit",
         "{\"keys\": [{\"participant\": \"a\", \"kid\": 7, \"passphrase\": \"x\"}, {\"passphrase\": \"y\"}, "
         "{\"kid\": 7, \"participant\": \"a\", \"passphrase\": \"y\"}]}",
         "keys[2] has the same participant and key id as keys[0]"},
        {"livekit", "{\"keys\": [{\"key\": \"" PLANTED "=\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"PLANTED!plantedPLANTEDplantedPLANTEDplantedA\"}]}",
         "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"PLAN ED+plantedPLANTEDplantedPLANTEDplantedA\"}]}",
         "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"====\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"A===\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"hex:\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"hex:000\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"key\": \"hex:PLANTED0\"}]}", "\"key\" must be base64"},
        {"livekit", "{\"keys\": [{\"passphrase\": \"x\"}, {\"kid\": 1, \"key\": \"AAECAwQFBgcICQoLDA0O\"}]}",
         "keys[1]: \"key\" must be 16 to 256 bytes, and is 15"},
        {"jitsi", "{\"keys\": [{\"passphrase\": \"" PLANTED "\"}]}", "\"passphrase\" is no member"},
        {"jitsi", "{\"keys\": [{\"key\": \"" HEX16 "\"}]}", "must be 32 bytes, and is 16"},
        {"jitsi", "{\"keys\": [{\"kid\": 16, \"key\": \"" HEX32 "\"}]}", "0 to 15"},
        {"jitsi", "{\"kdf\": \"none\", \"keys\": [{\"key\": \"" HEX32 "00\"}]}", "must be 16 or 32 bytes, and is 33"},
        {"jitsi", "{\"kdf\": \"none\", \"ratchet_window\": 8, \"keys\": [{\"key\": \"" HEX32 "\"}]}",
         "\"ratchet_window\""},
        {"jitsi", "{\"kdf\": \"pbkdf2\", \"keys\": [{\"key\": \"" HEX32 "\"}]}", "\"kdf\" of Jitsi"},
        {"jitsi", "{\"salt\": \"x\", \"keys\": [{\"key\": \"" HEX32 "\"}]}", "\"salt\" is no member"},
        {"sframe", "{\"keys\": [{\"key\": \"" HEX16 "\"}]}", "\"suite\""},
        {"sframe", "{\"suite\": 6, \"keys\": [{\"key\": \"" HEX16 "\"}]}", "\"suite\" must be"},
        {"sframe", "{\"suite\": \"4\", \"keys\": [{\"key\": \"" HEX16 "\"}]}", "\"suite\" must be"},
        {"sframe", "{\"suite\": 4, \"ratchet_bits\": 33, \"keys\": [{\"key\": \"" HEX16 "\"}]}",
         "\"ratchet_bits\" must be"},
        {"sframe", "{\"suite\": 4, \"mls\": {}, \"keys\": [{\"key\": \"" HEX16 "\"}]}", "\"mls\" must be"},
        {"sframe", "{\"suite\": 4, \"mls\": {\"epoch_bits\": 1, \"x\": 1}, \"keys\": [{\"key\": \"" HEX16 "\"}]}",
         "\"x\" is no member of \"mls\""},
        {"sframe",
         "{\"suite\": 4, \"mls\": {\"epoch_bits\": 8, \"sender_bits\": 8}, \"keys\": [{\"kid\": 1, \"key\": \"" HEX16
         "\"}]}",
         "\"kid\" is no member"},
        {"sframe", "{\"suite\": 4, \"metadata\": \"?\", \"keys\": [{\"key\": \"" HEX16 "\"}]}", "\"metadata\" must be"},
        {"aes-128-gcm2", "{\"keys\": [{\"secret\": \"" PLANTED "\"}]}", "\"salt\""},
        {"aes-128-gcm2", "{\"keys\": [{\"secret\": \"" PLANTED "\", \"salt\": \"AAECAw==\"}]}", "\"salt\""},
        {"aes-128-gcm2", "{\"keys\": [{\"secret\": \"" PLANTED "\", \"salt\": 7}]}", "\"salt\" must be base64"},
        {"aes-128-gcm", "{\"keys\": [{\"secret\": \"" PLANTED "\", \"salt\": \"" BASE64_32 "\"}]}",
         "\"salt\" is no member"},
        {"aes-128-gcm", "{\"keys\": [{}]}", "must have a \"secret\""},
        {"aes-128-gcm", "{\"ratchet_window\": 1, \"keys\": [{\"secret\": \"x\"}]}", "\"ratchet_window\" is no member"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(sets); i++)
        expect_refused(sets[i].format, sets[i].json, sets[i].words);
}

/* However it is cut. */
static void test_cut(void **state)
{
    (void)state;
    static const char json[] =
        "{\"suite\": 4, \"keys\": [{\"participant\": \"a\", \"key\": \"hex:504c414e544544504c414e544544FF"
        "FF\"}]}";
    expect_taken("sframe", json, 1);
    for (gsize bytes = 0; bytes < sizeof json - 1; bytes++) {
        g_autofree char *cut = g_strndup(json, bytes);
        expect_refused("sframe", cut, "not valid JSON");
    }
}

static void test_ceilings(void **state)
{
    (void)state;
    for (guint over = 0; over <= 1; over++) {
        g_autoptr(GString) json = g_string_new("{\"suite\": 4, \"keys\": [");
        for (guint i = 0; i < STENO_CONTENT_KEYS_MAX + over; i++)
            g_string_append_printf(json, "%s{\"kid\": %u, \"key\": \"" HEX16 "\"}", i ? ", " : "", i);
        g_string_append(json, "]}");
        if (over)
            expect_refused("sframe", json->str, "1 to 4096 keys");
        else
            expect_taken("sframe", json->str, STENO_CONTENT_KEYS_MAX);
        g_string_set_size(json, json->len - 1);
        while (json->len < STENO_CONTENT_KEYS_MAX_BYTES)
            g_string_append_c(json, ' ');
        g_string_append_c(json, '}');
        expect_refused("sframe", json->str, "longer than 1048576 bytes");
    }
    g_autofree char *long_passphrase = g_strnfill(1025, 'x'), *just = g_strnfill(1024, 'x');
    g_autofree char *refused = g_strdup_printf("{\"keys\": [{\"passphrase\": \"%s\"}]}", long_passphrase),
                    *taken = g_strdup_printf("{\"keys\": [{\"passphrase\": \"%s\"}]}", just);
    expect_refused("livekit", refused, "\"passphrase\" must be a text of 1 to 1024 bytes");
    expect_taken("livekit", taken, 1);
}

/* PBKDF2 on several threads gives each key its own place. */
static void test_many_slow(void **state)
{
    (void)state;
    g_autoptr(GString) json = g_string_new("{\"keys\": [");
    for (guint i = 0; i < 12; i++)
        g_string_append_printf(json, "%s{\"kid\": %u, \"passphrase\": \"p%u\"}", i ? ", " : "", i, i % 6);
    g_string_append(json, "]}");
    g_autoptr(StenoContentKeys) keys = seal_keys("livekit", json->str);
    for (guint i = 0; i < 12; i++)
        for (guint j = 0; j < i; j++)
            assert_int_equal(memcmp(content_keys_at(keys, i)->material, content_keys_at(keys, j)->material,
                                    content_keys_at(keys, i)->material_bytes) == 0,
                             i - j == 6);
}

static void test_table(void **state)
{
    (void)state;
    const char *const *names = steno_content_format_names();
    guint n = 0;
    for (; names[n]; n++) {
        const StenoContentFormat *format = steno_content_format(names[n]);
        assert_non_null(format);
        assert_string_equal(steno_content_format_name(format), names[n]);
        assert_int_equal(steno_content_format_is_insecure(format), strstr(names[n], "xts") || strstr(names[n], "ecb"));
        assert_int_equal(steno_content_format_unit(format),
                         strstr(names[n], "packet") ? STENO_CONTENT_PER_PACKET : STENO_CONTENT_PER_FRAME);
    }
    assert_int_equal(n, 12);
    assert_null(steno_content_format("none"));
    assert_null(steno_content_format(""));
    assert_null(steno_content_format(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),     cmocka_unit_test(test_taken), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_cut),   cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_many_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
