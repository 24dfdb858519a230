/* What an S3 server (or who sits in its place) may send: XML of every kind, and errors with their status. */
#include "s3/answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_all(const char *xml, gsize bytes)
{
    g_autofree char *id = s3_xml_read_upload_id(xml, bytes);
    if (id && !id[0])
        abort();
    (void)s3_xml_is_completed(xml, bytes);
    S3XmlPage *(*const readers[])(const char *, gsize) = {s3_xml_read_objects, s3_xml_read_parts, s3_xml_read_uploads};
    for (guint i = 0; i < G_N_ELEMENTS(readers); i++) {
        g_autoptr(S3XmlPage) page = readers[i](xml, bytes);
        if (!page)
            continue;
        if (page->truncated && !(page->next && page->next[0]))
            abort();
        for (guint j = 0; j < page->entries->len; j++) {
            const S3XmlEntry *entry = g_ptr_array_index(page->entries, j);
            if (entry->bytes < -1 || entry->number < -1 || (entry->key && !g_utf8_validate(entry->key, -1, NULL)))
                abort();
        }
    }
}

/* The first two bytes are the status; a line of headers may follow, as "region\n". */
static void judge(const uint8_t *data, size_t bytes)
{
    S3Transfer transfer = {.outcome = S3_SENT, .status = 100u + (data[0] | (unsigned)data[1] << 8) % 500u};
    transfer.headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    transfer.body = g_byte_array_new();
    const uint8_t *line = memchr(data + 2, '\n', bytes - 2);
    if (line)
        g_hash_table_insert(transfer.headers, g_strdup("x-amz-bucket-region"),
                            g_strndup((const char *)data + 2, (gsize)(line - data - 2)));
    const uint8_t *body = line ? line + 1 : data + 2;
    g_byte_array_append(transfer.body, body, (guint)(data + bytes - body));
    g_auto(S3Verdict) verdict = {0};
    s3_judge(&transfer, &verdict);
    if (verdict.action == S3_ACCEPT && (transfer.status < 200 || transfer.status >= 300))
        abort();
    if (verdict.action != S3_ACCEPT && verdict.error != STENO_ERROR_NOT_FOUND &&
        verdict.error != STENO_ERROR_STORAGE_DENIED && verdict.error != STENO_ERROR_STORAGE_FULL &&
        verdict.error != STENO_ERROR_STORAGE_FAILED && verdict.error != STENO_ERROR_STORAGE_UNREACHABLE)
        abort();
    g_hash_table_unref(transfer.headers);
    g_byte_array_unref(transfer.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    read_all((const char *)data, bytes);
    if (bytes >= 2)
        judge(data, bytes);
    return 0;
}
