/*
 * model: what recording.json, the events.jsonl files and the folders of a capture say, in memory. Trusts none of it.
 */
#ifndef STENO_ASSEMBLE_MODEL_H
#define STENO_ASSEMBLE_MODEL_H

#include "steno/frame.h"

#include <jansson.h>

#define MODEL_PARTS_MAX 10000                          /* a reconnect each minute for a week */
#define MODEL_TRACKS_MAX 100000                        /* of a recording */
#define MODEL_ROWS_MAX 1000000                         /* events of one kind of one track or participant */
#define MODEL_LINE_MAX_BYTES 65536                     /* the longest event is a state with an error in words */
#define MODEL_PROBLEMS_MAX 200                         /* more are only counted */
#define MODEL_TIME_MAX_US (G_GINT64_CONSTANT(1) << 52) /* the year 2112: later times are garbage */
#define MODEL_RTP_MAX (G_GINT64_CONSTANT(1) << 52)     /* 1,500 years at 90 kHz */

/* In recording.json of a capture that unpack.c made. */
#define MODEL_PARTIAL "partial"

typedef struct {
    gint64 from_us, until_us; /* wall; 0: not told */
} ModelInterval;

typedef struct {
    ModelInterval interval;
    gboolean by_platform; /* the platform said so; else no packets came */
} ModelMute;

typedef struct {
    gint64 at_us;
    guint segment;
    StenoCodec codec;
    guint width, height, channels;
} ModelFormat;

typedef struct {
    gint64 rtp_ts, ntp_us, arrival_us, offset_us;
} ModelClock;

typedef struct {
    StenoGapCause cause;
    gint64 first_seq, last_seq;
    guint64 packets, frames;
    gint64 rtp_ts, until_rtp_ts;
    gint64 from_us, until_us;
    gboolean has_kid; /* no-key, bad-key: the key id of the frames could be read */
    guint64 kid;
} ModelGap;

typedef struct {
    guint64 packets, bytes, lost, recovered, duplicates, reordered, late, nacks, plis;
} ModelStats;

/* A file of a track. Of a part of its own where parts are joined. */
typedef struct {
    guint part, number;
    char *opened; /* it was sealed: where what could be opened of it is; NULL: it is read as it is */
} ModelFile;

typedef struct ModelParticipant ModelParticipant;

typedef struct {
    guint part, number;
    ModelParticipant *participant; /* never NULL once the model is loaded */
    gboolean video;
    StenoCodec codec;
    guint32 clock_hz;
    guint32 ssrc;
    char *mid, *source;
    gint64 added_us, removed_us;
    GArray *formats, *clocks, *gaps, *mutes; /* of ModelFormat, ModelClock, ModelGap, ModelMute */
    ModelStats stats;                        /* the last ones told */
    ModelStats stats_before;                 /* of these, in parts that this one is joined to */
    GArray *files;                           /* of ModelFile, sorted */
} ModelTrack;

struct ModelParticipant {
    char *id, *name;
    GArray *present;   /* of ModelInterval */
    GPtrArray *tracks; /* of ModelTrack, not owned; by part and number */
};

typedef struct {
    guint number;
    gint64 first_us, last_us; /* wall time of the first and last event or frame; 0: none */
    gboolean clean;           /* its end was told: it did not crash */
    guint last_folder;        /* number of the last folder that it is made of */
    gboolean rotated;         /* its last event told a rotation: the next part goes on without a hole */
    GArray *pauses;           /* of ModelInterval, in order */
    gint64 paused_us;         /* a pause that began then and whose end was not told; 0: none */
    gboolean pause_told;      /* the last pause was told, and no other state since then */
    GPtrArray *tracks;        /* of ModelTrack, not owned */
} ModelPart;

/* What of a capture is looked at. */
typedef struct {
    guint section; /* 0: it was never rotated, or all sections are joined */
    guint first_part, last_part;
    gint64 begin_us, end_us; /* of the section; end 0: it is the last one */
    gboolean join;           /* parts with only a rotation between them are one */
} ModelScope;

typedef struct {
    char *folder;
    json_t *recording; /* recording.json, or an empty object */
    ModelScope scope;
    gint64 zero_us;                           /* of the recording */
    gint64 begin_us;                          /* where its files start counting: the zero, or the section's begin */
    GPtrArray *parts, *participants, *tracks; /* owned; parts and tracks sorted by number */
    char *end_reason;                         /* of the last `ended`, or NULL */
    json_t *end_error;                        /* its error, or NULL */
    GPtrArray *problems;                      /* of char *, for the manifest */
    guint problems_left_out;
    guint rotations;                                /* after which parts were joined */
    GHashTable *participants_by_id, *tracks_by_key; /* not owning */
} Model;

Model *model_new(void);
void model_free(Model *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Model, model_free)

/* Reads a capture's folder. CAPTURE_DAMAGED, STORAGE_FAILED. Damage within is told in `problems`. */
Model *model_load(const char *folder, const ModelScope *scope, GError **error);

/* Takes in the text of one events.jsonl. A last line without an end is lawful; lines that make no sense are counted. */
void model_load_events(Model *model, ModelPart *part, const char *text, gsize bytes);

/* What model_load() does last: every track gets its participant, open intervals their end, the zero its value. */
void model_settle(Model *model);

ModelPart *model_part(Model *model, guint number);
/* The track, made when it is new. NULL at MODEL_TRACKS_MAX. */
ModelTrack *model_track(Model *model, ModelPart *part, guint number);
void model_problem(Model *model, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A pause is over. One that was told up to a rotation, and goes on behind it without another state, is one. */
void model_paused(ModelPart *part, gint64 from_us, gint64 until_us);
/* Widens a part's time to hold this one. */
void model_part_saw(ModelPart *part, gint64 wall_us);
/* part-NNNN/track-NNNN.N.mkv, as the capture has it. Caller frees. */
char *model_file_name(const ModelTrack *track, const ModelFile *file);
/* Its path, or what was opened of it. Caller frees. */
char *model_file_path(const Model *model, const ModelTrack *track, const ModelFile *file);

#endif
