#include "steno/capture.h"

#include "annexb.h"
#include "matroska.h"
#include "parameters.h"

#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A header element that is longer is not ours. */
#define HEADER_MAX_BYTES (1024 * 1024)
/* A frame and what is around it. */
#define GROUP_MAX_BYTES (STENO_FRAME_MAX_BYTES + 1024)
/* We write a cluster when it holds 256 KiB; one frame may be more. */
#define CLUSTER_MAX_BYTES (GROUP_MAX_BYTES + 1024 * 1024)
#define ELEMENT_HEAD_MAX_BYTES 12
#define WINDOW_BYTES (64 * 1024)
#define UNKNOWN_SIZE G_MAXUINT64

typedef struct {
    guint32 id;
    guint64 size;     /* UNKNOWN_SIZE: until the end of what is around it */
    guint head_bytes; /* of id and size */
} Element;

struct StenoCaptureReader {
    int fd;               /* -1: in memory */
    const guint8 *memory; /* lent */
    guint64 bytes;        /* of the file */

    guint8 *window; /* of the file, from window_at */
    gsize window_bytes, window_capacity;
    guint64 window_at;

    guint64 at;          /* next element */
    guint64 cluster_end; /* of the last one; 0: none yet */
    guint64 skipped;     /* bytes that made no sense */
    StenoCrc32 crc32;
    gboolean has_checksums; /* in its head, so that no cluster is without */
    GByteArray *payload;    /* where lengths become start codes */

