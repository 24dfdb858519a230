/*
 * What it does is chosen by the request. A recording's id: "slow" is answered after 300 ms, "never" when the daemon is
 * freed. POST …/pause tells an event; POST …/resume a thousand, of 1 KiB each; who
 * follows the recording "race" or "twice" gets an event while the answer is on its way. A start's body is echoed.
 *
 * ?via=stream: a file comes through a pipe; of the recording "trickle" in pieces with pauses, of "cut" only half of it,
 * of "refused" not at all.
 */
#include "fake_daemon.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct StenoDaemon {
    char *folder;
    GPtrArray *keys, *events, *waiting; /* of StenoJournalKey *, json_t *, Ask * */
    const StenoDaemonWatch *watch;
    gpointer watcher;
    guint logins_refused;
    gboolean disturbed;
    /* Of all streams; atomic, but for the bytes, which the lock guards. */
    gint streams_begun, streams_open;
    GMutex lock;
    gint64 streamed_bytes;
};

struct StenoDaemonStream {
    StenoDaemon *daemon;
    char *path, *recording;
    gint64 offset, left;
    int fd; /* the pipe's write end */
};

typedef struct {
    StenoDaemon *daemon;
    StenoDaemonRequest *request;
    StenoDaemonReplied replied;
    gpointer user;
    StenoDaemonReply *reply;
} Ask;

static const StenoCommandRow rows[] = {
#define STENO_COMMAND(name, action, role, audited, method, path, words)                                                \
    {action, STENO_ROLE_##role, audited, method, path, words},
#include "steno/commands.def"
#undef STENO_COMMAND
};

gboolean steno_role_from_name(const char *name, StenoRole *role)
{
    static const char *const names[] = {"nobody", "viewer", "operator", "admin"};
    for (guint i = 1; i < G_N_ELEMENTS(names); i++) {
        if (g_strcmp0(name, names[i]) == 0) {
            *role = (StenoRole)i;
            return TRUE;
        }
    }
    return FALSE;
}

StenoDaemonRequest *steno_daemon_request_new(StenoCommand command)
{
    StenoDaemonRequest *request = g_new0(StenoDaemonRequest, 1);
    request->command = command;
    request->arguments = json_object();
    return request;
}

void steno_daemon_request_free(StenoDaemonRequest *request)
{
    g_free(request->actor.id);
    g_free(request->actor.app);
    g_free(request->actor.address);
    json_decref(request->arguments);
    g_free(request);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static void stream_free(StenoDaemonStream *stream)
{
    g_free(stream->path);
    g_free(stream->recording);
    g_free(stream);
}

static gboolean write_piece(const StenoDaemonStream *stream, const char *data, gsize bytes)
{
    while (bytes > 0) {
        gssize n = write(stream->fd, data, bytes);
        if (n <= 0)
            return FALSE;
        data += n;
        bytes -= (gsize)n;
        g_mutex_lock(&stream->daemon->lock);
        stream->daemon->streamed_bytes += n;
        g_mutex_unlock(&stream->daemon->lock);
    }
    return TRUE;
}

static gpointer run_stream(gpointer user)
{
    StenoDaemonStream *stream = user;
    gboolean trickle = strcmp(stream->recording, "trickle") == 0;
    int file = open(stream->path, O_RDONLY | O_CLOEXEC);
    if (strcmp(stream->recording, "cut") == 0)
        stream->left /= 2;
    char data[16 * 1024];
    while (file >= 0 && stream->left > 0) {
        gsize most = trickle ? sizeof data / 3 : sizeof data;
        gssize n = pread(file, data, (gsize)MIN(stream->left, (gint64)most), (off_t)stream->offset);
        if (n <= 0 || !write_piece(stream, data, (gsize)n))
            break;
        stream->offset += n;
        stream->left -= n;
        if (trickle)
            g_usleep(2000); /* a slow network */
    }
    if (file >= 0)
        close(file);
    close(stream->fd);
    g_atomic_int_dec_and_test(&stream->daemon->streams_open);
    stream_free(stream);
    return NULL;
}

int steno_daemon_stream_begin(StenoDaemonStream **stream, gint64 offset, gint64 bytes, GError **error)
{
    int ends[2];
    if (strcmp((*stream)->recording, "refused") == 0 || pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "no pipe");
        return -1;
    }
    StenoDaemonStream *begun = g_steal_pointer(stream);
    begun->offset = offset;
    begun->left = bytes;
    begun->fd = ends[1];
    g_atomic_int_inc(&begun->daemon->streams_begun);
    g_atomic_int_inc(&begun->daemon->streams_open);
    g_thread_unref(g_thread_new("stream", run_stream, begun));
    return ends[0];
}

void steno_daemon_reply_free(StenoDaemonReply *reply)
{
    g_clear_error(&reply->error);
    json_decref(reply->problem);
    json_decref(reply->body);
    g_free(reply->text);
    g_free(reply->location);
    g_free(reply->redirect_url);
    if (reply->fd >= 0)
        close(reply->fd);
    g_clear_pointer(&reply->stream, stream_free);
    g_free(reply->file_name);
    g_free(reply->file_media_type);
    g_free(reply->file_sha256_hex);
    g_free(reply);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void key_free(gpointer data)
{
    StenoJournalKey *key = data;
    g_free(key->id);
    g_free(key->app);
    g_free(key->role);
    g_free(key->label);
    g_free(key);
}

static void add_key(StenoDaemon *daemon, const char *id, const char *app, const char *role, const char *secret)
{
    StenoJournalKey *key = g_new0(StenoJournalKey, 1);
    key->id = g_strdup(id);
    key->app = g_strdup(app);
    key->role = g_strdup(role);
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, secret, -1);
    memcpy(key->sha256_hex, hex, 65);
    g_ptr_array_add(daemon->keys, key);
}

static void revoke_key(StenoDaemon *daemon, const char *id)
{
    for (guint i = 0; i < daemon->keys->len; i++) {
        StenoJournalKey *key = g_ptr_array_index(daemon->keys, i);
        if (strcmp(key->id, id) == 0)
            key->revoked_us = 1;
    }
    if (daemon->watch)
        daemon->watch->keys(daemon->watcher, daemon->keys);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void write_event(StenoDaemon *daemon, const char *recording, gsize filling)
{
    g_autofree char *fill = g_strnfill(filling, 'x');
    const char *app = strcmp(recording, "other") == 0 ? "court" : "clinic";
    json_t *event =
        json_pack("{ss,ss,ss,sI,s{ss,ss,ss}}", "type", "recording.paused", "timestamp", "2026-11-22T08:00:00.000Z",
                  "id", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "seq", (json_int_t)daemon->events->len + 1, "data",
                  "recording", recording, "app", app, "fill", fill);
    g_ptr_array_add(daemon->events, event);
}

/* The last one that was written. */
static gboolean tell_last(gpointer user)
{
    StenoDaemon *daemon = user;
    const json_t *event = g_ptr_array_index(daemon->events, daemon->events->len - 1);
    char *line = json_dumps(event, JSON_COMPACT);
    if (daemon->watch)
        daemon->watch->event(daemon->watcher, daemon->events->len,
                             json_string_value(json_object_get(json_object_get(event, "data"), "app")),
                             "recording.paused", line);
    free(line);
    return G_SOURCE_REMOVE;
}

static void tell(StenoDaemon *daemon, const char *recording, gsize filling)
{
    write_event(daemon, recording, filling);
    tell_last(daemon);
}

/* What happens while somebody who follows this recording is told what the journal has. */
static void disturb(const Ask *ask, const char *name)
{
    StenoDaemon *daemon = ask->daemon;
    const char *recording = json_string_value(json_object_get(ask->request->arguments, "recording"));
    if (daemon->disturbed || g_strcmp0(recording, name) != 0)
        return;
    daemon->disturbed = TRUE;
    if (strcmp(name, "race") == 0) { /* the journal was looked into, and the answer is not given yet */
        tell(daemon, name, 1);
    } else { /* in the journal now, and told much later */
        write_event(daemon, name, 1);
        g_timeout_add(300, tell_last, daemon);
    }
}

static json_t *page(const Ask *ask)
{
    const json_t *arguments = ask->request->arguments;
    gint64 after = g_ascii_strtoll(json_string_value(json_object_get(arguments, "after")), NULL, 10);
    gint64 count = g_ascii_strtoll(json_string_value(json_object_get(arguments, "count")), NULL, 10);
    const char *recording = json_string_value(json_object_get(arguments, "recording"));
    json_t *list = json_array();
    for (gint64 i = after; i < (gint64)ask->daemon->events->len && (gint64)json_array_size(list) < count; i++) {
        json_t *event = g_ptr_array_index(ask->daemon->events, i);
        json_t *data = json_object_get(event, "data");
        if (recording && strcmp(recording, json_string_value(json_object_get(data, "recording"))) != 0)
            continue;
        if (ask->request->actor.app &&
            strcmp(ask->request->actor.app, json_string_value(json_object_get(data, "app"))) != 0)
            continue;
        json_array_append(list, event);
    }
    return json_pack("{so}", "events", list);
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

static gboolean fail(StenoDaemonReply *reply, StenoError code, const char *message)
{
    reply->error = g_error_new_literal(STENO_ERROR, (int)code, message);
    return TRUE;
}

static void open_file(Ask *ask, const char *name)
{
    StenoDaemonReply *reply = ask->reply;
    g_autofree char *path = g_build_filename(ask->daemon->folder, name, NULL);
    struct stat about;
    reply->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reply->fd < 0 || fstat(reply->fd, &about) != 0) {
        fail(reply, STENO_ERROR_NOT_FOUND, "there is no such file");
        return;
    }
    reply->file_bytes = about.st_size;
    reply->file_modified_us = about.st_mtime * G_USEC_PER_SEC;
    reply->file_name = g_strdup(name);
    reply->file_media_type = g_strdup("video/x-matroska");
    g_autofree char *sum_path = g_strconcat(path, ".sha256", NULL);
    g_file_get_contents(sum_path, &reply->file_sha256_hex, NULL, NULL);
    const json_t *arguments = ask->request->arguments;
    if (g_strcmp0(json_string_value(json_object_get(arguments, "via")), "stream") != 0)
        return;
    close(reply->fd);
    reply->fd = -1;
    reply->stream = g_new0(StenoDaemonStream, 1);
    reply->stream->daemon = ask->daemon;
    reply->stream->path = g_steal_pointer(&path);
    reply->stream->recording = g_strdup(json_string_value(json_object_get(arguments, "id")));
}

static void start(Ask *ask)
{
    json_t *body = json_object_get(ask->request->arguments, "body");
    const char *channel = json_string_value(json_object_get(body, "channel"));
    if (!body)
        fail(ask->reply, STENO_ERROR_USAGE, "the body is missing");
    else if (g_strcmp0(channel, "wrong") == 0)
        fail(ask->reply, STENO_ERROR_USAGE, "/outputs/0/type: is 'mp3', but must be one of: participant, track");
    else if (g_strcmp0(channel, "taken") == 0) {
        fail(ask->reply, STENO_ERROR_ALREADY_RECORDING, "the channel is being recorded by 01X");
        ask->reply->problem = json_pack("{ss}", "recording", "01X");
    } else if (g_strcmp0(channel, "inject") == 0) {
        ask->reply->created = TRUE;
        ask->reply->location = g_strdup("/v1/recordings/1\r\nSet-Cookie: x=1");
        ask->reply->body = json_object();
    } else {
        ask->reply->created = TRUE;
        ask->reply->location = g_strdup("/v1/recordings/01ARZ3NDEKTSV4RRFFQ69G5FAV");
        ask->reply->body = json_pack("{sO,s{ss?,ss?,si,ss}}", "arguments", ask->request->arguments, "actor", "id",
                                     ask->request->actor.id, "app", ask->request->actor.app, "role",
                                     ask->request->actor.role, "address", ask->request->actor.address);
    }
}

static void list(Ask *ask)
{
    gboolean last = json_object_get(ask->request->arguments, "page_token") != NULL;
    ask->reply->body = json_pack("{s[],ss?}", "recordings", "next_page_token", last ? NULL : "a+b/c=");
    json_object_set(ask->reply->body, "arguments", ask->request->arguments);
}

static void fill_reply(Ask *ask)
{
    StenoDaemon *daemon = ask->daemon;
    const char *id = json_string_value(json_object_get(ask->request->arguments, "id"));
    switch (ask->request->command) {
    case STENO_COMMAND_RECORDING_START:
        start(ask);
        break;
    case STENO_COMMAND_RECORDING_LIST:
        list(ask);
        break;
    case STENO_COMMAND_RECORDING_PAUSE:
        tell(daemon, id, 1);
        ask->reply->body = json_pack("{ss}", "id", id);
        break;
    case STENO_COMMAND_RECORDING_RESUME:
        for (int i = 0; i < 1000; i++)
            tell(daemon, id, 1024);
        ask->reply->body = json_pack("{ss}", "id", id);
        break;
    case STENO_COMMAND_RECORDING_STOP:
        ask->reply->accepted = TRUE;
        ask->reply->body = json_pack("{ss}", "id", id);
        break;
    case STENO_COMMAND_FILE_OPEN:
        open_file(ask, json_string_value(json_object_get(ask->request->arguments, "name")));
        break;
    case STENO_COMMAND_MANIFEST:
        if (json_object_get(ask->request->arguments, "via"))
            ask->reply->body = json_pack("{sO}", "arguments", ask->request->arguments);
        else
            ask->reply->redirect_url = g_strdup("https://storage.example/manifest?signature=x");
        break;
    case STENO_COMMAND_EVENTS:
        disturb(ask, "twice");
        ask->reply->body = page(ask);
        disturb(ask, "race");
        break;
    case STENO_COMMAND_KEY_REVOKE:
        revoke_key(daemon, id);
        break;
    case STENO_COMMAND_READY:
        ask->reply->body = json_pack("{sb,s[]}", "ready", FALSE, "checks");
        break;
    case STENO_COMMAND_METRICS:
        g_mutex_lock(&daemon->lock);
        ask->reply->text = g_strdup_printf(
            "fake_logins_refused %u\nfake_streams_begun %d\nfake_streams_open %d\nfake_streamed_bytes %" G_GINT64_FORMAT
            "\n",
            daemon->logins_refused, g_atomic_int_get(&daemon->streams_begun), g_atomic_int_get(&daemon->streams_open),
            daemon->streamed_bytes);
        g_mutex_unlock(&daemon->lock);
        break;
    case STENO_COMMAND_LOGIN_REFUSED:
        daemon->logins_refused++;
        break;
    default:
        ask->reply->body =
            json_pack("{ss,sO}", "action", rows[ask->request->command].action, "arguments", ask->request->arguments);
        break;
    }
}

static void give(Ask *ask)
{
    ask->replied(ask->user, ask->reply);
    steno_daemon_request_free(ask->request);
    g_free(ask);
}

static gboolean on_asked(gpointer data)
{
    Ask *ask = data;
    const char *id = json_string_value(json_object_get(ask->request->arguments, "id"));
    if (g_strcmp0(id, "never") == 0) {
        g_ptr_array_add(ask->daemon->waiting, ask);
        return G_SOURCE_REMOVE;
    }
    if (ask->request->actor.role < rows[ask->request->command].role)
        fail(ask->reply, STENO_ERROR_FORBIDDEN, "the key's role does not allow it");
    else
        fill_reply(ask);
    give(ask);
    return G_SOURCE_REMOVE;
}

void steno_daemon_ask(StenoDaemon *daemon, StenoDaemonRequest *request, StenoDaemonReplied replied, gpointer user)
{
    Ask *ask = g_new0(Ask, 1);
    *ask = (Ask){daemon, request, replied, user, g_new0(StenoDaemonReply, 1)};
    ask->reply->fd = -1;
    const char *id = json_string_value(json_object_get(request->arguments, "id"));
    if (g_strcmp0(id, "slow") == 0)
        g_timeout_add(300, on_asked, ask);
    else
        g_idle_add_full(G_PRIORITY_DEFAULT, on_asked, ask, NULL);
}

void steno_daemon_watch(StenoDaemon *daemon, const StenoDaemonWatch *watch, gpointer user)
{
    daemon->watch = watch;
    daemon->watcher = user;
    if (watch)
        watch->keys(user, daemon->keys);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void event_free(gpointer event)
{
    json_decref(event);
}

StenoDaemon *fake_daemon_new(const char *folder)
{
    StenoDaemon *daemon = g_new0(StenoDaemon, 1);
    daemon->folder = g_strdup(folder);
    g_mutex_init(&daemon->lock);
    daemon->keys = g_ptr_array_new_with_free_func(key_free);
    daemon->events = g_ptr_array_new_with_free_func(event_free);
    daemon->waiting = g_ptr_array_new();
    add_key(daemon, "key_00000000000000000000000001", NULL, "admin", "admin-secret");
    add_key(daemon, "key_00000000000000000000000002", "clinic", "operator", "operator-secret");
    add_key(daemon, "key_00000000000000000000000003", "court", "viewer", "viewer-secret");
    add_key(daemon, "key_00000000000000000000000004", NULL, "admin", "to-be-revoked");
    add_key(daemon, "key_00000000000000000000000005", NULL, "admin", "loud-secret");
    return daemon;
}

/* Those that wait are answered now, as the real one does: after the API has gone. */
void fake_daemon_free(StenoDaemon *daemon)
{
    for (guint i = 0; i < daemon->waiting->len; i++) {
        Ask *ask = g_ptr_array_index(daemon->waiting, i);
        fail(ask->reply, STENO_ERROR_SHUTTING_DOWN, "stenod is being stopped");
        give(ask);
    }
    while (g_atomic_int_get(&daemon->streams_open) > 0) /* their readers are gone */
        g_usleep(1000);
    g_mutex_clear(&daemon->lock);
    g_ptr_array_unref(daemon->waiting);
    g_ptr_array_unref(daemon->keys);
    g_ptr_array_unref(daemon->events);
    g_free(daemon->folder);
    g_free(daemon);
}
