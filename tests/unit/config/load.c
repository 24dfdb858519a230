/* What a good configuration becomes: defaults, values, files that include files. */
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void empty_file_is_all_defaults(void **state)
{
    g_autoptr(StenoConfig) config = folder_load(*state, "");
    assert_string_equal(config->top.instance, "steno");
    assert_string_equal(config->top.spool_dir, "/var/lib/steno/spool");
    assert_true(config->top.mask_participants);
    assert_string_equal(config->api.listen[0], "127.0.0.1:8443");
    assert_null(config->api.listen[1]);
    assert_null(config->api.certificate_file);
    assert_int_equal(config->limits.max_recordings, 50);
    assert_int_equal(config->apps->len, 0);
    /* It is allowed, and said: platforms, storages, apps. */
    assert_int_equal(config->notes->len, 3);
    assert_string_equal(config->notes->pdata[0],
                        "there is nothing in platforms: nothing can be recorded until there is");
}

static void values_are_read(void **state)
{
    g_autofree char *secret = folder_write_mode(*state, "secret", "hush\n", 0640);
    g_autofree char *text = g_strdup_printf(
        "instance = \"rec-1.example.com\"; mask_participants = false; log_level = \"debug\"\n"
        "/* over\n lines */ api: { listen = [\"[::1]:8443\", \"rec-1:443\", \"0.0.0.0:1\"]; rate_per_s = 0x20; };\n"
        "// more\n"
        "limits = { refuse_below_percent = 99; finish_below_percent = 99 } # end\n"
        "storages = ( { name = \"primary\"; root = \"/srv\" \"/recordings\"; } )\n"
        "platforms = ( { name = \"j\"; url = \"http://[::1]:8088/janus\"; token_secret_file = \"%s\";\n"
        "  turn = [\"turn:t.example.com:3478?transport=tcp\"]; turn_user = \"u\"; turn_password_file = \"%s\";\n"
        "  stun = \"192.0.2.1\"; allow_media_cidr = (\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.1\"); },\n"
        "  { name = \"files\"; connector = \"sdp\"; url = \"/srv/sdp\"; } )\n"
        "webhooks = ( { name = \"w\"; url = \"https://w.example.com/a?b=c\"; secret_file = \"%s\";\n"
        "  events = [\"recording.completed\", \"recording.failed\"]; } )\n"
        "apps = ( { name = \"a\"; retention_bytes = \"3G\"; webhooks = [\"w\"]; webhook = \"w\"; },\n"
        "  { name = \"b\"; retention_bytes = 5000000000; platforms = [\"files\"]; legal_hold_label = \"don't "
        "\\\"touch\\\"\"; } )\n",
        secret, secret, secret);
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    assert_int_equal(config->notes->len, 0);
    assert_string_equal(config->top.log_level, "debug");
    assert_false(config->top.mask_participants);
    assert_int_equal(g_strv_length(config->api.listen), 3);
    assert_int_equal(config->api.rate_per_s, 32);
    assert_int_equal(config->limits.finish_below_percent, 99);
    assert_string_equal(steno_config_storage(config, "primary")->root, "/srv/recordings");
    const StenoConfigPlatform *platform = steno_config_platform(config, "j");
    assert_string_equal(platform->connector, "janus");
    assert_string_equal(platform->allow_media_cidr[1], "2001:db8::/32");
    assert_int_equal(platform->token_ttl_s, 3600);
    assert_string_equal(steno_config_platform(config, "files")->url, "/srv/sdp");
    assert_string_equal(steno_config_webhook(config, "w")->events[1], "recording.failed");
    assert_int_equal(steno_config_app(config, "a")->retention_bytes, 3 * G_GINT64_CONSTANT(1073741824));
    /* libconfig 1.5 alone would make 705032704 of it. */
    assert_int_equal(steno_config_app(config, "b")->retention_bytes, G_GINT64_CONSTANT(5000000000));
    assert_string_equal(steno_config_app(config, "b")->legal_hold_label, "don't \"touch\"");
    assert_null(steno_config_app(config, "A"));
    assert_null(steno_config_platform(config, "none"));
    assert_null(steno_config_storage(config, ""));
    assert_null(steno_config_webhook(config, "j"));
}

