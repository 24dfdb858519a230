#include "steno/base/job.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/log.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

static const StenoJobField fields[] = {
#define STENO_JOB_FIELD(kind, name, option, default_text, minimum, maximum, argument, words)                           \
    {STENO_JOB_KIND_##kind,       #name, option, default_text, minimum, maximum, argument, words,                      \
     offsetof(StenoJobSpec, name)},
#include "steno/base/job_fields.def"
#undef STENO_JOB_FIELD
    {.name = NULL},
};

const StenoJobField *steno_job_fields(void)
{
    return fields;
}

/* The member of a spec that a row describes. */
#define MEMBER(type, spec, field) ((type *)(void *)((char *)(spec) + (field)->offset))
#define CONST_MEMBER(type, spec, field) ((type const *)(const void *)((const char *)(spec) + (field)->offset))

StenoJobSpec *steno_job_spec_new(void)
{
    StenoJobSpec *spec = g_new0(StenoJobSpec, 1);
    for (const StenoJobField *field = fields; field->name; field++) {
        if (field->kind == STENO_JOB_KIND_LIST)
            *MEMBER(char **, spec, field) = g_new0(char *, 1);
        else if (field->default_text[0])
            (void)steno_job_spec_set(spec, field, field->default_text, NULL);
    }
    return spec;
}

void steno_job_spec_free(StenoJobSpec *spec)
{
    if (!spec)
        return;
    for (const StenoJobField *field = fields; field->name; field++) {
        if (field->kind == STENO_JOB_KIND_STRING)
            g_free(*MEMBER(char *, spec, field));
        else if (field->kind == STENO_JOB_KIND_LIST)
            g_strfreev(*MEMBER(char **, spec, field));
        else if (field->kind == STENO_JOB_KIND_SECRET)
            steno_secret_unref(*MEMBER(StenoSecret *, spec, field));
    }
    g_free(spec);
}

static gboolean set_int(StenoJobSpec *spec, const StenoJobField *field, gint64 value, GError **error)
{
    if (value < field->minimum || value > field->maximum) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "%s is %" G_GINT64_FORMAT ", but must lie between %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                    field->name, value, field->minimum, field->maximum);
        return FALSE;
    }
    *MEMBER(gint64, spec, field) = value;
    return TRUE;
}

static void list_append(StenoJobSpec *spec, const StenoJobField *field, const char *text)
{
    char ***list = MEMBER(char **, spec, field);
    guint length = g_strv_length(*list);
    *list = g_renew(char *, *list, length + 2);
    (*list)[length] = g_strdup(text);
    (*list)[length + 1] = NULL;
}

gboolean steno_job_spec_set(StenoJobSpec *spec, const StenoJobField *field, const char *text, GError **error)
{
    gint64 number;
    switch (field->kind) {
    case STENO_JOB_KIND_STRING:
        g_free(*MEMBER(char *, spec, field));
        *MEMBER(char *, spec, field) = g_strdup(text);
        return TRUE;
    case STENO_JOB_KIND_BOOL:
        *MEMBER(gboolean, spec, field) = TRUE;
        return TRUE;
    case STENO_JOB_KIND_INT:
        if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL)) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s is '%s', but must be a whole number", field->name,
                        text);
            return FALSE;
        }
        return set_int(spec, field, number, error);
    case STENO_JOB_KIND_LIST:
        list_append(spec, field, text);
        return TRUE;
    case STENO_JOB_KIND_SECRET:
        break;
    }
    g_return_val_if_reached(FALSE);
}

static gboolean one_of(const char *name, const char *value, const char *const *allowed, GError **error)
{
    if (value && g_strv_contains(allowed, value))
        return TRUE;
    g_autofree char *words = g_strjoinv(", ", (char **)allowed);
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s is '%s', but must be one of: %s", name, value ? value : "",
                words);
    return FALSE;
}

static gboolean check_labels(const char *labels, GError **error)
{
    json_t *json = labels && labels[0] ? json_loads(labels, JSON_REJECT_DUPLICATES, NULL) : json_object();
    gboolean sound = json_is_object(json);
    const char *name;
    json_t *value;
    json_object_foreach (json, name, value)
        sound = sound && json_is_string(value);
    json_decref(json);
    if (!sound)
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_USAGE,
                            "labels must be the text of a JSON object of strings, such as {\"case\": \"17\"}");
    return sound;
}

