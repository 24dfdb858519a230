/*
 * A network thread without a thread: one peer with sound and a picture over a real socket, encrypted by a sender who is
 * none of ours (tests/lib/seal.h), and the capture read back: which frame is where, as it came or in the clear.
 */
#ifndef STENO_TESTS_SEALED_SCENE_H
#define STENO_TESTS_SEALED_SCENE_H

#include "decrypt.h"

#define AUDIO 1
#define VIDEO 2
#define SCENE_FRAMES_MAX 512
#define SECOND_US G_GINT64_CONSTANT(1000000)

typedef struct {
    char *folder;
    int socket;
    guint16 port;
    StenoJobSpec *job;
    Net net;
    NetPeer *peer;
    NetTrack *tracks[3];
    StenoCapture *captures[2];
    struct Sealer *sealer;
    guint16 seq[3];
    guint sent[3]; /* frames of a track */
    guint packets; /* of the last frame */
    guint16 sent_packets[3][SCENE_FRAMES_MAX];
    gint64 shift_us; /* what a tick is ahead of the clock */
    GString *told;   /* messages to the main thread: "want alice 0;" … */
    /* Of the next frame; packets count from 1, 0: none. */
    guint lost_packet;   /* not sent */
    guint change_key_at; /* this one and those behind it are under the key of the sender's second 10 */
    gboolean no_marker;  /* of this one and all that follow */
    gboolean lossy;      /* a packet was not sent */
} Scene;

/* format and its members of a job; sender: the description of its keys (seal.h). */
Scene *scene_new(const char *format, const char *content_keys, const char *sender);
void scene_free(Scene *scene);

/* Keys come, as from a source: the text of a key set. */
void scene_add_keys(Scene *scene, const char *text);

/* One frame is sent, under the sender's key of that second, and goes all the way. Its number counts from 0 a track. */
void scene_send(Scene *scene, guint track, double at_s, gboolean keyframe);
/* The same, of so many bytes. */
void scene_send_sized(Scene *scene, guint track, double at_s, gboolean keyframe, gsize bytes);
/* Anything as one RTP packet of a track. */
void scene_send_raw(Scene *scene, guint track, const guint8 *payload, gsize bytes, gboolean marker);
/* Time passes, with its ticks. */
void scene_wait(Scene *scene, double s);
/* Was a key frame asked for since the last call? */
gboolean scene_asked_for_keyframe(Scene *scene);

/*
 * Ends the track, closes the capture and tells what is in a part's files of it: a word a file, "s" (sealed) or "c",
 * with the numbers of its frames: "s:0-9 c:10-19". Sealed frames are opened with the given key set, and must open. A
 * picture that is clear has to begin with a key frame; else its file is "!".
 */
char *scene_files(Scene *scene, guint part, guint track, const char *keys);
/* Lines of a part's events.jsonl with this text. */
guint scene_count_events(Scene *scene, guint part, const char *text);

#endif
