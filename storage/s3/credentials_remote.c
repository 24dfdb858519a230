#include "credentials_source.h"

#include "steno/base/error.h"

#include "sign.h"

#include <string.h>

/* Where containers are given credentials over plain HTTP (ECS, EKS Pod Identity), besides loopback. */
#define ECS_ADDRESS "169.254.170.2"
#define EKS_ADDRESS "169.254.170.23"
#define EKS_ADDRESS_6 "fd00:ec2::23"
/* The token of an instance's metadata is for one fetch of credentials: so many seconds. */
#define IMDS_TOKEN "X-aws-ec2-metadata-token"
#define IMDS_TOKEN_TTL IMDS_TOKEN "-ttl-seconds: 60"
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"
#define IMDS_ROLE_MAX_BYTES 128
/* STS takes 64 characters. */
#define SESSION_NAME "steno-%.58s"

static void *fail(GError **error, gint code, const char *words)
{
    g_set_error_literal(error, STENO_ERROR, code, words);
    return NULL;
}

/* An answer with secrets in it. */
typedef GBytes Answer;

static void answer_free(Answer *answer)
{
    gsize bytes = 0;
    gpointer data = g_bytes_unref_to_data(answer, &bytes);
    if (data)
        steno_secret_wipe(data, bytes);
    g_free(data);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Answer, answer_free)

static S3Span span_of_bytes(Answer *bytes)
{
    gsize n = 0;
    const char *data = g_bytes_get_data(bytes, &n);
    return (S3Span){n ? data : "", n};
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* The error of an HTTP status that is not the wanted one. */
static gint code_of_status(guint status)
{
    return status >= 500 || status == 429 ? STENO_ERROR_STORAGE_UNREACHABLE : STENO_ERROR_STORAGE_DENIED;
}

static guint ask(const S3Source *source, const char *method, const char *url, const char *const *headers,
                 const char *body, Answer **answer, GError **error)
{
    guint status =
        source->http->request(source->http->user, method, url, headers, body, answer, source->cancellable, error);
    if (status)
        return status;
    g_prefix_error(error, "%s does not answer: ", url);
    return 0;
}

/* Keys of what came back. */
static S3Keys *keys_of_answer(guint status, Answer *answer, S3Keys *(*parse)(S3Span, GError **), GError **error)
{
    g_autoptr(GError) local_error = NULL;
    g_autoptr(S3Keys) keys = parse(span_of_bytes(answer), &local_error);
    if (keys && status == 200)
        return g_steal_pointer(&keys);
    gint code = code_of_status(status);
    if (local_error && code == STENO_ERROR_STORAGE_DENIED)
        code = local_error->code;
    g_set_error(error, STENO_ERROR, code, "HTTP %u: %s", status,
                local_error ? local_error->message : "credentials, but no success");
    return NULL;
}

/* ---- web identity ------------------------------------------------------------------------------------------------ */

static char *sts_url(const StenoConfigStorage *settings, GError **error)
{
    if (!settings->sts_endpoint)
        return g_strdup_printf("https://sts.%s.amazonaws.com%s/", settings->region,
                               g_str_has_prefix(settings->region, "cn-") ? ".cn" : "");
    if (!settings->allow_http && !g_str_has_prefix(settings->sts_endpoint, "https://"))
        return fail(error, STENO_ERROR_STORAGE_DENIED, "sts_endpoint is not https, and allow_http is not set");
    return g_strdup_printf("%s%s", settings->sts_endpoint, g_str_has_suffix(settings->sts_endpoint, "/") ? "" : "/");
}

static char *sts_body(const StenoConfigStorage *settings, const StenoSecret *token)
{
    g_autofree char *name = g_strdup_printf(SESSION_NAME, settings->name);
    const S3Pair clear[] = {{"Action", "AssumeRoleWithWebIdentity"},
                            {"Version", "2011-06-15"},
                            {"RoleSessionName", name},
                            {settings->role_arn ? "RoleArn" : NULL, settings->role_arn},
                            {NULL, NULL}};
    g_autofree char *first = s3_encode_query(clear);
    char *encoded = s3_encode(steno_secret_text(token));
    char *body = g_strdup_printf("%s&WebIdentityToken=%s", first, encoded);
    s3_wipe_free(encoded);
    return body;
}

S3Keys *s3_source_web_identity(const S3Source *source, GError **error)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/xml",
                                          NULL};
    const StenoConfigStorage *settings = source->settings;
    if (!settings->web_identity_token_file)
        return fail(error, STENO_ERROR_NOT_FOUND, "there is no web_identity_token_file");
    g_autoptr(StenoSecret) token = s3_read_token(settings->web_identity_token_file, error);
    g_autofree char *url = token ? sts_url(settings, error) : NULL;
    if (!url)
        return NULL;
    g_autoptr(Answer) answer = NULL;
    char *body = sts_body(settings, token);
    guint status = ask(source, "POST", url, headers, body, &answer, error);
    s3_wipe_free(body);
    if (!status)
        return NULL;
    S3Keys *keys = keys_of_answer(status, answer, s3_keys_of_sts, error);
    if (!keys)
        g_prefix_error(error, "%s said ", url);
    return keys;
}

/* ---- container --------------------------------------------------------------------------------------------------- */

static gboolean may_be_http(const char *host)
{
    if (strcmp(host, "localhost") == 0 || strcmp(host, ECS_ADDRESS) == 0 || strcmp(host, EKS_ADDRESS) == 0 ||
        strcmp(host, EKS_ADDRESS_6) == 0)
        return TRUE;
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(host);
    return address && g_inet_address_get_is_loopback(address);
}

