/* Where credentials come from, what is asked of whom, when they are fetched anew, and what is said when there are none.
 */
#include "s3/credentials_source.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

#define STEPS_MAX 16
#define THREADS 8
#define HOUR_US (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)
#define MINUTE_US (G_GINT64_CONSTANT(60) * G_USEC_PER_SEC)

/* What the server is asked, in this order, and what it says; status 0: nothing. */
typedef struct {
    const char *method, *url;
    guint status;
    const char *answer;
    const char *header, *body; /* parts of what must be sent; NULL: whatever */
} Step;

typedef struct {
    char *folder;
    StenoConfig *config;
    StenoConfigStorage *settings;
    S3Credentials *credentials;
    GMutex lock;
    GCond changed;
    Step steps[STEPS_MAX];
    guint n_steps, asked;
    gboolean hold, held; /* requests wait while hold */
} World;

static gint64 now_us;

static gint64 clock_of_the_test(void)
{
    return now_us;
}

static gboolean has_header(const char *const *headers, const char *header)
{
    return headers && g_strv_contains(headers, header);
}

static guint request(gpointer user, const char *method, const char *url, const char *const *headers, const char *body,
                     GBytes **answer, GCancellable *cancellable, GError **error)
{
    World *world = user;
    g_mutex_lock(&world->lock);
    guint number = world->asked++;
    world->held = TRUE;
    g_cond_broadcast(&world->changed);
    while (world->hold)
        g_cond_wait(&world->changed, &world->lock);
    g_mutex_unlock(&world->lock);
    if (g_cancellable_is_cancelled(cancellable)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_INTERRUPTED, "interrupted");
        return 0;
    }
    assert_true(number < world->n_steps);
    const Step *step = &world->steps[number];
    assert_string_equal(method, step->method);
    assert_string_equal(url, step->url);
    if (step->header)
        assert_true(has_header(headers, step->header));
    if (step->body)
        assert_non_null(strstr(body ? body : "(none)", step->body));
    if (!step->status) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE, "connection refused");
        return 0;
    }
    *answer = g_bytes_new(step->answer, strlen(step->answer));
    return step->status;
}

static void expect(World *world, Step step)
{
    assert_in_range(world->n_steps, 0, STEPS_MAX - 1);
    world->steps[world->n_steps++] = step;
}

static void set(char **member, const char *text)
{
    g_free(*member);
    *member = g_strdup(text);
}

static void set_sources(World *world, const char *names)
{
    g_strfreev(world->settings->credentials);
    world->settings->credentials = g_strsplit(names, " ", -1);
}

static char *write_file(World *world, const char *name, const char *text, int mode)
{
    char *path = g_build_filename(world->folder, name, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(g_chmod(path, mode), 0);
    return path;
}

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"};

static int begin(void **state)
{
    World *world = g_new0(World, 1);
    for (guint i = 0; i < G_N_ELEMENTS(variables); i++)
        g_unsetenv(variables[i]);
    world->folder = g_dir_make_tmp("steno-credentials-XXXXXX", NULL);
    g_setenv("HOME", world->folder, TRUE);
    world->config = steno_config_with_storage("primary", "s3", &world->settings);
    world->credentials = s3_credentials_new(world->config, world->settings, (S3CredentialsHttp){request, world});
    now_us = G_GINT64_CONSTANT(1795309200) * G_USEC_PER_SEC; /* 2026-11-22T01:00:00Z */
    s3_credentials_set_clock(world->credentials, clock_of_the_test);
    g_mutex_init(&world->lock);
    g_cond_init(&world->changed);
    *state = world;
    return 0;
}

static int end(void **state)
{
    World *world = *state;
    assert_int_equal(world->asked, world->n_steps);
    s3_credentials_free(world->credentials);
    steno_config_unref(world->config);
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", world->folder);
    assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(world->folder);
    g_mutex_clear(&world->lock);
    g_cond_clear(&world->changed);
    g_free(world);
    return 0;
}

static void expect_keys(World *world, const S3Keys *refused, const char *id, const char *secret, const char *token)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Keys) keys = s3_credentials_get(world->credentials, refused, NULL, &error);
    if (!keys)
        fail_msg("no keys: %s", error->message);
    assert_string_equal(keys->access_key_id, id);
    assert_string_equal(steno_secret_text(keys->secret_access_key), secret);
    if (token)
        assert_string_equal(steno_secret_text(keys->session_token), token);
    else
        assert_null(keys->session_token);
}

