/*
 * A recorder that does on demand what a real one would not. The job's channel is its script: one a part, separated by
 * "|" (the last one serves all later parts), of words separated by ",":
 *
 *   hello        answers the start               deaf         does not answer an attach
 *   rec          begins the part, tells "joining" and "recording"
 *   ev:N         tells N events                  lose:N       N events that are in the file, and told to nobody
 *   early:N      tells N events that never come into the file
 *   again        tells all its events once more
 *   torn         half a line, as a crash leaves it
 *   rot:N        rotates: the part ends with section N, the next one begins
 *   grow         figures each 50 ms, with more frames each time
 *   frozen       the same, without frames        idle         the same, but nothing is announced
 *   die          kill -9                         end:R[:E]    ends for the reason R, with the error E
 *   wait         does what it is told
 *   deafstop     like wait, but hears no "stop"  refuse       lost the capture's lock to another
 *   show         puts the job it was given into <capture>.job
 *
 * With --keys it is a source of keys: the job's key_url is what it does (give, big, none, refuse, hang, die, half), and
 * what it was asked goes into the file key_path.
 */
#include "steno/base/error.h"
#include "steno/base/ipc.h"
#include "steno/base/job.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int listening_fd, lock_fd, events_fd;
    StenoIpc *client;
    GPtrArray *ring;
    char *id, *capture, *state;
    guint part, seq;
    gint64 zero;
    gboolean deaf, deaf_to_stop, paused, outlives;
    guint64 frames, growth;
    int announced;
    char **words;
    json_t *job;
} Fake;

static void listen_again(Fake *fake);

static void put_line(Fake *fake, json_t *event)
{
    g_autofree char *text = json_dumps(event, JSON_COMPACT);
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    if (fake->events_fd > 0 && write(fake->events_fd, line, strlen(line)) < 0)
        abort();
}

static void tell(Fake *fake, json_t *event, gboolean in_file, gboolean over_socket)
{
    json_object_set_new(event, "part", json_integer(fake->part));
    json_object_set_new(event, "seq", json_integer(++fake->seq));
    json_object_set_new(event, "t", json_integer(g_get_real_time()));
    if (in_file)
        put_line(fake, event);
    if (over_socket) {
        g_ptr_array_add(fake->ring, json_incref(event));
        if (fake->client)
            (void)steno_ipc_send(fake->client, json_incref(event));
    }
    json_decref(event);
}

static void tell_state(Fake *fake, const char *state)
{
    g_free(fake->state);
    fake->state = g_strdup(state);
    tell(fake, json_pack("{s:s, s:s}", "event", "state", "state", state), TRUE, TRUE);
}

static void hello(Fake *fake)
{
    if (!fake->deaf)
        (void)steno_ipc_send(fake->client, json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:s}", "event", "hello", "pid",
                                                     (int)getpid(), "id", fake->id, "state", fake->state, "paused",
                                                     fake->paused, "part", (int)fake->part, "version", "fake"));
}