/* Who answers there is given a token, and is believed. */
static gboolean check_container_url(const char *url, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    const char *scheme = uri ? g_uri_get_scheme(uri) : "", *host = uri ? g_uri_get_host(uri) : NULL;
    gboolean lawful = host && host[0] && !g_uri_get_userinfo(uri) &&
                      (strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && may_be_http(host)));
    if (!lawful)
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_DENIED,
                    "'%s' is neither https, nor http of this machine, " ECS_ADDRESS " or " EKS_ADDRESS, url);
    return lawful;
}

static char *container_url(const StenoConfigStorage *settings, GError **error)
{
    const char *relative = g_getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = g_getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    g_autofree char *url = settings->container_endpoint ? g_strdup(settings->container_endpoint)
                           : relative
                               ? g_strdup_printf("http://" ECS_ADDRESS "%s%s", relative[0] == '/' ? "" : "/", relative)
                               : g_strdup(full);
    if (!url)
        return fail(error, STENO_ERROR_NOT_FOUND,
                    "there is no container_endpoint, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI");
    return check_container_url(url, error) ? g_steal_pointer(&url) : NULL;
}

/* *header is NULL when no token is asked for. It is a secret. */
static gboolean container_authorization(char **header, GError **error)
{
    const char *file = g_getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *text = g_getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    g_autoptr(StenoSecret) token = NULL;
    *header = NULL;
    if (!file && !text)
        return TRUE;
    if (file)
        token = s3_read_token(file, error);
    else
        token = s3_token_of((S3Span){text, strlen(text)}, "AWS_CONTAINER_AUTHORIZATION_TOKEN", error);
    if (token)
        *header = g_strdup_printf("Authorization: %s", steno_secret_text(token));
    return token != NULL;
}

S3Keys *s3_source_container(const S3Source *source, GError **error)
{
    g_autofree char *url = container_url(source->settings, error);
    char *authorization = NULL;
    if (!url || !container_authorization(&authorization, error))
        return NULL;
    const char *const headers[] = {"Accept: application/json", authorization, NULL};
    g_autoptr(Answer) answer = NULL;
    guint status = ask(source, "GET", url, headers, NULL, &answer, error);
    s3_wipe_free(authorization);
    if (!status)
        return NULL;
    S3Keys *keys = keys_of_answer(status, answer, s3_keys_of_json, error);
    if (!keys)
        g_prefix_error(error, "%s said ", url);
    return keys;
}

/* ---- an instance's metadata -------------------------------------------------------------------------------------- */

/* "X-aws-ec2-metadata-token: …", a secret; NULL: there is none. */
static char *imds_token(const S3Source *source, const char *base, GError **error)
{
    static const char *const headers[] = {IMDS_TOKEN_TTL, NULL};
    g_autofree char *url = g_strdup_printf("%s/latest/api/token", base);
    g_autoptr(Answer) answer = NULL;
    guint status = ask(source, "PUT", url, headers, "", &answer, error);
    if (!status)
        return NULL;
    if (status != 200) {
        g_set_error(error, STENO_ERROR, code_of_status(status), "%s said HTTP %u: is IMDSv2 allowed here?", url,
                    status);
        return NULL;
    }
    g_autoptr(StenoSecret) token = s3_token_of(span_of_bytes(answer), "the metadata service's token", error);
    return token ? g_strdup_printf(IMDS_TOKEN ": %s", steno_secret_text(token)) : NULL;
}

/* The address of the role's credentials: of the first role, and an instance has one at most. */
static char *imds_role(const S3Source *source, const char *base, const char *const *headers, GError **error)
{
    g_autofree char *url = g_strdup_printf("%s" IMDS_ROLES, base);
    g_autoptr(Answer) answer = NULL;
    guint status = ask(source, "GET", url, headers, NULL, &answer, error);
    if (!status)
        return NULL;
    if (status == 404)
        return fail(error, STENO_ERROR_NOT_FOUND, "the instance has no role");
    S3Span role = s3_span_first_line(span_of_bytes(answer));
    if (status != 200 || !s3_span_is_clean(role, IMDS_ROLE_MAX_BYTES, '!')) {
        g_set_error(error, STENO_ERROR, code_of_status(status), "%s said HTTP %u, and no name of a role", url, status);
        return NULL;
    }
    g_autofree char *name = g_strndup(role.data, role.bytes);
    g_autofree char *encoded = s3_encode(name);
    return g_strdup_printf("%s%s", url, encoded);
}

S3Keys *s3_source_imds(const S3Source *source, GError **error)
{
    const char *given = source->settings->imds_endpoint;
    g_autofree char *base = g_strndup(given, strlen(given) - (g_str_has_suffix(given, "/") ? 1 : 0));
    char *token = imds_token(source, base, error);
    if (!token)
        return NULL;
    const char *const headers[] = {token, NULL};
    g_autofree char *url = imds_role(source, base, headers, error);
    g_autoptr(Answer) answer = NULL;
    guint status = url ? ask(source, "GET", url, headers, NULL, &answer, error) : 0;
    s3_wipe_free(token);
    if (!status)
        return NULL;
    S3Keys *keys = keys_of_answer(status, answer, s3_keys_of_json, error);
    if (!keys)
        g_prefix_error(error, "%s said ", url);
    return keys;
}
