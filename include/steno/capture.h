/*
 * capture: frames → crash-safe files. Never transcodes, never waits for the customer's storage.
 *
 * On disk (the capture's file format, read by assemble):
 *
 *   CAPTURE/recording.json            written once at the start, atomically: id, platform, channel, zero, options;
 *                                     no secrets
 *   CAPTURE/part-0001/events.jsonl    one JSON object a line: {"t": <wall µs>, "event": "…", …}; a torn last line is
 *                                     lawful
 *   CAPTURE/part-0001/track-0001.0.mkv   one Matroska file a track and format: track number, then the number of the
 *                                     format
 *
 * A part is one uninterrupted run of a recorder in a channel; the next part begins after a crash, a reconnect or a
 * rotation. A section is what lies between two rotations: one part or more; a part whose last line is "rotated" is the
 * last one of its section; a part that has no such line (a crash within the seam) belongs to the section that goes on.
 * Once a section's files are proven in storage, CAPTURE/section-NNNN.json says so (steno_capture_section_stored()):
 * {"section": N, "first_part", "last_part", "begin", "seam", "manifest": {…}}, and its parts' folders may be gone. A
 * track file is made for the first frame of a format, so that each holds at least one.
 *
 * Each Matroska block carries a 40-byte record (STENO_CAPTURE_RECORD) as BlockAdditional with BlockAddID 2, so that the
 * file alone tells each frame's RTP time, wall time and arrival. The blocks' own timestamps (ms since the recording's
 * zero) only go forward: they are for players; assemble goes by the record.
 *
 * STENO_CAPTURE_RECORD, little-endian:
 *    0  u8   version, 1
 *    1  u8   flags: 1 keyframe, 2 decodable, 4 encrypted, 8 raw
 *    2  u16  0
 *    4  u32  number of the frame in its file, from 0
 *    8  i64  rtp_ts, extended, ticks of the track's clock
 *   16  i64  wall_us, µs since 1970
 *   24  i64  arrival_us, CLOCK_MONOTONIC
 *   32  u64  0
 *
 * H.264 and H.265 are kept as Matroska has them: 4-byte start codes become lengths, parameter sets avcC or hvcC, and
 * the reader turns both back. `raw`: the payload is kept byte by byte instead; so are encrypted frames, and what does
 * not begin with a start code. Parameter sets come back ordered by type (VPS, SPS, PPS).
 *
 * Sealed files: what could not be decrypted when it came (the key is late, wrong, or not for the recorder) is kept as
 * it came, with the flag `encrypted`, in files of their own: a file is sealed as a whole or not at all, and a file of
 * video that is not sealed begins with a key frame. Its format has no size and no parameters. A block holds the whole
 * encrypted frame, or, where each RTP payload is encrypted (recording.json: content.unit "packet"), a packet:
 *    0  i64  extended sequence number, little-endian
 *    8  u8   1: the packet's marker bit
 *    9  …    the RTP payload
 * recording.json tells content {format, unit}; its keys are nowhere in a capture. Sealed frames take the room that
 * clear ones would: the disk's limits hold for them as they are, and nothing waits elsewhere.
 *
 * Tracks and each Cluster begin with a CRC-32 (RFC 8794 §11.3.1; files of earlier recorders have none): a bit that
 * flips is found, and costs the cluster that it is in.
 *
 * Clusters hold at most 500 ms and are written whole, ≤ 0.6 s after their first frame; what was written is on disk
 * (fdatasync) within one more second, so that a crash of the process loses ≤ 1 s a track, and of the machine ≤ 2 s.
 *
 * Events (members besides t, wall µs, event, part, and seq, which counts from 1 in each part). Times in them are wall
 * µs as well; participant and peer are the channel's, track and segment ours. `early`: true in those that were told
 * while no part was open, and therefore are the first lines of the next one. Measurements (clock, stats) have no seq.
 *
 *   state {state, error?}              joining | recording | paused | reconnecting; where the part begins with
 *                                      zero_wall_us
 *   ended {end_reason, error}          the last line of the last part
 *   rotated {section, seam}            the last line of a section: number of the section that ends (from 1), and the
 *                                      rotation's time (wall µs), where the next section's files start counting
 *   updated {max_duration_s, max_idle_s, subscribe_audio, subscribe_video, max_height}   what is asked for from here on
 *   participant_joined {participant, name}
 *   participant_left {participant}
 *   participant_failed {participant, error}, peer_failed {peer, error}
 *   track_added {track, participant, mid, kind, codec, clock_hz, ssrc, peer, source}
 *   track_started {track}              its first packet
 *   track_removed {track}
 *   format {track, segment, codec, clock_hz, width, height, channels, sealed}   the file track-N.segment begins
 *   undecryptable {track, participant, kid, cause, since}   frames of this track under this key id cannot be
 *                                      decrypted. kid: decimal text, null when it cannot be read; cause: no-key or
 *                                      bad-key. Told within 5 s, once for each (track, kid, cause) until decryptable;
 *                                      of a missing key that came within a second, nothing is told
 *   decryptable {track, participant, since, frames}   all of the track's frames can be again; how many were sealed
 *   gap {track, cause, first_seq, last_seq, packets, rtp_ts, until_rtp_ts, from, until}
 *                                      gaps that follow on each other for the same cause are one; of a pause: track
 *                                      null, cause, from and until, when it is over
 *   clock {track, rtp_ts, ntp, arrival, offset}                         a sender report
 *   source_changed {track, ssrc}       the sender began anew
 *   muted {track, evidence}, unmuted   evidence "rtp": no packets came for 1 s; "platform": it said so
 *   layer, talking, silent             what the platform says of a stream
 *   stats {track, packets, bytes, lost, recovered, duplicates, reordered, late, nacks, plis, sealed, …}
 *                                      each 10 s and at a track's end
 */
