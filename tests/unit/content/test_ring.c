/* Which key a frame is tried with: participants, kids, ratchets, keys that replace others, live and in assembly. */
#include "ring.h"
#include "seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_BYTES 40

/* Raw keys of 32 bytes, by their first one. */
static const guint8 *raw_key(guint8 first)
{
    static guint8 key[32];
    key[0] = first;
    return key;
}

static char *hex_key(guint8 first)
{
    return g_strdup_printf("hex:%02x%062d", first, 0);
}

/* A frame of LiveKit's under a key after so many steps. */
static GBytes *frame_of(guint8 key, guint step, guint8 kid, guint number)
{
    guint8 aes[16];
    seal_livekit_key(raw_key(key), 32, step, aes);
    return seal_livekit(aes, kid, number, FRAME_BYTES);
}

static StenoContentOutcome open_one(StenoContentOpener *opener, guint8 key, guint step, guint8 kid, gboolean wait)
{
    static guint number;
    g_autoptr(GBytes) frame = frame_of(key, step, kid, ++number), plain = seal_plain(number, FRAME_BYTES);
    return seal_open(opener, STENO_CODEC_OPUS, frame, plain, wait);
}

static StenoContentRing *ring_new(const char *format, gboolean live)
{
    const StenoContentRingConfig config = {.format = steno_content_format(format), .live = live};
    return steno_content_ring_new(&config);
}

static void add_json(StenoContentRing *ring, const char *json)
{
    g_autoptr(StenoContentKeys) keys = seal_keys(steno_content_format_name(ring->format), json);
    steno_content_ring_add(ring, keys);
}

/* participant "": everybody's. */
static void add(StenoContentRing *ring, guint8 first, const char *participant, guint kid, guint window)
{
    g_autofree char *key = hex_key(first);
    g_autofree char *who = *participant ? g_strdup_printf("\"participant\": \"%s\", ", participant) : g_strdup("");
    g_autofree char *json = g_strdup_printf("{\"ratchet_window\": %u, \"keys\": [{%s\"kid\": %u, \"key\": \"%s\"}]}",
                                            window, who, kid, key);
    add_json(ring, json);
}

/* ---- whose ------------------------------------------------------------------------------------------------------- */

static void test_precedence(void **state)
{
    (void)state;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        g_autoptr(StenoContentRing) ring = ring_new("livekit", live);
        g_autoptr(StenoContentOpener) alice = steno_content_opener_new(ring, "alice"),
                                      bob = steno_content_opener_new(ring, "bob");
        assert_int_equal(open_one(alice, 1, 0, 0, FALSE), STENO_CONTENT_NO_KEY);
        add(ring, 1, "", 0, 8);
        assert_int_equal(open_one(alice, 1, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(bob, 1, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(alice, 1, 0, 1, FALSE), STENO_CONTENT_NO_KEY);
        /* One's own wins over everybody's of this kid, and only for oneself; names are not prefixes. */
        add(ring, 2, "alice", 0, 0);
        assert_int_equal(open_one(alice, 2, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(alice, 1, 0, 0, FALSE), STENO_CONTENT_BAD_KEY);
        assert_int_equal(open_one(bob, 1, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(bob, 2, 0, 0, TRUE), STENO_CONTENT_BAD_KEY);
        add(ring, 3, "", 1, 0);
        assert_int_equal(open_one(alice, 3, 0, 1, FALSE), STENO_CONTENT_OPENED);
        add(ring, 4, "alice2", 1, 0);
        assert_int_equal(open_one(alice, 4, 0, 1, FALSE), STENO_CONTENT_BAD_KEY);
    }
}

/* Frames that are no frames, or not the sender's. */
static void test_others(void **state)
{
    (void)state;
    static const char trailer[] = "A9k2server";
    const StenoContentRingConfig config = {.format = &content_livekit, .sif_trailer = trailer};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);
    /* DTX, also before there is a key. */
    assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, empty, empty, FALSE), STENO_CONTENT_CLEAR);
    add(ring, 1, "", 0, 0);
    assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, empty, empty, FALSE), STENO_CONTENT_CLEAR);
    g_autoptr(GBytes) injected = g_bytes_new("\xf8\xff\xfe A9k2server", 14),
                      bare = g_bytes_new(trailer, strlen(trailer)), almost = g_bytes_new("\xf8 A9k2serves", 12),
                      clear = g_bytes_new("\xf8\xff\xfe", 3);
    assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, injected, NULL, FALSE), STENO_CONTENT_INJECTED);
    assert_int_equal(seal_open(opener, STENO_CODEC_VP8, bare, NULL, FALSE), STENO_CONTENT_INJECTED);
    assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, almost, NULL, FALSE), STENO_CONTENT_BAD_KEY);
    assert_int_equal(seal_open(opener, STENO_CODEC_OPUS, clear, NULL, FALSE), STENO_CONTENT_BAD_KEY);
    /* Of a channel without a trailer, nothing is injected. */
    g_autoptr(StenoContentRing) other = ring_new("livekit", FALSE);
    g_autoptr(StenoContentOpener) other_opener = steno_content_opener_new(other, "alice");
    assert_int_equal(seal_open(other_opener, STENO_CODEC_OPUS, injected, NULL, FALSE), STENO_CONTENT_BAD_KEY);
    assert_string_equal(steno_content_outcome_name(STENO_CONTENT_NO_KEY), "no-key");
    assert_string_equal(steno_content_outcome_name(STENO_CONTENT_BAD_KEY), "bad-key");
    assert_null(steno_content_outcome_name(STENO_CONTENT_OPENED));
    assert_null(steno_content_outcome_name(STENO_CONTENT_INJECTED));
}

