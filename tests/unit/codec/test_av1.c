/* AV1 (RTP payload format 1.0): aggregation, fragments, sizes put back, headers, losses. */
#include "av1_header.h"
#include "harness.h"
#include "writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TICK 3000

/* OBU headers without size: sequence header, frame, frame header, tile group, temporal delimiter, tile list. */
#define SEQUENCE 0x08
#define FRAME 0x30
#define FRAME_HEADER 0x18
#define TILE_GROUP 0x20
#define DELIMITER 0x10
#define TILE_LIST 0x40

typedef struct {
    guint width, height; /* the largest */
    bool timing, ids;    /* with decoder model and timing; with frame IDs */
} Sequence;

/* The payload of a sequence header. */
static Writer sequence_header(Sequence wanted)
{
    Writer w = {0};
    writer_bits(&w, 5, 0); /* profile 0, no still picture, not reduced */
    writer_bits(&w, 1, wanted.timing);
    if (wanted.timing) {
        writer_bits(&w, 64, G_GUINT64_CONSTANT(0x0000000100000001));
        writer_bits(&w, 1, 1); /* equal_picture_interval: uvlc of 0 */
        writer_bits(&w, 1, 1);
        writer_bits(&w, 1, 1); /* decoder_model_info_present */
        writer_bits(&w, 5, 9);
        writer_bits(&w, 32, 1);
        writer_bits(&w, 10, 9 << 5 | 9);
    }
    writer_bits(&w, 1, 0); /* initial_display_delay_present */
    writer_bits(&w, 5, 0);
    writer_bits(&w, 12, 0);
    writer_bits(&w, 5, 8);
    writer_bits(&w, 1, 0); /* seq_tier */
    if (wanted.timing) {
        writer_bits(&w, 1, 1); /* decoder_model_present_for_this_op */
        writer_bits(&w, 21, 0);
    }
    writer_bits(&w, 8, 15 << 4 | 15);
    writer_bits(&w, 16, wanted.width - 1);
    writer_bits(&w, 16, wanted.height - 1);
    writer_bits(&w, 1, wanted.ids);
    if (wanted.ids)
        writer_bits(&w, 7, 0); /* delta of 2 bits, IDs of 3 */
    writer_bits(&w, 3, 0);
    writer_bits(&w, 4, 0);
    writer_bits(&w, 1, 1); /* enable_order_hint */
    writer_bits(&w, 2, 0);
    writer_bits(&w, 1, 1); /* seq_choose_screen_content_tools */
    writer_bits(&w, 1, 1); /* seq_choose_integer_mv */
    writer_bits(&w, 3, 6); /* order hints of 7 bits */
    writer_bits(&w, 3, 0);
    writer_trail(&w);
    return w;
}

/* The payload of a shown key frame; a size of its own when width > 0. */
static Writer key_frame(Sequence sequence, guint width, guint height)
{
    Writer w = {0};
    writer_bits(&w, 4, 0x1); /* no existing frame, KEY_FRAME, shown */
    writer_bits(&w, 1, 0);
    writer_bits(&w, 1, 1); /* allow_screen_content_tools, force_integer_mv */
    writer_bits(&w, 1, 0);
    if (sequence.ids)
        writer_bits(&w, 3, 5);
    writer_bits(&w, 1, width > 0); /* frame_size_override_flag */
    writer_bits(&w, 7, 3);
    if (sequence.timing) {
        writer_bits(&w, 1, 1); /* buffer_removal_time_present_flag */
        writer_bits(&w, 10, 7);
    }
    if (width > 0) {
        writer_bits(&w, 16, width - 1);
        writer_bits(&w, 16, height - 1);
    }
    writer_trail(&w);
    return w;
}

/* The payload of a shown inter frame: of the largest size, its own size, or that of its third reference (found_ref). */
typedef enum { LARGEST, OWN, FOUND } SizeFrom;

