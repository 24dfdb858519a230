#include "memo.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

void s3_memo_clear(S3Memo *memo)
{
    g_clear_pointer(&memo->upload_id, g_free);
    g_clear_pointer(&memo->sha256_hex, g_free);
    g_clear_pointer(&memo->settings, g_free);
}

char *s3_memo_path(const char *folder, const char *uri)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, uri, -1);
    return g_strdup_printf("%s/%.32s.json", folder, digest);
}

gboolean s3_memo_read(const char *path, S3Memo *memo)
{
    const char *upload_id, *sha256_hex, *settings;
    json_int_t part_bytes, bytes;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    gboolean read =
        json && json_unpack(json, "{s:s, s:I, s:I, s:s, s:s !}", "upload_id", &upload_id, "part_bytes", &part_bytes,
                            "bytes", &bytes, "sha256", &sha256_hex, "settings", &settings) == 0;
    if (read && upload_id[0] && part_bytes > 0 && bytes > 0) {
        *memo = (S3Memo){g_strdup(upload_id), part_bytes, bytes, g_strdup(sha256_hex), g_strdup(settings)};
    } else {
        read = FALSE;
    }
    json_decref(json);
    return read;
}

gboolean s3_memo_write(const char *path, const S3Memo *memo, GError **error)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:s, s:s}", "upload_id", memo->upload_id, "part_bytes", (json_int_t)memo->part_bytes,
                  "bytes", (json_int_t)memo->bytes, "sha256", memo->sha256_hex, "settings", memo->settings);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    gboolean written =
        text && g_file_set_contents_full(path, text, (gssize)strlen(text),
                                         G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
    free(text);
    if (written && !steno_file_sync_parent(path))
        return steno_error_set_errno(error, errno, "writing %s to disk", path);
    return written;
}

void s3_memo_remove(const char *path)
{
    if (unlink(path) == 0)
        (void)steno_file_sync_parent(path);
}
