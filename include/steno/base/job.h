/*
 * The job specification: what one recording is asked for. REST, the command, IPC and the journal all read and write
 * this struct by the same table (job_fields.def).
 */
#ifndef STENO_BASE_JOB_H
#define STENO_BASE_JOB_H

#include "steno/base/secret.h"

#include <glib.h>
#include <jansson.h>

/* Shorter rotations are refused: a picture changes over at a key frame, which may take seconds to come. */
#define STENO_JOB_ROTATE_MIN_S 5

typedef struct {
#define STENO_JOB_STRING(name) char *name;
#define STENO_JOB_BOOL(name) gboolean name;
#define STENO_JOB_INT(name) gint64 name;
#define STENO_JOB_LIST(name) char **name; /* NULL-terminated, never NULL */
#define STENO_JOB_SECRET(name) StenoSecret *name;
#define STENO_JOB_FIELD(kind, name, ...) STENO_JOB_##kind(name)
#include "steno/base/job_fields.def"
#undef STENO_JOB_FIELD
#undef STENO_JOB_STRING
#undef STENO_JOB_BOOL
#undef STENO_JOB_INT
#undef STENO_JOB_LIST
#undef STENO_JOB_SECRET
} StenoJobSpec;

typedef enum {
    STENO_JOB_KIND_STRING,
    STENO_JOB_KIND_BOOL,
    STENO_JOB_KIND_INT,
    STENO_JOB_KIND_LIST,
    STENO_JOB_KIND_SECRET
} StenoJobKind;

/* One row of the table, for who makes options, help or documentation of it. */
typedef struct {
    StenoJobKind kind;
    const char *name, *option, *default_text;
    gint64 minimum, maximum;
    const char *argument, *words;
    gsize offset; /* in StenoJobSpec */
} StenoJobField;

/* The table; ends with a row whose name is NULL. */
const StenoJobField *steno_job_fields(void);

/* A specification with every default. */
StenoJobSpec *steno_job_spec_new(void);
void steno_job_spec_free(StenoJobSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoJobSpec, steno_job_spec_free)

/* Sets a field from text (LIST: appends). USAGE with the field's name and what is allowed. Not for SECRET fields. */
gboolean steno_job_spec_set(StenoJobSpec *spec, const StenoJobField *field, const char *text, GError **error);

/* Is the whole possible? USAGE naming the field: platform and channel given, kinds of outputs known, token or secret …
 */
gboolean steno_job_spec_check(const StenoJobSpec *spec, GError **error);

/* Unknown members and wrong types are refused (USAGE, naming the member). */
StenoJobSpec *steno_job_spec_from_json(const json_t *json, GError **error);
/* with_secrets only between our own processes, over a 0600 socket. The caller owns the reference. */
json_t *steno_job_spec_to_json(const StenoJobSpec *spec, gboolean with_secrets);

/*
 * Takes over what may change while it is recorded: the members max_duration_s, max_idle_s, subscribe_audio,
 * subscribe_video, max_height and token of changes, those that are there; lists as a whole. USAGE, with nothing
 * changed, for other members, wrong types, and when the whole would be impossible.
 */
gboolean steno_job_spec_apply(StenoJobSpec *spec, const json_t *changes, GError **error);

/*
 * Is a participant's sound or picture to be recorded, by subscribe_audio or subscribe_video? An empty list:
 * everybody's; the single word "none": nobody's; else those whose id or name is in it. name may be NULL.
 */
gboolean steno_job_spec_wants(const StenoJobSpec *spec, gboolean video, const char *id, const char *name);

/* A new ULID: 26 characters, sorts by time. Caller frees. */
char *steno_job_new_id(void);

#endif
