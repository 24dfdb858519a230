#include "sealed_scene.h"

#include "packetize.h"
#include "seal.h"
#include "steno/base/clock.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const guint8 payload_types[] = {0, 111, 96};
static const guint32 ssrcs[] = {0, 1111, 2222};
static const guint32 steps[] = {0, 960, 3000}; /* RTP time between frames */

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void note_flow(gpointer user, guint32 track, gboolean flowing, gint64 wall_us)
{
    (void)user;
    (void)track;
    (void)flowing;
    (void)wall_us;
}

static void note_wanted(gpointer user, const char *participant, guint64 kid, gboolean wanted)
{
    g_string_append_printf(((Scene *)user)->told, "%s %s %" G_GUINT64_FORMAT ";", wanted ? "want" : "unwant",
                           participant, kid);
}

static void note_undecryptable(gpointer user, guint32 track, StenoContentOutcome cause, const char *kid)
{
    g_string_append_printf(((Scene *)user)->told, "undecryptable %u %s %s;", track, steno_content_outcome_name(cause),
                           kid);
}

static void note_refused(gpointer user, guint32 track, const GError *error)
{
    assert_non_null(error);
    g_string_append_printf(((Scene *)user)->told, "refused %u;", track);
}

static void note_connected(gpointer user, guint32 peer, const char *srtp_profile, const char *dtls_cipher)
{
    (void)user;
    (void)peer;
    (void)srtp_profile;
    (void)dtls_cipher;
}

static const NetEvents net_events = {
    .peer_connected = note_connected,
    .track_flow = note_flow,
    .key_wanted = note_wanted,
    .undecryptable = note_undecryptable,
    .track_refused = note_refused,
};

static void dispatch(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static int bound_socket(guint16 *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static TrackPlan *new_track(guint number)
{
    TrackPlan *plan = g_new0(TrackPlan, 1);
    plan->rtp.track = number;
    plan->rtp.video = number == VIDEO;
    plan->rtp.ssrc = ssrcs[number];
    plan->rtp.pli = plan->rtp.nack = TRUE;
    plan->rtp.n_payloads = number == VIDEO ? 2 : 1;
    plan->rtp.payloads[0] = (StenoRtpPayload){.payload_type = payload_types[number],
                                              .codec = number == VIDEO ? STENO_CODEC_VP8 : STENO_CODEC_OPUS,
                                              .clock_hz = number == VIDEO ? 90000 : 48000,
                                              .rtx_of = -1};
    plan->rtp.payloads[1] = (StenoRtpPayload){45, STENO_CODEC_AV1, 90000, -1};
    return plan;
}

static void open_peer(Scene *scene)
{
    guint16 port;
    close(bound_socket(&port));
    PeerPlan *plan = g_new0(PeerPlan, 1);
    plan->peer = 1;
    plan->participant = g_strdup("alice");
    plan->plain = TRUE;
    plan->address = g_strdup("127.0.0.1");
    plan->port = scene->port = port;
    plan->rtp.feedback = TRUE;
    plan->rtp.local_ssrc = 1;
    plan->rtp.reorder_us = 50000;
    plan->tracks = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(plan->tracks, new_track(AUDIO));
    g_ptr_array_add(plan->tracks, new_track(VIDEO));

    NetPeer *peer = scene->peer = g_new0(NetPeer, 1);
    peer->net = &scene->net;
    peer->number = 1;
    peer->tracks = g_ptr_array_new_with_free_func(session_wiring_track_free);
    peer->plan = plan;
    g_hash_table_insert(scene->net.peers, GUINT_TO_POINTER(1), peer);
    g_autoptr(GError) error = NULL;
    if (!session_wiring_open(peer, plan, &error))
        fail_msg("%s", error->message);
    session_wiring_set_tracks(peer, plan);
    scene->tracks[AUDIO] = peer->tracks->pdata[0];
    scene->tracks[VIDEO] = peer->tracks->pdata[1];
}

static Sealer *new_sealer(const char *folder, const char *sender)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, "sender.json", NULL);
    assert_true(g_file_set_contents(path, sender, -1, NULL));
    Sealer *sealer = sealer_new(path, &error);
    if (!sealer)
        fail_msg("%s", error->message);
    return sealer;
}