static void expect_error(World *world, const S3Keys *refused, StenoError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Keys) keys = s3_credentials_get(world->credentials, refused, NULL, &error);
    assert_null(keys);
    if (!g_error_matches(error, STENO_ERROR, (gint)code) || !strstr(error->message, words))
        fail_msg("'%s' (%s), wanted '%s' (%s)", error->message, steno_error_slug((StenoError)error->code), words,
                 steno_error_slug(code));
}

/* ---- file, environment, profile ---------------------------------------------------------------------------------- */

static void from_a_file(void **state)
{
    World *world = *state;
    g_autofree char *path = write_file(world, "keys", "\r\nAKID \r\n sec ret\r\ntoken==\r\n\r\n", 0600);
    set(&world->settings->access_key_file, path);
    expect_keys(world, NULL, "AKID", "sec ret", "token==");
}

static void file_without_keys(void **state)
{
    World *world = *state;
    static const struct {
        const char *text, *words;
    } wrong[] = {{"AKID\n", "not two lines"},
                 {"A\nB\nC\nD\n", "more than three lines"},
                 {"A K\nsecret\n", "access key id is empty"},
                 {"AKID\nse\tcret\n", "secret access key is empty"},
                 {"AKID\nsecret\nto\xc3\xa9\n", "session token is empty"}};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = write_file(world, "keys", wrong[i].text, 0600);
        set(&world->settings->access_key_file, path);
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, wrong[i].words);
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED,
                     "cannot get credentials for the storage 'primary': file:");
    }
    g_free(write_file(world, "keys", "AKID\nsecret\n", 0644));
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "chmod 0600");
}

static void from_the_environment(void **state)
{
    World *world = *state;
    g_setenv("AWS_ACCESS_KEY_ID", "AKID", TRUE);
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY");
    g_setenv("AWS_SECRET_ACCESS_KEY", "secret", TRUE);
    g_setenv("AWS_SESSION_TOKEN", "", TRUE);
    expect_keys(world, NULL, "AKID", "secret", NULL);
}

static void from_a_profile(void **state)
{
    World *world = *state;
    g_autofree char *path = write_file(world, "credentials",
                                       "# mine\n[other]\nwhatever\naws_access_key_id = WRONG\n\n[ archive ]\r\n"
                                       "region=eu\nAWS_ACCESS_KEY_ID = no\n; no\naws_access_key_id=AK=ID\n"
                                       "aws_secret_access_key =  se#cret \ns3 =\n    aws_session_token = nested\n"
                                       "aws_session_token = tok\n[default]\naws_access_key_id = D\n",
                                       0600);
    set(&world->settings->profile_file, path);
    set(&world->settings->profile, "archive");
    expect_keys(world, NULL, "AK=ID", "se#cret", "tok");
}

static void profile_without_keys(void **state)
{
    World *world = *state;
    static const struct {
        const char *text, *words;
    } wrong[] = {{"[default]\nrole_arn = arn:x\n", "[default] lacks"},
                 {"[default]\naws_access_key_id = A\naws_access_key_id = B\n", "aws_access_key_id twice"},
                 {"[default]\n[x]\n[default]\n", "there twice"},
                 {"[default]\nnonsense\n", "no 'name = value'"},
                 {"[default\naws_access_key_id = A\naws_secret_access_key = B\n", "there is no profile [default]"}};
    set_sources(world, "profile");
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = write_file(world, "credentials", wrong[i].text, 0600);
        set(&world->settings->profile_file, path);
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, wrong[i].words);
    }
    set(&world->settings->profile_file, "/nonexistent/credentials");
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "/nonexistent/credentials");
}

