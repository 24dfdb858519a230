/*
 * What is remembered of a multipart upload, so that it goes on after a crash: a small file, durable before the first
 * part is sent.
 */
#ifndef STENO_STORAGE_S3_MEMO_H
#define STENO_STORAGE_S3_MEMO_H

#include <glib.h>

typedef struct {
    char *upload_id;
    gint64 part_bytes, bytes;
    char *sha256_hex; /* of the file as a whole */
    char *settings;   /* what the upload was begun with; another one is needed when it differs */
} S3Memo;

void s3_memo_clear(S3Memo *memo);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Memo, s3_memo_clear)

/* The file for the object of this address. Caller frees. */
char *s3_memo_path(const char *folder, const char *uri);
/* FALSE: there is none that can be read. */
gboolean s3_memo_read(const char *path, S3Memo *memo);
gboolean s3_memo_write(const char *path, const S3Memo *memo, GError **error);
/* Durable, too; nothing when it is not there. */
void s3_memo_remove(const char *path);

#endif