static gboolean check_janus(const StenoJobSpec *spec, GError **error)
{
    if (!spec->channel) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "channel is missing: which room shall be recorded?");
        return FALSE;
    }
    if (!g_str_has_prefix(spec->url, "http://") && !g_str_has_prefix(spec->url, "https://")) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "url is '%s', but must begin with http:// or https:// (such as https://host:8089/janus)",
                    spec->url);
        return FALSE;
    }
    if (spec->token && spec->token_secret) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                    "both token and token_secret are given: give the token, or the secret to mint tokens with");
        return FALSE;
    }
    return TRUE;
}

gboolean steno_job_spec_check(const StenoJobSpec *spec, GError **error)
{
    static const char *const platforms[] = {"janus", "sdp", NULL};
    static const char *const outputs[] = {"participant", "track", NULL};
    static const char *const audio[] = {"copy", "aac", NULL};
    if (!one_of("platform", spec->platform, platforms, error) || !one_of("outputs", spec->outputs, outputs, error) ||
        !one_of("audio", spec->audio, audio, error) || !check_labels(spec->labels, error))
        return FALSE;
    if (!spec->url || !spec->url[0]) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "url is missing: where is the platform?");
        return FALSE;
    }
    for (char **url = spec->turn; *url; url++) {
        if (g_str_has_prefix(*url, "turns:")) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE,
                        "turn is '%s', but TURN over TLS cannot be had: libnice would send it unencrypted. Media is "
                        "encrypted by SRTP either way: use turn:…?transport=tcp",
                        *url);
            return FALSE;
        }
    }
    if (spec->turn[0] && (!spec->turn_user || !spec->turn_password)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "turn needs turn_user and turn_password");
        return FALSE;
    }
    if (spec->rotate_s > 0 && spec->rotate_s < STENO_JOB_ROTATE_MIN_S) {
        g_set_error(
            error, STENO_ERROR, STENO_ERROR_USAGE,
            "rotate_s is %d, but pictures begin anew on key frames, which may take seconds to come: rotate after "
            "%d s or more, or never (0)",
            (int)spec->rotate_s, STENO_JOB_ROTATE_MIN_S);
        return FALSE;
    }
    return strcmp(spec->platform, "janus") == 0 ? check_janus(spec, error) : TRUE;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static gboolean wrong_type(const char *name, const char *wanted, GError **error)
{
    g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s must be %s", name, wanted);
    return FALSE;
}

static gboolean list_from_json(StenoJobSpec *spec, const StenoJobField *field, const json_t *value, GError **error)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(value))
        return wrong_type(field->name, "a list of strings", error);
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return wrong_type(field->name, "a list of strings", error);
        list_append(spec, field, json_string_value(item));
    }
    return TRUE;
}

static gboolean member_from_json(StenoJobSpec *spec, const StenoJobField *field, const json_t *value, GError **error)
{
    switch (field->kind) {
    case STENO_JOB_KIND_STRING:
        return json_is_string(value) ? steno_job_spec_set(spec, field, json_string_value(value), error)
                                     : wrong_type(field->name, "a string", error);
    case STENO_JOB_KIND_BOOL:
        if (!json_is_boolean(value))
            return wrong_type(field->name, "true or false", error);
        *MEMBER(gboolean, spec, field) = json_is_true(value);
        return TRUE;
    case STENO_JOB_KIND_INT:
        return json_is_integer(value) ? set_int(spec, field, json_integer_value(value), error)
                                      : wrong_type(field->name, "a whole number", error);
    case STENO_JOB_KIND_LIST:
        return list_from_json(spec, field, value, error);
    case STENO_JOB_KIND_SECRET:
        if (!json_is_string(value))
            return wrong_type(field->name, "a string", error);
        steno_secret_unref(*MEMBER(StenoSecret *, spec, field));
        *MEMBER(StenoSecret *, spec, field) = steno_secret_new(json_string_value(value), json_string_length(value));
        steno_log_hide_secret(json_string_value(value));
        return TRUE;
    }
    g_return_val_if_reached(FALSE);
}

static const StenoJobField *field_named(const char *name)
{
    for (const StenoJobField *field = fields; field->name; field++) {
        if (strcmp(field->name, name) == 0)
            return field;
    }
    return NULL;
}

StenoJobSpec *steno_job_spec_from_json(const json_t *json, GError **error)
{
    if (!json_is_object(json)) {
        (void)wrong_type("the job", "a JSON object", error);
        return NULL;
    }
    g_autoptr(StenoJobSpec) spec = steno_job_spec_new();
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)json, name, value) {
        const StenoJobField *field = field_named(name);
        if (!field) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "there is no job setting '%s'", name);
            return NULL;
        }
        if (!member_from_json(spec, field, value, error))
            return NULL;
    }
    return g_steal_pointer(&spec);
}

