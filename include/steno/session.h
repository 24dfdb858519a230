/*
 * session: one recording from the inside (the recorder process). Wires channel → transport → rtp → codec → capture; the
 * only room that sees all of them. wiring.c is where the flow is read top to bottom.
 *
 * The recorder process speaks newline-delimited JSON (base/ipc.h) on its listening socket, with one client at a time.
 *
 * Client to recorder:
 *   {"command": "start", "job": {…, with secrets}, "capture": DIR, "part": N, "zero_wall_us": 0 | µs,
 *    "finish_when_alone": bool}                  the first message to a new recorder
 *   {"command": "attach", "part": N, "seq": N}   the first message of a later client: it knows events up to this one
 *   {"command": "stop", "end_reason": "…"}
 *   {"command": "pause"}, {"command": "resume"}
 *   {"command": "update", "job": {…}}            changed settings: max_duration_s, max_idle_s, subscribe_audio,
 *                                                subscribe_video, max_height, token (for the next join or renewal)
 * Recorder to client:
 *   {"event": "hello", "pid", "id", "state", "paused", "part", "version",
 *    "sandbox": {"seccomp", "landlock_abi"}}   the answer to start and attach; what holds the recorder (sandbox.h)
 *   every numbered event of the capture (capture.h), with its "part" and "seq" (from 1 in each part, without holes but
 *   for a disk that could not keep up): after an attach those behind the client's position first (at most
 *   STENO_SESSION_REPLAY_MAX; older ones are in the capture's events.jsonl). Measurements (clock, a track's stats) are
 *   not sent. While no part is open, events are sent with the next part's number, and "early": true; they are its first
 *   lines once it opens. When a recorder dies before that, its successor counts that part from 1 again: whoever starts
 *   a recorder with part N knows nothing yet of part N.
 *   {"event": "stats", "duration_ms", "participants", "tracks", "announced", "frames", "bytes", "packets", "lost",
 *    "recovered", "invalid", "sealed", "injected"}
 *                                                each second, without part and seq; announced: tracks that should
 *                                                flow: packets come or the platform says that somebody talks, not
 *                                                muted, not ended; 0 while paused; sealed: how many of the frames (of
 *                                                packets, where these are encrypted) could not be decrypted so far;
 *                                                injected: frames of the server's own, left out
 *   {"event": "ended", "end_reason", "error"}    the last one; it is also the last line of the capture's last part, so
 *                                                that it is known when nobody listened. Without part and seq when no
 *                                                session began (the job is impossible, CONFLICT); not on disk when the
 *                                                channel was never joined
 *
 * Each rotate_s, counted from the recording's zero, it rotates: a new part begins while the channel is kept. Every
 * picture changes over on a key frame (which is asked for each second; when none comes until shortly before the next
 * rotation, without one), sound at the rotation's time: each frame is in the old part or in the new one. Tracks keep
 * their numbers; who and what is there is written at the new part's beginning (as measurements are: nothing happened,
 * so nobody is told), with each track's last sender reports; stats count anew. When the old part is closed and on disk,
 * "rotated" (capture.h) is told as its last event; events of the new part follow it. What was told before stays in
 * order: (part, seq) only grows. A new part for any other reason ends no section. When the next part cannot be opened,
 * files go on as they are, and it is tried again.
 *
 * What a client says wrongly is logged and does nothing; a client that breaks the framing, or does not say within a
 * second who it is, is sent away. When a client goes, the next one is waited for, or, with finish_when_alone, the
 * recording ends ("orphaned"). A session that ends while nobody listens closes the capture, and the process exits.
 *
 * The channel's own AES (content.h) is taken off on the network thread; what cannot be is sealed (capture.h), and a
 * key that comes later takes effect for video at its next key frame, which is asked for. Nothing is lost meanwhile:
 * the assembly opens what is sealed. `steno-recorder --keys` is for that: no recording, but a JSON object
 * {"job": {…, with secrets}, "wanted": [{"participant", "kid"}], "timeout_s": N} on standard input; the text of the key
 * set that the job's source has (content.h) on standard output; exit code and words on standard error as everywhere.
 * `steno-recorder --modules` prints which module does each algorithm, as JSON (base/crypto_modules.h).
 *
 * A recorder holds an exclusive lock (flock) on CAPTURE/recorder.lock, which holds its pid, as long as it lives.
 */
#ifndef STENO_SESSION_H
#define STENO_SESSION_H

#include "steno/base/job.h"
#include "steno/base/log.h"

/* Events kept for a client that comes (back): hours of a busy channel. */
#define STENO_SESSION_REPLAY_MAX 4096

typedef struct StenoSession StenoSession;

/* All from the main thread. */
typedef struct {
    /*
     * Something happened: the capture's events, with part and seq, in their order; "stats"; and last of all "ended".
     * Not owned by the callee.
     */
    void (*event)(gpointer user, json_t *event);
    /*
     * The recording has ended and the capture is closed. error NULL: it ended as it should. end_reason: "stopped",
     * "max-duration", "max-idle", "channel-ended", "connection-lost", "join-failed", "storage", "undecryptable". The
     * callee frees the session later.
     */
    void (*ended)(gpointer user, const char *end_reason, const GError *error);
} StenoSessionEvents;

typedef struct {
    const char *capture; /* the capture's folder */
    guint first_part;    /* 1, or more when another recorder was here before */
    gint64 zero_wall_us; /* 0: now */
    int keys_fd;         /* of who asks the source of content keys (content.h); -1: this process */
} StenoSessionPlace;

/* Starts in the default main context. Takes a reference to nothing: job must outlive the session. */
StenoSession *steno_session_start(const StenoJobSpec *job, const StenoSessionPlace *place, const StenoLog *log,
                                  const StenoSessionEvents *events, gpointer user, GError **error);
/* Media is dropped at the edge, told as gaps with cause "paused"; the states "paused" and "recording" follow. */
void steno_session_pause(StenoSession *session, gboolean paused);
/* The job was changed by its owner: takes over what may change while it runs. */
void steno_session_update(StenoSession *session);
/* "joining", "recording", "paused" or "reconnecting". */
const char *steno_session_state(const StenoSession *session);
/* The part that is open, or else the next one. */
guint steno_session_part(const StenoSession *session);
/* Asks it to end ("stopped", …); `ended` follows. */
void steno_session_stop(StenoSession *session, const char *end_reason);
void steno_session_free(StenoSession *session);

#endif
