#include "steno/base/error.h"

#include "steno/base/log.h"

#include <errno.h>
#include <string.h>

typedef struct {
    const char *slug;
    int exit_code;
    int http_status;
    const char *words;
} ErrorRow;

static const ErrorRow rows[STENO_ERROR_COUNT] = {
#define STENO_ERROR_ROW(name, slug, exit_code, http_status, words)                                                     \
    [STENO_ERROR_##name] = {slug, exit_code, http_status, words},
#include "steno/base/errors.def"
#undef STENO_ERROR_ROW
};

GQuark steno_error_quark(void)
{
    return g_quark_from_static_string("steno-error");
}

static const ErrorRow *row_of(StenoError code)
{
    return &rows[(unsigned)code < STENO_ERROR_COUNT ? code : STENO_ERROR_INTERNAL];
}

const char *steno_error_slug(StenoError code)
{
    return row_of(code)->slug;
}

gboolean steno_error_from_slug(const char *slug, StenoError *code)
{
    for (unsigned i = 0; i < STENO_ERROR_COUNT; i++) {
        if (g_strcmp0(rows[i].slug, slug) == 0) {
            *code = (StenoError)i;
            return TRUE;
        }
    }
    return FALSE;
}

const char *steno_error_words(StenoError code)
{
    return row_of(code)->words;
}

int steno_error_exit_code(const GError *error)
{
    if (!error)
        return 0;
    if (error->domain == STENO_ERROR)
        return row_of((StenoError)error->code)->exit_code;
    if (error->domain == G_FILE_ERROR)
        return row_of(error->code == G_FILE_ERROR_NOSPC ? STENO_ERROR_STORAGE_FULL : STENO_ERROR_STORAGE_FAILED)
            ->exit_code;
    return 1;
}

gboolean steno_error_is_storage(const GError *error)
{
    static const StenoError codes[] = {STENO_ERROR_STORAGE_UNWRITABLE, STENO_ERROR_STORAGE_FULL,
                                       STENO_ERROR_STORAGE_FAILED, STENO_ERROR_STORAGE_DENIED,
                                       STENO_ERROR_STORAGE_UNREACHABLE};
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
        if (g_error_matches(error, STENO_ERROR, (gint)codes[i]))
            return TRUE;
    return FALSE;
}

int steno_error_http_status(StenoError code)
{
    return row_of(code)->http_status;
}

json_t *steno_error_to_json(const GError *error)
{
    if (!error)
        return json_null();
    g_autofree char *words = steno_log_redact(error->message);
    g_autofree char *valid = g_utf8_make_valid(words, -1);
    const char *slug = error->domain == STENO_ERROR ? steno_error_slug((StenoError)error->code) : "internal";
    return json_pack("{s:s, s:s}", "code", slug, "message", valid);
}

GError *steno_error_from_json(const json_t *json, const char *words)
{
    if (!json_is_object(json))
        return NULL;
    StenoError code = STENO_ERROR_INTERNAL;
    const char *message = json_string_value(json_object_get(json, "message"));
    (void)steno_error_from_slug(json_string_value(json_object_get(json, "code")), &code);
    return g_error_new_literal(STENO_ERROR, (gint)code, message ? message : words);
}

gboolean steno_error_set(GError **error, StenoError code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STENO_ERROR, (gint)code, message);
    return FALSE;
}

static StenoError code_of_errno(int saved_errno)
{
    switch (saved_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STENO_ERROR_STORAGE_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
        return STENO_ERROR_STORAGE_UNWRITABLE;
    case ESTALE:
    case ETIMEDOUT:
    case ENOTCONN:
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
        return STENO_ERROR_STORAGE_UNREACHABLE;
    default:
        return STENO_ERROR_STORAGE_FAILED;
    }
}

const char *steno_error_service_advice(int saved_errno)
{
    if (!g_getenv("NOTIFY_SOCKET"))
        return NULL;
    if (saved_errno == EROFS)
        return "stenod.service may write below /srv, /mnt and /media: for another folder put ReadWritePaths= into "
               "`systemctl edit stenod`, then `systemctl restart stenod`";
    if (saved_errno == EACCES)
        return "give the user steno the right to; what is below /home, /root and /run/user is hidden from "
               "stenod.service";
    return NULL;
}

gboolean steno_error_set_errno(GError **error, int saved_errno, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *doing = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STENO_ERROR, code_of_errno(saved_errno), "%s: %s", doing, g_strerror(saved_errno));
    return FALSE;
}