static void storages_are_read(void **state)
{
    g_autofree char *secret = folder_write_mode(*state, "secret", "AK\nhush\n", 0600);
    g_autofree char *text = g_strdup_printf(
        "storages = ( { name = \"local\"; root = \"/srv/recordings\"; mode = \"0664\"; group = \"media\";\n"
        "    min_free_bytes = \"10G\"; upload_window = \"20:00-06:00\"; key = \"{recording}/{file}\"; },\n"
        "  { name = \"s3\"; type = \"s3\"; bucket = \"rec\"; endpoint = \"https://[2001:db8::1]:9000/\";\n"
        "    credentials = [ \"file\", \"web-identity\" ]; access_key_file = \"%s\"; role_arn = \"r\";\n"
        "    web_identity_token_file = \"/t\"; lock_mode = \"governance\"; lock_days = 30;\n"
        "    tags = [ \"a=\", \"Ärzte:x=1+1 @/_\" ]; allow_regions = [ \"eu-1\", \"us-east-1\" ];\n"
        "    key = \"v1 {app}/{channel}/{date}/{time}-{recording}/media/{file}\"; max_bytes_per_s = \"5M\"; } )\n"
        "apps = ( { name = \"a\"; }, { name = \"b\"; rotate = \"2h\"; store = \"first\"; },\n"
        "  { name = \"c\"; rotate = 90; }, { name = \"d\"; rotate = \"0\"; rotate_join = true; },\n"
        "  { name = \"e\"; rotate = \"45s\"; }, { name = \"f\"; rotate = \"1d\"; } )\n"
        "platforms = ( { name = \"j\"; url = \"https://h/\"; } )\n"
        "timestamp_url = \"http://tsa.example.com/?x=y\"; timestamp_required = true\n",
        secret);
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    assert_int_equal(config->notes->len, 0);
    const StenoConfigStorage *local = steno_config_storage(config, "local"), *s3 = steno_config_storage(config, "s3");
    assert_string_equal(local->type, "local");
    assert_string_equal(local->mode, "0664");
    assert_int_equal(local->min_free_bytes, 10 * G_GINT64_CONSTANT(1073741824));
    assert_string_equal(s3->credentials[1], "web-identity");
    assert_string_equal(s3->tags[1], "Ärzte:x=1+1 @/_");
    assert_int_equal(s3->part_bytes, 16 * 1024 * 1024);
    assert_int_equal(s3->max_bytes_per_s, 5 * 1024 * 1024);
    assert_string_equal(s3->region, "us-east-1");
    assert_string_equal(s3->imds_endpoint, "http://169.254.169.254");
    static const gint64 rotate_s[] = {3600, 7200, 90, 0, 45, 86400};
    for (guint i = 0; i < G_N_ELEMENTS(rotate_s); i++)
        assert_int_equal(((StenoConfigApp *)config->apps->pdata[i])->rotate, rotate_s[i]);
    assert_string_equal(steno_config_app(config, "b")->store, "first");
    assert_string_equal(steno_config_app(config, "a")->store, "one");
    assert_true(steno_config_app(config, "d")->rotate_join);
}

/* What does nothing, or may not be meant, is said. */
static void odd_storages_are_noted(void **state)
{
    g_autofree char *secret = folder_write_mode(*state, "secret", "hush", 0600);
    g_autofree char *text = g_strdup_printf(
        "platforms = ( { name = \"j\"; url = \"https://h/\"; } ); apps = ( { name = \"a\"; } );\n"
        "storages = ( { name = \"l\"; root = \"/r\"; bucket = \"b\"; parallel = 8; tags = [ ]; },\n"
        "  { name = \"s\"; type = \"s3\"; bucket = \"b\"; root = \"/r\"; min_free_bytes = 5;\n"
        "    endpoint = \"http://h\"; allow_http = true; encryption = \"customer\"; customer_key_file = \"%s\";\n"
        "    credentials = [ \"imds\" ]; access_key_file = \"%s\"; } );\n",
        secret, secret);
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    static const char *const notes[] = {
        "storage 'l' is of type local: its bucket does nothing",
        "storage 's' is of type s3: its root does nothing",
        "storage 's' is of type s3: its min_free_bytes does nothing",
        "storage 's' has an access_key_file, but no \"file\" in its credentials: it is not read",
        "storage 's' sends its customer key without TLS",
    };
    assert_int_equal(config->notes->len, G_N_ELEMENTS(notes));
    for (guint i = 0; i < G_N_ELEMENTS(notes); i++)
        assert_string_equal(config->notes->pdata[i], notes[i]);
}

