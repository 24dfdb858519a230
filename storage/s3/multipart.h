/*
 * A multipart upload on its way, between its three files: multipart.c begins it, or goes on with one that is
 * remembered; parts.c sends its parts; complete.c puts them together.
 */
#ifndef STENO_STORAGE_S3_MULTIPART_H
#define STENO_STORAGE_S3_MULTIPART_H

#include "upload.h"

/* What is not remembered anywhere is aborted within this time when it fails. */
#define S3_ABORT_WITHIN_US (5 * G_USEC_PER_SEC)

typedef enum { S3_PART_UNCUT, S3_PART_READY, S3_PART_SENDING, S3_PART_STORED } S3PartState;

typedef struct {
    S3PartState state;
    guint number;
    S3Cut cut;
    gint64 listed_bytes; /* as ListParts told them; -1: it did not */
    char *listed_etag, *listed_checksum;
    char *etag;
    S3Request *request;
    S3Tries tries;
    gint64 not_before_mono_us;
} S3Part;

typedef struct {
    S3Upload *upload;
    S3Memo memo;
    S3Part *parts;
    guint n_parts, n_cut, n_stored, first_open; /* parts before first_open are stored */
    S3Cutter *cutter;
    gboolean listed, remembered; /* remembered: by a memo that is written */
    gboolean etags_are_md5;      /* as far as parts were counted */
    guint at_a_time, in_a_row;   /* AIMD */
    gint64 slowed_mono_us;
} S3Multipart;

/* Sends every part that is not there yet. SOURCE_DAMAGED: the whole is not what it must be. */
S3Uploaded s3_multipart_send(S3Multipart *multipart, GError **error);
/* What will not be gone on with: nothing is remembered, or the file is not what it was. */
gboolean s3_multipart_is_for_nothing(const S3Multipart *multipart, S3Uploaded uploaded, const GError *error);
/* The parts become the object; upload->etag and ->checksum are what it must be told with. */
S3Uploaded s3_multipart_complete(S3Multipart *multipart, GError **error);

#endif