    StenoCodec codec;
    guint width, height, channels, clock_hz;
    gboolean sealed;
    GByteArray *parameters;
};

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static gboolean fill_window(StenoCaptureReader *reader, guint64 at, gsize bytes)
{
    gsize want = (gsize)MIN(reader->bytes - at, MAX((guint64)bytes, WINDOW_BYTES));
    if (want > reader->window_capacity) {
        reader->window_capacity = want;
        reader->window = g_realloc(reader->window, want);
    }
    reader->window_at = at;
    reader->window_bytes = 0;
    while (reader->window_bytes < want) {
        ssize_t n = pread(reader->fd, reader->window + reader->window_bytes, want - reader->window_bytes,
                          (off_t)(at + reader->window_bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        reader->window_bytes += (gsize)n;
    }
    return reader->window_bytes >= bytes;
}

/* The bytes at an offset, valid until the next call; NULL when the file does not have them. */
static const guint8 *fetch(StenoCaptureReader *reader, guint64 at, gsize bytes)
{
    if (at > reader->bytes || bytes > reader->bytes - at)
        return NULL;
    if (reader->memory)
        return reader->memory + at;
    gboolean inside = at >= reader->window_at && at - reader->window_at <= reader->window_bytes &&
                      bytes <= reader->window_bytes - (at - reader->window_at);
    if (!inside && !fill_window(reader, at, bytes))
        return NULL;
    return reader->window + (at - reader->window_at);
}

/* Parses an element's head (RFC 8794 §4, §5, §6). */
static gboolean parse_head(const guint8 *data, gsize bytes, Element *element)
{
    if (bytes < 2 || data[0] < 0x10)
        return FALSE;
    guint id_bytes = (guint)__builtin_clz(data[0]) - 23;
    if (bytes <= id_bytes)
        return FALSE;
    element->id = 0;
    for (guint i = 0; i < id_bytes; i++)
        element->id = element->id << 8 | data[i];
    guint8 first = data[id_bytes];
    if (first == 0)
        return FALSE;
    guint size_bytes = (guint)__builtin_clz(first) - 23;
    if (bytes < id_bytes + size_bytes)
        return FALSE;
    guint64 size = first & (0xFFu >> size_bytes);
    for (guint i = 1; i < size_bytes; i++)
        size = size << 8 | data[id_bytes + i];
    element->size = size == (G_GUINT64_CONSTANT(1) << (7 * size_bytes)) - 1 ? UNKNOWN_SIZE : size;
    element->head_bytes = id_bytes + size_bytes;
    return TRUE;
}

static gboolean fetch_head(StenoCaptureReader *reader, guint64 at, Element *element)
{
    if (at >= reader->bytes)
        return FALSE;
    gsize bytes = (gsize)MIN(reader->bytes - at, ELEMENT_HEAD_MAX_BYTES);
    const guint8 *data = fetch(reader, at, bytes);
    return data && parse_head(data, bytes, element);
}

/* Walks the children of a master element that is in memory. */
static gboolean next_child(const guint8 **at, const guint8 *end, Element *child, const guint8 **data)
{
    if (*at >= end || !parse_head(*at, (gsize)(end - *at), child))
        return FALSE;
    *data = *at + child->head_bytes;
    if (child->size > (guint64)(end - *data))
        return FALSE;
    *at = *data + child->size;
    return TRUE;
}

static guint64 get_uint(const guint8 *data, guint64 bytes)
{
    guint64 value = 0;
    for (guint64 i = 0; i < MIN(bytes, 8); i++)
        value = value << 8 | data[i];
    return value;
}

static guint get_rate(const guint8 *data, guint64 bytes)
{
    double rate = 0;
    guint64 raw = get_uint(data, bytes);
    if (bytes == 8)
        memcpy(&rate, &raw, 8);
    return rate >= 1 && rate <= 1e6 ? (guint)rate : 0;
}

/* ---- the head ---------------------------------------------------------------------------------------------------- */

static void read_media(StenoCaptureReader *reader, const guint8 *at, const guint8 *end)
{
    Element child;
    const guint8 *data;
    while (next_child(&at, end, &child, &data)) {
        if (child.id == MKV_PIXEL_WIDTH)
            reader->width = (guint)MIN(get_uint(data, child.size), G_MAXUINT16);
        else if (child.id == MKV_PIXEL_HEIGHT)
            reader->height = (guint)MIN(get_uint(data, child.size), G_MAXUINT16);
        else if (child.id == MKV_CHANNELS)
            reader->channels = (guint)MIN(get_uint(data, child.size), G_MAXUINT8);
        else if (child.id == MKV_SAMPLING_FREQUENCY)
            reader->clock_hz = get_rate(data, child.size);
    }
}

static StenoCodec find_codec(const guint8 *id, gsize bytes, const guint8 *codec_private, gsize private_bytes)
{
    for (StenoCodec codec = STENO_CODEC_OPUS; codec < STENO_CODEC_COUNT; codec++) {
        const char *name = steno_matroska_codec_id(codec);
        if (!name || strlen(name) != bytes || memcmp(name, id, bytes) != 0)
            continue;
        return codec == STENO_CODEC_PCMU ? steno_parameters_acm_codec(codec_private, private_bytes) : codec;
    }
    return STENO_CODEC_UNKNOWN;
}

static void read_track_entry(StenoCaptureReader *reader, const guint8 *at, const guint8 *end)
{
    Element child;
    const guint8 *data, *codec_id = NULL, *codec_private = NULL;
    gsize id_bytes = 0, private_bytes = 0;
    while (next_child(&at, end, &child, &data)) {
        if (child.id == MKV_CODEC_ID) {
            codec_id = data;
            id_bytes = (gsize)child.size;
        } else if (child.id == MKV_CODEC_PRIVATE) {
            codec_private = data;
            private_bytes = (gsize)child.size;
        } else if (child.id == MKV_VIDEO || child.id == MKV_AUDIO) {
            read_media(reader, data, data + child.size);
        } else if (child.id == MKV_CONTENT_ENCODINGS) {
            reader->sealed = TRUE; /* nothing else is encoded by us */
        }
    }
    if (!codec_id)
        return;
    reader->codec = find_codec(codec_id, id_bytes, codec_private, private_bytes);
    g_byte_array_set_size(reader->parameters, 0);
    if (codec_private)
        steno_parameters_from_private(reader->codec, codec_private, private_bytes, reader->parameters);
    if (steno_codec_is_video(reader->codec))
        reader->clock_hz = 90000;
}

static void read_tracks(StenoCaptureReader *reader, const guint8 *at, const guint8 *end)
{
    Element child;
    const guint8 *data;
    while (next_child(&at, end, &child, &data)) {
        if (child.id == MKV_TRACK_ENTRY)
            read_track_entry(reader, data, data + child.size);
    }
}

/* Reads up to Tracks; `at` is then the first cluster's offset. */
static gboolean read_head(StenoCaptureReader *reader)
{
    Element element;
    if (!fetch_head(reader, 0, &element) || element.id != MKV_EBML || element.size > HEADER_MAX_BYTES)
        return FALSE;
    reader->at = element.head_bytes + element.size;
    if (!fetch_head(reader, reader->at, &element) || element.id != MKV_SEGMENT)
        return FALSE;
    reader->at += element.head_bytes;
    while (fetch_head(reader, reader->at, &element)) {
        if (element.id == MKV_CLUSTER || element.size > HEADER_MAX_BYTES)
            return FALSE;
        if (element.id == MKV_TRACKS) {
            const guint8 *data = fetch(reader, reader->at + element.head_bytes, (gsize)element.size);
            if (!data)
                return FALSE;
            gsize bytes = (gsize)element.size;
            read_tracks(reader, data, data + bytes);
            gboolean whole = steno_matroska_is_whole(&reader->crc32, data, bytes, &reader->has_checksums);
            /* A head with a fault is damage, and the clusters may begin anywhere; what can be made of it is. */
            reader->at += element.head_bytes + (whole || !reader->has_checksums ? element.size : 0);
            return reader->codec != STENO_CODEC_UNKNOWN;
        }
        reader->at += element.head_bytes + element.size;
    }
    return FALSE;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* Finds the record in BlockAdditions { BlockMore { BlockAddID, BlockAdditional } }. */
static gboolean read_additions(const guint8 *at, const guint8 *end, StenoRecord *record)
{
    Element more, child;
    const guint8 *more_data, *data;
    while (next_child(&at, end, &more, &more_data)) {
        const guint8 *more_end = more_data + more.size;
        guint64 add_id = 1;
        while (more.id == MKV_BLOCK_MORE && next_child(&more_data, more_end, &child, &data)) {
            if (child.id == MKV_BLOCK_ADD_ID)
                add_id = get_uint(data, child.size);
            else if (child.id == MKV_BLOCK_ADDITIONAL && add_id == MKV_RECORD_ADD_ID && child.size >= RECORD_BYTES)
                return steno_record_get(data, record);
        }
    }
    return FALSE;
}

static gboolean read_group(StenoCaptureReader *reader, const guint8 *at, const guint8 *end, StenoCaptureFrame *frame)
{
    Element child;
    const guint8 *data, *block = NULL;
    gsize block_bytes = 0;
    StenoRecord record;
    gboolean has_record = FALSE;
    while (next_child(&at, end, &child, &data)) {
        if (child.id == MKV_BLOCK) {
            block = data;
            block_bytes = (gsize)child.size;
        } else if (child.id == MKV_BLOCK_ADDITIONS) {
            has_record = read_additions(data, data + child.size, &record);
        }
    }
    if (!block || block_bytes < 4 || block[0] != 0x81 || !has_record)
        return FALSE;
    *frame = (StenoCaptureFrame){
        .rtp_ts = record.rtp_ts,
        .wall_us = record.wall_us,
        .arrival_us = record.arrival_us,
        .keyframe = (record.flags & RECORD_KEYFRAME) != 0,
        .decodable = (record.flags & RECORD_DECODABLE) != 0,
        .encrypted = (record.flags & RECORD_ENCRYPTED) != 0,
        .payload = block + 4,
        .payload_bytes = block_bytes - 4,
    };
    gboolean annexb = reader->codec == STENO_CODEC_H264 || reader->codec == STENO_CODEC_H265;
    if (!annexb || record.flags & RECORD_RAW)
        return TRUE;
    g_byte_array_set_size(reader->payload, 0);
    g_byte_array_append(reader->payload, frame->payload, (guint)frame->payload_bytes);
    frame->payload = reader->payload->data;
    return steno_annexb_from_lengths(reader->payload->data, frame->payload_bytes);
}

/* After damage: goes to the next cluster's id, if there is one. */
static gboolean find_cluster(StenoCaptureReader *reader)
{
    static const guint8 id[4] = {0x1F, 0x43, 0xB6, 0x75};
    guint64 from = reader->at;
    reader->cluster_end = 0;
    while (reader->at + sizeof id <= reader->bytes) {
        gsize bytes = (gsize)MIN(reader->bytes - reader->at, WINDOW_BYTES);
        const guint8 *data = fetch(reader, reader->at, bytes);
        if (!data)
            break;
        const guint8 *found = memmem(data, bytes, id, sizeof id);
        if (found) {
            reader->at += (guint64)(found - data);
            reader->skipped += reader->at - from;
            return TRUE;
        }
        reader->at += bytes - (sizeof id - 1);
    }
    reader->skipped += reader->bytes - from;
    reader->at = reader->bytes;
    return FALSE;
}

/* Goes into a cluster; FALSE when it is not what was written. */
static gboolean enter_cluster(StenoCaptureReader *reader, const Element *element)
{
    guint64 start = reader->at + element->head_bytes;
    /* The one before said that it is longer. */
    if (reader->at < reader->cluster_end)
        reader->skipped += element->head_bytes;
    if (element->size > reader->bytes - start) {
        /* It was cut off and ends with the file; its whole groups are read all the same. */
        reader->cluster_end = reader->bytes;
    } else {
        const guint8 *data = element->size <= CLUSTER_MAX_BYTES ? fetch(reader, start, (gsize)element->size) : NULL;
        gboolean has = FALSE;
        gboolean whole = data && steno_matroska_is_whole(&reader->crc32, data, (gsize)element->size, &has);
        if (!whole && (has || reader->has_checksums))
            return FALSE;
        reader->cluster_end = start + element->size;
    }
    reader->at = start;
    return TRUE;
}

/* Passes one element outside of the groups; FALSE when it makes no sense here. */
static gboolean pass_element(StenoCaptureReader *reader, const Element *element)
{
    if (element->id == MKV_CLUSTER)
        return enter_cluster(reader, element);
    /* We write nothing else between clusters, and in one nothing that reaches beyond it. */
    guint64 start = reader->at + element->head_bytes;
    if (start > reader->cluster_end || element->size > reader->cluster_end - start)
        return FALSE;
    reader->at = start + element->size;
    return TRUE;
}

int steno_capture_reader_next(StenoCaptureReader *reader, StenoCaptureFrame *frame)
{
    while (reader->at < reader->bytes) {
        Element element;
        gboolean sound = fetch_head(reader, reader->at, &element) && element.head_bytes <= reader->bytes - reader->at;
        if (sound && element.id == MKV_BLOCK_GROUP && element.size <= GROUP_MAX_BYTES && reader->cluster_end) {
            guint64 start = reader->at + element.head_bytes;
            const guint8 *data = fetch(reader, start, (gsize)element.size);
            if (data && start + element.size <= reader->cluster_end &&
                read_group(reader, data, data + element.size, frame)) {
                reader->at = start + element.size;
                return 1;
            }
            sound = FALSE;
        } else if (sound) {
            sound = pass_element(reader, &element);
        }
        if (!sound) {
            reader->at++;
            reader->skipped++;
            if (!find_cluster(reader))
                return 0;
        }
    }
    return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static StenoCaptureReader *reader_new(void)
{
    StenoCaptureReader *reader = g_new0(StenoCaptureReader, 1);
    reader->fd = -1;
    reader->payload = g_byte_array_new();
    reader->parameters = g_byte_array_new();
    steno_crc32_init(&reader->crc32);
    return reader;
}

StenoCaptureReader *steno_capture_reader_open(const char *path, GError **error)
{
    struct stat status;
    g_autoptr(StenoCaptureReader) reader = reader_new();
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0 || fstat(reader->fd, &status) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED, "opening the track file %s: %s", path,
                    g_strerror(errno));
        return NULL;
    }
    reader->bytes = S_ISREG(status.st_mode) ? (guint64)status.st_size : 0;
    if (!read_head(reader)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                    "opening the track file %s: it ends before its header does, or is not one of ours", path);
        return NULL;
    }
    return g_steal_pointer(&reader);
}

StenoCaptureReader *steno_capture_reader_open_memory(const guint8 *data, gsize bytes, GError **error)
{
    g_autoptr(StenoCaptureReader) reader = reader_new();
    reader->memory = data;
    reader->bytes = bytes;
    if (!read_head(reader)) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_CAPTURE_DAMAGED,
                    "reading a track file: it ends before its header does, or is not one of ours");
        return NULL;
    }
    return g_steal_pointer(&reader);
}

void steno_capture_reader_free(StenoCaptureReader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    g_free(reader->window);
    g_byte_array_unref(reader->payload);
    g_byte_array_unref(reader->parameters);
    g_free(reader);
}

StenoCodec steno_capture_reader_codec(const StenoCaptureReader *reader)
{
    return reader->codec;
}

const guint8 *steno_capture_reader_parameters(const StenoCaptureReader *reader, gsize *bytes)
{
    *bytes = reader->parameters->len;
    return reader->parameters->len ? reader->parameters->data : NULL;
}

void steno_capture_reader_format(const StenoCaptureReader *reader, guint *width, guint *height, guint *channels,
                                 guint *clock_hz)
{
    *width = reader->width;
    *height = reader->height;
    *channels = reader->channels;
    *clock_hz = reader->clock_hz;
}

gboolean steno_capture_reader_is_sealed(const StenoCaptureReader *reader)
{
    return reader->sealed;
}

guint64 steno_capture_reader_skipped(const StenoCaptureReader *reader)
{
    return reader->skipped;
}
