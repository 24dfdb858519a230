/* The rules of docs/manifest.schema.json as tables; a test holds both against each other. */
#include "manifest.h"

#include "steno/assemble.h"
#include "steno/base/error.h"

#include <string.h>

typedef enum {
    STRING,
    WORD,   /* a string of a list */
    NAME,   /* of a file in the folder */
    SHA256, /* in hex */
    TIME,   /* RFC 3339 with milliseconds, UTC */
    INTEGER,
    BOOLEAN,
    OBJECT,
    LABELS,  /* an object of strings */
    STRINGS, /* arrays */
    WORDS,
    OBJECTS,
    OUTPUTS, /* objects: media, or what stayed sealed */
} Kind;

enum { NULLABLE = 1, OPTIONAL = 2 };

typedef struct Rule Rule;
struct Rule {
    const char *name; /* NULL ends a table */
    Kind kind;
    guint flags;
    const char *const *words;
    const Rule *members;
    gint64 minimum, maximum;
};

#define COUNT(name)                                                                                                    \
    {                                                                                                                  \
        name, INTEGER, 0, NULL, NULL, 0, MODEL_TIME_MAX_US                                                             \
    }
#define NUMBER(name, minimum, maximum)                                                                                 \
    {                                                                                                                  \
        name, INTEGER, 0, NULL, NULL, minimum, maximum                                                                 \
    }
#define TIMES_IF(name, flags)                                                                                          \
    {name, TIME, NULLABLE | flags, NULL, NULL, 0, 0},                                                                  \
    {                                                                                                                  \
        name "_us", INTEGER, NULLABLE | flags, NULL, NULL, 1, MODEL_TIME_MAX_US                                        \
    }
#define TIMES(name) TIMES_IF(name, 0)

static const char *const program_words[] = {"steno", NULL};
static const char *const state_words[] = {"completed", "failed", NULL};
static const char *const end_words[] = {"clean", "torn", NULL};
static const char *const kind_words[] = {"audio", "video", NULL};
static const char *const evidence_words[] = {"platform", "rtp", NULL};
static const char *const container_words[] = {"webm", "mp4", "m4a", "mkv", "mka", NULL};
static const char *const codec_words[] = {"opus", "pcmu", "pcma", "vp8", "vp9", "h264", "h265", "av1", NULL};
static const char *const stream_codec_words[] = {"opus", "pcmu", "pcma", "vp8", "vp9",
                                                 "h264", "h265", "av1",  "aac", NULL};
static const char *const cause_words[] = {"lost",     "no-keyframe", "damaged", "overflow", "disconnected",
                                          "recorder", "paused",      "no-key",  "bad-key",  NULL};
static const char *const unit_words[] = {"frame", "packet", NULL};
static const char *const method_words[] = {"cms", "cenc", NULL};
static const char *const sealed_words[] = {MANIFEST_KIND_SEALED, NULL};

