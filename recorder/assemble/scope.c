#include "scope.h"

#include "manifest.h"

#include "steno/base/error.h"

static const StenoCaptureSection *section_at(const Scope *scope, guint index)
{
    return &g_array_index(scope->sections, StenoCaptureSection, index);
}

static const StenoCaptureSection *last_section(const Scope *scope)
{
    return section_at(scope, scope->sections->len - 1);
}

static void take_section(Scope *scope, const StenoCaptureSection *section)
{
    scope->model = (ModelScope){
        .section = section->number,
        .first_part = section->first_part,
        .last_part = section->last_part,
        .begin_us = section->begin_wall_us,
        .end_us = section->end_wall_us,
    };
}

static gboolean has_parts(const char *capture, const StenoCaptureSection *section)
{
    for (guint part = section->first_part; part <= section->last_part; part++) {
        g_autofree char *path = g_strdup_printf("%s/part-%04u", capture, part);
        if (!g_file_test(path, G_FILE_TEST_IS_DIR))
            return FALSE;
    }
    return TRUE;
}

/* What is stored may have been taken away here, and nothing else. */
static gboolean check_parts(const char *capture, const StenoCaptureSection *section, GError **error)
{
    if (!section->stored || has_parts(capture, section))
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                "section %u of %s is stored already, and its parts are no longer here", section->number, capture);
    return FALSE;
}

/* ---- one section ------------------------------------------------------------------------------------------------- */

static gboolean find_section(Scope *scope, const StenoAssembleOptions *options, GError **error)
{
    for (guint i = 0; i < scope->sections->len; i++)
        if (section_at(scope, i)->number == options->section)
            scope->section = section_at(scope, i);
    if (!scope->section) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "%s has %u sections, there is no section %u",
                    options->capture, scope->sections->len, options->section);
        return FALSE;
    }
    take_section(scope, scope->section);
    return check_parts(options->capture, scope->section, error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean join(Scope *scope, const StenoAssembleOptions *options, GError **error)
{
    scope->model = (ModelScope){
        .first_part = section_at(scope, 0)->first_part,
        .last_part = last_section(scope)->last_part,
        .join = TRUE,
    };
    for (guint i = 0; i < scope->sections->len; i++)
        if (!check_parts(options->capture, section_at(scope, i), error))
            return FALSE;
    return TRUE;
}

static gboolean read_stored(Scope *scope, const char *capture, guint number, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/section-%04u.json", capture, number);
    json_error_t reason;
    json_t *row = json_load_file(path, JSON_REJECT_DUPLICATES, &reason);
    json_t *manifest = json_object_get(row, "manifest");
    g_autoptr(GError) cause = NULL;
    gboolean lawful = row && manifest_check(manifest, &cause);
    if (lawful)
        json_array_append(scope->stored, manifest);
    else
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "reading %s: %s", path,
                    cause ? cause->message : reason.text);
    json_decref(row);
    return lawful;
}

/* The last section, and what is known of those before it. */
static gboolean find_rest(Scope *scope, const StenoAssembleOptions *options, GError **error)
{
    for (guint i = 0; i < scope->sections->len; i++) {
        const StenoCaptureSection *section = section_at(scope, i);
        if (section->stored) {
            if (!read_stored(scope, options->capture, section->number, error))
                return FALSE;
            continue;
        }
        if (section != last_section(scope)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_CONFLICT,
                        "section %u of %s is not stored yet: it comes before the last one", section->number,
                        options->capture);
            return FALSE;
        }
    }
    take_section(scope, last_section(scope));
    if (last_section(scope)->stored)
        scope->model.last_part = 0; /* nothing is left but to tell it all */
    return TRUE;
}

gboolean scope_find(const StenoAssembleOptions *options, Scope *scope, GError **error)
{
    *scope = (Scope){.stored = json_array(), .sections = steno_capture_sections(options->capture, error)};
    if (!scope->sections)
        return FALSE;
    if (scope->sections->len == 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "%s holds no part-NNNN folder: is it a capture?",
                    options->capture);
        return FALSE;
    }
    if (options->section > 0)
        return find_section(scope, options, error);
    gboolean never_rotated = scope->sections->len == 1 && !section_at(scope, 0)->stored;
    return options->join || never_rotated ? join(scope, options, error) : find_rest(scope, options, error);
}

void scope_clear(Scope *scope)
{
    json_decref(scope->stored);
    g_clear_pointer(&scope->sections, g_array_unref);
}
