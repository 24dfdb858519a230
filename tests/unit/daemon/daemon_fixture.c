#include "daemon_fixture.h"

#include "daemon_config.h"

#include "steno/audit.h"
#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/storage.h"

#include <glib/gstdio.h>
#include <string.h>

Fixture fixture;

/* ---- puppets ----------------------------------------------------------------------------------------------------- */

StenoJob *__wrap_steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                                 const StenoJobEvents *events, gpointer user, GError **error);
StenoJob *__wrap_steno_job_resume(const StenoJobSpec *spec, gboolean record, const StenoJobPlace *place,
                                  const StenoLog *log, const StenoJobEvents *events, gpointer user, GError **error);
void __wrap_steno_job_stop(StenoJob *job, const char *end_reason);
void __wrap_steno_job_pause(StenoJob *job, gboolean paused);
void __wrap_steno_job_update(StenoJob *job);
void __wrap_steno_job_assemble_now(StenoJob *job);
void __wrap_steno_job_store_now(StenoJob *job, guint store);
void __wrap_steno_job_store_leave(StenoJob *job, guint store);
gboolean __wrap_steno_job_store_retry(StenoJob *job, const char *store);
void __wrap_steno_job_free(StenoJob *job);
gboolean __wrap_steno_journal_begin(StenoJournal *journal, GError **error);
gboolean __real_steno_journal_begin(StenoJournal *journal, GError **error);
gboolean __wrap_steno_audit_append(StenoAudit *audit, const StenoAuditEntry *entry, GError **error);
gboolean __real_steno_audit_append(StenoAudit *audit, const StenoAuditEntry *entry, GError **error);

static StenoJob *job_new(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoJobEvents *events,
                         gpointer user, GError **error)
{
    if (fixture.start_fails) {
        fixture.start_fails = FALSE;
        g_set_error_literal(error, STENO_ERROR, STENO_ERROR_INTERNAL, "cannot start the recorder: told to fail");
        return NULL;
    }
    StenoJob *job = g_new0(StenoJob, 1);
    job->spec = spec;
    job->stores = g_ptr_array_new_with_free_func((GDestroyNotify)steno_store_unref);
    for (guint i = 0; i < place->n_stores; i++)
        g_ptr_array_add(job->stores, steno_store_ref(place->stores[i]));
    job->first = place->first;
    job->timestamps = place->timestamps != NULL;
    job->fingerprint = g_strdup(place->signer ? steno_signer_fingerprint(place->signer) : NULL);
    job->started_wall_us = place->started_wall_us;
    job->events = events;
    job->user = user;
    job->event_part = place->event_part;
    job->event_seq = place->event_seq;
    assert_true(place->outlive);
    g_ptr_array_add(fixture.jobs, job);
    return job;
}

StenoJob *__wrap_steno_job_start(const StenoJobSpec *spec, const StenoJobPlace *place, const StenoLog *log,
                                 const StenoJobEvents *events, gpointer user, GError **error)
{
    (void)log;
    return job_new(spec, place, events, user, error);
}

StenoJob *__wrap_steno_job_resume(const StenoJobSpec *spec, gboolean record, const StenoJobPlace *place,
                                  const StenoLog *log, const StenoJobEvents *events, gpointer user, GError **error)
{
    (void)log;
    StenoJob *job = job_new(spec, place, events, user, error);
    if (job) {
        job->resumed = TRUE;
        job->record = record;
    }
    return job;
}

void __wrap_steno_job_stop(StenoJob *job, const char *end_reason)
{
    g_free(job->stopped);
    job->stopped = g_strdup(end_reason);
}

void __wrap_steno_job_pause(StenoJob *job, gboolean paused)
{
    job->paused = paused;
}

void __wrap_steno_job_update(StenoJob *job)
{
    job->updates++;
}

void __wrap_steno_job_assemble_now(StenoJob *job)
{
    job->assembling = TRUE;
    job->events->state(job->user, "assembling");
}

void __wrap_steno_job_store_now(StenoJob *job, guint store)
{
    job->stored_now[store]++;
}