static Writer inter_frame(Sequence sequence, SizeFrom from, guint width, guint height)
{
    Writer w = {0};
    writer_bits(&w, 4, 0x3); /* INTER_FRAME, shown */
    writer_bits(&w, 3, 0);   /* not resilient, disable_cdf_update, no screen content tools */
    if (sequence.ids)
        writer_bits(&w, 3, 6);
    writer_bits(&w, 1, from != LARGEST);
    writer_bits(&w, 7, 4);
    writer_bits(&w, 3, 0); /* primary_ref_frame */
    if (sequence.timing)
        writer_bits(&w, 1, 0);
    writer_bits(&w, 8, 0x08); /* refreshes slot 3 */
    writer_bits(&w, 1, 0);    /* no short signaling */
    for (guint i = 0; i < 7; i++) {
        writer_bits(&w, 3, i == 2 ? 3 : 7);
        if (sequence.ids)
            writer_bits(&w, 2, 0);
    }
    if (from == FOUND) {
        writer_bits(&w, 3, 1);
    } else if (from == OWN) {
        writer_bits(&w, 7, 0);
        writer_bits(&w, 16, width - 1);
        writer_bits(&w, 16, height - 1);
    }
    writer_trail(&w);
    return w;
}

/* Appends an OBU element with its length in front (W = 0). */
static void element(GByteArray *packet, guint8 header, Writer body)
{
    const guint8 head[] = {(guint8)(writer_bytes(&body) + 1), header};
    g_byte_array_append(packet, head, 2);
    g_byte_array_append(packet, body.data, writer_bytes(&body));
}

static int push_packet(Harness *harness, GByteArray *packet, bool marker)
{
    const int result = harness_push(harness, packet->data, packet->len, marker);
    g_byte_array_unref(packet);
    return result;
}

static GByteArray *packet_new(guint8 aggregation_header)
{
    return g_byte_array_append(g_byte_array_new(), &aggregation_header, 1);
}

static const Sequence plain = {320, 240, false, false};

/* A temporal unit of a sequence header and a key frame. */
static void push_key(Harness *harness, Sequence sequence)
{
    GByteArray *packet = packet_new(0x08);
    element(packet, DELIMITER, (Writer){0});
    element(packet, SEQUENCE, sequence_header(sequence));
    element(packet, FRAME, key_frame(sequence, 0, 0));
    assert_int_equal(push_packet(harness, packet, true), 0);
    harness_tick(harness, TICK);
}

static void push_inter(Harness *harness, Writer frame)
{
    GByteArray *packet = packet_new(0x00);
    element(packet, FRAME, frame);
    assert_int_equal(push_packet(harness, packet, true), 0);
    harness_tick(harness, TICK);
}

static const StenoFrame *frame_at(const Harness *harness, guint index)
{
    assert_true(index < harness->frames->len);
    return g_ptr_array_index(harness->frames, index);
}

static void expect_kinds(const Harness *harness, const char *expected)
{
    g_autoptr(GString) letters = g_string_new(NULL);
    for (guint i = 0; i < harness->frames->len; i++) {
        const StenoFrame *frame = frame_at(harness, i);
        if (frame->kind == STENO_FRAME_FORMAT)
            g_string_append_c(letters, 'F');
        else if (frame->kind == STENO_FRAME_GAP)
            g_string_append_c(letters, "LNDO"[frame->gap.cause]);
        else
            g_string_append_c(letters, frame->keyframe ? 'K' : frame->decodable ? 'M' : 'U');
    }
    assert_string_equal(letters->str, expected);
}

static void test_sizes(void **state)
{
    (void)state;
    static const Sequence sequences[] = {
        {320, 240, false, false}, {320, 240, true, false}, {320, 240, false, true}, {320, 240, true, true}};
    for (guint i = 0; i < G_N_ELEMENTS(sequences); i++) {
        const Sequence sequence = sequences[i];
        Harness harness;
        harness_init(&harness, STENO_CODEC_AV1, NULL);
        push_key(&harness, sequence);
        push_inter(&harness, inter_frame(sequence, LARGEST, 0, 0));
        push_inter(&harness, inter_frame(sequence, OWN, 160, 120));
        push_inter(&harness, inter_frame(sequence, FOUND, 0, 0));
        push_inter(&harness, inter_frame(sequence, LARGEST, 0, 0));
        GByteArray *packet = packet_new(0);
        element(packet, FRAME, key_frame(sequence, 200, 100));
        push_packet(&harness, packet, true);
        expect_kinds(&harness, "FKMFMMFMFK");
        static const guint at[] = {0, 3, 6, 8}, widths[] = {320, 160, 320, 200}, heights[] = {240, 120, 240, 100};
        for (guint j = 0; j < G_N_ELEMENTS(at); j++) {
            assert_int_equal(frame_at(&harness, at[j])->format.width, widths[j]);
            assert_int_equal(frame_at(&harness, at[j])->format.height, heights[j]);
        }
        /* The parameters are the sequence header OBU with its size. */
        const Writer header = sequence_header(sequence);
        const StenoFrame *format = frame_at(&harness, 0);
        assert_int_equal(format->payload_bytes, writer_bytes(&header) + 2);
        assert_int_equal(format->payload[0], SEQUENCE | 0x02);
        assert_int_equal(format->payload[1], writer_bytes(&header));
        assert_memory_equal(format->payload + 2, header.data, writer_bytes(&header));
        harness_clear(&harness);
    }
}