/* ---- web identity ------------------------------------------------------------------------------------------------ */

#define STS "https://sts.example/"
#define STS_KEYS(id, time)                                                                                             \
    "<?xml version='1.0'?>\n<!-- x --><s:AssumeRoleWithWebIdentityResponse xmlns:s=\"https://sts.example/doc/>\">"     \
    "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser><Empty/><Credentials>"            \
    "<SessionToken>tok+/==</SessionToken><SecretAccessKey>secret</SecretAccessKey><Expiration>" time                   \
    "</Expiration><AccessKeyId>" id "</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"                   \
    "</s:AssumeRoleWithWebIdentityResponse>\n"
#define STS_ERROR(code, message)                                                                                       \
    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>" code         \
    "</Code><Message>" message "</Message></Error><RequestId>1</RequestId></ErrorResponse>"

static void use_web_identity(World *world, const char *token)
{
    g_autofree char *path = write_file(world, "token", token, 0644);
    set_sources(world, "web-identity");
    set(&world->settings->web_identity_token_file, path);
    set(&world->settings->role_arn, "arn:aws:iam::1:role/r");
    set(&world->settings->sts_endpoint, "https://sts.example");
}

static void from_sts(void **state)
{
    World *world = *state;
    use_web_identity(world, "e.y J\n");
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "characters that no token has");
    use_web_identity(world, "e.y+J\n");
    expect(world, (Step){"POST", STS, 200, STS_KEYS("AKID", "2026-11-22T02:00:00Z"),
                         "Content-Type: application/x-www-form-urlencoded",
                         "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName="
                         "steno-primary&Version=2011-06-15&WebIdentityToken=e.y%2BJ"});
    expect_keys(world, NULL, "AKID", "secret", "tok+/==");
    expect_keys(world, NULL, "AKID", "secret", "tok+/==");
    /* The token is read anew each time. */
    use_web_identity(world, "second");
    now_us += 2 * HOUR_US;
    expect(world,
           (Step){"POST", STS, 200, STS_KEYS("TWO", "2026-11-22T06:00:00+01:00"), NULL, "WebIdentityToken=second"});
    expect_keys(world, NULL, "TWO", "secret", "tok+/==");
}

static void sts_of_amazon(void **state)
{
    World *world = *state;
    use_web_identity(world, "t");
    set(&world->settings->sts_endpoint, NULL);
    set(&world->settings->region, "cn-north-1");
    expect(world, (Step){"POST", "https://sts.cn-north-1.amazonaws.com.cn/", 200,
                         STS_KEYS("AKID", "2026-11-22T02:00:00Z"), NULL, NULL});
    expect_keys(world, NULL, "AKID", "secret", "tok+/==");
    set(&world->settings->sts_endpoint, "http://sts.example");
    now_us += 2 * HOUR_US;
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "not https");
}