void __wrap_steno_job_store_leave(StenoJob *job, guint store)
{
    job->left[store]++;
    job->events->store_over(job->user, store);
    job->events->store_wanted(job->user, store);
}

gboolean __wrap_steno_job_store_retry(StenoJob *job, const char *store)
{
    for (guint i = 0; i < job->stores->len; i++) {
        if (strcmp(steno_store_name(job->stores->pdata[i]), store) == 0) {
            job->retries++;
            return TRUE;
        }
    }
    return FALSE;
}

void __wrap_steno_job_free(StenoJob *job)
{
    if (!job)
        return;
    assert_true(g_ptr_array_remove(fixture.jobs, job));
    g_ptr_array_unref(job->stores);
    g_free(job->fingerprint);
    g_free(job->stopped);
    g_free(job);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

gboolean __wrap_steno_journal_begin(StenoJournal *journal, GError **error)
{
    fixture.journal_writes++;
    if (!fixture.journal_fails)
        return __real_steno_journal_begin(journal, error);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_JOURNAL, "the journal cannot be written: told to fail");
    return FALSE;
}

gboolean __wrap_steno_audit_append(StenoAudit *audit, const StenoAuditEntry *entry, GError **error)
{
    if (!fixture.audit_fails)
        return __real_steno_audit_append(audit, entry, error);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_FULL, "the audit log cannot be written: told to fail");
    return FALSE;
}

/* ---- stores ------------------------------------------------------------------------------------------------------ */

int __wrap_steno_store_open_object(StenoStore *store, const char *key, GError **error);
int __real_steno_store_open_object(StenoStore *store, const char *key, GError **error);
char *__wrap_steno_store_presign(StenoStore *store, const char *key, const char *name, const char *media_type,
                                 GCancellable *cancellable, GError **error);
gboolean __wrap_steno_store_list(StenoStore *store, const char *prefix,
                                 gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                                 GCancellable *cancellable, GError **error);
gboolean __real_steno_store_list(StenoStore *store, const char *prefix,
                                 gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                                 GCancellable *cancellable, GError **error);
gboolean __wrap_steno_store_abort_orphans(StenoStore *store, const char *prefix,
                                          gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us),
                                          gpointer user, guint *aborted, GCancellable *cancellable, GError **error);

int __wrap_steno_store_open_object(StenoStore *store, const char *key, GError **error)
{
    return fixture.remote ? -1 : __real_steno_store_open_object(store, key, error);
}

char *__wrap_steno_store_presign(StenoStore *store, const char *key, const char *name, const char *media_type,
                                 GCancellable *cancellable, GError **error)
{
    (void)cancellable;
    (void)error;
    if (!fixture.presigns)
        return NULL;
    return g_strdup_printf("https://%s.example/%s?name=%s&type=%s&X-Amz-Signature=feed", steno_store_name(store), key,
                           name, media_type);
}

gboolean __wrap_steno_store_list(StenoStore *store, const char *prefix,
                                 gboolean (*found)(gpointer user, const char *key, gint64 bytes), gpointer user,
                                 GCancellable *cancellable, GError **error)
{
    g_atomic_int_inc(&fixture.lists);
    if (g_atomic_int_add(&fixture.lists_fail, -1) <= 0)
        return __real_steno_store_list(store, prefix, found, user, cancellable, error);
    g_set_error_literal(error, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE, "cannot list: told to fail");
    return FALSE;
}

