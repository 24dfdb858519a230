/*
 * The kinds of places that keys come from: a const table. A kind answers what the desk (source_desk.h) asks, one row a
 * kind; it works on one thread, in one main context, and knows nothing of who wants what and how often.
 */
#ifndef CONTENT_SOURCE_KIND_H
#define CONTENT_SOURCE_KIND_H

#include "steno/content.h"

/* What of the job a source needs: a copy, since a source that hangs in a token or a resolver may outlive the job. */
typedef struct {
    const StenoContentFormat *format;
    char *app, *channel, *recording; /* app may be NULL: recorded in the foreground */
    char *path, *url, *mount, *prefix, *ca_file, *certificate_file;
    StenoSecret *key_set, *client_key, *secret;
    guint command_timeout_ms;
    int agent_fd; /* -1: it works in this process */
} SourceSettings;

SourceSettings *source_settings_new(const StenoJobSpec *job);
void source_settings_free(SourceSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SourceSettings, source_settings_free)

typedef enum {
    SOURCE_FOUND,
    SOURCE_UNCHANGED, /* as it was when it was asked for last */
    SOURCE_ABSENT,    /* it says that there is none, yet */
    SOURCE_TROUBLE
} SourceOutcome;

typedef struct {
    SourceOutcome outcome;
    StenoSecret *text; /* FOUND: of a key set; lent */
    GError *error;     /* TROUBLE: lent */
    guint wait_s;      /* it says when to come back; 0: it does not */
    gboolean final;    /* TROUBLE: to try again would do harm, until it tells of a change */
} SourceAnswer;

/* One question: the whole channel's set (participant NULL), or one participant's key. Lent until it is answered. */
typedef struct {
    const char *participant;
    guint64 kid;
} SourceQuestion;

typedef void (*SourceAnswered)(gpointer user, const SourceAnswer *answer);

typedef struct {
    const char *name;
    gboolean by_key; /* it can be asked for single keys */
    StenoContentApart apart;
    guint parallel; /* so many questions at once */
    guint poll_s;   /* ask for the whole again so often, since it does not tell of changes; 0: do not */
    /* changed: it noticed that there may be another answer; called in the context. settings outlive it. */
    gpointer (*open)(const SourceSettings *settings, GMainContext *context, GSourceFunc changed, gpointer user);
    /* Questions that were not answered yet never are. */
    void (*close)(gpointer opened);
    /* Calls `answered` once, now or later. */
    void (*ask)(gpointer opened, const SourceQuestion *question, SourceAnswered answered, gpointer user);
    /* Are the job's members lawful and complete? USAGE. */
    gboolean (*check)(const StenoJobSpec *job, GError **error);
} SourceKind;

extern const SourceKind source_inline, source_folder, source_service, source_vault, source_pkcs11, source_command;

/* The kind that the job names. NULL without an error: "later", or no format. USAGE. */
const SourceKind *source_kind_of_job(const StenoJobSpec *job, GError **error);

/* A question in JSON, for a service or a command. The caller frees it (free()). */
char *source_question_text(const SourceSettings *settings, const SourceQuestion *question);

/* The names of app and channel as parts of a path; USAGE when one could lead elsewhere. */
gboolean source_check_names(const char *app, const char *channel, GError **error);

#endif
