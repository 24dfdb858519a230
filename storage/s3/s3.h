/*
 * One S3 storage, opened: what all of its threads share. The other headers of this folder tell the way of a call from
 * the sink's row (s3.c) down: put and objects → call (retries) → request (one signed exchange) → transfer (HTTP).
 */
#ifndef STENO_STORAGE_S3_S3_H
#define STENO_STORAGE_S3_S3_H

#include "checksum.h"
#include "credentials.h"
#include "transfer.h"

#include "steno/base/log.h"

/* Header that tells the SHA-256 of the whole file, in hex. */
#define S3_META_SHA256 "x-amz-meta-steno-sha256"

/* What a server turned out not to have, so that it is not asked for any more. */
typedef enum { S3_FEATURE_CHECKSUM = 1 << 0, S3_FEATURE_IF_NONE_MATCH = 1 << 1, S3_FEATURE_TAGS = 1 << 2 } S3Feature;

typedef struct {
    StenoStore *store; /* not referenced */
    const StenoConfigStorage *settings;
    StenoLog *log;
    char *scheme, *host; /* of `endpoint`, with a port that is not the scheme's; host NULL: Amazon's of the region */
    gboolean at_amazon, virtual_host;
    StenoSecret *customer_key; /* base64; SSE-C */
    char *customer_key_md5;
    S3Guard *guard;
    S3Credentials *credentials;

    GMutex lock; /* of what follows */
    char *region;
    gint64 clock_offset_us; /* what the server's clock is ahead of ours */
    guint lacking;          /* S3Feature */
    GPtrArray *idle;        /* of S3Session * */
} S3;

/* "https://HOST", "/" or "/BUCKET", and the host for that region. Caller frees. */
char *s3_host(const S3 *s3, const char *region);
/* For messages: "bucket B at https://HOST". Caller frees. */
char *s3_where(S3 *s3);

char *s3_region(S3 *s3);
void s3_learn_region(S3 *s3, const char *region);
gint64 s3_now_wall_us(S3 *s3);
void s3_learn_clock(S3 *s3, gint64 offset_us);
gboolean s3_lacks(S3 *s3, S3Feature feature);
/* FALSE when that was known. */
gboolean s3_learn_lack(S3 *s3, S3Feature feature);

S3Session *s3_take_session(S3 *s3);
void s3_give_session(S3 *s3, S3Session *session);

/* The checksum that requests with a body carry now. */
S3ChecksumKind s3_checksum_kind(S3 *s3);

#endif