/* Fragments of an OBU whose size takes one, two and three bytes; W = 1, 2 and 3; a delimiter and a tile list left out.
 */
static void test_fragments(void **state)
{
    (void)state;
    /* The last one fills its buffer, until its size needs one byte more. */
    const Writer front = sequence_header(plain);
    const gsize bodies[] = {60, 300, 20000, 32768 - (2 + writer_bytes(&front)) - 1 - 2};
    for (guint i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autoptr(GByteArray) body = g_byte_array_new();
        const Writer key = key_frame(plain, 0, 0);
        g_byte_array_append(body, key.data, writer_bytes(&key));
        while (body->len < bodies[i])
            g_byte_array_append(body, (const guint8[]){(guint8)body->len}, 1);
        Harness harness;
        harness_init(&harness, STENO_CODEC_AV1, NULL);
        GByteArray *packet = packet_new(0x78); /* W = 3, Y, N */
        element(packet, DELIMITER, (Writer){0});
        const Writer sequence = sequence_header(plain);
        element(packet, SEQUENCE, sequence);
        g_byte_array_append(packet, (const guint8[]){FRAME}, 1);
        g_byte_array_append(packet, body->data, 20);
        assert_int_equal(push_packet(&harness, packet, false), 0);
        for (gsize at = 20; at < bodies[i];) {
            const gsize take = MIN(1000, bodies[i] - at);
            const bool last = at + take == bodies[i];
            packet = packet_new(last ? 0xa0 : 0xd0); /* Z; W = 2 or 1 */
            if (last) {
                const guint8 length[] = {0x80 | (take & 0x7f), (guint8)(take >> 7)};
                g_byte_array_append(packet, length, 2);
            }
            g_byte_array_append(packet, body->data + at, take);
            if (last)
                g_byte_array_append(packet, (const guint8[]){TILE_LIST, 1, 2}, 3);
            assert_int_equal(push_packet(&harness, packet, last), 0);
            at += take;
        }
        expect_kinds(&harness, "FK");
        const StenoFrame *frame = frame_at(&harness, 1);
        const gsize before = 2 + writer_bytes(&sequence), size_bytes = MIN(i + 1, 3);
        assert_int_equal(frame->payload_bytes, before + 1 + size_bytes + bodies[i]);
        assert_true(frame->payload_bytes <= frame->payload_capacity);
        assert_int_equal(frame->payload[before], FRAME | 0x02);
        gsize size = 0;
        for (gsize j = 0; j < size_bytes; j++)
            size |= (gsize)(frame->payload[before + 1 + j] & 0x7f) << (7 * j);
        assert_int_equal(size, bodies[i]);
        assert_memory_equal(frame->payload + before + 1 + size_bytes, body->data, bodies[i]);
        harness_clear(&harness);
    }
}

/* An OBU that brings its size keeps it, when it is right. */
static void test_sized_by_sender(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_AV1, NULL);
    push_key(&harness, plain);
    const Writer inter = inter_frame(plain, LARGEST, 0, 0);
    for (gsize wrong = 0; wrong < 2; wrong++) {
        GByteArray *packet = packet_new(0x10);
        g_byte_array_append(packet, (const guint8[]){FRAME | 0x02, (guint8)(writer_bytes(&inter) + wrong)}, 2);
        g_byte_array_append(packet, inter.data, writer_bytes(&inter));
        assert_int_equal(push_packet(&harness, packet, true), wrong ? -EBADMSG : 0);
        harness_tick(&harness, TICK);
    }
    harness_flush(&harness);
    expect_kinds(&harness, "FKMD");
    assert_int_equal(frame_at(&harness, 2)->payload_bytes, 2 + writer_bytes(&inter));
    harness_clear(&harness);
}

