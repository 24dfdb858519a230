#include "xml.h"

#include <string.h>

#define DEPTH_MAX 6
#define TEXT_MAX_BYTES (16 * 1024)
#define ENTRIES_MAX 10000

/* Where a member's text goes. */
typedef struct {
    const char *name;
    guint offset;
    gboolean is_number;
} Member;

/* What a document is: its root, its members, and the element (if any) that is there once an entry. */
typedef struct {
    const char *root;
    const Member *members;
    const char *entry;
    const Member *entry_members;
} Form;

typedef struct {
    const Form *form;
    gpointer whole; /* what the members belong to */
    GPtrArray *entries;
    S3XmlEntry *current;
    const Member *member; /* the one that is open */
    GString *text;
    guint depth;
    gboolean rooted;
} Reader;

/* ---- the reader -------------------------------------------------------------------------------------------------- */

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static void refuse(GError **error, const char *why)
{
    g_set_error_literal(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, why);
}

static const Member *find(const Member *members, const char *name)
{
    for (; members && members->name; members++)
        if (strcmp(members->name, name) == 0)
            return members;
    return NULL;
}

static S3XmlEntry *entry_new(void)
{
    S3XmlEntry *entry = g_new0(S3XmlEntry, 1);
    entry->number = entry->bytes = -1;
    return entry;
}

static void entry_free(gpointer data)
{
    S3XmlEntry *entry = data;
    g_free(entry->key);
    g_free(entry->upload_id);
    g_free(entry->etag);
    g_free(entry->time);
    g_free(entry->checksum);
    g_free(entry);
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values,
                     gpointer user, GError **error)
{
    (void)context, (void)names, (void)values;
    Reader *reader = user;
    const char *name = local_name(element);
    g_string_truncate(reader->text, 0);
    reader->member = NULL;
    reader->depth++;
    if (reader->depth > DEPTH_MAX)
        refuse(error, "too deep");
    else if (reader->depth == 1 && strcmp(name, reader->form->root) != 0)
        refuse(error, "another document");
    else if (reader->depth == 2 && reader->form->entry && strcmp(name, reader->form->entry) == 0)
        reader->current = entry_new();
    else if (reader->depth == 2)
        reader->member = find(reader->form->members, name);
    else if (reader->depth == 3 && reader->current)
        reader->member = find(reader->form->entry_members, name);
    reader->rooted = TRUE;
}

/* A member that is told twice is the first one. */
static void keep(const Reader *reader, GError **error)
{
    guint8 *owner = reader->depth == 3 ? (guint8 *)reader->current : reader->whole;
    if (reader->member->is_number) {
        guint64 number;
        g_autofree char *text = g_strstrip(g_strdup(reader->text->str));
        if (g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &number, error))
            *(gint64 *)(void *)(owner + reader->member->offset) = (gint64)number;
        return;
    }
    char **where = (char **)(void *)(owner + reader->member->offset);
    if (!*where)
        *where = g_strndup(reader->text->str, reader->text->len);
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer user, GError **error)
{
    (void)context, (void)element;
    Reader *reader = user;
    if (reader->member)
        keep(reader, error);
    if (reader->depth == 2 && reader->current) {
        if (reader->entries->len == ENTRIES_MAX)
            refuse(error, "too many entries");
        g_ptr_array_add(reader->entries, g_steal_pointer(&reader->current));
    }
    reader->member = NULL;
    reader->depth--;
}

static void on_text(GMarkupParseContext *context, const char *text, gsize bytes, gpointer user, GError **error)
{
    (void)context;
    Reader *reader = user;
    if (!reader->member)
        return;
    if (reader->text->len + bytes > TEXT_MAX_BYTES)
        refuse(error, "too long");
    else
        g_string_append_len(reader->text, text, (gssize)bytes);
}

/* Comments and declarations are nothing; a DOCTYPE could define entities. */
static void on_passthrough(GMarkupParseContext *context, const char *text, gsize bytes, gpointer user, GError **error)
{
    (void)context, (void)user;
    if (bytes >= 9 && g_ascii_strncasecmp(text, "<!DOCTYPE", 9) == 0)
        refuse(error, "a DOCTYPE");
}

static gboolean read_form(const Form *form, const char *xml, gsize bytes, gpointer whole, GPtrArray *entries)
{
    static const GMarkupParser parser = {on_start, on_end, on_text, on_passthrough, NULL};
    Reader reader = {.form = form, .whole = whole, .entries = entries, .text = g_string_new(NULL)};
    /* While an upload is put together, servers send white space to keep the connection alive. */
    while (bytes > 0 && g_ascii_isspace(*xml)) {
        xml++;
        bytes--;
    }
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &reader, NULL);
    gboolean read = bytes > 0 && bytes <= S3_XML_MAX_BYTES &&
                    g_markup_parse_context_parse(context, xml, (gssize)bytes, NULL) &&
                    g_markup_parse_context_end_parse(context, NULL) && reader.rooted;
    if (reader.current)
        entry_free(reader.current);
    g_string_free(reader.text, TRUE);
    return read;
}