Scene *scene_new(const char *format, const char *content_keys, const char *sender)
{
    Scene *scene = g_new0(Scene, 1);
    scene->folder = g_dir_make_tmp("steno-sealed-XXXXXX", NULL);
    scene->told = g_string_new(NULL);
    scene->sealer = new_sealer(scene->folder, sender);
    guint16 own_port;
    scene->socket = bound_socket(&own_port);
    scene->job = steno_job_spec_new();
    g_free(scene->job->content);
    g_free(scene->job->content_keys);
    scene->job->content = g_strdup(format);
    scene->job->content_keys = g_strdup(content_keys);
    for (guint i = 0; i < 2; i++) {
        StenoCaptureConfig config = {.folder = scene->folder, .part = i + 1, .zero_wall_us = steno_clock_wall_us()};
        scene->captures[i] = steno_capture_new(&config, NULL);
        assert_non_null(scene->captures[i]);
    }
    Net *net = &scene->net;
    g_atomic_ref_count_init(&net->references);
    net->job = scene->job;
    net->events = &net_events;
    net->user = scene;
    net->capture = scene->captures[0];
    net->packets = steno_packet_pool_new(8192);
    net->frames = steno_frame_pool_new(64 * 1024 * 1024);
    net->peers = g_hash_table_new(NULL, NULL);
    session_net_open_content(net);
    open_peer(scene);
    return scene;
}

