/* Files that end anywhere, files that are damaged, and writers that are killed. */
#include "capture_helpers.h"

#include "steno/base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAMES 60

/* A frame's payload tells its number. */
static gsize make_payload(guint number, guint8 *out)
{
    gsize bytes = 20 + number % 13;
    for (gsize i = 0; i < bytes; i++)
        out[i] = (guint8)(number * 7 + i);
    memcpy(out, "\0\0\0\1", 4);
    return bytes;
}

/* A track of FRAMES frames in several clusters, as bytes. */
static guint8 *make_file(gsize *bytes)
{
    g_autofree char *folder = helper_folder();
    g_autofree char *path = g_strdup_printf("%s/part-0001/track-0001.0.mkv", folder);
    StenoFramePool *pool = steno_frame_pool_new(1024 * 1024);
    StenoCapture *capture = helper_capture(folder, 1);
    guint8 payload[64];
    char *data = NULL;
    helper_push(capture, helper_format(pool, STENO_CODEC_H264, 1, "\0\0\0\1\x67\x42\xc0\x1e", 8));
    for (guint i = 0; i < FRAMES; i++)
        helper_push(capture, helper_frame(pool, STENO_FRAME_MEDIA, STENO_CODEC_H264, 1, ZERO_US + i * 40000, payload,
                                          make_payload(i, payload)));
    assert_true(steno_capture_finish(capture, NULL));
    assert_true(g_file_get_contents(path, &data, bytes, NULL));
    steno_frame_pool_free(pool);
    helper_remove(folder);
    return (guint8 *)data;
}

/* Reads frames; each must be one that was written, and later than the one before. */
static guint read_frames(const guint8 *data, gsize bytes, guint64 *skipped)
{
    guint8 payload[64];
    guint count = 0;
    gint64 last = -1;
    /* An exact copy, so that a read past the end is seen. */
    g_autofree guint8 *exact = g_memdup2(data, bytes);
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open_memory(exact, bytes, NULL);
    StenoCaptureFrame frame;
    *skipped = 0;
    if (!reader)
        return 0;
    while (steno_capture_reader_next(reader, &frame)) {
        gint64 number = (frame.wall_us - ZERO_US) / 40000;
        if (number > last && number < FRAMES && frame.payload_bytes == make_payload((guint)number, payload) &&
            memcmp(frame.payload, payload, frame.payload_bytes) == 0)
            count++;
        last = number;
    }
    *skipped = steno_capture_reader_skipped(reader);
    return count;
}

static void a_file_cut_off_anywhere_gives_all_that_is_whole(void **state)
{
    (void)state;
    gsize bytes;
    g_autofree guint8 *data = make_file(&bytes);
    guint64 skipped;
    guint before = 0, clusters = 0;
    for (gsize cut = 0; cut <= bytes; cut++) {
        guint frames = read_frames(data, cut, &skipped);
        assert_in_range(frames, before, before + 1);
        before = frames;
        if (cut + 4 <= bytes && memcmp(data + cut, "\x1F\x43\xB6\x75", 4) == 0) {
            assert_int_equal(skipped, 0);
            /* 500 ms of frames 40 ms apart. */
            assert_int_equal(frames, clusters++ * 13);
        }
    }
    assert_int_equal(clusters, 5);
    assert_int_equal(before, FRAMES);
}

static void damage_costs_the_frames_around_it(void **state)
{
    (void)state;
    gsize bytes;
    g_autofree guint8 *data = make_file(&bytes);
    guint64 skipped;
    const guint8 *first = memmem(data, bytes, "\x1F\x43\xB6\x75", 4);
    for (gsize at = (gsize)(first - data); at < bytes; at++) {
        for (guint flip = 1; flip < 256; flip = flip * 3 + 1) {
            data[at] ^= (guint8)flip;
            assert_true(read_frames(data, bytes, &skipped) >= FRAMES - 2 * 13);
            data[at] ^= (guint8)flip;
        }
    }
}

static void damage_before_the_first_cluster_is_survived(void **state)
{
    (void)state;
    gsize bytes;
    g_autofree guint8 *data = make_file(&bytes);
    guint64 skipped;
    const guint8 *first = memmem(data, bytes, "\x1F\x43\xB6\x75", 4);
    for (gsize at = 0; at < (gsize)(first - data); at++) {
        for (guint value = 0; value < 256; value += 15) {
            guint8 was = data[at];
            data[at] = (guint8)value;
            (void)read_frames(data, bytes, &skipped);
            data[at] = was;
        }
    }
}

/* ---- kill -9 ----------------------------------------------------------------------------------------------------- */

#define CHILDREN 60
#define TRACKS 2
#define PUSHED_MAX 4096

/* Shared with a child: when it pushed each frame. */
typedef struct {
    gint64 pushed_mono_us[TRACKS][PUSHED_MAX];
    gint count[TRACKS];
    char folder[256];
    pid_t pid;
    gint64 killed_mono_us;
} Child;