/* ---- single answers ---------------------------------------------------------------------------------------------- */

gboolean s3_xml_read_error(const char *xml, gsize bytes, S3XmlError *error)
{
    static const Member members[] = {{"Code", offsetof(S3XmlError, code)},
                                     {"Message", offsetof(S3XmlError, message)},
                                     {"Region", offsetof(S3XmlError, region)},
                                     {"Header", offsetof(S3XmlError, header)},
                                     {NULL}};
    static const Form form = {"Error", members, NULL, NULL};
    if (read_form(&form, xml, bytes, error, NULL))
        return TRUE;
    s3_xml_error_clear(error);
    return FALSE;
}

void s3_xml_error_clear(S3XmlError *error)
{
    g_clear_pointer(&error->code, g_free);
    g_clear_pointer(&error->message, g_free);
    g_clear_pointer(&error->region, g_free);
    g_clear_pointer(&error->header, g_free);
}

char *s3_xml_read_upload_id(const char *xml, gsize bytes)
{
    static const Member members[] = {{"UploadId", 0}, {NULL}};
    static const Form form = {"InitiateMultipartUploadResult", members, NULL, NULL};
    char *id = NULL;
    if (!read_form(&form, xml, bytes, &id, NULL) || !id || !id[0])
        g_clear_pointer(&id, g_free);
    return id;
}

gboolean s3_xml_is_completed(const char *xml, gsize bytes)
{
    static const Form form = {"CompleteMultipartUploadResult", NULL, NULL, NULL};
    return read_form(&form, xml, bytes, NULL, NULL);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

typedef struct {
    char *truncated, *next, *next_upload;
} Head;

void s3_xml_page_free(S3XmlPage *page)
{
    if (!page)
        return;
    g_ptr_array_unref(page->entries);
    g_free(page->next);
    g_free(page->next_upload);
    g_free(page);
}

static S3XmlPage *read_page(const Form *form, const char *xml, gsize bytes)
{
    Head head = {0};
    g_autoptr(S3XmlPage) page = g_new0(S3XmlPage, 1);
    page->entries = g_ptr_array_new_with_free_func(entry_free);
    gboolean read = read_form(form, xml, bytes, &head, page->entries);
    page->truncated = head.truncated && strcmp(head.truncated, "true") == 0;
    page->next = head.next;
    page->next_upload = head.next_upload;
    g_free(head.truncated);
    if (!read || (page->truncated && !(page->next && page->next[0])))
        return NULL;
    return g_steal_pointer(&page);
}

S3XmlPage *s3_xml_read_objects(const char *xml, gsize bytes)
{
    static const Member members[] = {
        {"IsTruncated", offsetof(Head, truncated)}, {"NextContinuationToken", offsetof(Head, next)}, {NULL}};
    static const Member entry[] = {
        {"Key", offsetof(S3XmlEntry, key)}, {"Size", offsetof(S3XmlEntry, bytes), TRUE}, {NULL}};
    static const Form form = {"ListBucketResult", members, "Contents", entry};
    return read_page(&form, xml, bytes);
}

S3XmlPage *s3_xml_read_parts(const char *xml, gsize bytes)
{
    static const Member members[] = {
        {"IsTruncated", offsetof(Head, truncated)}, {"NextPartNumberMarker", offsetof(Head, next)}, {NULL}};
    static const Member entry[] = {{"PartNumber", offsetof(S3XmlEntry, number), TRUE},
                                   {"Size", offsetof(S3XmlEntry, bytes), TRUE},
                                   {"ETag", offsetof(S3XmlEntry, etag)},
                                   {"ChecksumSHA256", offsetof(S3XmlEntry, checksum)},
                                   {"ChecksumCRC32C", offsetof(S3XmlEntry, checksum)},
                                   {"ChecksumCRC64NVME", offsetof(S3XmlEntry, checksum)},
                                   {NULL}};
    static const Form form = {"ListPartsResult", members, "Part", entry};
    return read_page(&form, xml, bytes);
}

S3XmlPage *s3_xml_read_uploads(const char *xml, gsize bytes)
{
    static const Member members[] = {{"IsTruncated", offsetof(Head, truncated)},
                                     {"NextKeyMarker", offsetof(Head, next)},
                                     {"NextUploadIdMarker", offsetof(Head, next_upload)},
                                     {NULL}};
    static const Member entry[] = {{"Key", offsetof(S3XmlEntry, key)},
                                   {"UploadId", offsetof(S3XmlEntry, upload_id)},
                                   {"Initiated", offsetof(S3XmlEntry, time)},
                                   {NULL}};
    static const Form form = {"ListMultipartUploadsResult", members, "Upload", entry};
    return read_page(&form, xml, bytes);
}