gboolean __wrap_steno_store_abort_orphans(StenoStore *store, const char *prefix,
                                          gboolean (*orphan)(gpointer user, const char *key, gint64 begun_us),
                                          gpointer user, guint *aborted, GCancellable *cancellable, GError **error)
{
    (void)cancellable;
    (void)error;
    *aborted = 0;
    for (const char *const *key = fixture.unfinished; key && *key; key++) {
        if (strcmp(steno_store_name(store), "primary") != 0 || !g_str_has_prefix(*key, prefix) ||
            !orphan(user, *key, steno_clock_wall_us() - 25 * 3600 * (gint64)G_USEC_PER_SEC))
            continue;
        g_ptr_array_add(fixture.aborted, g_strdup(*key));
        (*aborted)++;
    }
    return TRUE;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_finished(gpointer user)
{
    (void)user;
    fixture.finished = TRUE;
}

static const StenoDaemonEvents daemon_events = {.finished = on_finished};

static void on_event(gpointer user, gint64 seq, const char *app, const char *type, const char *line)
{
    (void)user;
    (void)app;
    assert_true(seq > 0);
    json_t *json = json_loads(line, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "type")), type);
    assert_int_equal(json_integer_value(json_object_get(json, "seq")), seq);
    json_decref(json);
    g_ptr_array_add(fixture.told, g_strdup(type));
}

static void on_keys(gpointer user, GPtrArray *keys)
{
    (void)user;
    g_ptr_array_set_size(fixture.keys, 0);
    for (guint i = 0; i < keys->len; i++)
        g_ptr_array_add(fixture.keys, g_strdup(((const StenoJournalKey *)keys->pdata[i])->id));
}

static const StenoDaemonWatch watch = {.event = on_event, .keys = on_keys};

static void start(void)
{
    g_autoptr(GError) error = NULL;
    fixture.daemon = steno_daemon_start(fixture.config, NULL, &daemon_events, NULL, &error);
    if (!fixture.daemon)
        fail_msg("%s", error->message);
    steno_daemon_watch(fixture.daemon, &watch, NULL);
}

int fixture_set_up(void **state)
{
    (void)state;
    fixture = (Fixture){
        .folder = g_dir_make_tmp("steno-daemon-XXXXXX", NULL),
        .jobs = g_ptr_array_new(),
        .told = g_ptr_array_new_with_free_func(g_free),
        .keys = g_ptr_array_new_with_free_func(g_free),
        .aborted = g_ptr_array_new_with_free_func(g_free),
    };
    fixture.config = daemon_config_new(fixture.folder);
    start();
    return 0;
}

int fixture_tear_down(void **state)
{
    (void)state;
    fixture.journal_fails = fixture.audit_fails = FALSE;
    steno_daemon_free(fixture.daemon);
    int left = (int)fixture.jobs->len;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", fixture.folder);
    (void)g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    steno_config_unref(fixture.config);
    g_ptr_array_unref(fixture.jobs);
    g_ptr_array_unref(fixture.told);
    g_ptr_array_unref(fixture.keys);
    g_ptr_array_unref(fixture.aborted);
    g_free(fixture.folder);
    return left;
}

void fixture_restart(void)
{
    steno_daemon_free(fixture.daemon);
    start();
}

static gboolean on_moment(gpointer over)
{
    *(gboolean *)over = TRUE;
    return G_SOURCE_REMOVE;
}

void fixture_turn(void)
{
    gboolean over = FALSE;
    /* Behind everything that waits now. */
    g_idle_add_full(G_PRIORITY_LOW, on_moment, &over, NULL);
    while (!over)
        g_main_context_iteration(NULL, TRUE);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static json_t *parse(const char *quoted)
{
    g_autofree char *text = g_strdelimit(g_strdup(quoted), "'", '"');
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!json)
        fail_msg("no JSON: %s", quoted);
    return json;
}

static void on_replied(gpointer user, StenoDaemonReply *reply)
{
    *(StenoDaemonReply **)user = reply;
}

/* Takes the actor. */
static StenoDaemonReply *ask_of(StenoCommand command, StenoActor actor, const char *arguments)
{
    StenoDaemonReply *reply = NULL;
    StenoDaemonRequest *request = steno_daemon_request_new(command);
    json_decref(request->arguments);
    request->arguments = parse(arguments);
    request->actor = actor;
    steno_daemon_ask(fixture.daemon, request, on_replied, &reply);
    while (!reply)
        g_main_context_iteration(NULL, TRUE);
    return reply;
}

StenoDaemonReply *ask_as(StenoCommand command, const char *actor_app, StenoRole role, const char *arguments)
{
    const StenoActor actor = {g_strdup("key_TEST"), g_strdup(actor_app), role, g_strdup("192.0.2.7")};
    return ask_of(command, actor, arguments);
}

StenoDaemonReply *ask_here(StenoCommand command, const char *arguments)
{
    const StenoActor actor = {g_strdup("uid:0"), NULL, STENO_ROLE_ADMIN, g_strdup("unix")};
    return ask_of(command, actor, arguments);
}

StenoDaemonReply *ask(StenoCommand command, const char *arguments)
{
    return ask_as(command, NULL, STENO_ROLE_ADMIN, arguments);
}

char *begin(const char *app, const char *channel)
{
    g_autofree char *body =
        g_strdup_printf("{'body': {'app': '%s', 'platform': 'janus-1', 'channel': '%s'}}", app, channel);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_START, body);
    if (reply->error)
        fail_msg("%s", reply->error->message);
    return g_strdup(json_string_value(json_object_get(reply->body, "id")));
}

json_t *show(const char *id)
{
    g_autofree char *arguments = g_strdup_printf("{'id': '%s'}", id);
    g_autoptr(StenoDaemonReply) reply = ask(STENO_COMMAND_RECORDING_GET, arguments);
    if (reply->error)
        fail_msg("%s", reply->error->message);
    return json_incref(reply->body);
}

void assert_state(const char *id, const char *state)
{
    json_t *json = show(id);
    assert_string_equal(json_string_value(json_object_get(json, "state")), state);
    json_decref(json);
}

void assert_refused(StenoDaemonReply *reply, StenoError code, const char *message)
{
    if (!reply->error)
        fail_msg("it was not refused: %s", message);
    if (!strstr(reply->error->message, message) || reply->error->code != (gint)code)
        fail_msg("%s: %s, but expected %s: %s", steno_error_slug((StenoError)reply->error->code), reply->error->message,
                 steno_error_slug(code), message);
    steno_daemon_reply_free(reply);
}

StenoJob *job_of(const char *id)
{
    for (guint i = 0; i < fixture.jobs->len; i++) {
        StenoJob *job = fixture.jobs->pdata[i];
        if (strcmp(job->spec->id, id) == 0)
            return job;
    }
    return NULL;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

void tell(StenoJob *job, guint part, guint seq, const char *members)
{
    g_autofree char *text = g_strdup_printf("{'part': %u, 'seq': %u, 't': %" G_GINT64_FORMAT ", %s}", part, seq,
                                            steno_clock_wall_us(), members);
    json_t *event = parse(text);
    job->events->event(job->user, event);
    const char *state = json_string_value(json_object_get(event, "state"));
    if (state)
        job->events->state(job->user, state);
    json_decref(event);
}

void tell_recording(StenoJob *job)
{
    g_autofree char *event = g_strdup_printf(
        "'event': 'state', 'state': 'recording', 'zero_wall_us': %" G_GINT64_FORMAT, steno_clock_wall_us());
    tell(job, 1, 1, event);
}

void tell_storage(StenoJob *job, guint section, guint store, const char *state, const char *error_code,
                  const char *more)
{
    g_autofree char *error = error_code
                                 ? g_strdup_printf("{'code': '%s', 'message': 'it says %s'}", error_code, error_code)
                                 : g_strdup("null");
    g_autofree char *text = g_strdup_printf(
        "{'event': 'storage', 'section': %u, 'storage': '%s', 'state': '%s', 'since_us': %" G_GINT64_FORMAT
        ", 'error': %s%s}",
        section, steno_store_name(job->stores->pdata[store]), state, error_code ? steno_clock_wall_us() : 0, error,
        more);
    json_t *event = parse(text);
    job->events->event(job->user, event);
    json_decref(event);
}

static void put_text(StenoStore *store, const char *folder, const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *source = g_build_filename(fixture.folder, "contents", NULL);
    g_autofree char *key = g_strdup_printf("%s/%s", folder, name);
    assert_true(g_file_set_contents(source, text, -1, NULL));
    const StenoPut put = {.source = source, .key = key, .bytes = (gint64)strlen(text), .replace = TRUE};
    if (!steno_store_put(store, &put, &error))
        fail_msg("%s", error->message);
}

char *put_recording(StenoStore *store, const char *app, const char *channel, const char *id, gint64 zero_us,
                    json_t **manifest)
{
    const StenoStorePlace place = {app, channel, zero_us, id};
    g_autofree char *folder = steno_store_folder(store, &place);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "alice", -1);
    g_autofree char *text = g_strdup_printf(
        "{'recording': {'id': '%s', 'app': '%s', 'zero_us': %" G_GINT64_FORMAT ", 'ended_us': %" G_GINT64_FORMAT
        ", 'duration_us': 2000000, 'parts': [{}], 'platform': 'janus', 'channel': '%s', 'end_reason': 'stopped', "
        "'platform_name': 'janus-1'}, 'participants': [{}], 'tracks': [{}, {}], 'outputs': [{'file': 'alice.webm', "
        "'participant': '7', 'size_bytes': 5, 'sha256': '%s'}, {'file': 'bob.mka', 'participant': '8', "
        "'size_bytes': 3, 'sha256': '%s'}]}",
        id, app, zero_us, zero_us + 2000000, channel, digest, digest);
    put_text(store, folder, "alice.webm", "alice");
    put_text(store, folder, "bob.mka", "bobby");
    put_text(store, folder, "manifest.json", g_strdelimit(text, "'", '"'));
    *manifest = json_loads(text, 0, NULL);
    return steno_store_uri(store, folder);
}

void tell_stored(StenoJob *job, const char *end_reason)
{
    gint64 zero_us = steno_clock_wall_us();
    g_autofree char *first = NULL;
    json_t *manifest = NULL;
    job->events->state(job->user, "storing");
    for (guint i = 0; i < job->stores->len; i++) {
        json_decref(manifest);
        g_autofree char *uri =
            put_recording(job->stores->pdata[i], job->spec->app, job->spec->channel, job->spec->id, zero_us, &manifest);
        g_autofree char *more = g_strdup_printf(", 'uri': '%s', 'bytes': 10, 'bytes_total': 10", uri);
        tell_storage(job, 0, i, "stored", NULL, more);
        first = first ? first : g_steal_pointer(&uri);
    }
    const StenoJobResult result = {.manifest = manifest, .uri = first, .end_reason = end_reason};
    job->events->state(job->user, "completed");
    job->events->done(job->user, &result);
    json_decref(manifest);
}

void tell_failed(StenoJob *job, const char *end_reason, StenoError code)
{
    g_autoptr(GError) error = g_error_new_literal(STENO_ERROR, code, "it went wrong");
    g_autofree char *capture = g_build_filename(fixture.folder, "spool", job->spec->id, NULL);
    job->events->state(job->user, "failed");
    const StenoJobResult result = {.capture = capture, .end_reason = end_reason, .error = error};
    job->events->done(job->user, &result);
}

guint count_told(const char *type)
{
    guint n = 0;
    for (guint i = 0; i < fixture.told->len; i++)
        n += strcmp(fixture.told->pdata[i], type) == 0;
    return n;
}

char *audit_of(const char *action)
{
    g_autofree char *path = g_build_filename(fixture.folder, "state", "audit.jsonl", NULL);
    g_autofree char *text = NULL;
    GString *found = g_string_new(NULL);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; **line; line++) {
        json_t *entry = json_loads(*line, 0, NULL);
        const char *target = json_string_value(json_object_get(entry, "target"));
        if (strcmp(json_string_value(json_object_get(entry, "action")), action) == 0)
            g_string_append_printf(found, "%s %s %s\n", json_string_value(json_object_get(entry, "actor")),
                                   json_string_value(json_object_get(entry, "result")), target ? target : "-");
        json_decref(entry);
    }
    return g_string_free(found, FALSE);
}