static void begin_part(Fake *fake)
{
    g_autofree char *folder = g_strdup_printf("%s/part-%04u", fake->capture, fake->part);
    g_autofree char *events = g_build_filename(folder, "events.jsonl", NULL);
    g_autofree char *recording = g_build_filename(fake->capture, "recording.json", NULL);
    if (!g_file_test(recording, G_FILE_TEST_EXISTS)) {
        g_autofree char *text =
            g_strdup_printf("{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":%" G_GINT64_FORMAT "}", fake->id, fake->zero);
        if (!g_file_set_contents(recording, text, -1, NULL))
            abort();
    }
    if (g_mkdir(folder, 0700) != 0)
        abort();
    fake->events_fd = open(events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    tell_state(fake, "joining");
    tell_state(fake, fake->paused ? "paused" : "recording");
}

static void rotate(Fake *fake, int section)
{
    gint64 seam = fake->zero + section * (gint64)G_USEC_PER_SEC;
    tell(fake, json_pack("{s:s, s:i, s:I}", "event", "rotated", "section", section, "seam", (json_int_t)seam), TRUE,
         TRUE);
    close(fake->events_fd);
    fake->part++;
    fake->seq = 0;
    begin_part(fake);
}

static void end(Fake *fake, const char *reason, const char *error)
{
    json_t *cause = error ? json_pack("{s:s, s:s}", "code", error, "message", "as the script says") : json_null();
    json_t *event = json_pack("{s:s, s:s, s:o}", "event", "ended", "end_reason", reason, "error", cause);
    tell(fake, event, TRUE, TRUE);
    if (fake->client)
        steno_ipc_flush(fake->client, 1000);
    _exit(0);
}

static gboolean on_tick(gpointer user)
{
    Fake *fake = user;
    fake->frames += fake->growth;
    if (fake->client)
        (void)steno_ipc_send(fake->client, json_pack("{s:s, s:i, s:I}", "event", "stats", "announced", fake->announced,
                                                     "frames", (json_int_t)fake->frames));
    return G_SOURCE_CONTINUE;
}

static void refuse(Fake *fake)
{
    (void)steno_ipc_send(fake->client,
                         json_pack("{s:s, s:s, s:{s:s, s:s}}", "event", "ended", "end_reason", "join-failed", "error",
                                   "code", "conflict", "message", "another recorder is writing"));
    steno_ipc_flush(fake->client, 1000);
    _exit(5);
}

static void figures(Fake *fake, guint64 growth, int announced)
{
    fake->growth = growth;
    fake->announced = announced;
    g_timeout_add(50, on_tick, fake);
}

static void events(Fake *fake, const char *word, gboolean in_file, gboolean over_socket)
{
    for (int n = atoi(strchr(word, ':') + 1); n > 0; n--)
        tell(fake, json_pack("{s:s, s:i}", "event", "talking", "n", n), in_file, over_socket);
}

static void tell_again(Fake *fake)
{
    for (guint i = 0; i < fake->ring->len; i++)
        (void)steno_ipc_send(fake->client, json_incref(fake->ring->pdata[i]));
}

static void show(const Fake *fake)
{
    g_autofree char *path = g_strconcat(fake->capture, ".job", NULL);
    g_autofree char *begun = g_strconcat(path, ".tmp", NULL);
    if (json_dump_file(fake->job, begun, JSON_COMPACT) != 0 || g_rename(begun, path) != 0)
        abort();
}

static void obey(Fake *fake, const char *word)
{
    if (strcmp(word, "deaf") == 0)
        fake->deaf = TRUE;
    else if (strcmp(word, "hello") == 0)
        hello(fake);
    else if (strcmp(word, "rec") == 0)
        begin_part(fake);
    else if (g_str_has_prefix(word, "ev:"))
        events(fake, word, TRUE, TRUE);
    else if (g_str_has_prefix(word, "lose:"))
        events(fake, word, TRUE, FALSE);
    else if (g_str_has_prefix(word, "rot:"))
        rotate(fake, atoi(word + 4));
    else if (g_str_has_prefix(word, "early:"))
        events(fake, word, FALSE, TRUE);
    else if (strcmp(word, "again") == 0)
        tell_again(fake);
    else if (strcmp(word, "torn") == 0 && write(fake->events_fd, "{\"event\":\"tal", 13) != 13)
        abort();
    else if (strcmp(word, "grow") == 0)
        figures(fake, 10, 1);
    else if (strcmp(word, "frozen") == 0)
        figures(fake, 0, 1);
    else if (strcmp(word, "idle") == 0)
        figures(fake, 0, 0);
    else if (strcmp(word, "die") == 0)
        (void)raise(SIGKILL);
    else if (strcmp(word, "deafstop") == 0)
        fake->deaf_to_stop = TRUE;
    else if (strcmp(word, "refuse") == 0)
        refuse(fake);
    else if (strcmp(word, "show") == 0)
        show(fake);
    else if (g_str_has_prefix(word, "end:")) {
        g_auto(GStrv) parts = g_strsplit(word, ":", 3);
        end(fake, parts[1], parts[2]);
    }
}

static void lock(Fake *fake)
{
    g_autofree char *path = g_build_filename(fake->capture, "recorder.lock", NULL);
    if (g_mkdir_with_parents(fake->capture, 0700) != 0)
        abort();
    fake->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (flock(fake->lock_fd, LOCK_EX | LOCK_NB) != 0)
        refuse(fake);
    if (ftruncate(fake->lock_fd, 0) != 0 || dprintf(fake->lock_fd, "%d\n", (int)getpid()) < 0)
        abort();
}

static gboolean on_next_word(gpointer user)
{
    Fake *fake = user;
    const char *word = *fake->words;
    if (!word || strcmp(word, "wait") == 0)
        return G_SOURCE_REMOVE;
    fake->words++;
    obey(fake, word);
    return G_SOURCE_CONTINUE;
}

static void start(Fake *fake, const json_t *message)
{
    const json_t *job = json_object_get(message, "job");
    const char *script = json_string_value(json_object_get(job, "channel"));
    fake->job = json_incref((json_t *)job);
    fake->id = g_strdup(json_string_value(json_object_get(job, "id")));
    fake->capture = g_strdup(json_string_value(json_object_get(message, "capture")));
    fake->part = (guint)json_integer_value(json_object_get(message, "part"));
    fake->zero = json_integer_value(json_object_get(message, "zero_wall_us"));
    fake->paused = json_is_true(json_object_get(job, "paused"));
    fake->outlives = !json_is_true(json_object_get(message, "finish_when_alone"));
    if (fake->zero == 0)
        fake->zero = 1795377340000000;
    g_auto(GStrv) scripts = g_strsplit(script, "|", -1);
    fake->words = g_strsplit(scripts[MIN(fake->part, g_strv_length(scripts)) - 1], ",", -1);
    lock(fake);
    g_idle_add(on_next_word, fake);
}

static void attach(Fake *fake, const json_t *message)
{
    json_int_t part = json_integer_value(json_object_get(message, "part"));
    json_int_t seq = json_integer_value(json_object_get(message, "seq"));
    if (fake->deaf)
        return;
    hello(fake);
    for (guint i = 0; i < fake->ring->len; i++) {
        json_t *event = fake->ring->pdata[i];
        json_int_t its_part = json_integer_value(json_object_get(event, "part"));
        if (its_part > part || (its_part == part && json_integer_value(json_object_get(event, "seq")) > seq))
            (void)steno_ipc_send(fake->client, json_incref(event));
    }
}

static void on_message(gpointer user, json_t *message)
{
    Fake *fake = user;
    const char *command = json_string_value(json_object_get(message, "command"));
    if (strcmp(command, "start") == 0)
        start(fake, message);
    else if (strcmp(command, "attach") == 0)
        attach(fake, message);
    else if (strcmp(command, "stop") == 0 && !fake->deaf_to_stop)
        end(fake, json_string_value(json_object_get(message, "end_reason")), NULL);
    else if (strcmp(command, "pause") == 0 || strcmp(command, "resume") == 0) {
        fake->paused = command[0] == 'p';
        tell_state(fake, fake->paused ? "paused" : "recording");
    } else if (strcmp(command, "update") == 0) {
        json_t *job = json_incref(json_object_get(message, "job"));
        tell(fake, json_pack("{s:s, s:o}", "event", "updated", "job", job), TRUE, TRUE);
    }
}

static void on_closed(gpointer user, const GError *error)
{
    Fake *fake = user;
    (void)error;
    if (!fake->outlives)
        _exit(0);
    steno_ipc_free(g_steal_pointer(&fake->client));
    listen_again(fake);
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer user)
{
    static const StenoIpcEvents ipc_events = {.message = on_message, .closed = on_closed};
    Fake *fake = user;
    (void)condition;
    fake->client = steno_ipc_new(accept4(fd, NULL, NULL, SOCK_CLOEXEC), NULL, &ipc_events, fake);
    return G_SOURCE_REMOVE;
}

static void listen_again(Fake *fake)
{
    g_unix_fd_add(fake->listening_fd, G_IO_IN, on_connection, fake);
}

/* ---- a source of keys -------------------------------------------------------------------------------------------- */

static void put_keys(gsize bytes)
{
    g_autofree char *filling = g_strnfill(bytes, 'k');
    printf("{\"keys\":[],\"filling\":\"%s\"}", filling);
    fflush(stdout);
}

static int give_keys(void)
{
    json_t *request = json_loadf(stdin, 0, NULL), *job = json_object_get(request, "job");
    const char *how = json_string_value(json_object_get(job, "key_url"));
    const char *path = json_string_value(json_object_get(job, "key_path"));
    if (!how || (path && json_dump_file(request, path, JSON_COMPACT) != 0))
        return 2;
    if (strcmp(how, "give") == 0)
        put_keys(10);
    else if (strcmp(how, "big") == 0)
        put_keys(1024 * 1024 - 100);
    else if (strcmp(how, "hang") == 0)
        pause();
    else if (strcmp(how, "half") == 0) {
        printf("{\"keys\":[");
        fflush(stdout);
        (void)raise(SIGKILL);
    } else if (strcmp(how, "die") == 0)
        (void)raise(SIGKILL);
    else if (strcmp(how, "refuse") == 0)
        return 64;
    else
        return 25;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--keys") == 0) {
        alarm(120);
        _exit(give_keys());
    }
    Fake fake = {.ring = g_ptr_array_new(), .state = g_strdup("joining")};
    if (argc != 3 || strcmp(argv[1], "--socket-fd") != 0)
        return 2;
    fake.listening_fd = atoi(argv[2]);
    alarm(120); /* nobody is left behind by a test that failed */
    listen_again(&fake);
    g_main_loop_run(g_main_loop_new(NULL, FALSE));
    return 0;
}
