#include "matroska.h"

#include "annexb.h"

#include "steno/base/version.h"

#include <string.h>

/* A cluster's head: id, size (4 bytes), CRC-32, Timestamp (1 + 1 + 8). */
#define CLUSTER_HEAD_BYTES (8 + MKV_CRC32_BYTES + 10)
/* BlockGroup and Block with 4-byte sizes, then track, relative time and flags. */
#define BLOCK_HEAD_BYTES 14
/* BlockAdditions { BlockMore { BlockAddID, BlockAdditional } } around the record. */
#define ADDITIONS_BYTES (3 + 2 + 3 + 2 + RECORD_BYTES)
#define REFERENCE_BYTES 4
/* A buffer that one huge frame has grown past this is not kept. */
#define CLUSTER_KEEP_BYTES (768 * 1024)

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static void put_be(GByteArray *out, guint64 value, guint bytes)
{
    guint8 raw[8];
    for (guint i = 0; i < bytes; i++)
        raw[i] = (guint8)(value >> (8 * (bytes - 1 - i)));
    g_byte_array_append(out, raw, bytes);
}

static guint bytes_of(guint64 value)
{
    guint bytes = 1;
    while (bytes < 8 && value >> (8 * bytes))
        bytes++;
    return bytes;
}

static void put_id(GByteArray *out, guint32 id)
{
    put_be(out, id, bytes_of(id));
}

/* Sizes always take four bytes: a few bytes more a file, and no case distinctions. */
static void put_size(GByteArray *out, gsize size)
{
    put_be(out, 0x10000000u | size, 4);
}

static void put_bytes(GByteArray *out, guint32 id, const void *data, gsize bytes)
{
    put_id(out, id);
    put_size(out, bytes);
    if (bytes)
        g_byte_array_append(out, data, (guint)bytes);
}

static void put_text(GByteArray *out, guint32 id, const char *text)
{
    put_bytes(out, id, text, strlen(text));
}

static void put_uint(GByteArray *out, guint32 id, guint64 value)
{
    guint bytes = bytes_of(value);
    put_id(out, id);
    put_size(out, bytes);
    put_be(out, value, bytes);
}

static void put_int64(GByteArray *out, guint32 id, gint64 value)
{
    put_id(out, id);
    put_size(out, 8);
    put_be(out, (guint64)value, 8);
}

static void put_double(GByteArray *out, guint32 id, double value)
{
    guint64 raw;
    memcpy(&raw, &value, sizeof raw);
    put_id(out, id);
    put_size(out, 8);
    put_be(out, raw, 8);
}

/* Opens a master element; its size is filled in by close_master(). */
static guint open_master(GByteArray *out, guint32 id)
{
    put_id(out, id);
    put_size(out, 0);
    return out->len;
}