static void sts_says_no(void **state)
{
    World *world = *state;
    use_web_identity(world, "t");
    static const struct {
        guint status;
        const char *answer;
        StenoError code;
        const char *words;
    } wrong[] = {
        {403, STS_ERROR("AccessDenied", "Not you"), STENO_ERROR_STORAGE_DENIED,
         "HTTP 403: the answer holds no credentials: AccessDenied Not you"},
        {400, STS_ERROR("IDPCommunicationError", "later"), STENO_ERROR_STORAGE_UNREACHABLE, "later"},
        {503, "<html>sorry<br></html>", STENO_ERROR_STORAGE_UNREACHABLE, "HTTP 503"},
        {429, "", STENO_ERROR_STORAGE_UNREACHABLE, "HTTP 429"},
        {200, "", STENO_ERROR_STORAGE_DENIED, "no XML of STS"},
        {200, "<a><b></a></b>", STENO_ERROR_STORAGE_DENIED, "no XML of STS"},
        {200, "<!DOCTYPE a []><a></a>", STENO_ERROR_STORAGE_DENIED, "no XML of STS"},
        {200, STS_KEYS("A", "2026-11-22T02:00:00Z") "<", STENO_ERROR_STORAGE_DENIED, "no XML of STS"},
        {200, STS_KEYS("A&amp;", "2026-11-22T02:00:00Z"), STENO_ERROR_STORAGE_DENIED, "no credentials"},
        {200, STS_KEYS("A<!-- -->B", "2026-11-22T02:00:00Z"), STENO_ERROR_STORAGE_DENIED, "no credentials"},
        {200, STS_KEYS("A", "soon"), STENO_ERROR_STORAGE_DENIED, "Expiration is no time"},
        {200, STS_KEYS("A B", "2026-11-22T02:00:00Z"), STENO_ERROR_STORAGE_DENIED, "access key id"},
        {200, STS_KEYS("A</AccessKeyId><AccessKeyId>B", "2026-11-22T02:00:00Z"), STENO_ERROR_STORAGE_DENIED,
         "no XML of STS"},
        {403, STS_KEYS("A", "2026-11-22T02:00:00Z"), STENO_ERROR_STORAGE_DENIED, "no success"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        expect(world, (Step){"POST", STS, wrong[i].status, wrong[i].answer, NULL, NULL});
        expect_error(world, NULL, wrong[i].code, wrong[i].words);
    }
    expect(world, (Step){"POST", STS, 0, NULL, NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_UNREACHABLE, STS " does not answer: connection refused");
    set(&world->settings->web_identity_token_file, "/nonexistent/token");
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "/nonexistent/token");
}

/* ---- container --------------------------------------------------------------------------------------------------- */

#define JSON_KEYS(id, time)                                                                                            \
    "{\"Code\": \"Success\", \"AccessKeyId\": \"" id "\", \"SecretAccessKey\": \"secret\", \"Token\": \"tok\", "       \
    "\"Expiration\": \"" time "\"}"

static void from_a_container(void **state)
{
    World *world = *state;
    set_sources(world, "container");
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "there is no container_endpoint");
    g_setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1", TRUE);
    expect(world, (Step){"GET", "http://169.254.170.2/v2/credentials/1", 200, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"),
                         "Accept: application/json", NULL});
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += 2 * HOUR_US;
    g_unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    g_setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials", TRUE);
    g_setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the environment", TRUE);
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "AWS_CONTAINER_AUTHORIZATION_TOKEN is empty, too long");
    g_autofree char *token = write_file(world, "token", "of-a-file\n", 0644);
    g_setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token, TRUE);
    expect(world, (Step){"GET", "http://169.254.170.23/v1/credentials", 200, JSON_KEYS("TWO", "2026-11-22T04:00:00Z"),
                         "Authorization: of-a-file", NULL});
    expect_keys(world, NULL, "TWO", "secret", "tok");
}

static void container_elsewhere(void **state)
{
    World *world = *state;
    static const char *const lawful[] = {"http://127.0.0.9:81/x", "http://[::1]/", "http://[fd00:ec2::23]/",
                                         "http://localhost/x", "https://credentials.example/"};
    static const char *const unlawful[] = {"http://169.254.170.3/",
                                           "http://example/",
                                           "http://127.0.0.1.example/",
                                           "http://a@127.0.0.1/",
                                           "ftp://127.0.0.1/",
                                           "file:///etc/passwd",
                                           "nonsense"};
    set_sources(world, "container");
    for (guint i = 0; i < G_N_ELEMENTS(unlawful); i++) {
        set(&world->settings->container_endpoint, unlawful[i]);
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "neither https, nor http of this machine");
    }
    for (guint i = 0; i < G_N_ELEMENTS(lawful); i++) {
        set(&world->settings->container_endpoint, lawful[i]);
        expect(world,
               (Step){"GET", lawful[i], 404, "{\"code\": \"NotFound\", \"message\": \"no\\nrole\"}", NULL, NULL});
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED,
                     "HTTP 404: the answer holds no credentials: NotFound no role");
    }
}