static void finish(Scene *scene)
{
    if (!scene->captures[0])
        return;
    session_wiring_close(scene->peer);
    for (guint i = 0; i < 2; i++)
        assert_true(steno_capture_finish(g_steal_pointer(&scene->captures[i]), NULL));
    dispatch();
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            remove_folder(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

void scene_free(Scene *scene)
{
    finish(scene);
    steno_transport_free(scene->peer->transport);
    steno_rtp_free(scene->peer->rtp);
    g_ptr_array_unref(scene->peer->tracks);
    session_plan_free(scene->peer->plan);
    g_free(scene->peer);
    g_hash_table_unref(scene->net.peers);
    session_net_close_content(&scene->net);
    steno_packet_pool_free(scene->net.packets);
    steno_frame_pool_free(scene->net.frames);
    steno_job_spec_free(scene->job);
    sealer_free(scene->sealer);
    close(scene->socket);
    remove_folder(scene->folder);
    g_free(scene->folder);
    g_string_free(scene->told, TRUE);
    g_free(scene);
}

static StenoContentKeys *parse_keys(const StenoContentFormat *format, const char *text)
{
    g_autoptr(GError) error = NULL;
    StenoContentKeys *keys = steno_content_keys_parse(format, text, strlen(text), "the test", &error);
    if (!keys)
        fail_msg("%s", error->message);
    return keys;
}

void scene_add_keys(Scene *scene, const char *text)
{
    g_autoptr(StenoContentKeys) keys = parse_keys(scene->net.content, text);
    steno_content_ring_add(scene->net.ring, keys);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void tick(Scene *scene)
{
    gint64 now_us = steno_clock_mono_us() + scene->shift_us;
    session_wiring_drain(scene->peer, now_us);
    session_wiring_tick(scene->peer, now_us);
    dispatch();
}

void scene_wait(Scene *scene, double s)
{
    scene->shift_us += (gint64)(s * SECOND_US);
    tick(scene);
}

static void send_rtp(Scene *scene, guint track, guint8 payload_type, guint32 rtp_ts, const guint8 *payload, gsize bytes,
                     gboolean marker)
{
    guint8 packet[STENO_PACKET_MAX_BYTES] = {0x80, (guint8)(payload_type | (marker ? 0x80 : 0))};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(scene->port)};
    guint16 number = scene->seq[track]++, seq = GUINT16_TO_BE(number);
    guint32 ts = GUINT32_TO_BE(rtp_ts), ssrc = GUINT32_TO_BE(ssrcs[track]);
    memcpy(packet + 2, &seq, 2);
    memcpy(packet + 4, &ts, 4);
    memcpy(packet + 8, &ssrc, 4);
    memcpy(packet + 12, payload, bytes);
    if (scene->lost_packet > 0 && --scene->lost_packet == 0) {
        scene->lossy = TRUE;
        return;
    }
    assert_int_equal(sendto(scene->socket, packet, 12 + bytes, 0, (struct sockaddr *)&address, sizeof address),
                     12 + (ssize_t)bytes);
}

typedef struct {
    Scene *scene;
    guint track;
    SealedFrame frame;
} Sending;

static void on_payload(gpointer user, const guint8 *payload, gsize bytes, bool marker)
{
    Sending *sending = user;
    Scene *scene = sending->scene;
    g_autoptr(GByteArray) sealed = NULL;
    if (scene->change_key_at > 0 && --scene->change_key_at == 0)
        sending->frame.time_us = 10 * SECOND_US;
    if (sealer_is_per_packet(scene->sealer)) {
        sealed = sealer_seal(scene->sealer, &sending->frame, payload, bytes);
        payload = sealed->data;
        bytes = sealed->len;
    }
    if (++scene->packets % 64 == 0) /* the socket's buffer is small */
        session_wiring_drain(scene->peer, steno_clock_mono_us());
    send_rtp(scene, sending->track, payload_types[sending->track], sending->frame.rtp_ts, payload, bytes,
             marker && !scene->no_marker);
}

/* Bytes 10 and 11 of a frame are its number. */
static GByteArray *new_frame(guint track, gboolean keyframe, guint number, gsize bytes)
{
    static const guint8 vp8_key[] = {0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00};
    GByteArray *frame = g_byte_array_new();
    g_byte_array_set_size(frame, (guint)MAX(bytes, 12));
    memset(frame->data, 0x55, frame->len);
    if (track == VIDEO)
        memcpy(frame->data, vp8_key, sizeof vp8_key);
    if (track == VIDEO && !keyframe)
        frame->data[0] |= 1;
    if (track == AUDIO)
        frame->data[0] = 0x78; /* one CELT frame of 20 ms */
    frame->data[10] = (guint8)(number >> 8);
    frame->data[11] = (guint8)number;
    return frame;
}

void scene_send_sized(Scene *scene, guint track, double at_s, gboolean keyframe, gsize bytes)
{
    guint number = scene->sent[track]++;
    StenoCodec codec = track == VIDEO ? STENO_CODEC_VP8 : STENO_CODEC_OPUS;
    Packetizer packetizer;
    packetizer_init(&packetizer, codec);
    packetizer.max_payload = 1000;
    packetizer.picture_id = (guint16)(number & 0x7fff);
    packetizer.sealed = !sealer_is_per_packet(scene->sealer);
    packetizer.keyframe = keyframe;
    Sending sending = {scene, track, {codec, keyframe, (gint64)(at_s * SECOND_US), (number + 1) * steps[track]}};
    g_autoptr(GByteArray) clear = new_frame(track, keyframe, number, bytes);
    g_autoptr(GByteArray) sealed =
        packetizer.sealed ? sealer_seal(scene->sealer, &sending.frame, clear->data, clear->len) : NULL;
    const GByteArray *frame = sealed ? sealed : clear;
    scene->packets = 0;
    assert_int_equal(packetizer_frame(&packetizer, frame->data, frame->len, on_payload, &sending), 0);
    scene->sent_packets[track][number] = (guint16)scene->packets;
    scene_wait(scene, 0.015);
}

void scene_send(Scene *scene, guint track, double at_s, gboolean keyframe)
{
    scene_send_sized(scene, track, at_s, keyframe, track == VIDEO ? 2500 : 100);
}

void scene_send_raw(Scene *scene, guint track, const guint8 *payload, gsize bytes, gboolean marker)
{
    guint number = scene->sent[track]++;
    send_rtp(scene, track, payload_types[track], (number + 1) * steps[track], payload, bytes, marker);
    scene_wait(scene, 0.015);
}

gboolean scene_asked_for_keyframe(Scene *scene)
{
    guint8 data[2048];
    ssize_t bytes;
    gboolean asked = FALSE;
    while ((bytes = recv(scene->socket, data, sizeof data, 0)) > 0) {
        for (gsize at = 0; at + 4 <= (gsize)bytes;) {
            asked |= data[at + 1] == 206 && (data[at] & 0x1f) == 1; /* PLI, RFC 4585 §6.3.1 */
            at += 4u * ((guint)(data[at + 2] << 8 | data[at + 3]) + 1);
        }
    }
    return asked;
}

/* ---- reading back ------------------------------------------------------------------------------------------------ */

typedef struct {
    GString *text;
    int first, last;
    gboolean any;
} Numbers;

static void end_run(Numbers *numbers)
{
    if (numbers->any)
        g_string_append_printf(numbers->text, numbers->first == numbers->last ? "%d" : "%d-%d", numbers->first,
                               numbers->last);
}

static void add_number(Numbers *numbers, int number)
{
    if (numbers->any && number == numbers->last + 1) {
        numbers->last = number;
        return;
    }
    end_run(numbers);
    if (numbers->any)
        g_string_append_c(numbers->text, ',');
    *numbers = (Numbers){numbers->text, number, number, TRUE};
}

static int number_of(const guint8 *data, gsize bytes)
{
    assert_true(bytes >= 12);
    return data[10] << 8 | data[11];
}

/* Opens what is sealed as an assembly does. */
typedef struct {
    Scene *scene;
    guint track;
    StenoContentRing *ring;
    StenoContentOpener *opener;
    Numbers *numbers;
    guint number, packets; /* of the frame that is not whole yet */
} Unsealer;

static void unseal(Unsealer *unsealer, StenoCodec codec, const StenoCaptureFrame *frame)
{
    guint8 clear[65536];
    StenoContentOpened opened = {0};
    const Scene *scene = unsealer->scene;
    gboolean per_packet = sealer_is_per_packet(scene->sealer);
    gsize head = per_packet ? 9 : 0;
    assert_true(frame->payload_bytes > head);
    assert_int_equal(
        steno_content_open(unsealer->opener, codec, frame->payload + head, frame->payload_bytes - head, clear, &opened),
        STENO_CONTENT_OPENED);
    if (!per_packet) {
        add_number(unsealer->numbers, number_of(clear, opened.bytes));
        return;
    }
    /* All packets of a frame are in one file, in their order. */
    guint number = (guint32)frame->rtp_ts / steps[unsealer->track] - 1;
    if (number != unsealer->number)
        assert_true(unsealer->packets == 0 || scene->lossy);
    unsealer->packets = number == unsealer->number ? unsealer->packets + 1 : 1;
    unsealer->number = number;
    if (unsealer->packets < scene->sent_packets[unsealer->track][number])
        return;
    assert_int_equal(unsealer->packets, scene->sent_packets[unsealer->track][number]);
    assert_true(frame->payload[8] == 1 || unsealer->track == AUDIO || scene->no_marker);
    unsealer->packets = 0;
    add_number(unsealer->numbers, (int)number);
}

static void read_file(Unsealer *unsealer, StenoCaptureReader *reader)
{
    StenoCaptureFrame frame;
    StenoCodec codec = steno_capture_reader_codec(reader);
    gboolean sealed = steno_capture_reader_is_sealed(reader), first = TRUE;
    g_string_append_printf(unsealer->numbers->text, "%s%c:", unsealer->numbers->text->len ? " " : "",
                           sealed ? 's' : 'c');
    while (steno_capture_reader_next(reader, &frame)) {
        assert_int_equal(frame.encrypted, sealed);
        if (!sealed && first && steno_codec_is_video(codec) && !frame.keyframe)
            g_string_append_c(unsealer->numbers->text, '!');
        first = FALSE;
        if (sealed)
            unseal(unsealer, codec, &frame);
        else
            add_number(unsealer->numbers, number_of(frame.payload, frame.payload_bytes));
    }
    assert_int_equal(unsealer->packets, 0);
    end_run(unsealer->numbers);
    unsealer->numbers->any = FALSE;
}

char *scene_files(Scene *scene, guint part, guint track, const char *keys)
{
    finish(scene);
    Numbers numbers = {.text = g_string_new(NULL)};
    const StenoContentRingConfig config = {.format = scene->net.content};
    Unsealer unsealer = {.scene = scene, .track = track, .ring = steno_content_ring_new(&config), .numbers = &numbers};
    g_autoptr(StenoContentKeys) parsed = parse_keys(scene->net.content, keys);
    steno_content_ring_add(unsealer.ring, parsed);
    unsealer.opener = steno_content_opener_new(unsealer.ring, "alice");
    for (guint segment = 0;; segment++) {
        g_autofree char *path = g_strdup_printf("%s/part-%04u/track-%04u.%u.mkv", scene->folder, part, track, segment);
        g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, NULL);
        if (!reader)
            break;
        read_file(&unsealer, reader);
    }
    steno_content_opener_free(unsealer.opener);
    steno_content_ring_free(unsealer.ring);
    return g_string_free(numbers.text, FALSE);
}

guint scene_count_events(Scene *scene, guint part, const char *text)
{
    finish(scene);
    g_autofree char *path = g_strdup_printf("%s/part-%04u/events.jsonl", scene->folder, part);
    g_autofree char *events = NULL;
    assert_true(g_file_get_contents(path, &events, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(events, "\n", -1);
    guint count = 0;
    for (guint i = 0; lines[i]; i++)
        count += strstr(lines[i], text) != NULL;
    return count;
}
