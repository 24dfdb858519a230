/*
 * Any bytes as what happens to an encrypted picture: frames under one key or another, changing within a frame, keys
 * that come, packets that are lost, pauses. Each packet must be in a sealed block or in a clear frame, and never in
 * both; a clear file begins with a key frame; and where nothing was lost, nothing may be missing.
 */
#include "decrypt.h"

#include "seal.h"
#include "steno/base/clock.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TRACK 1
#define FRAMES_MAX 24
#define PACKETS_MAX 4 /* of a frame */
#define KEY_0 "{\"suite\":4,\"keys\":[{\"kid\":0,\"key\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}]}"
#define KEY_1 "{\"suite\":4,\"keys\":[{\"kid\":1,\"key\":\"EREREREREREREREREREREQ==\"}]}"
#define SENDER                                                                                                         \
    "{\"format\":\"%s\",\"suite\":4,\"keys\":[{\"from_s\":0,\"kid\":0,\"key\":\"AAAAAAAAAAAAAAAAAAAAAA==\"},"          \
    "{\"from_s\":10,\"kid\":1,\"key\":\"EREREREREREREREREREREQ==\"}]}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(gboolean holds)
{
    if (!holds)
        abort();
}

/* Made once: PBKDF2 and files are slow. */
typedef struct {
    Sealer *sealers[2];
    StenoContentKeys *keys[2][2];
    StenoJobSpec *jobs[2];
} Fixed;

static const char *const formats[2] = {"sframe", "sframe-packet"};

static const Fixed *fixed(void)
{
    static Fixed made;
    if (made.jobs[0])
        return &made;
    steno_log_set_level(STENO_LOG_ERROR);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *text = g_strdup_printf(SENDER, formats[i]);
        g_autofree char *path = NULL;
        close(g_file_open_tmp("steno-fuzz-XXXXXX", &path, NULL));
        require(g_file_set_contents(path, text, -1, NULL));
        made.sealers[i] = sealer_new(path, NULL);
        g_unlink(path);
        const StenoContentFormat *format = steno_content_format(formats[i]);
        made.keys[i][0] = steno_content_keys_parse(format, KEY_0, strlen(KEY_0), "fuzz", NULL);
        made.keys[i][1] = steno_content_keys_parse(format, KEY_1, strlen(KEY_1), "fuzz", NULL);
        made.jobs[i] = steno_job_spec_new();
        g_free(made.jobs[i]->content);
        made.jobs[i]->content = g_strdup(formats[i]);
        require(made.sealers[i] && made.keys[i][0] && made.keys[i][1]);
    }
    return &made;
}

typedef struct {
    guint packets, sealed, clear; /* sent, and where they came out; per frame sealed counts as all of them */
    gboolean may_miss;
} Sent;

typedef struct {
    guint unit; /* of formats */
    Net net;
    NetPeer peer;
    TrackPlan plan;
    NetTrack *track;
    gint64 seq, arrival_us;
    Sent sent[FRAMES_MAX];
    guint n_sent;
    gboolean waits;    /* at the beginning and after a break, a picture that opens waits for a key frame */
    gboolean unmarked; /* the last frame is without a marker: nobody knows if it is whole */
    /* Of what came out last. */
    gboolean has_format, sealed, needs_keyframe;
    gint64 last_seq, last_rtp_ts;
} World;