static void container_says_nonsense(void **state)
{
    World *world = *state;
    static const struct {
        const char *answer, *words;
    } wrong[] = {{"", "no JSON object"},
                 {"[]", "no JSON object"},
                 {"{\"AccessKeyId\": 1}", "no credentials"},
                 {"{\"AccessKeyId\": \"A\"}", "secret access key"},
                 {"{\"Code\": \"Failed\", \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"B\"}", "Failed"},
                 {"{\"AccessKeyId\": \"A\", \"AccessKeyId\": \"B\", \"SecretAccessKey\": \"B\"}", "no JSON object"},
                 {JSON_KEYS("A", "2026"), "Expiration is no time"}};
    set_sources(world, "container");
    set(&world->settings->container_endpoint, "http://localhost/");
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        expect(world, (Step){"GET", "http://localhost/", 200, wrong[i].answer, NULL, NULL});
        expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, wrong[i].words);
    }
}

/* ---- imds -------------------------------------------------------------------------------------------------------- */

#define IMDS "http://169.254.169.254"
#define ROLES IMDS "/latest/meta-data/iam/security-credentials/"

static void expect_imds(World *world, const char *token, const char *header, const char *answer)
{
    expect(world,
           (Step){"PUT", IMDS "/latest/api/token", 200, token, "X-aws-ec2-metadata-token-ttl-seconds: 60", NULL});
    expect(world, (Step){"GET", ROLES, 200, "my-role\nother\n", header, NULL});
    expect(world, (Step){"GET", ROLES "my-role", 200, answer, header, NULL});
}

static void from_an_instance(void **state)
{
    World *world = *state;
    set_sources(world, "imds");
    expect_imds(world, "one==", "X-aws-ec2-metadata-token: one==", JSON_KEYS("ONE", "2026-11-22T07:00:00Z"));
    expect_keys(world, NULL, "ONE", "secret", "tok");
    /* Another token for the next keys. */
    now_us += 7 * HOUR_US;
    expect_imds(world, "two==", "X-aws-ec2-metadata-token: two==", JSON_KEYS("TWO", "2026-11-22T14:00:00Z"));
    expect_keys(world, NULL, "TWO", "secret", "tok");
}

static void no_instance(void **state)
{
    World *world = *state;
    set_sources(world, "imds environment");
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 0, NULL, NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_UNREACHABLE, "; environment: AWS_ACCESS_KEY_ID");
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 403, "", NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "is IMDSv2 allowed here?");
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 200, "t", NULL, NULL});
    expect(world, (Step){"GET", ROLES, 404, "", NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "the instance has no role; environment:");
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 200, "t", NULL, NULL});
    expect(world, (Step){"GET", ROLES, 200, "<html> </html>", NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "no name of a role");
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 200, "t\r\nX: y", NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED, "characters that no token has");
    /* Where there is no instance, the next one is looked at. */
    g_setenv("AWS_ACCESS_KEY_ID", "AKID", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "secret", TRUE);
    expect(world, (Step){"PUT", IMDS "/latest/api/token", 0, NULL, NULL, NULL});
    expect_keys(world, NULL, "AKID", "secret", NULL);
}

/* ---- the chain --------------------------------------------------------------------------------------------------- */

static void each_source_is_named(void **state)
{
    World *world = *state;
    expect_error(world, NULL, STENO_ERROR_STORAGE_DENIED,
                 "cannot get credentials for the storage 'primary': environment: AWS_ACCESS_KEY_ID and "
                 "AWS_SECRET_ACCESS_KEY are not set; profile: there is no ");
    set_sources(world, "file web-identity container");
    expect_error(
        world, NULL, STENO_ERROR_STORAGE_DENIED,
        "file: there is no access_key_file; web-identity: there is no web_identity_token_file; container: there");
}

static void one_that_fails_ends_the_search(void **state)
{
    World *world = *state;
    use_web_identity(world, "t");
    set_sources(world, "file web-identity environment");
    g_setenv("AWS_ACCESS_KEY_ID", "ANOTHER", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "secret", TRUE);
    expect(world, (Step){"POST", STS, 503, "", NULL, NULL});
    expect_error(world, NULL, STENO_ERROR_STORAGE_UNREACHABLE, "web-identity: " STS " said HTTP 503");
}

