/*
 * plan: which tracks go into which stream of which file, and what kind of file it is. Pure: reads no media.
 */
#ifndef STENO_ASSEMBLE_PLAN_H
#define STENO_ASSEMBLE_PLAN_H

#include "track.h"

#include "steno/assemble.h"

/* Tracks that overlap by less follow each other: a rejoin whose clocks are not quite the same. */
#define PLAN_OVERLAP_US 200000

/* A stretch of one track in one codec. */
typedef struct {
    const TrackScan *scan;
    guint from, until;         /* frames of the scan */
    gboolean keep_undecodable; /* there is nothing else */
    StenoCodec codec;
    gint64 start_us, end_us; /* on the recording's time */
    guint64 frames;          /* that are used */
} PlanRun;

/* One stream of a file. */
typedef struct {
    gboolean video, screen, aac;
    StenoCodec codec; /* of all runs; with aac, of the first */
    GArray *runs;     /* of PlanRun, in order of time */
    gboolean is_default;
    gboolean parameters_change; /* H.264, H.265: parameter sets are not the same all the time */
    gint64 end_us;
} PlanStream;

typedef enum { PLAN_WEBM, PLAN_MP4, PLAN_M4A, PLAN_MATROSKA, PLAN_MKA } PlanContainer;

typedef struct {
    const ModelParticipant *participant;
    PlanContainer container;
    GPtrArray *streams; /* of PlanStream: pictures first, the default ones before the others */
} PlanOutput;

/* Is this frame of the run written? */
gboolean plan_uses(const PlanRun *run, const IndexFrame *frame);

/* One file of all these tracks of one participant; NULL when no frame of them is of use. */
PlanOutput *plan_output(const ModelParticipant *participant, TrackScan *const *scans, guint n, StenoAudio audio);
void plan_output_free(PlanOutput *output);

/* "webm", "mp4", "m4a", "mkv", "mka". */
const char *plan_extension(PlanContainer container);
/* libavformat's name of the muxer. */
const char *plan_muxer(PlanContainer container);

#endif