/* ---- ratchets ---------------------------------------------------------------------------------------------------- */

static void test_ratchet(void **state)
{
    (void)state;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        g_autoptr(StenoContentRing) ring = ring_new("livekit", live);
        add(ring, 1, "alice", 0, 8);
        g_autoptr(StenoContentOpener) audio = steno_content_opener_new(ring, "alice");
        for (guint step = 0; step < 8; step++)
            for (guint i = 0; i < 3; i++)
                assert_int_equal(open_one(audio, 1, step, 0, TRUE), STENO_CONTENT_OPENED);
        /* Eight at once. Then a track that lags, by all of them. */
        assert_int_equal(open_one(audio, 1, 15, 0, TRUE), STENO_CONTENT_OPENED);
        g_autoptr(StenoContentOpener) video = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_one(video, 1, 7, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(audio, 1, 15, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 1, 8, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 1, 15, 0, FALSE), STENO_CONTENT_OPENED);
        /* A new track of somebody who is that far. */
        g_autoptr(StenoContentOpener) screen = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_one(screen, 1, 16, 0, TRUE), STENO_CONTENT_OPENED);
    }
}

static void test_window_edge(void **state)
{
    (void)state;
    static const guint windows[] = {0, 1, 8, 256};
    for (guint i = 0; i < G_N_ELEMENTS(windows); i++) {
        const guint window = windows[i];
        g_autoptr(StenoContentRing) ring = ring_new("livekit", TRUE);
        add(ring, 1, "alice", 0, window);
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_one(opener, 1, window + 1, 0, TRUE), STENO_CONTENT_BAD_KEY);
        assert_int_equal(open_one(opener, 1, window, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(opener, 1, 2 * window + 1, 0, TRUE), STENO_CONTENT_BAD_KEY);
        assert_int_equal(open_one(opener, 1, 2 * window, 0, TRUE), STENO_CONTENT_OPENED);
    }
}

/* Nothing is committed for a frame that did not open: many of another key do not move the ratchet. */
static void test_failures_move_nothing(void **state)
{
    (void)state;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        g_autoptr(StenoContentRing) ring = ring_new("livekit", live);
        add(ring, 1, "alice", 0, 8);
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
        for (guint i = 0; i < 200; i++)
            assert_int_equal(open_one(opener, 9, 0, 0, TRUE), STENO_CONTENT_BAD_KEY);
        assert_int_equal(open_one(opener, 1, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(opener, 9, 0, 0, FALSE), STENO_CONTENT_BAD_KEY);
        assert_int_equal(open_one(opener, 1, 8, 0, FALSE), STENO_CONTENT_OPENED);
    }
}

