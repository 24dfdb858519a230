/*
 * Cuts a file into parts and digests them, in order and a little ahead, on a thread of its own: what is to be sent is
 * hashed while others are on their way. The file as a whole is digested with them, so that what is sent and what was
 * expected can be compared.
 */
#ifndef STENO_STORAGE_S3_CUT_H
#define STENO_STORAGE_S3_CUT_H

#include "checksum.h"

#include <gio/gio.h>

typedef struct {
    gint64 offset, bytes;
    char sha256_hex[65];
    S3ChecksumKind kind;
    guint8 checksum[S3_CHECKSUM_MAX_BYTES]; /* of kind */
    gboolean has_md5;
    guint8 md5[16];
} S3Cut;

/* Digests one piece of a file. whole (may be NULL) is fed with it. SOURCE_DAMAGED, INTERRUPTED. */
gboolean s3_cut(int fd, S3Cut *cut, gboolean with_md5, S3Checksum *whole, GCancellable *cancellable, GError **error);
/* As it stands in a header or in XML; of the algorithm that goes with requests. NULL: there is none. Caller frees. */
char *s3_cut_checksum(const S3Cut *cut);
/* As an ETag has it, without quotes. NULL: it was not counted. Caller frees. */
char *s3_cut_md5_hex(const S3Cut *cut);

typedef struct S3Cutter S3Cutter;

typedef struct {
    int fd; /* lent */
    gint64 bytes, part_bytes;
    S3ChecksumKind kind;
    gboolean with_md5, last_with_md5; /* beside kind: of every part, of the last one */
    guint ahead;                      /* parts that are cut and not taken */
    void (*ready)(gpointer user);     /* on its thread: there is something to take */
    gpointer user;
} S3CutterOptions;

S3Cutter *s3_cutter_new(const S3CutterOptions *options);
/* Ends the thread. */
void s3_cutter_free(S3Cutter *cutter);
/* The next part; FALSE: not yet, or no more, or *error. */
gboolean s3_cutter_take(S3Cutter *cutter, S3Cut *cut, GError **error);
/* SHA-256 of the whole, once the last part was taken. Lent. */
const char *s3_cutter_whole_hex(const S3Cutter *cutter);

#endif
