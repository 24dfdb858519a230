/*
 * The error domain of the house: one GError domain, one table (errors.def).
 *
 * A message says what was being done, with what, what came back, and what the user can do. Secrets never go into a
 * message.
 */
#ifndef STENO_BASE_ERROR_H
#define STENO_BASE_ERROR_H

#include <glib.h>
#include <jansson.h>

#define STENO_ERROR (steno_error_quark())

typedef enum {
#define STENO_ERROR_ROW(name, slug, exit_code, http_status, words) STENO_ERROR_##name,
#include "steno/base/errors.def"
#undef STENO_ERROR_ROW
    STENO_ERROR_COUNT
} StenoError;

GQuark steno_error_quark(void);

/* The short name of an error, as it stands in JSON and in the manifest ("token-refused"). Static. */
const char *steno_error_slug(StenoError code);

/* The error of a slug; FALSE when there is none. */
gboolean steno_error_from_slug(const char *slug, StenoError *code);

/* What the error means, a few words for --help and the documentation. Static. */
const char *steno_error_words(StenoError code);

/* The exit code of `steno` for an error: of its own domain by the table, STORAGE_* for a GFileError, else 1. NULL is 0.
 */
int steno_error_exit_code(const GError *error);

/* Is it one of STORAGE_*: a disk or sink that may be well again later? NULL is not. */
gboolean steno_error_is_storage(const GError *error);

/* The HTTP status of an error of this domain. */
int steno_error_http_status(StenoError code);

/*
 * {"code": slug, "message": words}, redacted; of another domain the code is "internal". NULL is null. The caller owns
 * the reference.
 */
json_t *steno_error_to_json(const GError *error);
/* Back again; NULL when it is no object. `words` stand in for a message that is missing. */
GError *steno_error_from_json(const json_t *json, const char *words);

/* g_set_error() of this domain, for `return`: FALSE. */
gboolean steno_error_set(GError **error, StenoError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/*
 * Sets *error from errno: ENOSPC and EDQUOT become STORAGE_FULL, EACCES, EPERM, EROFS and ENOENT STORAGE_UNWRITABLE,
 * what a network mount that went away answers (ESTALE, ETIMEDOUT, …) STORAGE_UNREACHABLE, all else STORAGE_FAILED. The
 * message is "<what was being done>: <words of errno>". Returns FALSE, for `return`.
 */
gboolean steno_error_set_errno(GError **error, int saved_errno, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* What to do where a service of systemd's gets this errno for a folder that its unit may keep it from (EROFS, EACCES);
 * NULL for any other, and for what is no service. */
const char *steno_error_service_advice(int saved_errno);

#endif