/* Assembly may begin in the middle, and goes through a participant's tracks one after the other. */
static void test_assembly(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("livekit", FALSE);
    add(ring, 1, "alice", 0, 8);
    for (guint track = 0; track < 2; track++) {
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_one(opener, 1, 700, 0, FALSE), STENO_CONTENT_OPENED);
        for (guint step = 700; step < 720; step++)
            assert_int_equal(open_one(opener, 1, step, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(opener, 1, 720 + CONTENT_FAR_STEPS, 0, FALSE), STENO_CONTENT_BAD_KEY);
    }
    g_autoptr(StenoContentOpener) earlier = steno_content_opener_new(ring, "alice");
    for (guint step = 0; step < 40; step++)
        assert_int_equal(open_one(earlier, 1, step, 0, FALSE), STENO_CONTENT_OPENED);
    /* PBKDF2 is looked ahead less far, since a step takes so long. */
    g_autoptr(StenoContentKeys) slow = seal_keys("livekit", "{\"keys\": [{\"passphrase\": \"a\"}]}");
    assert_int_equal(content_keys_settings(slow)->far_steps, 64);
    g_autoptr(StenoContentKeys) fast = seal_keys("livekit", "{\"kdf\": \"hkdf\", \"keys\": [{\"passphrase\": \"a\"}]}");
    assert_int_equal(content_keys_settings(fast)->far_steps, 0);
}

/* ---- keys that replace others ------------------------------------------------------------------------------------ */

static void test_replaced(void **state)
{
    (void)state;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        g_autoptr(StenoContentRing) ring = ring_new("livekit", live);
        add(ring, 1, "alice", 0, 8);
        g_autoptr(StenoContentOpener) audio = steno_content_opener_new(ring, "alice"),
                                      video = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_one(audio, 1, 0, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(audio, 1, 3, 0, TRUE), STENO_CONTENT_OPENED);
        add(ring, 2, "alice", 0, 8);
        /* Until the sender changes over, which its tracks do one by one; also with a ratchet meanwhile. */
        assert_int_equal(open_one(audio, 1, 3, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 1, 3, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 1, 4, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(audio, 2, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 1, 4, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 2, 0, 0, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_one(video, 2, 2, 0, TRUE), STENO_CONTENT_OPENED);
        /* The same again changes nothing: its ratchet stays where it is. */
        for (guint i = 0; i <= CONTENT_RING_OLDER_MAX; i++)
            add(ring, 2, "alice", 0, 8);
        assert_int_equal(open_one(video, 2, 10, 0, TRUE), STENO_CONTENT_OPENED);
        /* And the first one again takes its place back, as far as it was. */
        add(ring, 1, "alice", 0, 8);
        assert_int_equal(open_one(audio, 1, 12, 0, TRUE), STENO_CONTENT_OPENED);
        assert_int_equal(ring->order.length, 1);
    }
}

/* A new kid each 5 s, and its key a moment before. */
static void test_rotation(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("livekit", TRUE);
    g_autoptr(StenoContentOpener) audio = steno_content_opener_new(ring, "alice"),
                                  video = steno_content_opener_new(ring, "alice");
    for (guint i = 0; i < 40; i++) {
        add(ring, (guint8)(i + 1), "alice", i % 16, 8);
        for (guint frame = 0; frame < 5; frame++) {
            assert_int_equal(open_one(audio, (guint8)(i + 1), 0, (guint8)(i % 16), FALSE), STENO_CONTENT_OPENED);
            if (i > 0) /* lags */
                assert_int_equal(open_one(video, (guint8)i, 0, (guint8)((i - 1) % 16), FALSE), STENO_CONTENT_OPENED);
        }
    }
    assert_int_equal(ring->order.length, 16);
}

/* ---- SFrame ------------------------------------------------------------------------------------------------------ */

static StenoContentOutcome open_sframe(StenoContentOpener *opener, guint steps, guint64 kid, gboolean wait)
{
    static const guint8 base_key[16] = {7};
    static guint number;
    number++;
    g_autoptr(GBytes) frame = seal_sframe(base_key, steps, kid, number, number, FRAME_BYTES),
                      plain = seal_plain(number, FRAME_BYTES);
    return seal_open(opener, STENO_CODEC_OPUS, frame, plain, wait);
}

#define SFRAME_KEY "\"key\": \"hex:07000000000000000000000000000000\""

/* Frames say their step modulo 16. */
static void test_told_steps(void **state)
{
    (void)state;
    for (gboolean live = FALSE; live <= TRUE; live++) {
        g_autoptr(StenoContentRing) ring = ring_new("sframe", live);
        /* Generation 5, which begins at step 2 for us. */
        add_json(ring, "{\"suite\": 4, \"ratchet_bits\": 4, \"keys\": [{\"kid\": 82, " SFRAME_KEY "}]}");
        g_autoptr(StenoContentOpener) audio = steno_content_opener_new(ring, "alice"),
                                      video = steno_content_opener_new(ring, "alice");
        assert_int_equal(open_sframe(audio, 0, 6 << 4, FALSE), STENO_CONTENT_NO_KEY);
        assert_int_equal(open_sframe(audio, 0, 5 << 4 | 2, FALSE), STENO_CONTENT_OPENED);
        assert_int_equal(open_sframe(video, 0, 5 << 4 | 2, FALSE), STENO_CONTENT_OPENED);
        for (guint step = 1; step < 40; step++) { /* twice around */
            assert_int_equal(open_sframe(audio, step, 5 << 4 | ((2 + step) & 15), TRUE), STENO_CONTENT_OPENED);
            assert_int_equal(open_sframe(video, step - 1, 5 << 4 | ((1 + step) & 15), TRUE), STENO_CONTENT_OPENED);
        }
        assert_int_equal(open_sframe(audio, 47, 5 << 4 | (49 & 15), TRUE), STENO_CONTENT_OPENED); /* eight at once */
        /* It says another step than it is of. */
        assert_int_equal(open_sframe(audio, 48, 5 << 4 | (51 & 15), TRUE), STENO_CONTENT_BAD_KEY);
    }
}

static void test_told_window(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) live = ring_new("sframe", TRUE), assembly = ring_new("sframe", FALSE);
    static const char json[] =
        "{\"suite\": 4, \"ratchet_bits\": 10, \"ratchet_window\": 8, \"keys\": [{" SFRAME_KEY "}]}";
    add_json(live, json);
    add_json(assembly, json);
    g_autoptr(StenoContentOpener) recorder = steno_content_opener_new(live, "alice"),
                                  assembler = steno_content_opener_new(assembly, "alice");
    assert_int_equal(open_sframe(recorder, 9, 9, FALSE), STENO_CONTENT_NO_KEY);
    assert_int_equal(open_sframe(recorder, 8, 8, TRUE), STENO_CONTENT_OPENED);
    assert_int_equal(open_sframe(assembler, 1000, 1000, FALSE), STENO_CONTENT_OPENED);
    assert_int_equal(open_sframe(assembler, 3, 3, FALSE), STENO_CONTENT_OPENED);
}

