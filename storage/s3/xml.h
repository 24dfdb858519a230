/*
 * XML answers of S3, read strictly and with ceilings: what a server (or who sits in its place) sends is judged before
 * it is used. Namespaces are ignored; a DOCTYPE, too deep, too long or wrong XML is refused.
 */
#ifndef STENO_STORAGE_S3_XML_H
#define STENO_STORAGE_S3_XML_H

#include <glib.h>

/* The longest lawful answer: 1000 keys of 1024 bytes, each escaped, with what stands around them. */
#define S3_XML_MAX_BYTES (8 * 1024 * 1024)

/* <Error>; NULL where it says nothing. */
typedef struct {
    char *code, *message, *region, *header;
} S3XmlError;

/* FALSE when it is no <Error>. *error is cleared first by the caller; s3_xml_error_clear() frees what is in it. */
gboolean s3_xml_read_error(const char *xml, gsize bytes, S3XmlError *error);
void s3_xml_error_clear(S3XmlError *error);

/* <InitiateMultipartUploadResult>: the upload's id; NULL: there is none. Caller frees. */
char *s3_xml_read_upload_id(const char *xml, gsize bytes);
/* Is it a <CompleteMultipartUploadResult>? */
gboolean s3_xml_is_completed(const char *xml, gsize bytes);

/* An entry of a list; what it does not have is NULL or -1. */
typedef struct {
    char *key, *upload_id, *etag, *time, *checksum;
    gint64 number, bytes;
} S3XmlEntry;

/* A page of a list. truncated: there are more, from the markers on. */
typedef struct {
    GPtrArray *entries; /* of S3XmlEntry * */
    gboolean truncated;
    char *next;        /* continuation token, part number or key */
    char *next_upload; /* ListMultipartUploads: the upload's id */
} S3XmlPage;

/* NULL when it is no such list. A truncated page without a marker is none. */
S3XmlPage *s3_xml_read_objects(const char *xml, gsize bytes); /* ListObjectsV2: key, bytes */
S3XmlPage *s3_xml_read_parts(const char *xml, gsize bytes);   /* ListParts: number, bytes, etag, checksum */
S3XmlPage *s3_xml_read_uploads(const char *xml, gsize bytes); /* ListMultipartUploads: key, upload_id, time */
void s3_xml_page_free(S3XmlPage *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3XmlPage, s3_xml_page_free)

#endif
