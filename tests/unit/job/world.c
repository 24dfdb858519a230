#include "world.h"

#include "capture_folder.h"
#include "recorded_events.h"
#include "recorder_lock.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PATIENCE_S 20

/* ---- what is told ------------------------------------------------------------------------------------------------ */

static void on_state(gpointer user, const char *state)
{
    World *world = user;
    g_ptr_array_add(world->told, g_strconcat("state:", state, NULL));
}

/* Once each: bytes may be told often. */
static void take_storage(World *world, const json_t *event)
{
    const char *code = json_string_value(json_object_get(json_object_get(event, "error"), "code"));
    const char *state = json_string_value(json_object_get(event, "state"));
    gboolean troubled = strcmp(state, "blocked") == 0 || strcmp(state, "retrying") == 0;
    gint64 bytes = json_integer_value(json_object_get(event, "bytes"));
    g_autofree char *told =
        g_strdup_printf("storage %d %s %s%s%s", (int)json_integer_value(json_object_get(event, "section")),
                        json_string_value(json_object_get(event, "storage")), state, code ? ":" : "", code ? code : "");
    assert_int_equal(code != NULL, troubled);
    assert_int_equal(json_integer_value(json_object_get(event, "since_us")) > 0, troubled);
    assert_int_equal(json_is_string(json_object_get(event, "uri")), strcmp(state, "stored") == 0);
    assert_true(bytes <= json_integer_value(json_object_get(event, "bytes_total")));
    if (world->told->len == 0 || strcmp(world->told->pdata[world->told->len - 1], told) != 0)
        g_ptr_array_add(world->told, g_steal_pointer(&told));
}

static void on_event(gpointer user, json_t *event)
{
    World *world = user;
    const char *name = json_string_value(json_object_get(event, "event"));
    EventPosition position;
    if (event_position_of(event, &position)) {
        const EventPosition before = {world->place.event_part, world->place.event_seq};
        assert_true(event_position_compare(before, position) < 0); /* in order, and none twice */
        world->place.event_part = position.part;
        world->place.event_seq = position.seq;
        g_ptr_array_add(world->told, g_strdup_printf("%s %u.%u", name, position.part, position.seq));
    } else if (strcmp(name, "storage") == 0) {
        take_storage(world, event);
    } else if (strcmp(name, "section_stored") == 0) {
        g_ptr_array_add(world->told, g_strdup_printf("section_stored %d",
                                                     (int)json_integer_value(json_object_get(event, "section"))));
        assert_true(json_array_size(json_object_get(event, "outputs")) > 0);
        assert_true(json_is_object(json_object_get(event, "manifest")));
    } else if (strcmp(name, "stats") != 0) {
        const json_t *error = json_object_get(event, "error");
        const char *code = json_string_value(json_object_get(error, "code"));
        g_ptr_array_add(world->told, code ? g_strdup_printf("%s:%s", name, code) : g_strdup(name));
    } else {
        world->frames = json_integer_value(json_object_get(event, "frames"));
        return;
    }
    json_decref(world->last);
    world->last = json_deep_copy(event);
}

static void on_done(gpointer user, const StenoJobResult *result)
{
    World *world = user;
    assert_false(world->done);
    world->done = TRUE;
    g_ptr_array_add(world->told, g_strdup("done"));
    world->folder = result->uri ? g_filename_from_uri(result->uri, NULL, NULL) : NULL;
    world->manifest = json_incref((json_t *)result->manifest);
    assert_int_equal(world->manifest != NULL, result->uri != NULL);
    world->kept = g_strdup(result->capture);
    world->end_reason = g_strdup(result->end_reason);
    world->error = result->error ? g_error_copy(result->error) : NULL;
}

static gboolean matches(const char *told, const char *what)
{
    return strcmp(told, what) == 0 || (g_str_has_prefix(told, what) && strchr(" :", told[strlen(what)]));
}

guint world_count(const World *world, const char *what)
{
    guint count = 0;
    for (guint i = 0; i < world->told->len; i++)
        count += matches(world->told->pdata[i], what);
    return count;
}

static void print_told(const World *world)
{
    for (guint i = 0; i < world->told->len; i++)
        print_message("  told: %s\n", (const char *)world->told->pdata[i]);
}

void world_assert_order(const World *world, const char *const *words)
{
    guint at = 0;
    for (; *words; words++) {
        while (at < world->told->len && !matches(world->told->pdata[at], *words))
            at++;
        if (at == world->told->len) {
            print_told(world);
            fail_msg("not told, or not in this order: %s", *words);
        }
        at++;
    }
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static gboolean on_patience(gpointer user)
{
    *(gboolean *)user = TRUE;
    return G_SOURCE_CONTINUE;
}

/* What happens outside of the main loop wakes it not. */
static gboolean on_look(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

void world_until(World *world, gboolean (*is)(World *world))
{
    gboolean too_late = FALSE;
    guint timer = g_timeout_add_seconds(PATIENCE_S, on_patience, &too_late);
    guint look = g_timeout_add(10, on_look, NULL);
    while (!is(world) && !too_late)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    g_source_remove(look);
    if (too_late) {
        print_told(world);
        fail_msg("it did not happen within %d s", PATIENCE_S);
    }
}

void world_await(World *world, const char *what, guint times)
{
    gboolean too_late = FALSE;
    guint timer = g_timeout_add_seconds(PATIENCE_S, on_patience, &too_late);
    while (world_count(world, what) < times && !too_late)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    if (too_late) {
        print_told(world);
        fail_msg("not told within %d s: %s", PATIENCE_S, what);
    }
}

static gboolean is_done(World *world)
{
    return world->done;
}

void world_await_done(World *world)
{
    world_until(world, is_done);
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

void world_start(World *world, const char *script)
{
    g_autoptr(GError) error = NULL;
    g_free(world->spec->channel);
    world->spec->channel = g_strdup(script);
    world->job = steno_job_start(world->spec, &world->place, NULL, &world->events, world, &error);
    if (!world->job)
        fail_msg("%s", error->message);
}

void world_resume(World *world, gboolean record)
{
    g_autoptr(GError) error = NULL;
    assert_null(world->job);
    world->job = steno_job_resume(world->spec, record, &world->place, NULL, &world->events, world, &error);
    if (!world->job)
        fail_msg("%s", error->message);
}

void world_leave(World *world)
{
    steno_job_free(g_steal_pointer(&world->job));
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

void world_forget_done(World *world)
{
    world->done = FALSE;
    g_clear_pointer(&world->folder, g_free);
    g_clear_pointer(&world->kept, g_free);
    g_clear_pointer(&world->end_reason, g_free);
    g_clear_pointer(&world->manifest, json_decref);
    g_clear_error(&world->error);
}

int world_recorder(const World *world)
{
    return recorder_lock_held(world->capture) ? (int)recorder_lock_pid(world->capture) : 0;
}

void world_signal(const World *world, int signal)
{
    int pid = world_recorder(world);
    assert_true(pid > 0); /* 0 would be this test and all that run beside it */
    assert_int_equal(kill(pid, signal), 0);
}

gboolean world_exists(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

void world_write(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(parent, 0700), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

void world_assembler(const World *world, const char *modes)
{
    world_write(world->spool, "assemble.mode", modes);
}

guint world_assemblies(const World *world)
{
    g_autofree char *path = g_build_filename(world->spool, "assemble.runs", NULL);
    g_autofree char *runs = NULL;
    if (!g_file_get_contents(path, &runs, NULL, NULL))
        return 0;
    g_auto(GStrv) lines = g_strsplit(runs, "\n", -1);
    return g_strv_length(lines) - 1;
}

char *world_folder(const World *world, const char *root)
{
    RecordingPlace place = {0};
    recording_place_set(&place, NULL, "ward", world->spec->id, 1795377340000000); /* as the fake recorder says */
    g_autofree char *folder = recording_place_folder(&place, world->stores[0]);
    recording_place_clear(&place);
    return g_build_filename(root, folder, NULL);
}

void world_make_capture(World *world)
{
    g_autofree char *recording =
        g_strdup_printf("{\"id\":\"%s\",\"channel\":\"ward\",\"zero\":1795377340000000}", world->spec->id);
    world_write(world->capture, "recording.json", recording);
    world_write(world->capture, "part-0001/events.jsonl",
                "{\"event\":\"state\",\"state\":\"recording\",\"part\":1,\"seq\":1}\n"
                "{\"event\":\"ended\",\"end_reason\":\"max-idle\",\"error\":null,\"part\":1,\"seq\":2}\n");
    world_write(world->capture, "part-0001/track-0001.0.mkv", "media");
}

/* Everybody may write: refused, also to root. */
void world_break(const char *root)
{
    assert_int_equal(g_chmod(root, 0777), 0);
}

void world_mend(const char *root)
{
    assert_int_equal(g_chmod(root, 0755), 0);
}

/* ---- fixtures ---------------------------------------------------------------------------------------------------- */

static StenoStore *open_store(const char *name, const char *root)
{
    StenoConfigStorage *settings;
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoConfig) config = steno_config_with_storage(name, "local", &settings);
    settings->root = g_strdup(root);
    g_clear_pointer(&config->top.state_dir, g_free);
    StenoStore *store = steno_store_open(config, settings, &error);
    if (!store)
        fail_msg("%s", error->message);
    return store;
}

int world_set_up(void **state)
{
    World *world = g_new0(World, 1);
    world->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    world->root = g_build_filename(world->base, "root", NULL);
    world->other = g_build_filename(world->base, "other", NULL);
    world->spool = g_build_filename(world->base, "spool", NULL);
    world->runtime = g_build_filename(world->base, "run", NULL);
    assert_int_equal(g_mkdir(world->root, 0755), 0);
    assert_int_equal(g_mkdir(world->other, 0755), 0);
    world->stores[0] = open_store("primary", world->root);
    world->stores[1] = open_store("archive", world->other);
    assert_int_equal(g_mkdir(world->spool, 0700), 0);
    world->spec = steno_job_spec_new();
    world->spec->id = steno_job_new_id();
    world->spec->platform = g_strdup("janus");
    world->spec->url = g_strdup("http://127.0.0.1:9");
    world->spec->channel = g_strdup("ward");
    world->capture = g_build_filename(world->spool, world->spec->id, NULL);
    world->place = (StenoJobPlace){.stores = world->stores,
                                   .n_stores = 1,
                                   .spool = world->spool,
                                   .runtime_dir = world->runtime,
                                   .outlive = TRUE,
                                   .restarts_max = 5};
    world->events = (StenoJobEvents){.state = on_state, .event = on_event, .done = on_done};
    world->told = g_ptr_array_new_with_free_func(g_free);
    *state = world;
    return 0;
}

int world_tear_down(void **state)
{
    World *world = *state;
    world_leave(world);
    (void)recorder_lock_kill(world->capture);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", world->base);
    assert_int_equal(system(command), 0);
    steno_job_spec_free(world->spec);
    g_ptr_array_unref(world->told);
    json_decref(world->last);
    world_forget_done(world);
    g_free(world->base);
    for (guint i = 0; i < G_N_ELEMENTS(world->stores); i++)
        steno_store_unref(world->stores[i]);
    steno_signer_unref(world->place.signer);
    g_free(world->root);
    g_free(world->other);
    g_free(world->spool);
    g_free(world->runtime);
    g_free(world->capture);
    g_free(world);
    return 0;
}