static json_t *list_to_json(char *const *list)
{
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *member_to_json(const StenoJobSpec *spec, const StenoJobField *field, gboolean with_secrets)
{
    const StenoSecret *secret;
    switch (field->kind) {
    case STENO_JOB_KIND_STRING:
        return *CONST_MEMBER(char *, spec, field) ? json_string(*CONST_MEMBER(char *, spec, field)) : NULL;
    case STENO_JOB_KIND_BOOL:
        return json_boolean(*CONST_MEMBER(gboolean, spec, field));
    case STENO_JOB_KIND_INT:
        return json_integer(*CONST_MEMBER(gint64, spec, field));
    case STENO_JOB_KIND_LIST:
        return list_to_json(*CONST_MEMBER(char **, spec, field));
    case STENO_JOB_KIND_SECRET:
        secret = *CONST_MEMBER(StenoSecret *, spec, field);
        return with_secrets && secret ? json_stringn(steno_secret_text(secret), steno_secret_bytes(secret)) : NULL;
    }
    g_return_val_if_reached(NULL);
}

json_t *steno_job_spec_to_json(const StenoJobSpec *spec, gboolean with_secrets)
{
    json_t *json = json_object();
    for (const StenoJobField *field = fields; field->name; field++) {
        json_t *value = member_to_json(spec, field, with_secrets);
        if (value)
            json_object_set_new(json, field->name, value);
    }
    return json;
}

/* ---- subscriptions ----------------------------------------------------------------------------------------------- */

gboolean steno_job_spec_wants(const StenoJobSpec *spec, gboolean video, const char *id, const char *name)
{
    char **list = video ? spec->subscribe_video : spec->subscribe_audio;
    if (!list[0])
        return TRUE;
    if (!list[1] && strcmp(list[0], "none") == 0)
        return FALSE;
    return g_strv_contains((const char *const *)list, id) ||
           (name && name[0] && g_strv_contains((const char *const *)list, name));
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

static gboolean is_changeable(const char *name)
{
    static const char *const names[] = {"max_duration_s",  "max_idle_s", "subscribe_audio",
                                        "subscribe_video", "max_height", "token"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(names[i], name) == 0)
            return TRUE;
    }
    return FALSE;
}

static gsize size_of(const StenoJobField *field)
{
    switch (field->kind) {
    case STENO_JOB_KIND_BOOL:
        return sizeof(gboolean);
    case STENO_JOB_KIND_INT:
        return sizeof(gint64);
    default:
        return sizeof(gpointer);
    }
}

/* Exchanges the members that are named in changes. */
static void swap_members(StenoJobSpec *a, StenoJobSpec *b, const json_t *changes)
{
    for (const StenoJobField *field = fields; field->name; field++) {
        guint8 kept[sizeof(gint64)];
        if (!json_object_get(changes, field->name))
            continue;
        memcpy(kept, MEMBER(guint8, a, field), size_of(field));
        memcpy(MEMBER(guint8, a, field), MEMBER(guint8, b, field), size_of(field));
        memcpy(MEMBER(guint8, b, field), kept, size_of(field));
    }
}

gboolean steno_job_spec_apply(StenoJobSpec *spec, const json_t *changes, GError **error)
{
    g_autoptr(StenoJobSpec) changed = steno_job_spec_from_json(changes, error);
    if (!changed)
        return FALSE;
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)changes, name, value) {
        if (is_changeable(name))
            continue;
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "%s cannot be changed while it is recorded", name);
        return FALSE;
    }
    swap_members(spec, changed, changes);
    if (steno_job_spec_check(spec, error))
        return TRUE;
    swap_members(spec, changed, changes);
    return FALSE;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

/* ULID: 48 bits of milliseconds, 80 random bits, Crockford's base 32. */
char *steno_job_new_id(void)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    guint64 ms = (guint64)(steno_clock_wall_us() / 1000);
    guint8 random[10];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        g_error("the system gives no random numbers");
    char *id = g_malloc(27);
    for (int i = 9; i >= 0; i--, ms >>= 5)
        id[i] = alphabet[ms & 31];
    guint bits = 0, n_bits = 0, next = 0;
    for (guint i = 10; i < 26; i++) {
        if (n_bits < 5) {
            bits = (bits << 8) | random[next++];
            n_bits += 8;
        }
        n_bits -= 5;
        id[i] = alphabet[(bits >> n_bits) & 31];
    }
    id[26] = '\0';
    return id;
}