static void key_sources_and_apps_fit(void **state)
{
    g_autofree char *token = folder_write_mode(*state, "token", "hush", 0600);
    g_autofree char *recipient = folder_write(*state, "ward.pem", "-");
    g_autofree char *key =
        folder_write_mode(*state, "cenc", "00112233445566778899AABBCCDDEEFF:ffeeddccbbaa99887766554433221100\n", 0600);
    g_autofree char *text = g_strdup_printf(
        "platforms = ( { name = \"j\"; url = \"https://h/\"; } ); storages = ( { name = \"l\"; root = \"/r\"; } );\n"
        "key_sources = ( { name = \"f\"; path = \"/k\"; mount = \"kv\"; },\n"
        "  { name = \"s\"; type = \"service\"; url = \"https://h/keys?tenant=1\"; path = \"/k\"; secret_file = \"%s\"; "
        "},\n"
        "  { name = \"v\"; type = \"vault\"; url = \"http://[::1]:8200\"; secret_file = \"%s\"; },\n"
        "  { name = \"p\"; type = \"pkcs11\"; url = \"pkcs11:object=k\"; path = \"/k\"; secret_file = \"%s\"; },\n"
        "  { name = \"c\"; type = \"command\"; path = \"/bin/keys\"; } );\n"
        "apps = ( { name = \"a\"; content = \"livekit\"; keys = \"later\"; never_record = [ \"board-*\", \"??\" ];\n"
        "    output_encryption = \"cms\"; output_recipients = [ \"%s\" ]; },\n"
        "  { name = \"b\"; content = \"aes-256-xts\"; allow_insecure_modes = true; key_sources = [ \"v\", \"c\" ];\n"
        "    keys = \"v\"; inline_keys = \"once\"; output_encryption = \"cenc\"; output_key_file = \"%s\"; } );\n",
        token, token, token, recipient, key);
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    const StenoConfigKeys *vault = steno_config_key_source(config, "v");
    const StenoConfigApp *a = steno_config_app(config, "a"), *b = steno_config_app(config, "b");
    assert_string_equal(vault->mount, "secret");
    assert_string_equal(vault->prefix, "steno");
    assert_null(steno_config_key_source(config, "V"));
    assert_string_equal(a->keys, STENO_CONFIG_KEYS_LATER);
    assert_string_equal(a->never_record[1], "??");
    assert_string_equal(a->inline_keys, "keep");
    assert_string_equal(b->keys, "v");
    static const char *const notes[] = {
        "key_source 'f' is of type folder: its mount does nothing",
        "key_source 's' is of type service: its path does nothing",
    };
    assert_int_equal(config->notes->len, G_N_ELEMENTS(notes));
    for (guint i = 0; i < G_N_ELEMENTS(notes); i++)
        assert_string_equal(config->notes->pdata[i], notes[i]);
}

static void a_storage_needs_no_file(void **state)
{
    StenoConfigStorage *settings = NULL;
    (void)state;
    g_autoptr(StenoConfig) config = steno_config_with_storage("here", "local", &settings);
    settings->root = g_strdup("/r");
    assert_ptr_equal(steno_config_storage(config, "here"), settings);
    assert_string_equal(settings->type, "local");
    assert_string_equal(settings->mode, "0640");
    assert_int_equal(config->limits.uploads, 2);
    assert_int_equal(config->apps->len, 0);
}

static void lists_of_an_app_are_asked(void **state)
{
    (void)state;
    char *none[] = {NULL}, *some[] = {(char *)"a", (char *)"b", NULL};
    assert_true(steno_config_app_has(none, TRUE, "a"));
    assert_false(steno_config_app_has(none, FALSE, "a"));
    assert_true(steno_config_app_has(some, FALSE, "b"));
    assert_false(steno_config_app_has(some, TRUE, "c"));
}

/* Later files add to lists and override single values; an include counts where it stands. */
static void files_add_up(void **state)
{
    const char *folder = *state;
    g_free(folder_write(folder, "conf.d/20-b.conf",
                        "apps = ( { name = \"b\"; } ); instance = \"b\"; log_level = \"info\";"));
    g_free(folder_write(folder, "conf.d/10-a.conf",
                        "@include \"sub/c.conf\"\napps = ( { name = \"a\"; } );\ninstance = \"a\";\n"
                        "api = { rate_per_s = 7; listen = [ \"1.2.3.4:5\" ]; };\n"));
    g_free(folder_write(folder, "conf.d/sub/c.conf", "apps = ( { name = \"c\"; storages = [\"late\"]; } );"));
    g_free(folder_write(folder, "conf.d/.hidden.conf", "nonsense"));
    g_free(folder_write(folder, "conf.d/30-old.conf.dpkg-old", "nonsense"));
    g_autoptr(StenoConfig) config = folder_load(folder, "log_level = \"error\";\n"
                                                        "api = { rate_per_s = 1; rate_burst = 2; };\n"
                                                        "  @include \"conf.d/*.conf\" ; # all of them\n"
                                                        "instance = \"main\";\n"
                                                        "storages = ( { name = \"late\"; root = \"/srv\"; } );\n"
                                                        "@include \"none.d/*.conf\"\n"
                                                        "apps = ( { name = \"d\"; } );\n");
    assert_string_equal(config->top.instance, "main");
    assert_string_equal(config->top.log_level, "info");
    assert_int_equal(config->api.rate_per_s, 7);
    assert_int_equal(config->api.rate_burst, 2);
    assert_string_equal(config->api.listen[0], "1.2.3.4:5");
    assert_null(config->api.listen[1]);
    static const char *const order[] = {"c", "a", "b", "d"};
    assert_int_equal(config->apps->len, G_N_ELEMENTS(order));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        assert_string_equal(((StenoConfigApp *)config->apps->pdata[i])->name, order[i]);
}