#ifndef STENO_CAPTURE_H
#define STENO_CAPTURE_H

#include "steno/base/log.h"
#include "steno/frame.h"

#include <jansson.h>

#define STENO_CAPTURE_FORMAT 1 /* of all this; "capture_format" in recording.json */
#define STENO_CAPTURE_CLUSTER_MS 500
#define STENO_CAPTURE_SYNC_MS 1000
#define STENO_CAPTURE_RING_FRAMES 16384 /* 40 participants at 80 frames/s for 5 s: how long a disk may stall */
#define STENO_CAPTURE_EVENTS_MAX 4096   /* events that wait to be written; more are counted and dropped */
#define STENO_CAPTURE_TRACKS_MAX 4096   /* in a part: a channel's participants with four streams each, twice over */
#define STENO_CAPTURE_SEGMENTS_MAX                                                                                     \
    10000 /* formats of a track: a change a second for hours; then its frames are dropped */

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct StenoCapture StenoCapture;

typedef struct {
    const char *folder;      /* CAPTURE; made if missing */
    guint part;              /* from 1; part-NNNN must not exist */
    gint64 zero_wall_us;     /* the recording's zero: same for all its parts */
    const json_t *recording; /* what recording.json shall hold besides; used when it does not exist yet */
    /* Numbered events that were told before the part began (an array; NULL: none): its first lines, as they are. */
    const json_t *early;
    guint early_seq; /* the last number that was given away so */
    const StenoLog *log;
    /* Each event that gets a number, in their order; takes the reference. Any thread, under a lock: only to be queued.
     * May be NULL. */
    void (*told)(gpointer user, json_t *event);
    /* The capture can't be written any more (disk full, I/O): called once, on the writer thread. */
    void (*failed)(gpointer user, const GError *error);
    gpointer user;
} StenoCaptureConfig;

typedef struct {
    guint64 frames, bytes;  /* written */
    guint64 frames_dropped; /* came after a failure */
    guint64 events_dropped;
    gint64 last_sync_mono_us; /* all that came before this is on disk */
    gint64 worst_sync_us;     /* the longest fdatasync */
} StenoCaptureStats;

/* Makes the folders, writes recording.json (part 1), starts the writer thread. STORAGE_* errors. */
StenoCapture *steno_capture_new(const StenoCaptureConfig *config, GError **error);

/*
 * Where frames go in: the network thread pushes. MEDIA after a FORMAT of the same track; END closes the track's file.
 * When it is full, the caller drops the frame and tells a GAP with cause OVERFLOW.
 */
StenoFrameRing *steno_capture_ring(StenoCapture *capture);

/* Writes an event, with its part and seq, and tells it; takes the reference. "t" is added when it is missing. Any
 * thread; not on the packet path. */