static void open_world(World *world, guint unit)
{
    static const StenoRtpConfig rtp = {.local_ssrc = 1};
    static const StenoRtpEvents rtp_events = {0};
    world->unit = unit;
    world->waits = TRUE;
    world->seq = 100;
    world->arrival_us = steno_clock_mono_us();
    world->last_seq = world->last_rtp_ts = -1;
    g_atomic_ref_count_init(&world->net.references);
    world->net.job = fixed()->jobs[unit];
    world->net.packets = steno_packet_pool_new(256);
    world->net.frames = steno_frame_pool_new(4 * 1024 * 1024);
    /* Not live: no thread, so that a finding comes again. */
    const StenoContentRingConfig config = {.format = steno_content_format(formats[unit])};
    world->net.content = config.format;
    world->net.ring = steno_content_ring_new(&config);
    world->net.opened = steno_packet_new(world->net.packets);
    world->peer.net = &world->net;
    world->peer.rtp = steno_rtp_new(&rtp, &rtp_events, NULL);
    world->plan.rtp.video = TRUE;
    NetTrack *track = world->track = g_new0(NetTrack, 1);
    track->peer = &world->peer;
    track->plan = &world->plan;
    track->number = TRACK;
    track->codec = STENO_CODEC_VP8;
    track->ring = steno_frame_ring_new(1024);
    session_decrypt_begin(track, "a");
}

/* As wiring.c does. */
static void make_depacketizer(NetTrack *track)
{
    StenoDepacketizerConfig config = {.codec = STENO_CODEC_VP8, .clock_hz = 90000, .track = TRACK};
    if (track->depacketizer)
        return;
    session_decrypt_set_codec(track->decryption, &config);
    track->depacketizer = steno_depacketizer_new(&config, track->peer->net->frames, session_decrypt_frame, track);
}

static void push(World *world, guint number, const guint8 *payload, gsize bytes, gboolean marker)
{
    NetTrack *track = world->track;
    StenoPacket *packet = steno_packet_new(world->net.packets);
    make_depacketizer(track);
    packet->seq = world->seq++;
    packet->rtp_ts = ((gint64)number + 1) * 3000;
    packet->arrival_us = track->last_arrival_us = world->arrival_us;
    packet->marker = marker;
    packet->payload_offset = 0;
    packet->payload_bytes = (guint16)bytes;
    memcpy(packet->data, payload, bytes);
    if (world->unit == 1) {
        session_decrypt_packet(track, packet);
    } else {
        (void)steno_depacketizer_push(track->depacketizer, packet);
        steno_packet_free(packet);
    }
}

static GByteArray *seal(const World *world, const GByteArray *clear, gboolean second_key)
{
    const SealedFrame frame = {STENO_CODEC_VP8, FALSE, second_key ? 10 * G_USEC_PER_SEC : 0, 0};
    return sealer_seal(fixed()->sealers[world->unit], &frame, clear->data, clear->len);
}

/* A frame of so many packets; bits of `keys`: which of them (per frame: the first one's, all) are under the second. */
static void send_frame(World *world, gboolean keyframe, guint n_packets, guint8 keys, gboolean marker)
{
    static const guint8 key[] = {0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00};
    guint number = world->n_sent++;
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_byte_array_append(frame, key, sizeof key);
    g_byte_array_set_size(frame, 20 * n_packets);
    frame->data[0] |= !keyframe;
    g_autoptr(GByteArray) whole = world->unit == 0 ? seal(world, frame, keys & 1) : g_byte_array_ref(frame);
    gsize each = (whole->len + n_packets - 1) / n_packets;
    world->sent[number].packets = n_packets;
    world->unmarked = !marker;
    for (guint i = 0; i < n_packets; i++) {
        guint8 descriptor = i == 0 ? 0x10 : 0x00;
        g_autoptr(GByteArray) payload = g_byte_array_new();
        g_byte_array_append(payload, &descriptor, 1);
        g_byte_array_append(payload, whole->data + i * each, (guint)MIN(each, whole->len - i * each));
        g_autoptr(GByteArray) sealed =
            world->unit == 1 ? seal(world, payload, keys >> i & 1) : g_byte_array_ref(payload);
        push(world, number, sealed->data, sealed->len, marker && i + 1 == n_packets);
    }
}

/* What was sent last may be missing: it was not whole, or it is not wanted. */
static void excuse(World *world)
{
    if (world->n_sent > 0)
        world->sent[world->n_sent - 1].may_miss = TRUE;
}

