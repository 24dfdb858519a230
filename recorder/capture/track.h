/*
 * One track of a part: its files, one a format; the cluster in the making; the gap that is still growing. Writer
 * thread.
 */
#ifndef STENO_CAPTURE_TRACK_H
#define STENO_CAPTURE_TRACK_H

#include "events.h"
#include "matroska.h"

#include "steno/frame.h"

/* What the tracks of a part share. */
typedef struct {
    int folder_fd;
    gint64 zero_wall_us;
    StenoEvents events;
    GArray *closing;     /* int: files that are complete, to be synced and closed at the next sync */
    GByteArray *scratch; /* for headers */
    StenoCrc32 crc32;
    gboolean folder_dirty; /* files were made since the last sync */
    guint64 frames, bytes, frames_dropped;
    gint64 now_mono_us;   /* of this round */
    gint64 since_mono_us; /* frames of this round came after this */
} StenoPart;

typedef struct {
    guint32 number;
    StenoFrame *format; /* the current one; NULL before the first and after END */
    int fd;             /* -1: no file is open; it is made for the first frame of a format */
    gboolean dirty;     /* written, not yet synced */
    guint segment;      /* number of the next file */
    guint32 frames;     /* in the open file */
    gint64 last_pts_ms;
    StenoCluster cluster;
    gint64 cluster_mono_us; /* its first frame came after this */
    struct {
        gboolean open;
        StenoGapCause cause;
        gint64 first_seq, last_seq;
        guint64 packets;
        gint64 rtp_ts, until_rtp_ts, from_us, until_us;
        gint64 mono_us;
    } gap;
} StenoTrack;

StenoTrack *steno_track_new(guint32 number);
/* Closes the file without writing what waits. */
void steno_track_free(StenoTrack *track);

/* Takes in one frame; the caller keeps its reference. */
gboolean steno_track_frame(StenoPart *part, StenoTrack *track, StenoFrame *frame, GError **error);
/* Writes the cluster and tells the gap when they have waited STENO_CAPTURE_CLUSTER_MS, or `all` of them now. */
gboolean steno_track_flush(StenoPart *part, StenoTrack *track, gboolean all, GError **error);

#endif
