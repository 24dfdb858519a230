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
    char *base, *root, *spool, *capture, *stored;
    StenoJobSpec *spec;
} Disk;

static int set_up(void **state)
{
    Disk *disk = g_new0(Disk, 1);
    disk->base = g_dir_make_tmp("steno-XXXXXX", NULL);
    disk->root = g_build_filename(disk->base, "root", NULL);
    disk->spool = g_build_filename(disk->base, "spool", NULL);
    disk->capture = g_build_filename(disk->spool, "01ID", NULL);
    disk->stored = g_build_filename(disk->root, "ward", "20261122T195540Z_01ID", NULL);
    disk->spec = steno_job_spec_new();
    disk->spec->id = g_strdup("01ID");
    disk->spec->channel = g_strdup("ward");
    assert_int_equal(g_mkdir(disk->root, 0755), 0);
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
    g_free(disk->root);
    g_free(disk->spool);
    g_free(disk->capture);
    g_free(disk->stored);
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
    if (!recovery_look(disk->capture, disk->root, disk->spec, record, NOW, &recovery, &error))
        fail_msg("%s", error->message);
    assert_int_equal(recovery.step, step);
    if (end_reason)
        assert_string_equal(recovery.end_reason, end_reason);
    else
        assert_null(recovery.end_reason);
    assert_int_equal(recovery.error ? recovery.error->code : -1, code);
    assert_int_equal(recovery.folder != NULL, step == RECOVERY_DONE);
    recovery_clear(&recovery);
}

static void without_anything_it_begins_or_there_is_nothing(void **state)
{
    const Disk *disk = *state;
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_NOTHING, NULL, -1);
    put(disk->capture, "recorder.lock", "4711\n"); /* died while it joined */
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_NOTHING, NULL, -1);
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

static void a_half_made_assembly_is_made_again(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED ENDED);
    assert_true(job_ending_write(disk->capture, "max-idle", NULL, NULL));
    put(disk->capture, "out/alice.webm", "hal");
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
    put(disk->capture, "out/manifest.json", MANIFEST); /* whole, but not stored */
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
    put(disk->stored, "alice.webm", "media"); /* half stored */
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
    put(disk->stored, "manifest.json", "{}"); /* of another assembly */
    assert_step(disk, TRUE, RECOVERY_ASSEMBLE, "max-idle", -1);
}

static void a_delivered_capture_is_only_to_be_forgotten(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED ENDED);
    assert_true(job_ending_write(disk->capture, "max-idle", NULL, NULL));
    put(disk->capture, "out/manifest.json", MANIFEST);
    put(disk->stored, "manifest.json", MANIFEST);
    assert_step(disk, TRUE, RECOVERY_DELIVERED, "max-idle", -1);
    assert_step(disk, FALSE, RECOVERY_DELIVERED, "max-idle", -1);
}

static void what_somebody_assembled_meanwhile_ends_nothing(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED);
    put(disk->capture, "out/manifest.json", MANIFEST);
    put(disk->stored, "manifest.json", MANIFEST);
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
    assert_step(disk, FALSE, RECOVERY_ASSEMBLE, NULL, -1);
}

static void half_a_forgotten_capture_is_none(void **state)
{
    const Disk *disk = *state;
    put(disk->spool, ".stored-01ID/part-0001/events.jsonl", JOINED);
    put(disk->spool, ".stored-01ID/recording.json", "{}");
    put(disk->stored, "manifest.json", MANIFEST);
    assert_step(disk, TRUE, RECOVERY_DONE, "stopped", -1);
    g_autofree char *rest = g_build_filename(disk->spool, ".stored-01ID", NULL);
    assert_false(g_file_test(rest, G_FILE_TEST_EXISTS));
}

static void the_stored_manifest_tells_how_it_ended(void **state)
{
    const Disk *disk = *state;
    put(disk->stored, "manifest.json", MANIFEST);
    assert_step(disk, TRUE, RECOVERY_DONE, "stopped", -1);
    put(disk->stored, "manifest.json",
        "{\"recording\":{\"id\":\"01ID\",\"end_reason\":\"recorder-lost\",\"error\":{\"code\":\"connection-lost\","
        "\"message\":\"away\"}},\"outputs\":[{}]}");
    assert_step(disk, FALSE, RECOVERY_DONE, "recorder-died", STENO_ERROR_CONNECTION_LOST);
    put(disk->stored, "manifest.json",
        "{\"recording\":{\"id\":\"01ID\",\"end_reason\":\"max-idle\",\"error\":null},\"outputs\":[]}");
    assert_step(disk, FALSE, RECOVERY_DONE, "max-idle", STENO_ERROR_NOTHING_RECORDED);
    put(disk->stored, "manifest.json", "{\"recording\":{\"id\":\"another\"}}");
    assert_step(disk, FALSE, RECOVERY_NOTHING, NULL, -1);
    put(disk->stored, "manifest.json", "{\"recor"); /* nobody's */
    assert_step(disk, TRUE, RECOVERY_RECORD, NULL, -1);
}

static void without_its_spool_nothing_is_said(void **state)
{
    const Disk *disk = *state;
    Recovery recovery;
    g_autoptr(GError) error = NULL;
    assert_int_equal(g_rmdir(disk->spool), 0);
    assert_false(recovery_look(disk->capture, disk->root, disk->spec, TRUE, NOW, &recovery, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
}

/* Removing is stopped after each step: whatever is left is lawful, and goes with the next look. */
static void a_capture_is_forgotten_in_one_step(void **state)
{
    const Disk *disk = *state;
    put_part(disk, 1, JOINED ENDED);
    put(disk->capture, "out/manifest.json", MANIFEST);
    put(disk->stored, "manifest.json", MANIFEST);
    assert_true(job_ending_write(disk->capture, "max-idle", NULL, NULL));
    put(disk->capture, "foreign", "not ours"); /* removing will stop here */
    assert_false(steno_job_capture_forget(disk->capture, NULL));
    assert_false(g_file_test(disk->capture, G_FILE_TEST_EXISTS));
    assert_step(disk, TRUE, RECOVERY_DONE, "stopped", -1);
    g_autofree char *foreign = g_build_filename(disk->spool, ".stored-01ID", "foreign", NULL);
    assert_true(g_file_test(foreign, G_FILE_TEST_EXISTS));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_anything_it_begins_or_there_is_nothing),
        TEST(a_capture_without_an_ending_goes_on),
        TEST(an_ending_is_the_end),
        TEST(a_failed_join_of_a_later_one_is_tried_again_while_there_is_time),
        TEST(the_jobs_own_decision_is_the_end),
        TEST(a_half_made_assembly_is_made_again),
        TEST(a_delivered_capture_is_only_to_be_forgotten),
        TEST(what_somebody_assembled_meanwhile_ends_nothing),
        TEST(half_a_forgotten_capture_is_none),
        TEST(the_stored_manifest_tells_how_it_ended),
        TEST(without_its_spool_nothing_is_said),
        TEST(a_capture_is_forgotten_in_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