void steno_capture_event(StenoCapture *capture, json_t *event);
/* Writes what is only evidence for the assembly (clock, stats): without a number, told to nobody. Otherwise the same.
 */
void steno_capture_measurement(StenoCapture *capture, json_t *event);
/* This event will be the part's last line, behind all that the last frames brought; takes the reference. It is told
 * when it is on disk, or could not be written. */
void steno_capture_set_last(StenoCapture *capture, json_t *event);

/* Figures so far; any thread. */
void steno_capture_stats(const StenoCapture *capture, StenoCaptureStats *stats);

/*
 * Begins to finish and does not wait: for a part that ends while the recording goes on. last (taken) becomes its last
 * line, and is told when it, and all before it, is on disk; else never. Then finished (may be NULL) is called on the
 * writer thread: steno_capture_finish(), which must follow, does not wait from then on.
 */
void steno_capture_finish_begin(StenoCapture *capture, json_t *last, void (*finished)(gpointer user), gpointer user);

/*
 * Writes what waits, closes and syncs every file, ends the thread and frees, also after a failure. FALSE with the first
 * failure there was. The producers must have stopped.
 */
gboolean steno_capture_finish(StenoCapture *capture, GError **error);
/* Ends one that had no frame and no event, and takes its part's folder away. */
void steno_capture_discard(StenoCapture *capture);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* One frame of a track file, in file order. The payload is lent until the next call. */
typedef struct {
    gint64 rtp_ts, wall_us, arrival_us;
    gboolean keyframe, decodable, encrypted;
    const guint8 *payload;
    gsize payload_bytes;
} StenoCaptureFrame;

typedef struct StenoCaptureReader StenoCaptureReader;

/* Opens one track file, also one cut short by a crash. CAPTURE_DAMAGED when not even its header can be read. */
StenoCaptureReader *steno_capture_reader_open(const char *path, GError **error);
/* The same for a file that is in memory; data is lent for as long as the reader lives. */
StenoCaptureReader *steno_capture_reader_open_memory(const guint8 *data, gsize bytes, GError **error);
void steno_capture_reader_free(StenoCaptureReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoCaptureReader, steno_capture_reader_free)
StenoCodec steno_capture_reader_codec(const StenoCaptureReader *reader);
/* The codec's out-of-band parameters, as in the FORMAT frame; *bytes 0 when there are none. */
const guint8 *steno_capture_reader_parameters(const StenoCaptureReader *reader, gsize *bytes);
/* Picture size in px, or channels and clock of audio. */
void steno_capture_reader_format(const StenoCaptureReader *reader, guint *width, guint *height, guint *channels,
                                 guint *clock_hz);
/* Its frames are sealed, all of them; its format says nothing of size and parameters. */
gboolean steno_capture_reader_is_sealed(const StenoCaptureReader *reader);
/* 1: a frame; 0: the end, whole or torn. Damage is passed over, with the whole cluster that it is in. */
int steno_capture_reader_next(StenoCaptureReader *reader, StenoCaptureFrame *frame);
/* Bytes that could not be read so far: the torn end of a crash, or damage. 0 for a file that was closed in order. */
guint64 steno_capture_reader_skipped(const StenoCaptureReader *reader);

/* ---- sections ---------------------------------------------------------------------------------------------------- */

typedef struct {
    guint number;                /* from 1 */
    guint first_part, last_part; /* of those that there are or were */
    gint64 begin_wall_us;        /* where its files start counting: the zero (0: recording.json cannot be read), or the
                                    seam before it */
    gint64 end_wall_us;          /* the seam after it; 0: it is the last one */
    gboolean stored;             /* section-NNNN.json is there */
} StenoCaptureSection;

/*
 * All sections of a capture, in their order, from what is on disk; none when there is no part. While a recorder writes
 * there, the last one is the one that goes on. Reads the last line of each part; blocking. CAPTURE_DAMAGED. Of
 * StenoCaptureSection; the caller's.
 */
GArray *steno_capture_sections(const char *capture, GError **error);
/*
 * The section's files, with this manifest (taken), are proven in storage: writes section-NNNN.json, and when this
 * returns TRUE it is on disk. Its parts may be removed after that. Blocking. STORAGE_*.
 */
gboolean steno_capture_section_stored(const char *capture, const StenoCaptureSection *section, json_t *manifest,
                                      GError **error);

#endif
