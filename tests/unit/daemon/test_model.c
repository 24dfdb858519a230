/* What is shown of a recording, and what is told, event by event. */
#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define SECOND ((gint64)G_USEC_PER_SEC)
#define T0 (1795000000 * SECOND)

typedef struct {
    Model *model;
    GString *told;
    json_t *last;
} World;

static void on_told(gpointer user, const char *type, json_t *data)
{
    World *world = user;
    g_string_append_printf(world->told, "%s%s", world->told->len > 0 ? " " : "", type);
    json_decref(world->last);
    world->last = data;
}

static void begin(World *world, const json_t *detail)
{
    *world = (World){model_new(detail), g_string_new(NULL), NULL};
}

static void end(World *world)
{
    model_free(world->model);
    g_string_free(world->told, TRUE);
    json_decref(world->last);
}

/* An event of a part at T0 + seconds; members with ' for ". */
static void event(World *world, guint part, double seconds, const char *quoted)
{
    gint64 t = T0 + (gint64)(seconds * (double)SECOND);
    g_autofree char *text = g_strdelimit(
        g_strdup_printf("{'part': %u, 'seq': 1, 't': %" G_GINT64_FORMAT ", %s}", part, t, quoted), "'", '"');
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    model_event(world->model, json, t, on_told, world);
    json_decref(json);
}

static void told(World *world, const char *expected)
{
    assert_string_equal(world->told->str, expected);
    g_string_truncate(world->told, 0);
}

static json_t *detail_of(const World *world)
{
    json_t *detail = json_object();
    model_into_detail(world->model, detail);
    return detail;
}

static const char *text_at(const json_t *detail, const char *list, guint index, const char *member)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(detail, list), index), member));
}

static void test_participants(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    assert_string_equal(json_string_value(json_object_get(world.last, "name")), "alice");
    event(&world, 1, 1, "'event': 'participant_joined', 'participant': '8', 'name': 'bob'");
    event(&world, 1, 2, "'event': 'participant_left', 'participant': '7'");
    event(&world, 1, 2, "'event': 'participant_left', 'participant': '7'");
    event(&world, 1, 3, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    told(&world, "participant_joined participant_joined participant_left participant_joined");
    json_t *detail = detail_of(&world);
    assert_int_equal(json_array_size(json_object_get(detail, "participants")), 2);
    assert_null(text_at(detail, "participants", 0, "left_at"));
    json_decref(detail);
    end(&world);
}

/* Who is told again in the next part did not join anew; who is not has left meanwhile. */
static void test_reconnect(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    event(&world, 1, 0, "'event': 'participant_joined', 'participant': '8', 'name': 'bob'");
    event(&world, 1, 0, "'event': 'track_added', 'track': 1, 'participant': '7', 'kind': 'audio', 'codec': 'opus'");
    told(&world, "participant_joined participant_joined");
    event(&world, 2, 10, "'event': 'state', 'state': 'recording'");
    event(&world, 2, 10, "'event': 'participant_joined', 'participant': '7', 'name': 'alice'");
    event(&world, 2, 11, "'event': 'stats', 'frames': 1");
    told(&world, "");
    event(&world, 2, 16, "'event': 'stats', 'frames': 2");
    told(&world, "participant_left");
    assert_string_equal(json_string_value(json_object_get(world.last, "participant")), "8");
    json_t *detail = detail_of(&world);
    assert_int_equal(json_integer_value(json_object_get(detail, "parts")), 2);
    assert_string_equal(text_at(detail, "tracks", 0, "ended_at"), "2026-11-18T11:06:50.000Z");
    json_decref(detail);
    end(&world);
}

/* Told while no part is open: the part that it is told for is none yet. */
static void test_early(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'state', 'state': 'recording'");
    event(&world, 2, 1, "'event': 'state', 'state': 'reconnecting', 'early': true");
    json_t *detail = detail_of(&world);
    assert_int_equal(json_integer_value(json_object_get(detail, "parts")), 1);
    json_decref(detail);
    end(&world);
}

static void test_tracks(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'track_added', 'track': 2, 'participant': '7', 'kind': 'video', 'codec': 'vp8'");
    event(&world, 1, 1, "'event': 'track_started', 'track': 2");
    event(&world, 1, 1, "'event': 'format', 'track': 2, 'codec': 'vp8', 'width': 640, 'height': 360");
    event(&world, 1, 2, "'event': 'muted', 'track': 2, 'evidence': 'rtp'");
    json_t *detail = detail_of(&world);
    const json_t *track = json_array_get(json_object_get(detail, "tracks"), 0);
    assert_true(json_is_true(json_object_get(track, "muted")));
    assert_int_equal(json_integer_value(json_object_get(track, "width")), 640);
    assert_true(json_is_null(json_object_get(track, "ended_at")));
    event(&world, 1, 3, "'event': 'unmuted', 'track': 2");
    event(&world, 1, 4, "'event': 'track_removed', 'track': 2");
    event(&world, 1, 4, "'event': 'muted', 'track': 9");
    assert_true(json_is_false(json_object_get(track, "muted")));
    assert_true(json_is_string(json_object_get(track, "ended_at")));
    told(&world, "");
    json_decref(detail);
    end(&world);
}

static void test_gaps(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'track_added', 'track': 1, 'participant': '7', 'kind': 'audio', 'codec': 'opus'");
    event(&world, 1, 0, "'event': 'gap', 'track': 1, 'cause': 'paused', 'from': 1, 'until': 2, 'packets': 0");
    told(&world, "");
    for (guint i = 0; i < MODEL_GAPS_PER_MINUTE_MAX + 10; i++)
        event(&world, 1, 1, "'event': 'gap', 'track': 1, 'cause': 'lost', 'from': 1, 'until': 2, 'packets': 3");
    assert_int_equal(world.told->len, MODEL_GAPS_PER_MINUTE_MAX * strlen("gap ") - 1);
    assert_string_equal(json_string_value(json_object_get(world.last, "participant")), "7");
    assert_int_equal(json_integer_value(json_object_get(world.last, "packets")), 3);
    g_string_truncate(world.told, 0);
    event(&world, 1, 120, "'event': 'gap', 'track': 1, 'cause': 'lost', 'from': 1, 'until': 2, 'packets': 3");
    told(&world, "gap");
    end(&world);
}

/* A recorder that is started anew counts from 0, also when stenod was started anew in between. */
static void test_counts(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 1, "'event': 'stats', 'duration_ms': 1000, 'participants': 2, 'frames': 100, 'packets': 200");
    event(&world, 1, 2, "'event': 'stats', 'duration_ms': 2000, 'participants': 2, 'frames': 150, 'packets': 300");
    event(&world, 2, 3, "'event': 'stats', 'duration_ms': 3000, 'participants': 1, 'frames': 10, 'packets': 20");
    assert_int_equal(model_count(world.model, "frames"), 160);
    assert_int_equal(model_count(world.model, "participants"), 1);
    assert_int_equal(model_count(world.model, "duration_ms"), 3000);
    json_t *detail = detail_of(&world);
    World next;
    begin(&next, detail);
    event(&next, 2, 4, "'event': 'stats', 'duration_ms': 4000, 'participants': 1, 'frames': 30, 'packets': 60");
    assert_int_equal(model_count(next.model, "frames"), 180);
    event(&next, 3, 5, "'event': 'stats', 'duration_ms': 5000, 'participants': 1, 'frames': 5, 'packets': 6");
    assert_int_equal(model_count(next.model, "frames"), 185);
    end(&next);
    json_decref(detail);
    end(&world);
}

static void test_ceilings(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    for (guint i = 0; i <= MODEL_PARTICIPANTS_MAX; i++) {
        g_autofree char *joined = g_strdup_printf("'event': 'participant_joined', 'participant': '%u', 'name': ''", i);
        event(&world, 1, 0, joined);
    }
    for (guint i = 0; i <= MODEL_TRACKS_MAX; i++) {
        g_autofree char *added = g_strdup_printf("'event': 'track_added', 'track': %u, 'participant': '1'", i + 1);
        event(&world, 1, 0, added);
    }
    json_t *detail = detail_of(&world);
    assert_int_equal(json_array_size(json_object_get(detail, "participants")), MODEL_PARTICIPANTS_MAX);
    assert_int_equal(json_array_size(json_object_get(detail, "tracks")), MODEL_TRACKS_MAX);
    json_decref(detail);
    end(&world);
}

/* Told with its participant, shown for as long as it is so. */
static void test_undecryptable(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    event(&world, 1, 0, "'event': 'track_added', 'track': 2, 'participant': '7', 'kind': 'video', 'codec': 'vp8'");
    event(&world, 1, 1,
          "'event': 'undecryptable', 'track': 2, 'kid': '18446744073709551615', 'cause': 'no-key', "
          "'since': 1795000001000000");
    assert_string_equal(json_string_value(json_object_get(world.last, "participant")), "7");
    assert_string_equal(json_string_value(json_object_get(world.last, "since")), "2026-11-18T11:06:41.000Z");
    event(&world, 1, 2,
          "'event': 'undecryptable', 'track': 2, 'participant': '7', 'kid': null, 'cause': 'bad-key', "
          "'since': 1795000002000000");
    event(&world, 1, 2,
          "'event': 'undecryptable', 'track': 3, 'participant': '8', 'kid': '0', 'cause': 'no-key', "
          "'since': 1795000002000000");
    event(&world, 1, 2,
          "'event': 'undecryptable', 'track': 3, 'participant': '8', 'kid': '0', 'cause': 'no-key', "
          "'since': 1795000002000000");
    told(&world, "undecryptable undecryptable undecryptable undecryptable");
    assert_int_equal(model_undecryptable_tracks(world.model), 2);
    event(&world, 1, 3, "'event': 'stats', 'frames': 5, 'sealed': 4");
    json_t *detail = detail_of(&world), *content = model_content(detail);
    assert_true(json_is_true(json_object_get(content, "sealed")));
    assert_int_equal(json_array_size(json_object_get(content, "undecryptable")), 3);
    assert_string_equal(text_at(content, "undecryptable", 0, "kid"), "18446744073709551615");
    assert_null(text_at(content, "undecryptable", 1, "kid"));
    assert_int_equal(model_count(world.model, "sealed"), 4);
    /* The next stenod knows it, too. */
    Model *next = model_new(detail);
    assert_int_equal(model_undecryptable_tracks(next), 2);
    model_free(next);
    json_decref(content);
    json_decref(detail);
    /* The key came, but is a wrong one: what is shown is what is so now. */
    event(&world, 1, 3, "'event': 'undecryptable', 'track': 3, 'participant': '8', 'kid': '0', 'cause': 'bad-key'");
    told(&world, "undecryptable");
    detail = detail_of(&world);
    content = model_content(detail);
    assert_int_equal(json_array_size(json_object_get(content, "undecryptable")), 3);
    assert_string_equal(text_at(content, "undecryptable", 2, "cause"), "bad-key");
    json_decref(content);
    json_decref(detail);
    /* In a section that was begun by rotation, tracks have their numbers still. */
    event(&world, 2, 4,
          "'event': 'decryptable', 'track': 2, 'participant': '7', 'since': 1795000001000000, "
          "'frames': 90");
    told(&world, "decryptable");
    assert_int_equal(json_integer_value(json_object_get(world.last, "frames")), 90);
    assert_int_equal(model_undecryptable_tracks(world.model), 1);
    event(&world, 2, 5, "'event': 'track_removed', 'track': 3");
    assert_int_equal(model_undecryptable_tracks(world.model), 0);
    end(&world);
}

/* Another recorder tells it anew; and what has ended is not so "now". */
static void test_undecryptable_ends(void **state)
{
    const char *one = "'event': 'undecryptable', 'track': 1, 'participant': '7', 'kid': '0', 'cause': 'no-key'";
    static const char *const ends[] = {"'event': 'state', 'state': 'recording'", "'event': 'ended'"};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        World world;
        begin(&world, NULL);
        event(&world, 1, 0, one);
        assert_int_equal(model_undecryptable_tracks(world.model), 1);
        event(&world, 2, 1, ends[i]);
        assert_int_equal(model_undecryptable_tracks(world.model), 0);
        end(&world);
    }
}

/* The assembly had the keys, or had not: its manifest knows. */
static void test_sealed(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        World world;
        begin(&world, NULL);
        event(&world, 1, 0, "'event': 'format', 'track': 1, 'codec': 'opus', 'sealed': true");
        json_t *detail = detail_of(&world), *content = model_content(detail);
        assert_true(json_is_true(json_object_get(content, "sealed")));
        json_decref(content);
        json_t *manifest = json_pack("{s:{}, s:{s:b}}", "recording", "content", "sealed", sealed);
        model_take_manifest(world.model, manifest);
        model_into_detail(world.model, detail);
        content = model_content(detail);
        assert_int_equal(json_is_true(json_object_get(content, "sealed")), sealed);
        json_decref(content);
        json_decref(manifest);
        json_decref(detail);
        end(&world);
    }
}

/* Whoever makes key ids up is told of at a bounded rate, and fills no memory. */
static void test_made_up_key_ids(void **state)
{
    World world;
    (void)state;
    begin(&world, NULL);
    for (guint i = 0; i < 2 * MODEL_UNDECRYPTABLE_MAX; i++) {
        g_autofree char *quoted = g_strdup_printf(
            "'event': 'undecryptable', 'track': 1, 'participant': '7', 'kid': '%u', 'cause': 'no-key'", i);
        event(&world, 1, 0, quoted);
    }
    g_auto(GStrv) heard = g_strsplit(world.told->str, " ", -1);
    assert_int_equal(g_strv_length(heard), MODEL_UNDECRYPTABLE_PER_MINUTE_MAX);
    json_t *detail = detail_of(&world), *content = model_content(detail);
    assert_int_equal(json_array_size(json_object_get(content, "undecryptable")), MODEL_UNDECRYPTABLE_MAX);
    json_decref(content);
    json_decref(detail);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_participants),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_tracks),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_undecryptable),
        cmocka_unit_test(test_undecryptable_ends),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_made_up_key_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