/* ---- renewal ----------------------------------------------------------------------------------------------------- */

static void use_container(World *world)
{
    set_sources(world, "container");
    set(&world->settings->container_endpoint, "http://localhost/");
}

static void answer_with(World *world, const char *json)
{
    expect(world, (Step){"GET", "http://localhost/", json ? 200 : 0, json, NULL, NULL});
}

static void renewed_before_the_end(void **state)
{
    World *world = *state;
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += 55 * MINUTE_US - 1;
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += 1; /* five minutes before the end; a tenth of its life would be six */
    answer_with(world, JSON_KEYS("TWO", "2026-11-22T02:05:00Z"));
    expect_keys(world, NULL, "TWO", "secret", "tok");
    now_us += 9 * MINUTE_US - 1;
    expect_keys(world, NULL, "TWO", "secret", "tok");
    now_us += 1; /* a tenth of ten minutes */
    answer_with(world, JSON_KEYS("THREE", "2026-11-23T02:05:00Z"));
    expect_keys(world, NULL, "THREE", "secret", "tok");
}

static void old_keys_while_renewal_fails(void **state)
{
    World *world = *state;
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += 56 * MINUTE_US;
    answer_with(world, NULL);
    expect_keys(world, NULL, "ONE", "secret", "tok");
    /* Not asked again for each request. */
    now_us += 9 * G_USEC_PER_SEC;
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += G_USEC_PER_SEC;
    answer_with(world, NULL);
    expect_keys(world, NULL, "ONE", "secret", "tok");
    /* They are over. */
    now_us += 4 * MINUTE_US;
    answer_with(world, NULL);
    expect_error(world, NULL, STENO_ERROR_STORAGE_UNREACHABLE, "connection refused");
    answer_with(world, JSON_KEYS("TWO", "2026-11-22T03:00:00Z"));
    expect_keys(world, NULL, "TWO", "secret", "tok");
}

/* A clock that is wrong must not make each request ask for keys. */
static void keys_that_are_over_when_they_come(void **state)
{
    World *world = *state;
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2020-01-01T00:00:00Z"));
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += 9 * G_USEC_PER_SEC;
    expect_keys(world, NULL, "ONE", "secret", "tok");
    now_us += G_USEC_PER_SEC;
    answer_with(world, JSON_KEYS("TWO", "2020-01-01T00:00:00Z"));
    expect_keys(world, NULL, "TWO", "secret", "tok");
}

