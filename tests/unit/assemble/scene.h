/* What the assemble room's tests share: real clips, and captures made of them through the real writer. */
#ifndef STENO_TESTS_ASSEMBLE_SCENE_H
#define STENO_TESTS_ASSEMBLE_SCENE_H

#include "steno/capture.h"

#define SCENE_ZERO_US G_GINT64_CONSTANT(1795000000000000)
#define SCENE_SECOND G_GINT64_CONSTANT(1000000)

/* An encoded clip in memory: frames as a depacketizer gives them. */
typedef struct {
    StenoCodec codec;
    guint width, height, channels, clock_hz;
    GPtrArray *frames; /* of GBytes */
    GArray *pts_us;    /* of gint64, from 0 */
    GArray *keys;      /* of gboolean */
    GByteArray *parameters;
} Clip;

/* Encodes with ffmpeg, the same clip once a run: `source` is a lavfi graph, `encoder` its options. */
const Clip *clip_make(StenoCodec codec, const char *source, const char *encoder);

/* One part of a capture that is being written. */
typedef struct {
    char *folder;
    guint part;
    StenoCapture *capture;
    StenoFramePool *pool;
} Scene;

char *scene_folder(void);
void scene_remove(const char *folder);
Scene *scene_open(const char *folder, guint part);
/* With a state event (NULL: none, as after a crash), and frees. */
void scene_close(Scene *scene, const char *state);
void scene_event(Scene *scene, gint64 at_us, const char *format, ...);
void scene_join(Scene *scene, gint64 at_us, const char *id, const char *name);
void scene_track(Scene *scene, gint64 at_us, guint track, const char *participant, const char *mid, const Clip *clip);

/* How a clip is played into a track. All times count from the recording's zero, by the sender's true clock. */
typedef struct {
    guint track;
    const Clip *clip;
    gint64 at_us;             /* when the clip's first used frame happens */
    gint64 from_us, until_us; /* the part of the clip; until 0: all */
    gint64 rtp_base;          /* RTP time of the clip's beginning */
    double drift_ppm;         /* the sender's RTP clock is so much too slow */
    gint64 offset_us;         /* of the sender's NTP clock */
    gint64 jitter_us;         /* the network's, at most */
    gboolean no_reports;
    /* Frames [lost_from, lost_until) are not there; those up to the next key frame cannot be decoded. */
    guint lost_from, lost_until;
} Play;

/* Returns how many frames went in. */
guint scene_play(Scene *scene, const Play *play);

/* Runs a command; its standard output. Fails the test when it complains. */
char *scene_run(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif
