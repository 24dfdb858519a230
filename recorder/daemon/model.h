/*
 * What is known of a recording from its events: participants, tracks, counts, as GET shows them. Pure: no clock, no
 * I/O.
 */
#ifndef STENO_DAEMON_MODEL_H
#define STENO_DAEMON_MODEL_H

#include <glib.h>
#include <jansson.h>

/* What is shown (and lies in each row); the manifest has all. Large channels' hours, with reconnects. */
#define MODEL_PARTICIPANTS_MAX 5000
#define MODEL_TRACKS_MAX 10000
/* Who did not come back so long after a reconnect has left meanwhile. */
#define MODEL_REJOIN_US (5 * G_USEC_PER_SEC)
/* Gaps told as events in a minute of a recording: a bad link has thousands; the manifest has them all. */
#define MODEL_GAPS_PER_MINUTE_MAX 60
/* Tracks and key ids that cannot be decrypted, shown at a time, and told as events in a minute: a sender can make key
 * ids up. Every participant of a large channel, with sound and picture. */
#define MODEL_UNDECRYPTABLE_MAX 1000
#define MODEL_UNDECRYPTABLE_PER_MINUTE_MAX 1000

typedef struct Model Model;

/* detail: of the journal's row, or NULL. */
Model *model_new(const json_t *detail);
void model_free(Model *model);

/* Something that webhooks and GET /v1/events tell: type without "recording.", and its own data (owned by the callee).
 */
typedef void (*ModelTold)(gpointer user, const char *type, json_t *data);

/* An event of the recorder (capture.h, session.h). now_us: wall clock. */
void model_event(Model *model, const json_t *event, gint64 now_us, ModelTold told, gpointer user);
/* "packets", "lost", "bytes", … so far. */
gint64 model_count(const Model *model, const char *name);
/* The manifest's figures, which are exact, instead of the recorder's. */
void model_take_manifest(Model *model, const json_t *manifest);

/* Tracks that cannot be decrypted now. */
guint model_undecryptable_tracks(const Model *model);
/* What is shown of a recording's content besides what was asked for, by its row's detail: {"sealed": are some of its
 * frames encrypted still?, "undecryptable": [what cannot be decrypted now]}. The caller owns it. */
json_t *model_content(const json_t *detail);

/*
 * Sets "participants", "tracks", "counts" and "parts" of detail, which are shared with the model; and in "internal",
 * which is not shown, what model_new() needs besides.
 */
void model_into_detail(const Model *model, json_t *detail);

#endif