static void lose(World *world)
{
    NetTrack *track = world->track;
    gint64 seq = world->seq++, rtp_ts = ((gint64)world->n_sent + 1) * 3000;
    if (!session_decrypt_gap(track, seq, seq, rtp_ts, rtp_ts, STENO_GAP_LOST) && track->depacketizer)
        steno_depacketizer_gap(track->depacketizer, seq, seq, 1, rtp_ts, rtp_ts, STENO_GAP_LOST);
    excuse(world);
}

/* ---- what came out ----------------------------------------------------------------------------------------------- */

static void take_media(World *world, const StenoFrame *frame)
{
    require(world->has_format && frame->encrypted == world->sealed);
    gint64 number = frame->rtp_ts / 3000 - 1;
    require(number >= 0 && number < world->n_sent && frame->rtp_ts >= world->last_rtp_ts);
    Sent *sent = &world->sent[number];
    world->last_rtp_ts = frame->rtp_ts;
    if (!frame->encrypted) {
        require(!world->needs_keyframe || frame->keyframe);
        world->needs_keyframe = FALSE;
        sent->clear++;
    } else if (world->unit == 1) {
        guint64 seq;
        memcpy(&seq, frame->payload, 8);
        require((gint64)GUINT64_FROM_LE(seq) > world->last_seq);
        world->last_seq = (gint64)GUINT64_FROM_LE(seq);
        sent->sealed++;
    } else {
        sent->sealed += sent->packets;
    }
    world->waits = FALSE;
}

static void take_all(World *world)
{
    StenoFrame *frame;
    while ((frame = steno_frame_ring_pop(world->track->ring))) {
        if (frame->kind == STENO_FRAME_FORMAT) {
            require(!frame->encrypted || frame->payload_bytes == 0);
            world->needs_keyframe |= !frame->encrypted && (world->sealed || !world->has_format);
            world->has_format = TRUE;
            world->sealed = frame->encrypted;
        } else if (frame->kind == STENO_FRAME_MEDIA) {
            take_media(world, frame);
        }
        steno_frame_unref(frame);
    }
}

static void check(const World *world)
{
    for (guint i = 0; i < world->n_sent; i++) {
        const Sent *sent = &world->sent[i];
        require(sent->clear <= 1 && !(sent->clear && sent->sealed) && sent->sealed <= sent->packets);
        require(sent->may_miss || sent->clear || sent->sealed == sent->packets);
    }
}

static void close_world(World *world)
{
    NetTrack *track = world->track;
    if (world->unmarked)
        excuse(world);
    session_decrypt_flush(track);
    session_decrypt_end(track);
    take_all(world);
    check(world);
    steno_frame_ring_free(track->ring);
    session_wiring_track_free(track);
    steno_rtp_free(world->peer.rtp);
    while (g_main_context_iteration(NULL, FALSE))
        ; /* messages to nobody */
    session_net_close_content(&world->net);
    steno_packet_pool_free(world->net.packets);
    steno_frame_pool_free(world->net.frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    World world = {0};
    open_world(&world, data[0] & 1);
    for (gsize i = 1; i + 1 < bytes && world.n_sent < FRAMES_MAX; i += 2) {
        guint8 what = data[i] & 7, how = data[i] >> 3, keys = data[i + 1];
        world.arrival_us += 20000;
        if (what <= 3) {
            send_frame(&world, what == 0, 1 + (how & 3) % PACKETS_MAX, keys, !(how & 4));
        } else if (what == 4) {
            lose(&world);
        } else if (what == 5) {
            session_decrypt_flush(world.track);
            session_decrypt_break(world.track);
            session_wiring_end_codec(world.track);
            excuse(&world);
        } else if (what == 6) {
            steno_content_ring_add(world.net.ring, fixed()->keys[world.unit][keys & 1]);
        } else {
            world.arrival_us += how * 100000;
            session_trouble_tick(world.track->decryption, world.arrival_us);
        }
        take_all(&world);
        world.waits |= what == 5;
        if (world.waits)
            excuse(&world);
    }
    close_world(&world);
    return 0;
}