static void include_in_text_and_comments_is_none(void **state)
{
    g_autoptr(StenoConfig) config = folder_load(*state, "# @include \"no\"\n/* @include \"no\"\n@include \"no\"\n*/\n"
                                                        "// \" @include\n"
                                                        "api = { socket_group = \"@include \\\"no\\\"\"; };\n"
                                                        "limits = { restarts = 1 /* \" */; }; # \"\n");
    assert_string_equal(config->api.socket_group, "@include \"no\"");
    assert_int_equal(config->limits.restarts, 1);
}

static void secrets_are_read(void **state)
{
    g_autofree char *file = folder_write_mode(*state, "hook", "hush\n", 0400);
    g_autoptr(StenoSecret) secret = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(steno_config_secret(file, &secret, &error));
    assert_string_equal(steno_secret_text(secret), "hush");
    g_clear_pointer(&secret, steno_secret_unref);
    assert_true(steno_config_secret(NULL, &secret, &error));
    assert_null(secret);

    g_setenv("CREDENTIALS_DIRECTORY", *state, TRUE);
    assert_true(steno_config_secret("credential:hook", &secret, &error));
    assert_string_equal(steno_secret_text(secret), "hush");
    g_autoptr(StenoConfig) config = folder_load(
        *state, "webhooks = ( { name = \"w\"; url = \"https://w/\"; secret_file = \"credential:hook\"; } );");
    assert_string_equal(steno_config_webhook(config, "w")->secret_file, "credential:hook");
    g_unsetenv("CREDENTIALS_DIRECTORY");
}

/* The service must have it; a command in a shell says that it did not look. */
static void a_credential_is_of_the_service(void **state)
{
    static const char text[] =
        "platforms = ( { name = \"p\"; url = \"https://h/\"; pin_file = \"credential:pin\"; } );";
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    assert_non_null(strstr(config->notes->pdata[0], "was not looked at here"));
    g_setenv("NOTIFY_SOCKET", "/run/systemd/notify", TRUE);
    g_autofree char *message = folder_refuse(*state, text);
    g_unsetenv("NOTIFY_SOCKET");
    assert_non_null(strstr(message, "'credential:pin' is a credential, but there is no $CREDENTIALS_DIRECTORY"));
}

static void files_are_named(void **state)
{
    g_autofree char *secret = folder_write_mode(*state, "pin", "hush", 0600);
    g_autofree char *text = g_strdup_printf("api = { client_ca_file = \"/etc/hostname\"; };\n"
                                            "platforms = ( { name = \"p\"; url = \"https://h/\"; pin_file = \"%s\"; "
                                            "api_secret_file = \"%s\"; } );",
                                            secret, secret);
    g_autoptr(StenoConfig) config = folder_load(*state, text);
    assert_int_equal(config->files->len, 3);
    assert_true(g_str_has_suffix(config->files->pdata[0], "/steno.conf"));
    assert_string_equal(config->files->pdata[1], "/etc/hostname");
    assert_string_equal(config->files->pdata[2], secret);
}

static void is_shared(void **state)
{
    StenoConfig *config = folder_load(*state, "instance = \"x\";");
    StenoConfig *other = steno_config_ref(config);
    assert_ptr_equal(other, config);
    steno_config_unref(config);
    assert_string_equal(other->top.instance, "x");
    steno_config_unref(other);
    steno_config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_file_is_all_defaults, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(values_are_read, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(storages_are_read, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(odd_storages_are_noted, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(key_sources_and_apps_fit, folder_setup, folder_teardown),
        cmocka_unit_test(a_storage_needs_no_file),
        cmocka_unit_test(lists_of_an_app_are_asked),
        cmocka_unit_test_setup_teardown(files_add_up, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(include_in_text_and_comments_is_none, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(secrets_are_read, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(a_credential_is_of_the_service, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(files_are_named, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(is_shared, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
