#include "verdict.h"

#include "steno/base/error.h"

static gboolean is(const GError *error, StenoError code)
{
    return g_error_matches(error, STENO_ERROR, (gint)code);
}

gboolean verdict_is_stored(const GError *error)
{
    return is(error, STENO_ERROR_NOTHING_RECORDED) || is(error, STENO_ERROR_NO_KEY) || is(error, STENO_ERROR_BAD_KEY);
}

static gboolean is_sealed(const json_t *outputs)
{
    const json_t *output;
    size_t i;
    json_array_foreach (outputs, i, output) {
        if (g_strcmp0(json_string_value(json_object_get(output, "kind")), "sealed") != 0)
            return FALSE;
    }
    return TRUE;
}

static gboolean has_gap(const json_t *manifest, const char *cause)
{
    const json_t *gap;
    size_t i;
    json_array_foreach (json_object_get(manifest, "gaps"), i, gap) {
        if (g_strcmp0(json_string_value(json_object_get(gap, "cause")), cause) == 0)
            return TRUE;
    }
    return FALSE;
}

GError *verdict_of(const json_t *manifest, gboolean later, const GError *told)
{
    const json_t *outputs = json_object_get(manifest, "outputs");
    if (json_array_size(outputs) == 0)
        return g_error_new_literal(STENO_ERROR, STENO_ERROR_NOTHING_RECORDED,
                                   "nothing was recorded: the capture has no sound and no picture");
    if (later || !is_sealed(outputs))
        return NULL;
    if (is(told, STENO_ERROR_NO_KEY) || is(told, STENO_ERROR_BAD_KEY))
        return g_error_copy(told);
    StenoError code = has_gap(manifest, "bad-key") ? STENO_ERROR_BAD_KEY : STENO_ERROR_NO_KEY;
    return g_error_new(
        STENO_ERROR, (gint)code,
        "nothing of it could be decrypted: %s; the sealed files are stored, and `steno assemble` with the "
        "keys makes files of them",
        steno_error_words(code));
}