/* Context and sender above the epoch's bits have one key in common. */
static void test_mls(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("sframe", TRUE);
    add_json(ring,
             "{\"suite\": 4, \"mls\": {\"epoch_bits\": 4, \"sender_bits\": 8}, \"keys\": [{\"epoch\": 19, " SFRAME_KEY
             "}]}");
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    for (guint64 sender = 0; sender < 20; sender++)
        assert_int_equal(open_sframe(opener, 0, sender << 4 | 3, FALSE), STENO_CONTENT_OPENED);
    assert_int_equal(open_sframe(opener, 0, (guint64)77 << 12 | 3, FALSE), STENO_CONTENT_OPENED);
    assert_int_equal(open_sframe(opener, 0, 4, FALSE), STENO_CONTENT_NO_KEY);
}

/* ---- ceilings ---------------------------------------------------------------------------------------------------- */

static void test_chains_ceiling(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("sframe", FALSE);
    add_json(ring,
             "{\"suite\": 4, \"mls\": {\"epoch_bits\": 1, \"sender_bits\": 20}, \"keys\": [{\"epoch\": 1, " SFRAME_KEY
             "}]}");
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    assert_int_equal(open_sframe(opener, 0, 1, FALSE), STENO_CONTENT_OPENED);
    ContentRingKey *key = content_ring_find(ring, "alice", 1);
    /* A flood of made up senders drives nobody out who was opened. */
    guint8 frame[64] = {0x90 | 3 << 4}, out[64];
    StenoContentOpened opened;
    for (guint i = 1; i < 3 * CONTENT_RING_CHAINS_MAX; i++) {
        frame[0] = 0xb0; /* four bytes of kid */
        frame[1] = 0;
        frame[2] = (guint8)(i >> 15);
        frame[3] = (guint8)(i >> 7);
        frame[4] = (guint8)(i << 1 | 1);
        assert_int_equal(steno_content_open(opener, STENO_CODEC_OPUS, frame, sizeof frame, out, &opened),
                         STENO_CONTENT_BAD_KEY);
    }
    assert_true(key->chains->len <= CONTENT_RING_CHAINS_MAX);
    assert_true(content_ring_chain(ring, key, 1)->opened); /* the same as before */
    assert_int_equal(open_sframe(opener, 0, 1, FALSE), STENO_CONTENT_OPENED);
}

