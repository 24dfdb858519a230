/* The real recorder and assembler under a job: plain RTP of our own, processes killed, files verified. */
#include "world.h"

#include "capture_folder.h"
#include "recorder_lock.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int fd;
    struct sockaddr_in address;
    guint timer;
    guint16 seq;
} Sender;

static Sender sender;

/* 20 ms of PCMU: sound, of a kind. */
static gboolean on_send(gpointer user)
{
    (void)user;
    guint8 packet[172] = {0x80, 0};
    guint32 rtp_ts = 160u * ++sender.seq;
    packet[2] = (guint8)(sender.seq >> 8);
    packet[3] = (guint8)sender.seq;
    for (guint i = 0; i < 4; i++)
        packet[4 + i] = (guint8)(rtp_ts >> (24 - 8 * i));
    memset(packet + 8, 7, 4);
    memset(packet + 12, (guint8)(0x90 + sender.seq % 16), 160);
    (void)sendto(sender.fd, packet, sizeof packet, 0, (struct sockaddr *)&sender.address, sizeof sender.address);
    return G_SOURCE_CONTINUE;
}

/* An even port with a free one behind it, as RTP wants it. */
static guint16 free_port(void)
{
    for (;;) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof address;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
        close(fd);
        if (ntohs(address.sin_port) % 2 == 0)
            return ntohs(address.sin_port);
    }
}

static int set_up(void **state)
{
    if (world_set_up(state) != 0)
        return -1;
    World *world = *state;
    guint16 port = free_port();
    g_autofree char *sdp = g_strdup_printf("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
                                           "m=audio %u RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly\n",
                                           port);
    world_write(world->base, "ward.sdp", sdp);
    g_free(world->spec->platform);
    g_free(world->spec->url);
    world->spec->platform = g_strdup("sdp");
    world->spec->url = g_build_filename(world->base, "ward.sdp", NULL);
    world->place.stall_s = 10;
    sender.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sender.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sender.timer = g_timeout_add(20, on_send, NULL);
    return 0;
}

static int tear_down(void **state)
{
    g_source_remove(sender.timer);
    close(sender.fd);
    return world_tear_down(state);
}

static gboolean is_recorder_gone(World *world)
{
    return world_recorder(world) == 0;
}

/* A second of it: the first half is on disk. */
static gboolean has_media(World *world)
{
    return world->frames >= 50;
}

static void kill_recorder(World *world)
{
    world_signal(world, SIGKILL);
    world_until(world, is_recorder_gone);
}

static void assert_good(World *world, const char *end_reason)
{
    world_await_done(world);
    if (world->error)
        fail_msg("%s", world->error->message);
    assert_string_equal(world->end_reason, end_reason);
    assert_int_equal(steno_job_verify(world->folder, FALSE, NULL), 0);
    assert_false(world_exists(world->spool, world->spec->id));
}

static void it_is_left_taken_over_and_stopped(void **state)
{
    World *world = *state;
    world_start(world, "ward");
    world_await(world, "track_started", 1);
    int pid = world_recorder(world);
    for (guint i = 0; i < 3; i++) {
        world_leave(world);
        world->spec->paused = i % 2 == 0;
        world_resume(world, TRUE);
        world_await(world, i % 2 == 0 ? "state:paused" : "state:recording", i / 2 + 1);
        assert_int_equal(world_recorder(world), pid);
    }
    steno_job_stop(world->job, "shutdown");
    assert_good(world, "shutdown");
}

static void killed_it_goes_on_as_the_next_part(void **state)
{
    World *world = *state;
    world_start(world, "ward");
    for (guint i = 1; i <= 3; i++) {
        world_await(world, "track_started", i);
        world_signal(world, SIGKILL);
    }
    world_await(world, "track_started", 4);
    steno_job_stop(world->job, "stopped");
    assert_good(world, "stopped");
    assert_int_equal(world_count(world, "state:internal"), 3);
}

static void everything_killed_it_goes_on_as_the_next_part(void **state)
{
    World *world = *state;
    world_start(world, "ward");
    for (guint i = 1; i <= 3; i++) {
        world_await(world, "track_started", i);
        world_leave(world);
        kill_recorder(world);
        world_resume(world, TRUE);
    }
    world_await(world, "track_started", 4);
    world->frames = 0;
    world_until(world, has_media);
    world_leave(world);
    kill_recorder(world);
    world_resume(world, FALSE);
    assert_good(world, "recorder-died");
}

static void ended_while_nobody_listened_it_is_finished(void **state)
{
    World *world = *state;
    world->spec->max_duration_s = 2;
    world_start(world, "ward");
    world_await(world, "track_started", 1);
    world_leave(world);
    world_until(world, is_recorder_gone);
    world_resume(world, TRUE);
    assert_good(world, "max-duration");
}

static gint64 sections_of(const World *world)
{
    return (gint64)json_array_size(json_object_get(json_object_get(world->manifest, "recording"), "sections"));
}

/* Rotated, and the recorder killed in between: sections are stored while it goes on, and their parts gone. */
static void rotated_it_is_stored_while_it_is_recorded(void **state)
{
    World *world = *state;
    world->spec->rotate_s = STENO_JOB_ROTATE_MIN_S;
    world_start(world, "ward");
    world_await(world, "section_stored 1", 1);
    world_signal(world, SIGKILL);
    world_await(world, "track_started", 2);
    world_leave(world);
    world_resume(world, TRUE);
    world_await(world, "section_stored 2", 1);
    assert_false(world_exists(world->capture, "part-0001"));
    steno_job_stop(world->job, "stopped");
    assert_good(world, "stopped");
    assert_true(sections_of(world) >= 3);
    assert_true(world_exists(world->folder, "manifest.002.json"));
}

static void rotated_and_joined_it_is_one(void **state)
{
    World *world = *state;
    world->spec->rotate_s = STENO_JOB_ROTATE_MIN_S;
    world->spec->rotate_join = TRUE;
    world_start(world, "ward");
    world_await(world, "section_stored 1", 1);
    assert_true(job_capture_flag(world->capture, "rotate_join")); /* for who comes without the specification */
    steno_job_stop(world->job, "stopped");
    assert_good(world, "stopped");
    assert_int_equal(json_array_size(json_object_get(world->manifest, "outputs")), 1);
    assert_false(world_exists(world->folder, "manifest.001.json"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_is_left_taken_over_and_stopped),
        TEST(killed_it_goes_on_as_the_next_part),
        TEST(everything_killed_it_goes_on_as_the_next_part),
        TEST(ended_while_nobody_listened_it_is_finished),
        TEST(rotated_it_is_stored_while_it_is_recorded),
        TEST(rotated_and_joined_it_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