static const Rule program_rules[] = {
    {"name", WORD, 0, program_words},
    {"version", STRING},
    {NULL},
};
static const Rule error_rules[] = {{"code", STRING}, {"message", STRING}, {NULL}};
static const Rule part_rules[] = {
    NUMBER("number", 1, G_MAXINT32), TIMES("from"), TIMES("until"), {"end", WORD, 0, end_words}, {NULL},
};
static const Rule section_rules[] = {
    NUMBER("number", 1, G_MAXINT32),
    {"manifest", NAME, NULLABLE},
    NUMBER("first_part", 1, G_MAXINT32),
    NUMBER("last_part", 1, G_MAXINT32),
    TIMES("from"),
    TIMES("until"),
    {NULL},
};
static const Rule recording_rules[] = {
    {"id", STRING},
    {"platform", STRING},
    {"channel", STRING},
    {"app", STRING},
    {"platform_name", STRING},
    {"labels", LABELS},
    TIMES("zero"),
    TIMES("ended"),
    COUNT("duration_us"),
    {"state", WORD, 0, state_words},
    {"end_reason", STRING},
    {"error", OBJECT, NULLABLE, NULL, error_rules},
    {"parts", OBJECTS, 0, NULL, part_rules},
    {"section", OBJECT, OPTIONAL, NULL, section_rules},
    {"sections", OBJECTS, OPTIONAL, NULL, section_rules},
    {NULL},
};
static const Rule interval_rules[] = {TIMES("from"), TIMES("until"), {NULL}};
static const Rule key_rules[] = {NUMBER("part", 1, G_MAXINT32), NUMBER("track", 1, G_MAXINT32), {NULL}};
static const Rule participant_rules[] = {
    {"id", STRING},
    {"name", STRING},
    {"present", OBJECTS, 0, NULL, interval_rules},
    {"tracks", OBJECTS, 0, NULL, key_rules},
    {NULL},
};
static const Rule format_rules[] = {
    COUNT("segment"),
    TIMES("at"),
    {"codec", WORD, 0, codec_words},
    COUNT("clock_hz"),
    {"width", INTEGER, OPTIONAL, NULL, NULL, 0, MODEL_TIME_MAX_US},
    {"height", INTEGER, OPTIONAL, NULL, NULL, 0, MODEL_TIME_MAX_US},
    {"channels", INTEGER, OPTIONAL, NULL, NULL, 0, MODEL_TIME_MAX_US},
    {NULL},
};
static const Rule rtp_rules[] = {
    COUNT("packets"),   COUNT("size_bytes"), COUNT("lost"),  COUNT("recovered"), COUNT("duplicates"),
    COUNT("reordered"), COUNT("late"),       COUNT("nacks"), COUNT("plis"),      {NULL},
};
static const Rule mute_rules[] = {
    TIMES("from"),
    TIMES("until"),
    {"evidence", WORD, 0, evidence_words},
    {NULL},
};
static const Rule track_rules[] = {
    NUMBER("part", 1, G_MAXINT32),
    NUMBER("track", 1, G_MAXINT32),
    {"participant", STRING},
    {"kind", WORD, 0, kind_words},
    {"mid", STRING},
    {"source", STRING},
    NUMBER("ssrc", 0, G_MAXUINT32),
    {"codecs", WORDS, 0, codec_words},
    {"formats", OBJECTS, 0, NULL, format_rules},
    TIMES("added"),
    TIMES("removed"),
    TIMES("first"),
    TIMES("last"),
    COUNT("frames"),
    COUNT("decodable_frames"),
    COUNT("size_bytes"),
    {"rtp", OBJECT, 0, NULL, rtp_rules},
    NUMBER("drift_ppb", -100000000, 100000000),
    {"mutes", OBJECTS, 0, NULL, mute_rules},
    {NULL},
};
static const Rule gap_rules[] = {
    NUMBER("part", 1, G_MAXINT32),
    {"track", INTEGER, NULLABLE, NULL, NULL, 1, G_MAXINT32},
    {"cause", WORD, 0, cause_words},
    TIMES("from"),
    TIMES("until"),
    COUNT("packets"),
    COUNT("frames"),
    {"first_seq", INTEGER, OPTIONAL, NULL, NULL, -MODEL_RTP_MAX, MODEL_RTP_MAX},
    {"last_seq", INTEGER, OPTIONAL, NULL, NULL, -MODEL_RTP_MAX, MODEL_RTP_MAX},
    {"participant", STRING, OPTIONAL},
    {"kid", STRING, OPTIONAL | NULLABLE},
    {NULL},
};
static const Rule stream_rules[] = {
    COUNT("index"),
    {"kind", WORD, 0, kind_words},
    {"codec", WORD, 0, stream_codec_words},
    {"default", BOOLEAN},
    {"tracks", OBJECTS, 0, NULL, key_rules},
    COUNT("frames"),
    COUNT("packets"),
    COUNT("silence_packets"),
    COUNT("first_us"),
    COUNT("end_us"),
    {NULL},
};
static const Rule encryption_rules[] = {
    {"method", WORD, 0, method_words},
    {"recipients", STRINGS, OPTIONAL},
    {"plain_size_bytes", INTEGER, OPTIONAL, NULL, NULL, 0, MODEL_TIME_MAX_US},
    {"plain_sha256", SHA256, OPTIONAL},
    {"kid", STRING, OPTIONAL},
    {NULL},
};
static const Rule sealed_rules[] = {
    {"file", NAME},
    {"kind", WORD, 0, sealed_words},
    {"section", INTEGER, OPTIONAL, NULL, NULL, 1, G_MAXINT32},
    COUNT("size_bytes"),
    {"sha256", SHA256},
    {NULL},
};
static const Rule content_rules[] = {
    {"format", STRING},
    {"unit", WORD, 0, unit_words},
    {"sealed", BOOLEAN},
    {NULL},
};
static const Rule output_rules[] = {
    {"file", NAME},
    {"participant", STRING},
    {"section", INTEGER, OPTIONAL, NULL, NULL, 1, G_MAXINT32},
    TIMES_IF("zero", OPTIONAL),
    {"container", WORD, 0, container_words},
    COUNT("size_bytes"),
    {"sha256", SHA256},
    COUNT("duration_us"),
    {"streams", OBJECTS, 0, NULL, stream_rules},
    {"encryption", OBJECT, OPTIONAL, NULL, encryption_rules},
    {NULL},
};
static const Rule manifest_rules[] = {
    NUMBER("schema_version", MANIFEST_SCHEMA_VERSION, MANIFEST_SCHEMA_VERSION),
    {"program", OBJECT, 0, NULL, program_rules},
    {"recording", OBJECT, 0, NULL, recording_rules},
    {"content", OBJECT, OPTIONAL | NULLABLE, NULL, content_rules},
    {"participants", OBJECTS, 0, NULL, participant_rules},
    {"tracks", OBJECTS, 0, NULL, track_rules},
    {"gaps", OBJECTS, 0, NULL, gap_rules},
    {"outputs", OUTPUTS, 0, NULL, output_rules},
    {"problems", STRINGS},
    {NULL},
};

/* ---- checking ---------------------------------------------------------------------------------------------------- */

