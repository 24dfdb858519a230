/*
 * The little of Matroska (RFC 9559) that a track file needs: written by hand, because a recorder that loads libavformat
 * pays 25 MB of memory, 30 ms at its start and 130 shared libraries beside its keys (docs/DECISIONS.md).
 *
 * A file is a header (EBML, Segment of unknown size, Info, one TrackEntry) and clusters. It is only ever appended to.
 * Tracks and each Cluster begin with a CRC-32 (RFC 8794 §11.3.1) of what follows in them.
 */
#ifndef STENO_CAPTURE_MATROSKA_H
#define STENO_CAPTURE_MATROSKA_H

#include "crc32.h"

#include "steno/frame.h"

/* Element ids, with their length marker. */
enum {
    MKV_EBML = 0x1A45DFA3,
    MKV_EBML_VERSION = 0x4286,
    MKV_EBML_READ_VERSION = 0x42F7,
    MKV_EBML_MAX_ID_LENGTH = 0x42F2,
    MKV_EBML_MAX_SIZE_LENGTH = 0x42F3,
    MKV_DOC_TYPE = 0x4282,
    MKV_DOC_TYPE_VERSION = 0x4287,
    MKV_DOC_TYPE_READ_VERSION = 0x4285,
    MKV_CRC32 = 0xBF,
    MKV_SEGMENT = 0x18538067,
    MKV_INFO = 0x1549A966,
    MKV_TIMESTAMP_SCALE = 0x2AD7B1,
    MKV_DATE_UTC = 0x4461,
    MKV_MUXING_APP = 0x4D80,
    MKV_WRITING_APP = 0x5741,
    MKV_TRACKS = 0x1654AE6B,
    MKV_TRACK_ENTRY = 0xAE,
    MKV_TRACK_NUMBER = 0xD7,
    MKV_TRACK_UID = 0x73C5,
    MKV_TRACK_TYPE = 0x83,
    MKV_FLAG_LACING = 0x9C,
    MKV_MAX_BLOCK_ADDITION_ID = 0x55EE,
    MKV_BLOCK_ADDITION_MAPPING = 0x41E4,
    MKV_BLOCK_ADD_ID_VALUE = 0x41F0,
    MKV_BLOCK_ADD_ID_NAME = 0x41A4,
    MKV_CODEC_ID = 0x86,
    MKV_CODEC_PRIVATE = 0x63A2,
    MKV_CONTENT_ENCODINGS = 0x6D80,
    MKV_CONTENT_ENCODING = 0x6240,
    MKV_CONTENT_ENCODING_TYPE = 0x5033,
    MKV_CONTENT_ENCRYPTION = 0x5035,
    MKV_CONTENT_ENC_ALGO = 0x47E1,
    MKV_SEEK_PRE_ROLL = 0x56BB,
    MKV_VIDEO = 0xE0,
    MKV_PIXEL_WIDTH = 0xB0,
    MKV_PIXEL_HEIGHT = 0xBA,
    MKV_AUDIO = 0xE1,
    MKV_SAMPLING_FREQUENCY = 0xB5,
    MKV_CHANNELS = 0x9F,
    MKV_BIT_DEPTH = 0x6264,
    MKV_CLUSTER = 0x1F43B675,
    MKV_TIMESTAMP = 0xE7,
    MKV_BLOCK_GROUP = 0xA0,
    MKV_BLOCK = 0xA1,
    MKV_BLOCK_ADDITIONS = 0x75A1,
    MKV_BLOCK_MORE = 0xA6,
    MKV_BLOCK_ADD_ID = 0xEE,
    MKV_BLOCK_ADDITIONAL = 0xA5,
    MKV_REFERENCE_BLOCK = 0xFB,
};

/* BlockAddID of the record: 1 is the codec's own (VP8 and VP9 decoders take it for an alpha channel), free ones begin
 * at 2. */
#define MKV_RECORD_ADD_ID 2

/* ---- the record that each block carries -------------------------------------------------------------------------- */

#define RECORD_VERSION 1
#define RECORD_BYTES 40
enum { RECORD_KEYFRAME = 1, RECORD_DECODABLE = 2, RECORD_ENCRYPTED = 4, RECORD_RAW = 8 };

typedef struct {
    guint8 version, flags;
    guint32 number; /* of the frame in its file, from 0 */
    gint64 rtp_ts, wall_us, arrival_us;
} StenoRecord;

void steno_record_put(guint8 out[RECORD_BYTES], const StenoRecord *record);
/* FALSE for a version that is not ours. */
gboolean steno_record_get(const guint8 data[RECORD_BYTES], StenoRecord *record);

/* ---- codec names ------------------------------------------------------------------------------------------------- */

/* "V_VP8" …; NULL for UNKNOWN. A_MS/ACM stands for both kinds of G.711: CodecPrivate tells which. */
const char *steno_matroska_codec_id(StenoCodec codec);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    StenoCodec codec;
    guint32 track;
    gint64 zero_wall_us; /* DateUTC */
    guint width, height; /* px, 0: unknown */
    guint channels, clock_hz;
    const guint8 *codec_private;
    gsize codec_private_bytes;
    gboolean sealed; /* told as ContentEncodings (RFC 9559 §5.1.4.1.31): players leave it alone */
} StenoMatroskaTrack;

/* Appends everything that comes before the first cluster. */
void steno_matroska_header(GByteArray *out, const StenoMatroskaTrack *track, const StenoCrc32 *crc32);

/* The CRC-32 element that Tracks and Cluster begin with. */
#define MKV_CRC32_BYTES 6
/* Does what a master element holds begin with a CRC-32, and is it that of the rest? *has: the first. */
gboolean steno_matroska_is_whole(const StenoCrc32 *crc32, const guint8 *data, gsize bytes, gboolean *has);

/* A cluster in the making. Its buffer is kept for the next one, so that a warm track allocates nothing. */
typedef struct {
    guint8 *data;
    gsize bytes, capacity; /* bytes 0: no cluster is open */
    gint64 start_ms, last_ms;
} StenoCluster;

void steno_cluster_clear(StenoCluster *cluster);
/* Bytes that a frame will take. */
gsize steno_cluster_frame_bytes(gsize payload_bytes);
/*
 * Appends a frame, and opens the cluster when none is open. pts_ms may lie at most 32 s after the cluster's start.
 * annexb: 4-byte start codes become lengths; payloads that do not begin with one are kept as they are, flagged RAW.
 */
void steno_cluster_append(StenoCluster *cluster, gint64 pts_ms, gboolean reference, gboolean annexb,
                          StenoRecord *record, const guint8 *payload, gsize bytes);
/* Completes the header; data … data + bytes is what to write. */
void steno_cluster_seal(StenoCluster *cluster, const StenoCrc32 *crc32);

#endif
