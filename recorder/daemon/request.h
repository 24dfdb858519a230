/* A start request: from JSON, checked against the configuration, to the job that a recorder is given. */
#ifndef STENO_DAEMON_REQUEST_H
#define STENO_DAEMON_REQUEST_H

#include "steno/base/job.h"
#include "steno/config.h"
#include "steno/job.h"

#include <jansson.h>

#define REQUEST_CHANNEL_MAX_BYTES 256
#define REQUEST_PROFILE_MAX_BYTES 64
#define REQUEST_LABELS_MAX 64
#define REQUEST_LABEL_NAME_MAX_BYTES 64
#define REQUEST_LABEL_VALUE_MAX_BYTES 256
/* Participants a subscription may name: more than anybody types; the rest is "all". */
#define REQUEST_SUBSCRIBED_MAX 1000
#define REQUEST_SUBSCRIBED_MAX_BYTES 256
#define REQUEST_TOKEN_MAX_BYTES 16384
/* Later than that is a typing error. */
#define REQUEST_START_AT_MAX_S (366 * 24 * (gint64)3600)

typedef enum { REQUEST_TOKEN_MINT, REQUEST_TOKEN_GIVEN, REQUEST_TOKEN_NONE } RequestToken;

typedef struct {
    char *app, *platform, *channel, *profile;
    RequestToken token_source;
    StenoSecret *token; /* of GIVEN; NULL when it is not known (any more) */
    char **audio;       /* NULL: all; empty: none */
    char **video;
    gint64 max_height;
    char *outputs, *output_audio;
    char **storages;      /* in the order in which they are tried */
    gboolean store_first; /* the first one that takes it is enough */
    gint64 rotate_s;      /* 0: never */
    gboolean rotate_join;
    gint64 max_duration_s, max_idle_s;
    gint64 start_at_us; /* 0: at once */
    json_t *labels;
    char *webhook;        /* or NULL */
    char *content;        /* the format of the channel's own encryption, or "none"; NULL: not said */
    char *keys;           /* "inline", "later" or a key source's name; NULL: not said */
    StenoSecret *key_set; /* of "inline"; NULL when it is not known (any more) */
    gint64 fail_on_undecryptable_s;
} Request;

void request_free(Request *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Request, request_free)

/*
 * A start request with every default. actor_app: who asks is bound to this app, or NULL. USAGE, or NOT_FOUND for an app
 * that does not exist (for them); the message begins with the JSON pointer of the member.
 */
Request *request_from_json(const StenoConfig *config, const json_t *body, const char *actor_app, GError **error);
/*
 * What was checked once and lies in the journal; the configuration may have changed since. Members that earlier
 * versions did not have are as these versions behaved. USAGE when it is damaged.
 */
Request *request_from_journal(const json_t *json, GError **error);
/* As asked for, with the defaults, without the token. The caller owns it. */
json_t *request_to_json(const Request *request);

/* Changes what may change of a recording that runs. Nothing is changed when it fails. */
gboolean request_patch(Request *request, const StenoConfig *config, const json_t *body, GError **error);

/*
 * The job of the request, with the platform's settings and its secrets, read anew. CONFIG when the configuration does
 * not have the platform (any more), USAGE when a secret can't be read or the whole is impossible.
 */
StenoJobSpec *request_to_spec(const Request *request, const StenoConfig *config, const char *id, gboolean paused,
                              GError **error);
/* Its part that assembling and storing need, too: the app's encryption of files, and where content keys are. CONFIG. */
gboolean request_content_into_spec(const Request *request, const StenoConfig *config, StenoJobSpec *spec,
                                   GError **error);
/* What steno_job_update() looks at, from the request into a spec that is in use. */
void request_into_spec(const Request *request, StenoJobSpec *spec);

/* Where a request of the app goes that names no storages. USAGE. */
gboolean request_default_storages(const StenoConfig *config, const StenoConfigApp *app, char ***storages,
                                  gboolean *first, GError **error);

/* May its channel be recorded, by the app's never_record? OFF_THE_RECORD. */
gboolean request_may_be_recorded(const StenoConfig *config, const Request *request, GError **error);
/* The channel has an encryption of its own. */
gboolean request_has_content(const Request *request);
/* Can the key set that was given be read? KEYS_INVALID. Any thread; may take long. */
gboolean request_content_check_keys(const Request *request, GError **error);

/* Has this label. */
gboolean request_has_label(const json_t *labels, const char *name);

/* ---- request_content.c: the member "content" --------------------------------------------------------------------- */

/* value NULL: it is not there. */
gboolean request_content_read(Request *request, const json_t *value, GError **error);
/* Puts the app's defaults in. asked: the member as it came, or NULL. */
gboolean request_content_check(Request *request, const StenoConfig *config, const StenoConfigApp *app,
                               const json_t *asked, GError **error);
/* Takes the keys out of a start request's body. */
void request_content_strip(json_t *body);
/* Without keys; null when there is none. */
json_t *request_content_to_json(const Request *request);

/* ---- request_read.c: what the parsers share ---------------------------------------------------------------------- */

/* Sets USAGE with "POINTER: words". Returns FALSE. */
gboolean request_fault(GError **error, const char *pointer, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* An object without members other than these (NULL-terminated). */
gboolean request_members(const json_t *object, const char *pointer, const char *const *allowed, GError **error);
/* A string of at most max_bytes without control characters; *text is lent. */
gboolean request_text(const json_t *value, const char *pointer, gsize max_bytes, const char **text, GError **error);
/* [A-Za-z0-9._-]+ */
gboolean request_name(const json_t *value, const char *pointer, gsize max_bytes, const char **name, GError **error);
/* A whole number within the range of the job field of that name. */
gboolean request_number(const json_t *value, const char *pointer, const char *field, gint64 *number, GError **error);
gboolean request_one_of(const json_t *value, const char *pointer, const char *const *allowed, const char **text,
                        GError **error);
/* RFC 3339 with a time zone. */
gboolean request_time(const json_t *value, const char *pointer, gint64 *wall_us, GError **error);
gboolean request_boolean(const json_t *value, const char *pointer, gboolean *is, GError **error);
/* 1 to STENO_JOB_STORES_MAX different names. */
gboolean request_storages(const json_t *value, char ***storages, GError **error);
gboolean request_subscription(const json_t *value, const char *pointer, char ***participants, GError **error);
gboolean request_labels(const json_t *value, json_t **labels, GError **error);
/* *token is set when there is a value; a "given" one without is lawful in the journal only. */
gboolean request_token(const json_t *value, RequestToken *source, StenoSecret **token, GError **error);

#endif
