/* The end of a multipart upload. */
#include "multipart.h"

#include <string.h>

/* ---- completing -------------------------------------------------------------------------------------------------- */

/* <CompleteMultipartUpload> */
static char *complete_body(const S3Multipart *multipart)
{
    S3ChecksumKind kind = multipart->upload->kind;
    GString *xml = g_string_new("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (guint i = 0; i < multipart->n_parts; i++) {
        const S3Part *part = &multipart->parts[i];
        g_autofree char *etag = g_markup_escape_text(part->etag, -1);
        g_string_append_printf(xml, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag>", part->number, etag);
        if (kind > S3_CHECKSUM_MD5) {
            g_autofree char *checksum = s3_cut_checksum(&part->cut);
            g_string_append_printf(xml, "<Checksum%s>%s</Checksum%s>", s3_checksum_algorithm(kind), checksum,
                                   s3_checksum_algorithm(kind));
        }
        g_string_append(xml, "</Part>");
    }
    g_string_append(xml, "</CompleteMultipartUpload>");
    return g_string_free(xml, FALSE);
}

/* The digest of the parts' digests, "-N" behind it; of CRC64NVME: of the whole. */
static char *checksum_of_all(const S3Multipart *multipart)
{
    guint8 digest[S3_CHECKSUM_MAX_BYTES] = {0};
    S3ChecksumKind kind = multipart->upload->kind;
    gsize bytes = s3_checksum_bytes(kind);
    if (kind == S3_CHECKSUM_CRC64NVME) {
        for (guint i = 0; i < multipart->n_parts; i++)
            s3_crc64nvme_combine(digest, multipart->parts[i].cut.checksum, (guint64)multipart->parts[i].cut.bytes);
        return g_base64_encode(digest, bytes);
    }
    S3Checksum *checksum = s3_checksum_begin(kind);
    for (guint i = 0; i < multipart->n_parts; i++)
        s3_checksum_add(checksum, multipart->parts[i].cut.checksum, bytes);
    s3_checksum_end(checksum, digest);
    g_autofree char *text = g_base64_encode(digest, bytes);
    return g_strdup_printf("%s-%u", text, multipart->n_parts);
}

/* 32 digits of hex, with or without quotes. */
static gboolean read_md5(const char *etag, guint8 md5[16])
{
    const char *digits = etag[0] == '"' ? etag + 1 : etag;
    for (guint i = 0; i < 16; i++) {
        gint high = g_ascii_xdigit_value(digits[2 * i]);
        gint low = high < 0 ? -1 : g_ascii_xdigit_value(digits[2 * i + 1]);
        if (low < 0)
            return FALSE;
        md5[i] = (guint8)(high << 4 | low);
    }
    return strcmp(digits + 32, etag[0] == '"' ? "\"" : "") == 0;
}

/*
 * The MD5 of the parts' MD5s, which are taken from their ETags: that the object is made of these parts, in this order.
 * What is in them the server has compared with the signed SHA-256; that its ETags are MD5s, one part at least has
 * shown.
 */
static char *etag_of_all(const S3Multipart *multipart)
{
    S3Cut all = {.has_md5 = TRUE};
    S3Checksum *md5 = multipart->etags_are_md5 && multipart->parts[multipart->n_parts - 1].cut.has_md5
                          ? s3_checksum_begin(S3_CHECKSUM_MD5)
                          : NULL;
    if (!md5)
        return NULL;
    for (guint i = 0; i < multipart->n_parts; i++) {
        guint8 part[16];
        if (!read_md5(multipart->parts[i].etag, part)) {
            s3_checksum_free(md5);
            return NULL;
        }
        s3_checksum_add(md5, part, sizeof part);
    }
    guint8 digest[S3_CHECKSUM_MAX_BYTES];
    s3_checksum_end(md5, digest);
    memcpy(all.md5, digest, sizeof all.md5);
    g_autofree char *hex = s3_cut_md5_hex(&all);
    return g_strdup_printf("%s-%u", hex, multipart->n_parts);
}

S3Uploaded s3_multipart_complete(S3Multipart *multipart, GError **error)
{
    S3Upload *upload = multipart->upload;
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    if (upload->kind > S3_CHECKSUM_MD5)
        upload->checksum = checksum_of_all(multipart);
    upload->etag = etag_of_all(multipart);
    g_autoptr(S3Request) request = s3_request_new("complete", "s3:PutObject", "POST", upload->put->key);
    s3_pairs_add(request->query, "uploadId", multipart->memo.upload_id);
    s3_request_set_body(request, complete_body(multipart));
    s3_upload_add_guard(upload, request);
    if (upload->kind == S3_CHECKSUM_CRC64NVME) {
        s3_pairs_add(request->headers, s3_checksum_header(upload->kind), upload->checksum);
        s3_pairs_add(request->headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    request->slow = TRUE;
    g_autoptr(S3Transfer) transfer = s3_call_run(&upload->call, request, FALSE, &verdict, &failed);
    if (!transfer)
        return s3_upload_over(upload, &verdict, request, &failed, error);
    /* A 200 that says nothing: the proof tells. */
    if (!s3_xml_is_completed((const char *)transfer->body->data, transfer->body->len))
        steno_debug(upload->s3->log, "completing %s was answered without a result", upload->put->key);
    return S3_UPLOADED;
}