static void close_master(GByteArray *out, guint start)
{
    guint32 size = 0x10000000u | (out->len - start);
    for (guint i = 0; i < 4; i++)
        out->data[start - 4 + i] = (guint8)(size >> (8 * (3 - i)));
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

/* data: what the master element holds, the place of the checksum first. */
static void put_crc32_at(guint8 *data, gsize bytes, const StenoCrc32 *crc32)
{
    guint32 value = GUINT32_TO_LE(steno_crc32(crc32, data + MKV_CRC32_BYTES, bytes - MKV_CRC32_BYTES));
    data[0] = MKV_CRC32;
    data[1] = 0x84;
    memcpy(data + 2, &value, 4);
}

gboolean steno_matroska_is_whole(const StenoCrc32 *crc32, const guint8 *data, gsize bytes, gboolean *has)
{
    guint32 value;
    *has = bytes >= MKV_CRC32_BYTES && data[0] == MKV_CRC32 && data[1] == 0x84;
    if (!*has)
        return FALSE;
    memcpy(&value, data + 2, 4);
    return GUINT32_FROM_LE(value) == steno_crc32(crc32, data + MKV_CRC32_BYTES, bytes - MKV_CRC32_BYTES);
}

/* ---- the file's head --------------------------------------------------------------------------------------------- */

const char *steno_matroska_codec_id(StenoCodec codec)
{
    switch (codec) {
    case STENO_CODEC_OPUS:
        return "A_OPUS";
    case STENO_CODEC_PCMU:
    case STENO_CODEC_PCMA:
        return "A_MS/ACM";
    case STENO_CODEC_VP8:
        return "V_VP8";
    case STENO_CODEC_VP9:
        return "V_VP9";
    case STENO_CODEC_H264:
        return "V_MPEG4/ISO/AVC";
    case STENO_CODEC_H265:
        return "V_MPEGH/ISO/HEVC";
    case STENO_CODEC_AV1:
        return "V_AV1";
    default:
        return NULL;
    }
}

static void put_ebml_head(GByteArray *out)
{
    guint ebml = open_master(out, MKV_EBML);
    put_uint(out, MKV_EBML_VERSION, 1);
    put_uint(out, MKV_EBML_READ_VERSION, 1);
    put_uint(out, MKV_EBML_MAX_ID_LENGTH, 4);
    put_uint(out, MKV_EBML_MAX_SIZE_LENGTH, 8);
    put_text(out, MKV_DOC_TYPE, "matroska");
    put_uint(out, MKV_DOC_TYPE_VERSION, 4);
    put_uint(out, MKV_DOC_TYPE_READ_VERSION, 2);
    close_master(out, ebml);
}

static void put_media(GByteArray *out, const StenoMatroskaTrack *track)
{
    if (steno_codec_is_video(track->codec)) {
        guint video = open_master(out, MKV_VIDEO);
        if (track->width && track->height) {
            put_uint(out, MKV_PIXEL_WIDTH, track->width);
            put_uint(out, MKV_PIXEL_HEIGHT, track->height);
        }
        close_master(out, video);
        return;
    }
    guint audio = open_master(out, MKV_AUDIO);
    put_double(out, MKV_SAMPLING_FREQUENCY, track->clock_hz);
    put_uint(out, MKV_CHANNELS, MAX(track->channels, 1));
    if (track->codec != STENO_CODEC_OPUS)
        put_uint(out, MKV_BIT_DEPTH, 8);
    close_master(out, audio);
    /* RFC 7845 §4.6: a decoder that begins in the middle needs 80 ms to converge. */
    if (track->codec == STENO_CODEC_OPUS)
        put_uint(out, MKV_SEEK_PRE_ROLL, 80 * 1000 * 1000);
}

/* RFC 9559 §5.1.4.1.31: all blocks are encrypted, by AES. How, is told elsewhere. */
static void put_encryption(GByteArray *out)
{
    guint encodings = open_master(out, MKV_CONTENT_ENCODINGS);
    guint encoding = open_master(out, MKV_CONTENT_ENCODING);
    put_uint(out, MKV_CONTENT_ENCODING_TYPE, 1);
    guint encryption = open_master(out, MKV_CONTENT_ENCRYPTION);
    put_uint(out, MKV_CONTENT_ENC_ALGO, 5);
    close_master(out, encryption);
    close_master(out, encoding);
    close_master(out, encodings);
}

void steno_matroska_header(GByteArray *out, const StenoMatroskaTrack *track, const StenoCrc32 *crc32)
{
    /* DateUTC counts ns from 2001-01-01. */
    const gint64 epoch_2001_us = G_GINT64_CONSTANT(978307200) * G_USEC_PER_SEC;

    put_ebml_head(out);
    put_id(out, MKV_SEGMENT);
    put_be(out, G_GUINT64_CONSTANT(0x01FFFFFFFFFFFFFF), 8); /* unknown size: the file may end anywhere */

    guint info = open_master(out, MKV_INFO);
    put_uint(out, MKV_TIMESTAMP_SCALE, 1000 * 1000);
    put_int64(out, MKV_DATE_UTC, (track->zero_wall_us - epoch_2001_us) * 1000);
    put_text(out, MKV_MUXING_APP, "steno");
    put_text(out, MKV_WRITING_APP, "steno " STENO_VERSION);
    close_master(out, info);

    guint tracks = open_master(out, MKV_TRACKS);
    put_be(out, 0, MKV_CRC32_BYTES);
    guint entry = open_master(out, MKV_TRACK_ENTRY);
    put_uint(out, MKV_TRACK_NUMBER, 1);
    put_uint(out, MKV_TRACK_UID, MAX(track->track, 1));
    put_uint(out, MKV_TRACK_TYPE, steno_codec_is_video(track->codec) ? 1 : 2);
    put_uint(out, MKV_FLAG_LACING, 0);
    put_uint(out, MKV_MAX_BLOCK_ADDITION_ID, MKV_RECORD_ADD_ID);
    guint mapping = open_master(out, MKV_BLOCK_ADDITION_MAPPING);
    put_uint(out, MKV_BLOCK_ADD_ID_VALUE, MKV_RECORD_ADD_ID);
    put_text(out, MKV_BLOCK_ADD_ID_NAME, "steno");
    close_master(out, mapping);
    put_text(out, MKV_CODEC_ID, steno_matroska_codec_id(track->codec));
    if (track->codec_private_bytes)
        put_bytes(out, MKV_CODEC_PRIVATE, track->codec_private, track->codec_private_bytes);
    put_media(out, track);
    if (track->sealed)
        put_encryption(out);
    close_master(out, entry);
    close_master(out, tracks);
    put_crc32_at(out->data + tracks, out->len - tracks, crc32);
}

/* ---- the record -------------------------------------------------------------------------------------------------- */

static void put_le64(guint8 *out, gint64 value)
{
    guint64 little = GUINT64_TO_LE((guint64)value);
    memcpy(out, &little, 8);
}

static gint64 get_le64(const guint8 *data)
{
    guint64 little;
    memcpy(&little, data, 8);
    return (gint64)GUINT64_FROM_LE(little);
}

void steno_record_put(guint8 out[RECORD_BYTES], const StenoRecord *record)
{
    guint32 number = GUINT32_TO_LE(record->number);
    memset(out, 0, RECORD_BYTES);
    out[0] = record->version;
    out[1] = record->flags;
    memcpy(out + 4, &number, 4);
    put_le64(out + 8, record->rtp_ts);
    put_le64(out + 16, record->wall_us);
    put_le64(out + 24, record->arrival_us);
}

gboolean steno_record_get(const guint8 data[RECORD_BYTES], StenoRecord *record)
{
    guint32 number;
    memcpy(&number, data + 4, 4);
    *record = (StenoRecord){
        .version = data[0],
        .flags = data[1],
        .number = GUINT32_FROM_LE(number),
        .rtp_ts = get_le64(data + 8),
        .wall_us = get_le64(data + 16),
        .arrival_us = get_le64(data + 24),
    };
    return record->version == RECORD_VERSION;
}

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

static void put_be16_at(guint8 *out, guint16 value)
{
    out[0] = (guint8)(value >> 8);
    out[1] = (guint8)value;
}

static void put_size_at(guint8 *out, gsize size)
{
    guint32 big = GUINT32_TO_BE(0x10000000u | (guint32)size);
    memcpy(out, &big, 4);
}

void steno_cluster_clear(StenoCluster *cluster)
{
    cluster->bytes = 0;
    if (cluster->capacity > CLUSTER_KEEP_BYTES)
        g_clear_pointer(&cluster->data, g_free);
    if (!cluster->data)
        cluster->capacity = 0;
}

gsize steno_cluster_frame_bytes(gsize payload_bytes)
{
    return BLOCK_HEAD_BYTES + payload_bytes + ADDITIONS_BYTES + REFERENCE_BYTES;
}

static void reserve(StenoCluster *cluster, gsize more)
{
    gsize need = cluster->bytes + more;
    if (need <= cluster->capacity)
        return;
    cluster->capacity = MAX(need, cluster->capacity + cluster->capacity / 2);
    cluster->data = g_realloc(cluster->data, cluster->capacity);
}

void steno_cluster_append(StenoCluster *cluster, gint64 pts_ms, gboolean reference, gboolean annexb,
                          StenoRecord *record, const guint8 *payload, gsize bytes)
{
    static const guint8 additions[] = {0x75,
                                       0xA1,
                                       0x80 | (ADDITIONS_BYTES - 3),
                                       0xA6,
                                       0x80 | (ADDITIONS_BYTES - 5),
                                       0xEE,
                                       0x81,
                                       MKV_RECORD_ADD_ID,
                                       0xA5,
                                       0x80 | RECORD_BYTES};
    reserve(cluster, CLUSTER_HEAD_BYTES + steno_cluster_frame_bytes(bytes));
    if (cluster->bytes == 0) {
        cluster->bytes = CLUSTER_HEAD_BYTES;
        cluster->start_ms = cluster->last_ms = pts_ms;
    }

    guint8 *p = cluster->data + cluster->bytes;
    p[0] = MKV_BLOCK_GROUP;
    put_size_at(p + 1, BLOCK_HEAD_BYTES - 5 + bytes + ADDITIONS_BYTES + (reference ? REFERENCE_BYTES : 0));
    p[5] = MKV_BLOCK;
    put_size_at(p + 6, 4 + bytes);
    p[10] = 0x81; /* track 1 */
    put_be16_at(p + 11, (guint16)(pts_ms - cluster->start_ms));
    p[13] = 0; /* no lacing */
    p += BLOCK_HEAD_BYTES;
    if (bytes)
        memcpy(p, payload, bytes);
    if (annexb && !steno_annexb_to_lengths(p, bytes))
        record->flags |= RECORD_RAW;
    p += bytes;
    memcpy(p, additions, sizeof additions);
    steno_record_put(p + sizeof additions, record);
    p += ADDITIONS_BYTES;
    if (reference) {
        p[0] = MKV_REFERENCE_BLOCK;
        p[1] = 0x82;
        put_be16_at(p + 2, (guint16)(cluster->last_ms - pts_ms));
        p += REFERENCE_BYTES;
    }
    cluster->last_ms = pts_ms;
    cluster->bytes = (gsize)(p - cluster->data);
}

void steno_cluster_seal(StenoCluster *cluster, const StenoCrc32 *crc32)
{
    guint8 *p = cluster->data;
    guint32 id = GUINT32_TO_BE(MKV_CLUSTER);
    guint64 start = GUINT64_TO_BE((guint64)cluster->start_ms);
    memcpy(p, &id, 4);
    put_size_at(p + 4, cluster->bytes - 8);
    p += 8;
    p[MKV_CRC32_BYTES] = MKV_TIMESTAMP;
    p[MKV_CRC32_BYTES + 1] = 0x88;
    memcpy(p + MKV_CRC32_BYTES + 2, &start, 8);
    put_crc32_at(p, cluster->bytes - 8, crc32);
}