/* Video at 30 and audio at 50 frames a second, until somebody kills it. */
static void run_child(Child *child)
{
    static const gint64 interval_us[TRACKS] = {33333, 20000};
    static const StenoCodec codecs[TRACKS] = {STENO_CODEC_VP8, STENO_CODEC_OPUS};
    StenoFramePool *pool = steno_frame_pool_new(64 * 1024 * 1024);
    StenoCapture *capture = helper_capture(child->folder, 1);
    gint64 started = steno_clock_mono_us();
    guint8 payload[8000] = {0};
    for (guint track = 0; track < TRACKS; track++)
        helper_push(capture, helper_format(pool, codecs[track], track + 1, NULL, 0));
    for (;;) {
        gint64 now = steno_clock_mono_us();
        for (guint track = 0; track < TRACKS; track++) {
            while (child->count[track] < PUSHED_MAX && started + child->count[track] * interval_us[track] <= now) {
                gint number = child->count[track];
                gint64 wall_us = ZERO_US + number * interval_us[track];
                helper_push(capture, helper_frame(pool, STENO_FRAME_MEDIA, codecs[track], track + 1, wall_us, payload,
                                                  track ? 160 : sizeof payload));
                child->pushed_mono_us[track][number] = steno_clock_mono_us();
                g_atomic_int_inc(&child->count[track]);
            }
        }
        g_usleep(5000);
    }
}

/* The last frame in a file of a killed child, after checking that none before it is missing. */
static int last_frame(const Child *child, guint track)
{
    g_autofree char *path = g_strdup_printf("%s/part-0001/track-%04u.0.mkv", child->folder, track + 1);
    g_autoptr(StenoCaptureReader) reader = steno_capture_reader_open(path, NULL);
    int last = -1;
    StenoCaptureFrame frame;
    gint64 interval_us = track ? 20000 : 33333;
    while (reader && steno_capture_reader_next(reader, &frame)) {
        last++;
        assert_int_equal(frame.wall_us, ZERO_US + last * interval_us);
        assert_int_equal(frame.payload_bytes, track ? 160 : 8000);
    }
    return last;
}

static int earlier(const void *a, const void *b)
{
    const Child *const *x = a, *const *y = b;
    return (*x)->killed_mono_us < (*y)->killed_mono_us ? -1 : 1;
}

static void kill_children(Child *children)
{
    Child *order[CHILDREN];
    for (guint i = 0; i < CHILDREN; i++)
        order[i] = &children[i];
    qsort(order, CHILDREN, sizeof *order, earlier);
    for (guint i = 0; i < CHILDREN; i++) {
        while (steno_clock_mono_us() < order[i]->killed_mono_us)
            g_usleep(500);
        kill(order[i]->pid, SIGKILL);
        order[i]->killed_mono_us = steno_clock_mono_us();
    }
    for (guint i = 0; i < CHILDREN; i++)
        waitpid(children[i].pid, NULL, 0);
}

static void a_killed_writer_loses_less_than_a_second(void **state)
{
    (void)state;
    Child *children =
        mmap(NULL, CHILDREN * sizeof *children, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    gint64 worst_us = 0;
    assert_true(children != MAP_FAILED);
    for (guint i = 0; i < CHILDREN; i++) {
        g_autofree char *folder = helper_folder();
        g_strlcpy(children[i].folder, folder, sizeof children[i].folder);
        children[i].killed_mono_us = steno_clock_mono_us() + g_random_int_range(50, 3500) * 1000;
        /* Not into the shared memory at once: the child would write its 0 there, too. */
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            run_child(&children[i]);
        }
        assert_true(pid > 0);
        children[i].pid = pid;
    }
    kill_children(children);
    for (guint i = 0; i < CHILDREN; i++) {
        for (guint track = 0; track < TRACKS; track++) {
            int last = last_frame(&children[i], track);
            /* The first frame that is lost was pushed at most a second before the kill. */
            if (last + 1 < children[i].count[track])
                worst_us = MAX(worst_us, children[i].killed_mono_us - children[i].pushed_mono_us[track][last + 1]);
        }
        helper_remove(children[i].folder);
    }
    print_message("%d kills: at most %d ms lost\n", CHILDREN, (int)(worst_us / 1000));
    assert_true(worst_us > 0);
    assert_true(worst_us <= G_USEC_PER_SEC);
    munmap(children, CHILDREN * sizeof *children);
}

int main(void)
{
    /* A process is killed here, not the machine: how fast the disk is does not belong to it. */
    if (g_file_test("/dev/shm", G_FILE_TEST_IS_DIR))
        g_setenv("TMPDIR", "/dev/shm", TRUE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_cut_off_anywhere_gives_all_that_is_whole),
        cmocka_unit_test(damage_costs_the_frames_around_it),
        cmocka_unit_test(damage_before_the_first_cluster_is_survived),
        cmocka_unit_test(a_killed_writer_loses_less_than_a_second),
    };
    return cmocka_run_group_tests_name("capture_crash", tests, NULL, NULL);
}