typedef struct {
    GString *pointer; /* RFC 6901, where we are */
    GError **error;
} Check;

static gboolean fault(const Check *check, const char *words)
{
    g_set_error(check->error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "manifest.json, %s: %s",
                check->pointer->len ? check->pointer->str : "/", words);
    return FALSE;
}

static gboolean is_word(const json_t *value, const char *const *words)
{
    const char *text = json_string_value(value);
    return text && g_strv_contains(words, text);
}

/* Each 'd' of the shape is a digit, all else stands for itself. */
static gboolean is_time(const char *text)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    gsize i = 0;
    for (; shape[i] && text[i]; i++)
        if (shape[i] == 'd' ? !g_ascii_isdigit(text[i]) : text[i] != shape[i])
            return FALSE;
    return !shape[i] && !text[i];
}

static gboolean is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static gboolean is_file_name(const char *text)
{
    if (!*text || *text == '.')
        return FALSE;
    for (; *text; text++)
        if (*text == '/' || (guint8)*text < 0x20)
            return FALSE;
    return TRUE;
}

static gboolean check_object(Check *check, const json_t *object, const Rule *rules);

static gboolean check_scalar(const Check *check, const json_t *value, const Rule *rule)
{
    const char *text = json_string_value(value);
    switch (rule->kind) {
    case STRING:
    case STRINGS:
        return text || fault(check, "is not a string");
    case WORD:
    case WORDS:
        return is_word(value, rule->words) || fault(check, "is none of the words that are allowed");
    case NAME:
        return (text && is_file_name(text)) || fault(check, "is not the name of a file in this folder");
    case SHA256:
        return (text && is_sha256(text)) || fault(check, "is not a SHA-256 in hex");
    case TIME:
        return (text && is_time(text)) || fault(check, "is not a time");
    case BOOLEAN:
        return json_is_boolean(value) || fault(check, "is neither true nor false");
    default:
        return (json_is_integer(value) && json_integer_value(value) >= rule->minimum &&
                json_integer_value(value) <= rule->maximum) ||
               fault(check, "is not an integer in its range");
    }
}

static gboolean check_array(Check *check, const json_t *array, const Rule *rule)
{
    if (!json_is_array(array))
        return fault(check, "is not an array");
    gsize length = check->pointer->len;
    size_t i;
    json_t *value;
    json_array_foreach (array, i, value) {
        g_string_append_printf(check->pointer, "/%zu", i);
        const Rule *members = rule->kind == OUTPUTS && manifest_is_sealed(value) ? sealed_rules : rule->members;
        if (!(rule->kind >= OBJECTS ? check_object(check, value, members) : check_scalar(check, value, rule)))
            return FALSE;
        g_string_truncate(check->pointer, length);
    }
    return TRUE;
}

static gboolean check_labels(const Check *check, const json_t *labels)
{
    const char *name;
    json_t *value;
    gboolean sound = json_is_object(labels);
    json_object_foreach ((json_t *)labels, name, value)
        sound = sound && json_is_string(value);
    return sound || fault(check, "is not an object of strings");
}

static gboolean check_value(Check *check, const json_t *value, const Rule *rule)
{
    if (json_is_null(value) && rule->flags & NULLABLE)
        return TRUE;
    if (rule->kind >= STRINGS)
        return check_array(check, value, rule);
    if (rule->kind == LABELS)
        return check_labels(check, value);
    return rule->kind == OBJECT ? check_object(check, value, rule->members) : check_scalar(check, value, rule);
}

static gboolean is_known(const char *name, const Rule *rules)
{
    for (const Rule *rule = rules; rule->name; rule++)
        if (strcmp(rule->name, name) == 0)
            return TRUE;
    return FALSE;
}

static gboolean check_object(Check *check, const json_t *object, const Rule *rules)
{
    if (!json_is_object(object))
        return fault(check, "is not an object");
    gsize length = check->pointer->len;
    for (const Rule *rule = rules; rule->name; rule++) {
        const json_t *value = json_object_get(object, rule->name);
        if (!value && rule->flags & OPTIONAL)
            continue;
        g_string_append_printf(check->pointer, "/%s", rule->name);
        if (!value)
            return fault(check, "is missing");
        if (!check_value(check, value, rule))
            return FALSE;
        g_string_truncate(check->pointer, length);
    }
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        if (is_known(name, rules))
            continue;
        g_string_append_printf(check->pointer, "/%s", name);
        return fault(check, "does not belong here");
    }
    return TRUE;
}

gboolean manifest_check(const json_t *manifest, GError **error)
{
    g_autoptr(GString) pointer = g_string_new(NULL);
    Check check = {.pointer = pointer, .error = error};
    return check_object(&check, manifest, manifest_rules);
}

json_t *steno_manifest_parse(const char *text, gsize bytes, GError **error)
{
    json_error_t reason;
    json_t *manifest = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &reason);
    if (!manifest) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED, "manifest.json, line %d: %s", reason.line,
                    reason.text);
        return NULL;
    }
    if (manifest_check(manifest, error))
        return manifest;
    json_decref(manifest);
    return NULL;
}