static void refused_keys(void **state)
{
    World *world = *state;
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    g_autoptr(S3Keys) one = s3_credentials_get(world->credentials, NULL, NULL, NULL);
    assert_non_null(one);
    /* While nobody answers they are still refused. */
    answer_with(world, NULL);
    expect_error(world, one, STENO_ERROR_STORAGE_UNREACHABLE, "connection refused");
    answer_with(world, JSON_KEYS("TWO", "2026-11-22T02:00:00Z"));
    expect_keys(world, one, "TWO", "secret", "tok");
    /* Another request of the same time learns late that they are. */
    expect_keys(world, one, "TWO", "secret", "tok");
    g_autoptr(S3Keys) two = s3_credentials_get(world->credentials, NULL, NULL, NULL);
    answer_with(world, JSON_KEYS("TWO", "2026-11-22T02:00:00Z"));
    expect_error(world, two, STENO_ERROR_STORAGE_DENIED, "(access key 'TWO') as expired");
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

typedef struct {
    World *world;
    GCancellable *cancellable;
    S3Keys *keys;
    GError *error;
} Asker;

static gpointer ask(gpointer user)
{
    Asker *asker = user;
    asker->keys = s3_credentials_get(asker->world->credentials, NULL, asker->cancellable, &asker->error);
    return NULL;
}

static void wait_until_held(World *world)
{
    g_mutex_lock(&world->lock);
    while (!world->held)
        g_cond_wait(&world->changed, &world->lock);
    g_mutex_unlock(&world->lock);
}

static void let_go(World *world)
{
    g_mutex_lock(&world->lock);
    world->hold = FALSE;
    g_cond_broadcast(&world->changed);
    g_mutex_unlock(&world->lock);
}

static void one_fetches_for_all(void **state)
{
    World *world = *state;
    GThread *threads[THREADS];
    Asker askers[THREADS] = {{0}};
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    world->hold = TRUE;
    for (guint i = 0; i < THREADS; i++) {
        askers[i].world = world;
        threads[i] = g_thread_new("asker", ask, &askers[i]);
    }
    wait_until_held(world);
    let_go(world);
    for (guint i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        assert_non_null(askers[i].keys);
        assert_ptr_equal(askers[i].keys, askers[0].keys);
        s3_keys_unref(askers[i].keys);
    }
    assert_int_equal(world->asked, 1);
}

static void waiting_can_be_interrupted(void **state)
{
    World *world = *state;
    Asker fetcher = {world, NULL, NULL, NULL}, waiting = {world, g_cancellable_new(), NULL, NULL};
    use_container(world);
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    world->hold = TRUE;
    GThread *first = g_thread_new("fetcher", ask, &fetcher);
    wait_until_held(world);
    GThread *second = g_thread_new("waiting", ask, &waiting);
    g_cancellable_cancel(waiting.cancellable);
    g_thread_join(second); /* while the first one is held */
    assert_null(waiting.keys);
    assert_true(g_error_matches(waiting.error, STENO_ERROR, STENO_ERROR_INTERRUPTED));
    let_go(world);
    g_thread_join(first);
    assert_non_null(fetcher.keys);
    s3_keys_unref(fetcher.keys);
    g_clear_error(&waiting.error);
    g_object_unref(waiting.cancellable);
}

/* Who is interrupted while fetching takes nobody else along. */
static void another_goes_on(void **state)
{
    World *world = *state;
    Asker fetcher = {world, g_cancellable_new(), NULL, NULL}, waiting = {world, NULL, NULL, NULL};
    use_container(world);
    answer_with(world, JSON_KEYS("NEVER", "2026-11-22T02:00:00Z"));
    answer_with(world, JSON_KEYS("ONE", "2026-11-22T02:00:00Z"));
    world->hold = TRUE;
    GThread *first = g_thread_new("fetcher", ask, &fetcher);
    wait_until_held(world);
    GThread *second = g_thread_new("waiting", ask, &waiting);
    g_cancellable_cancel(fetcher.cancellable);
    let_go(world);
    g_thread_join(first);
    g_thread_join(second);
    assert_null(fetcher.keys);
    assert_true(g_error_matches(fetcher.error, STENO_ERROR, STENO_ERROR_INTERRUPTED));
    assert_non_null(waiting.keys);
    assert_string_equal(waiting.keys->access_key_id, "ONE");
    s3_keys_unref(waiting.keys);
    g_clear_error(&fetcher.error);
    g_object_unref(fetcher.cancellable);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(from_a_file),
                                       TEST(file_without_keys),
                                       TEST(from_the_environment),
                                       TEST(from_a_profile),
                                       TEST(profile_without_keys),
                                       TEST(from_sts),
                                       TEST(sts_of_amazon),
                                       TEST(sts_says_no),
                                       TEST(from_a_container),
                                       TEST(container_elsewhere),
                                       TEST(container_says_nonsense),
                                       TEST(from_an_instance),
                                       TEST(no_instance),
                                       TEST(each_source_is_named),
                                       TEST(one_that_fails_ends_the_search),
                                       TEST(renewed_before_the_end),
                                       TEST(old_keys_while_renewal_fails),
                                       TEST(keys_that_are_over_when_they_come),
                                       TEST(refused_keys),
                                       TEST(one_fetches_for_all),
                                       TEST(waiting_can_be_interrupted),
                                       TEST(another_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
