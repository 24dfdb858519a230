/* What the assemble room's tests share: real clips, and captures made of them through the real writer. */
#ifndef STENO_TESTS_ASSEMBLE_SCENE_H
#define STENO_TESTS_ASSEMBLE_SCENE_H

#include "sealer.h"

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

/* The clips that most tests have: 6 s of a tone, 4 s of pictures with a key frame each second. */
#define SCENE_PICTURES "testsrc2=s=320x180:r=30:d=4"
#define SCENE_X264 "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -bf 0"
const Clip *clip_opus(void);
const Clip *clip_h264(const char *size);
const Clip *clip_vp8(void);

/* One part of a capture that is being written. */
typedef struct {
    char *folder;
    guint part;
    const char *content; /* NULL: not encrypted */
    StenoCapture *capture;
    StenoFramePool *pool;
    json_t *announced;   /* what a part behind a rotation is told again */
    GHashTable *formats; /* tracks that have had one */
} Scene;

char *scene_folder(void);
void scene_remove(const char *folder);
Scene *scene_open(const char *folder, guint part);
/* …of a channel that is encrypted by itself: "sframe", or "sframe-packet". */
Scene *scene_open_encrypted(const char *folder, guint part, const char *content);
/* With a state event (NULL: none, as after a crash), and frees. */
void scene_close(Scene *scene, const char *state);
/* As a rotation does: closes the part as the last one of its section, and opens the next. */
Scene *scene_rotate(Scene *scene, guint section, gint64 seam_us);
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
    gboolean goes_on; /* from the play before: the track has no new format */
    /* Frames [lost_from, lost_until) are not there; those up to the next key frame cannot be decoded. */
    guint lost_from, lost_until;
    /* Frames are sealed with this; where packets are, `seq` is the first one's number, and goes on. */
    Sealer *sealer;
    gint64 *seq;
} Play;

/* Returns how many frames went in. */
guint scene_play(Scene *scene, const Play *play);

/* Runs a command; its standard output. Fails the test when it complains. */
char *scene_run(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif
