/* Each state that a crash may leave on disk, and what follows from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture_folder.h"
#include "recovery.h"
#include "steno/base/error.h"
#include "steno/job.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT(1795377400000000)
#define JOINED "{\"event\":\"state\",\"state\":\"recording\",\"seq\":1}\n"
#define ENDED "{\"event\":\"ended\",\"end_reason\":\"max-idle\",\"error\":null,\"seq\":2}\n"
#define MANIFEST "{\"recording\":{\"id\":\"01ID\",\"end_reason\":\"stopped\",\"error\":null},\"outputs\":[{}]}"

typedef struct {
    char *base, *spool, *capture;
    StenoJobSpec *spec;
} Disk;

static int set_up(void **state)
{
    Disk *disk = g_new0(Disk, 1);
    disk->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    disk->spool = g_build_filename(disk->base, "spool", NULL);
    disk->capture = g_build_filename(disk->spool, "01ID", NULL);
    disk->spec = steno_job_spec_new();
    disk->spec->id = g_strdup("01ID");
    disk->spec->channel = g_strdup("ward");
    assert_int_equal(g_mkdir(disk->spool, 0700), 0);
    *state = disk;
    return 0;
}

static int tear_down(void **state)
{
    Disk *disk = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", disk->base);
    assert_int_equal(system(command), 0);
    steno_job_spec_free(disk->spec);
    g_free(disk->base);
    g_free(disk->spool);
    g_free(disk->capture);
    g_free(disk);
    return 0;
}

static void put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(parent, 0700), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void put_part(const Disk *disk, guint part, const char *events)
{
    g_autofree char *name = g_strdup_printf("part-%04u/events.jsonl", part);
    put(disk->capture, "recording.json", "{\"id\":\"01ID\",\"channel\":\"ward\",\"zero\":1795377340000000}");
    put(disk->capture, "recorder.lock", "4711\n");
    put(disk->capture, name, events);
}

/* Looks, and returns the reason and error too, for who wants to see them. */
static void assert_step(const Disk *disk, gboolean record, RecoveryStep step, const char *end_reason, int code)
{
    Recovery recovery;
    g_autoptr(GError) error = NULL;
    if (!recovery_look(disk->capture, disk->spec, record, NOW, &recovery, &error))
        fail_msg("%s", error->message);
    assert_int_equal(recovery.step, step);
    if (end_reason)
        assert_string_equal(recovery.end_reason, end_reason);
    else
        assert_null(recovery.end_reason);
    assert_int_equal(recovery.error ? recovery.error->code : -1, code);
    recovery_clear(&recovery);
}

static void without_anything_storage_is_asked(void **state)
{
    const Disk *disk = *state;
    assert_step(disk, TRUE, RECOVERY_ASK, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASK, NULL, -1);
    put(disk->capture, "recorder.lock", "4711\n"); /* died while it joined */
    assert_step(disk, TRUE, RECOVERY_ASK, NULL, -1);
    assert_true(job_ending_write(disk->capture, "join-failed", NULL, NULL)); /* this one is known to have nothing */
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "join-failed", -1);
}

static void a_capture_without_an_ending_goes_on(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED "{\"event\":\"ended\",\"end_re");
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, NULL, -1);
    put_part(disk, 2, "");
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
}

static void put_failing(const Disk *disk, guint part, const char *reason, const char *code, gint64 t_us)
{
    g_autofree char *line =
        g_strdup_printf("{\"event\":\"ended\",\"end_reason\":\"%s\",\"error\":{\"code\":\"%s\",\"message\":"
                        "\"no\"},\"seq\":1,\"t\":%" G_GINT64_FORMAT "}\n",
                        reason, code, t_us);
    put_part(disk, part, line);
}

static void put_failed_join(const Disk *disk, guint part, const char *code, gint64 t_us)
{
    put_failing(disk, part, "join-failed", code, t_us);
}

static void an_ending_is_the_end(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED ENDED);
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, "max-idle", -1);
    put_part(disk, 1,
             JOINED "{\"event\":\"ended\",\"end_reason\":\"storage\",\"error\":{\"code\":\"storage-full\",\"message\":"
                    "\"full\"},\"seq\":2}\n");
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "storage", STENO_ERROR_STORAGE_FULL);
    put_failing(disk, 1, "storage", "storage-full", NOW); /* that may have been for a moment */
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, "storage", STENO_ERROR_STORAGE_FULL);
    /* Another recorder came after it, and told none. */
    put_part(disk, 2, JOINED);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
}

static void a_failed_join_of_a_later_one_is_tried_again_while_there_is_time(void **state)
{
    const Disk *disk = *state;
    disk->spec->reconnect_s = 300;
    put_failed_join(disk, 1, "unreachable", NOW);
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "join-failed", STENO_ERROR_UNREACHABLE);
    put_part(disk, 1, JOINED);
    put_failed_join(disk, 2, "unreachable", NOW - 299 * G_USEC_PER_SEC);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, "join-failed", STENO_ERROR_UNREACHABLE);
    put_failed_join(disk, 2, "token-refused", NOW);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    put_failed_join(disk, 2, "unreachable", NOW - 300 * G_USEC_PER_SEC);
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "join-failed", STENO_ERROR_UNREACHABLE);
    put_failed_join(disk, 2, "not-silent", NOW);
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "join-failed", STENO_ERROR_NOT_SILENT);
    disk->spec->token_secret = steno_secret_new("secret", 6);
    put_failed_join(disk, 2, "token-refused", NOW); /* minted anew, it would be refused anew */
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "join-failed", STENO_ERROR_TOKEN_REFUSED);
}

static void the_jobs_own_decision_is_the_end(void **state)
{
    const Disk *disk = *state;
    g_autoptr(GError) cause = g_error_new_literal(STENO_ERROR, STENO_ERROR_INTERNAL, "died");
    put_part(disk, 1, JOINED);
    assert_true(job_ending_write(disk->capture, "recorder-died", cause, NULL));
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "recorder-died", STENO_ERROR_INTERNAL);
    put(disk->capture, "ending.json", "{\"end_rea"); /* not by us: it is renamed into place */
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
}

/* What was assembled before the ending, or by hand in another way, is not what is to be stored. */
static void only_what_was_assembled_after_the_ending_is_taken(void **state)
{
    const Disk *disk = *state;
    g_autofree char *sha256 = g_compute_checksum_for_string(G_CHECKSUM_SHA256, MANIFEST, -1);
    put_part(disk, 1, JOINED ENDED);
    put(disk->capture, "out/manifest.json", MANIFEST);
    assert_true(job_ending_assembled(disk->capture, sha256, NULL)); /* there is no ending to write it into */
    assert_false(job_ending_is_assembled(disk->capture));
    assert_true(job_ending_write(disk->capture, "max-idle", NULL, NULL));
    assert_false(job_ending_is_assembled(disk->capture));
    assert_true(job_ending_assembled(disk->capture, sha256, NULL));
    assert_true(job_ending_is_assembled(disk->capture));
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
    put(disk->capture, "out/manifest.json", "{}");
    assert_false(job_ending_is_assembled(disk->capture));
}

static void what_somebody_assembled_meanwhile_ends_nothing(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED);
    put(disk->capture, "out/manifest.json", MANIFEST);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, NULL, -1);
}

static void stored_sections_are_a_capture_without_parts(void **state)
{
    const Disk *disk = *state;
    put(disk->capture, "recording.json", "{\"id\":\"01ID\",\"channel\":\"ward\",\"zero\":1795377340000000}");
    put(disk->capture, "section-0001.json",
        "{\"section\":1,\"first_part\":1,\"last_part\":3,\"begin\":1,\"seam\":2,\"manifest\":{\"outputs\":[]}}");
    assert_int_equal(job_capture_parts(disk->capture), 3);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, NULL, -1);
    put_part(disk, 4, JOINED);
    assert_int_equal(job_capture_parts(disk->capture), 4);
    put(disk->capture, "section-0001.json", "{\"section\":1,");
    assert_int_equal(job_capture_parts(disk->capture), 4);
}

static void half_a_forgotten_capture_is_none(void **state)
{
    const Disk *disk = *state;
    put(disk->spool, ".stored-01ID/part-0001/events.jsonl", JOINED);
    put(disk->spool, ".stored-01ID/recording.json", "{}");
    assert_step(disk, TRUE, RECOVERY_ASK, NULL, -1);
    g_autofree char *rest = g_build_filename(disk->spool, ".stored-01ID", NULL);
    assert_false(g_file_test(rest, G_FILE_TEST_EXISTS));
}

static void assert_manifest(const char *text, const char *end_reason, int code)
{
    Recovery recovery = {0};
    json_t *manifest = json_loads(text, 0, NULL);
    recovery_take_manifest(manifest, FALSE, &recovery);
    assert_string_equal(recovery.end_reason, end_reason);
    assert_int_equal(recovery.error ? recovery.error->code : -1, code);
    recovery_clear(&recovery);
    json_decref(manifest);
}

static void the_stored_manifest_tells_how_it_ended(void **state)
{
    (void)state;
    assert_manifest(MANIFEST, "stopped", -1);
    assert_manifest(
        "{\"recording\":{\"id\":\"01ID\",\"end_reason\":\"recorder-lost\",\"error\":{\"code\":\"connection-lost\","
        "\"message\":\"away\"}},\"outputs\":[{}]}",
        "recorder-died", STENO_ERROR_CONNECTION_LOST);
    assert_manifest("{\"recording\":{\"id\":\"01ID\",\"end_reason\":\"max-idle\",\"error\":null},\"outputs\":[]}",
                    "max-idle", STENO_ERROR_NOTHING_RECORDED);
}

static void without_its_spool_nothing_is_said(void **state)
{
    const Disk *disk = *state;
    Recovery recovery;
    g_autoptr(GError) error = NULL;
    assert_int_equal(g_rmdir(disk->spool), 0);
    assert_false(recovery_look(disk->capture, disk->spec, TRUE, NOW, &recovery, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
}

/* Removing is stopped by something foreign: whatever is left is lawful, and goes with the next look. */
static void a_capture_is_forgotten_in_one_step(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED ENDED);
    put(disk->capture, "out/manifest.json", MANIFEST);
    put(disk->capture, "out-0001/manifest.001.json", MANIFEST);
    put(disk->capture, "uploads/primary/0123456789", "large");
    put(disk->capture, ".gone-part-0007/events.jsonl", JOINED);
    put(disk->capture, "section-0001.json", "{}");
    assert_true(job_ending_write(disk->capture, "max-idle", NULL, NULL));
    put(disk->capture, "foreign", "not ours");
    assert_false(steno_job_capture_forget(disk->capture, NULL));
    assert_false(g_file_test(disk->capture, G_FILE_TEST_EXISTS));
    assert_step(disk, TRUE, RECOVERY_ASK, NULL, -1);
    g_autofree char *rest = g_build_filename(disk->spool, ".stored-01ID", NULL);
    g_autofree char *foreign = g_build_filename(rest, "foreign", NULL);
    assert_true(g_file_test(foreign, G_FILE_TEST_EXISTS));
    assert_int_equal(g_unlink(foreign), 0);
    assert_step(disk, TRUE, RECOVERY_ASK, NULL, -1);
    assert_false(g_file_test(rest, G_FILE_TEST_EXISTS));
}

static gboolean is_there(const Disk *disk, const char *name)
{
    g_autofree char *path = g_build_filename(disk->capture, name, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void only_a_sections_own_parts_are_removed(void **state)
{
    const Disk *disk = *state;
    for (guint part = 1; part <= 4; part++)
        put_part(disk, part, JOINED);
    put(disk->capture, "out-0001/manifest.001.json", MANIFEST);
    put(disk->capture, "out-0002/manifest.002.json", MANIFEST);
    put(disk->capture, ".gone-part-0002/events.jsonl", JOINED); /* of a removal that was cut off */
    assert_false(job_capture_forget_section(disk->capture, 1, 2, 3, NULL));
    assert_true(is_there(disk, "part-0002")); /* whatever that was, it is not both */
    g_autofree char *command = g_strdup_printf("rm -r '%s/.gone-part-0002'", disk->capture);
    assert_int_equal(system(command), 0);
    assert_true(job_capture_forget_section(disk->capture, 1, 2, 3, NULL));
    assert_true(is_there(disk, "part-0001"));
    assert_false(is_there(disk, "part-0002"));
    assert_false(is_there(disk, "part-0003"));
    assert_true(is_there(disk, "part-0004"));
    assert_false(is_there(disk, "out-0001"));
    assert_true(is_there(disk, "out-0002"));
    assert_false(is_there(disk, ".gone-part-0002"));
    assert_true(job_capture_forget_section(disk->capture, 1, 2, 3, NULL)); /* again */
    assert_true(job_capture_forget_section(disk->capture, 2, 0, 0, NULL)); /* its files alone */
    assert_true(is_there(disk, "part-0001"));
    assert_false(is_there(disk, "out-0002"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_anything_storage_is_asked),
        TEST(a_capture_without_an_ending_goes_on),
        TEST(an_ending_is_the_end),
        TEST(a_failed_join_of_a_later_one_is_tried_again_while_there_is_time),
        TEST(the_jobs_own_decision_is_the_end),
        TEST(only_what_was_assembled_after_the_ending_is_taken),
        TEST(what_somebody_assembled_meanwhile_ends_nothing),
        TEST(stored_sections_are_a_capture_without_parts),
        TEST(half_a_forgotten_capture_is_none),
        TEST(the_stored_manifest_tells_how_it_ended),
        TEST(without_its_spool_nothing_is_said),
        TEST(a_capture_is_forgotten_in_one_step),
        TEST(only_a_sections_own_parts_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