static void test_losses(void **state)
{
    (void)state;
    Harness harness;
    harness_init(&harness, STENO_CODEC_AV1, NULL);
    push_inter(&harness, inter_frame(plain, LARGEST, 0, 0)); /* before the first key frame */
    push_key(&harness, plain);
    harness_lose(&harness, 1, 0);
    assert_int_equal(PUSH(&harness, true, 0x90, 1, 2, 3), 0); /* the rest of an OBU */
    harness_tick(&harness, TICK);
    push_inter(&harness, inter_frame(plain, LARGEST, 0, 0));
    harness_lose(&harness, 1, 0);
    assert_int_equal(PUSH(&harness, true, 0x10, TILE_GROUP, 2, 3), 0); /* the rest of a frame */
    harness_tick(&harness, TICK);
    harness_lose(&harness, 1, 0);
    GByteArray *packet = packet_new(0); /* its sequence header may be lost */
    element(packet, FRAME, key_frame(plain, 0, 0));
    push_packet(&harness, packet, true);
    harness_tick(&harness, TICK);
    push_key(&harness, plain);
    expect_kinds(&harness, "NFKLULLUK");
    harness_clear(&harness);
}

static void test_damage(void **state)
{
    (void)state;
    static const guint8 bad[][6] = {
        {0x00, 9, FRAME, 1},      /* longer than the packet */
        {0x00, 0xff, 0xff, 0xff}, /* a length that is cut off … */
        {0x20, 3, FRAME, 1, 1},   /* W = 2, but there is one: its second is empty: nothing is wrong */
        {0x90, 1, 2, 3},          /* goes on, but nothing was begun */
        {0x10, FRAME | 0x04},     /* without its extension byte */
        {0x10},                   /* nothing in it */
    };
    static const gsize bytes[] = {4, 4, 5, 4, 2, 1};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        Harness harness;
        harness_init(&harness, STENO_CODEC_AV1, NULL);
        push_key(&harness, plain);
        if (harness_push(&harness, bad[i], bytes[i], true) != (i == 2 ? 0 : -EBADMSG))
            fail_msg("packet %u", i);
        harness_tick(&harness, TICK);
        push_inter(&harness, inter_frame(plain, LARGEST, 0, 0));
        expect_kinds(&harness, i == 2 ? "FKMM" : "FKDU");
        harness_clear(&harness);
    }
    Harness harness;
    harness_init(&harness, STENO_CODEC_AV1, NULL);
    push_key(&harness, plain);
    assert_int_equal(PUSH(&harness, true, 0x50, FRAME, 1, 2), 0); /* never ends */
    harness_tick(&harness, TICK);
    push_inter(&harness, inter_frame(plain, LARGEST, 0, 0));
    expect_kinds(&harness, "FKDU");
    harness_clear(&harness);
}

static void test_reduced_still_picture(void **state)
{
    (void)state;
    Writer w = {0};
    writer_bits(&w, 5, 0x3);
    writer_bits(&w, 5, 0);
    writer_bits(&w, 8, 7 << 4 | 7);
    writer_bits(&w, 16, 63 << 8 | 47);
    writer_bits(&w, 3, 0);
    writer_bits(&w, 3, 4); /* superres */
    writer_trail(&w);
    StenoAv1Sequence sequence;
    assert_true(steno_av1_sequence(w.data, writer_bytes(&w), &sequence));
    assert_true(sequence.superres);
    StenoAv1Size references[8] = {0};
    StenoAv1Frame frame;
    assert_true(steno_av1_frame((const guint8[]){0, 0}, 2, &sequence, 0, 0, references, &frame));
    assert_true(frame.keyframe);
    assert_int_equal(frame.size.width, 64);
    assert_int_equal(frame.size.height, 48);
    assert_false(steno_av1_sequence(w.data, 3, &sequence));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),  cmocka_unit_test(test_fragments), cmocka_unit_test(test_sized_by_sender),
        cmocka_unit_test(test_losses), cmocka_unit_test(test_damage),    cmocka_unit_test(test_reduced_still_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