static void test_keys_ceiling(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("sframe", FALSE);
    for (guint set = 0; set < 3; set++) {
        g_autoptr(GString) json = g_string_new("{\"suite\": 4, \"keys\": [");
        for (guint i = 0; i < STENO_CONTENT_KEYS_MAX; i++)
            g_string_append_printf(json, "%s{\"kid\": %u, \"participant\": \"p%u\", " SFRAME_KEY "}", i ? "," : "",
                                   set * STENO_CONTENT_KEYS_MAX + i, set * STENO_CONTENT_KEYS_MAX + i);
        g_string_append(json, "]}");
        add_json(ring, json->str);
        add_json(ring, json->str); /* none of them is new */
        assert_int_equal(ring->order.length, MIN((set + 1) * STENO_CONTENT_KEYS_MAX, CONTENT_RING_KEYS_MAX));
    }
    assert_int_equal(g_hash_table_size(ring->people), CONTENT_RING_KEYS_MAX);
    assert_null(content_ring_find(ring, "p0", 0));
    assert_non_null(content_ring_find(ring, "p12000", 12000));
}

static void test_older_ceiling(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("livekit", FALSE);
    for (guint8 i = 1; i <= CONTENT_RING_OLDER_MAX + 3; i++)
        add(ring, i, "alice", 0, 0);
    guint n = 0;
    for (const ContentRingKey *key = content_ring_find(ring, "alice", 0); key; key = key->older)
        n++;
    assert_int_equal(n, 1 + CONTENT_RING_OLDER_MAX);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    assert_int_equal(open_one(opener, 2, 0, 0, FALSE), STENO_CONTENT_BAD_KEY);
    assert_int_equal(open_one(opener, 3, 0, 0, FALSE), STENO_CONTENT_OPENED);
}

/* Steps that nobody can be at any more are forgotten. */
static void test_steps_ceiling(void **state)
{
    (void)state;
    g_autoptr(StenoContentRing) ring = ring_new("livekit", TRUE);
    add(ring, 1, "alice", 0, 256);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
    for (guint step = 0; step <= 2000; step += 200)
        assert_int_equal(open_one(opener, 1, step, 0, TRUE), STENO_CONTENT_OPENED);
    const ContentChain *chain = content_ring_chain(ring, content_ring_find(ring, "alice", 0), 0);
    assert_int_equal(chain->first_step, 2000 - 64);
    assert_true(chain->ciphers->len <= 64 + 256 + 1);
}

/* A ring that goes while its thread has much to do. */
static void test_freed_at_work(void **state)
{
    (void)state;
    for (guint i = 0; i < 20; i++) {
        g_autoptr(StenoContentRing) ring = ring_new("livekit", TRUE);
        g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "alice");
        for (guint8 kid = 0; kid < 10; kid++)
            add(ring, 1, "alice", kid, 256);
        for (guint8 kid = 0; kid < 10; kid++)
            (void)open_one(opener, 1, 0, kid, FALSE);
        add(ring, 2, "alice", 0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_ratchet),
        cmocka_unit_test(test_window_edge),
        cmocka_unit_test(test_failures_move_nothing),
        cmocka_unit_test(test_assembly),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_told_steps),
        cmocka_unit_test(test_told_window),
        cmocka_unit_test(test_mls),
        cmocka_unit_test(test_chains_ceiling),
        cmocka_unit_test(test_keys_ceiling),
        cmocka_unit_test(test_older_ceiling),
        cmocka_unit_test(test_steps_ceiling),
        cmocka_unit_test(test_freed_at_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
