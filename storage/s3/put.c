/* put(): look, send, prove. */
#include "upload.h"

#include "lock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often one put() begins again: each time something else was learned of the server. */
#define ROUNDS_MAX 8

/* ---- what the object is asked to be ------------------------------------------------------------------------------ */

static char *tags_of(const StenoConfigStorage *settings)
{
    g_autoptr(S3Pairs) tags = s3_pairs_new();
    for (guint i = 0; settings->tags[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(settings->tags[i], "=", 2);
        s3_pairs_add(tags, parts[0], parts[1] ? parts[1] : "");
    }
    return settings->tags[0] ? s3_encode_query(s3_pairs_list(tags)) : NULL;
}

void s3_upload_add_headers(const S3Upload *upload, S3Request *request)
{
    const StenoConfigStorage *settings = upload->s3->settings;
    g_autofree char *tags = s3_lacks(upload->s3, S3_FEATURE_TAGS) ? NULL : tags_of(settings);
    s3_pairs_add(request->headers, S3_META_SHA256, upload->put->sha256_hex);
    s3_pairs_add(request->headers, "x-amz-tagging", tags);
    s3_pairs_add(request->headers, "x-amz-storage-class", settings->storage_class);
    s3_encryption_add_headers(upload->s3, request);
    s3_lock_add_headers(upload->s3, request);
}

/* Also where it cannot be seen otherwise what would be overwritten. */
static gboolean wants_guard(const S3Upload *upload)
{
    return (upload->s3->settings->if_none_match || upload->unseen) && !upload->put->replace;
}

void s3_upload_add_guard(const S3Upload *upload, S3Request *request)
{
    if (wants_guard(upload) && !s3_lacks(upload->s3, S3_FEATURE_IF_NONE_MATCH))
        s3_pairs_add(request->headers, "if-none-match", "*");
}

char *s3_upload_settings(const S3Upload *upload)
{
    const StenoConfigStorage *settings = upload->s3->settings;
    g_autofree char *tags = s3_lacks(upload->s3, S3_FEATURE_TAGS) ? NULL : tags_of(settings);
    g_autofree char *all = g_strdup_printf("%d\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%d", upload->kind, settings->encryption,
                                           settings->kms_key_id ? settings->kms_key_id : "",
                                           upload->s3->customer_key_md5 ? upload->s3->customer_key_md5 : "",
                                           tags ? tags : "", settings->storage_class ? settings->storage_class : "",
                                           settings->lock_mode, (int)settings->lock_days, settings->lock_legal_hold);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, all, -1);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

gboolean s3_upload_check_source(const S3Upload *upload, const char *hex, GError **error)
{
    if (strcmp(hex, upload->put->sha256_hex) == 0)
        return TRUE;
    g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED,
                "%s has SHA-256 %s, but should have %s: it is not what it was", upload->put->source, hex,
                upload->put->sha256_hex);
    return FALSE;
}

void s3_upload_tell(S3Upload *upload, const GError *trouble)
{
    if (upload->put->progress)
        upload->put->progress(upload->put->user, upload->stored_bytes, trouble);
}

static void tell_trouble(gpointer user, const GError *trouble)
{
    s3_upload_tell(user, trouble);
}

/* Which of the headers that it may do without is it that the server does not have? Unlike locks and encryption. */
static gboolean learn_lack(S3Upload *upload, const S3Verdict *verdict)
{
    static const struct {
        S3Feature feature;
        const char *word, *setting;
    } features[] = {{S3_FEATURE_IF_NONE_MATCH, "none-match", "if_none_match"},
                    {S3_FEATURE_CHECKSUM, "checksum", "checksum"},
                    {S3_FEATURE_TAGS, "tagging", "tags"}};
    g_autofree char *said = g_strdup_printf("%s %s", verdict->xml.header ? verdict->xml.header : "",
                                            verdict->xml.message ? verdict->xml.message : "");
    g_autofree char *lower = g_ascii_strdown(said, -1);
    const gboolean used[] = {wants_guard(upload), upload->kind > S3_CHECKSUM_MD5,
                             upload->s3->settings->tags[0] != NULL};
    for (guint named = 2; named-- > 0;)
        for (guint i = 0; i < G_N_ELEMENTS(features); i++)
            if (used[i] && (!named || strstr(lower, features[i].word)) &&
                s3_learn_lack(upload->s3, features[i].feature)) {
                steno_warning(upload->s3->log, "this server does not have what `%s` asks for: going on without",
                              features[i].setting);
                return TRUE;
            }
    return FALSE;
}

S3Uploaded s3_upload_over(S3Upload *upload, const S3Verdict *verdict, const S3Request *request, GError **failed,
                          GError **error)
{
    gboolean afresh = FALSE;
    switch (verdict->action) {
    case S3_NO_UPLOAD:
        if (upload->memo_path)
            s3_memo_remove(upload->memo_path);
        afresh = TRUE;
        break;
    case S3_CONFLICT:
    case S3_EXISTS:
        s3_upload_forget(upload);
        afresh = !upload->unseen;
        if (upload->unseen) {
            g_clear_error(failed);
            *failed = g_error_copy(upload->unseen);
        }
        break;
    case S3_PARTS_WRONG:
        /* Asking what parts there are helps once. */
        if (upload->mismatched)
            s3_upload_forget(upload);
        upload->mismatched = afresh = TRUE;
        break;
    case S3_LACKING:
        afresh = learn_lack(upload, verdict);
        break;
    case S3_MISSING:
        /* A PUT finds no object missing: it is the bucket. */
        if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0)
            (*failed)->code = STENO_ERROR_STORAGE_DENIED;
        break;
    default:
        break;
    }
    if (afresh) {
        steno_debug(upload->s3->log, "%s", (*failed)->message);
        g_clear_error(failed);
        return S3_AFRESH;
    }
    g_propagate_error(error, g_steal_pointer(failed));
    return S3_UPLOAD_FAILED;
}

/* What was stored wrong would be taken for right the next time. */
static void take_away(S3Upload *upload)
{
    g_autoptr(GError) ignored = NULL;
    if (!s3_object_delete(&upload->call, upload->put->key, &ignored))
        steno_warning(upload->s3->log, "what was stored wrong is still there: %s", ignored->message);
}

/* ---- one small object -------------------------------------------------------------------------------------------- */

static S3Request *whole_request(const S3Upload *upload, const S3Cut *cut)
{
    S3Request *request = s3_request_new("store", "s3:PutObject", "PUT", upload->put->key);
    g_autofree char *checksum = s3_cut_checksum(cut);
    s3_request_set_file(request, upload->fd, 0, cut->bytes, cut->sha256_hex);
    s3_upload_add_headers(upload, request);
    s3_upload_add_guard(upload, request);
    if (checksum)
        s3_pairs_add(request->headers, s3_checksum_header(cut->kind), checksum);
    return request;
}

static void expect(S3Upload *upload, const S3Cut *cut)
{
    if (cut->kind > S3_CHECKSUM_MD5)
        upload->checksum = s3_cut_checksum(cut);
    upload->etag = s3_cut_md5_hex(cut);
}

S3Uploaded s3_upload_whole(S3Upload *upload, GError **error)
{
    S3Cut cut = {.bytes = upload->put->bytes, .kind = upload->kind};
    g_auto(S3Verdict) verdict = {0};
    g_autoptr(GError) failed = NULL;
    if (!s3_cut(upload->fd, &cut, upload->compares_etags, NULL, upload->call.cancellable, error) ||
        !s3_upload_check_source(upload, cut.sha256_hex, error))
        return S3_UPLOAD_FAILED;
    g_autoptr(S3Request) request = whole_request(upload, &cut);
    g_autoptr(S3Transfer) transfer = s3_call_run(&upload->call, request, FALSE, &verdict, &failed);
    if (!transfer && verdict.action == S3_READ_AGAIN) {
        char hex[sizeof cut.sha256_hex];
        g_strlcpy(hex, cut.sha256_hex, sizeof hex);
        if (s3_cut(upload->fd, &cut, FALSE, NULL, upload->call.cancellable, NULL) && strcmp(hex, cut.sha256_hex) != 0)
            failed->code = STENO_ERROR_SOURCE_DAMAGED;
    }
    if (!transfer)
        return s3_upload_over(upload, &verdict, request, &failed, error);
    if (!s3_encryption_check(upload->s3, transfer, upload->put->key, error)) {
        take_away(upload);
        return S3_UPLOAD_FAILED;
    }
    expect(upload, &cut);
    const char *etag = s3_transfer_header(transfer, "etag");
    /* A server whose ETag of what we have just sent is no MD5 does not have MD5s there. */
    if (upload->etag && !(etag && s3_upload_is_etag(etag, upload->etag)))
        g_clear_pointer(&upload->etag, g_free);
    return S3_UPLOADED;
}

/* ---- the proof --------------------------------------------------------------------------------------------------- */

static gboolean differs(const S3Upload *upload, const char *what, const char *theirs, const char *ours, GError **error)
{
    g_autofree char *where = s3_where(upload->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED,
                "%s was stored in %s, but its %s there is %s, and should be %s", upload->put->key, where, what,
                theirs ? theirs : "not told", ours);
    return FALSE;
}

gboolean s3_upload_is_etag(const char *theirs, const char *md5_hex)
{
    gsize bytes = strlen(md5_hex);
    if (theirs[0] == '"')
        return strncmp(theirs + 1, md5_hex, bytes) == 0 && strcmp(theirs + 1 + bytes, "\"") == 0;
    return strcmp(theirs, md5_hex) == 0;
}

static gboolean is_right(const S3Upload *upload, const S3Object *object, GError **error)
{
    if (object->bytes != upload->put->bytes) {
        g_autofree char *theirs = g_strdup_printf("%" G_GINT64_FORMAT, object->bytes);
        g_autofree char *ours = g_strdup_printf("%" G_GINT64_FORMAT, upload->put->bytes);
        return differs(upload, "size", theirs, ours, error);
    }
    if (g_strcmp0(object->sha256_hex, upload->put->sha256_hex) != 0)
        return differs(upload, S3_META_SHA256, object->sha256_hex, upload->put->sha256_hex, error);
    if (upload->checksum && object->checksum && strcmp(object->checksum, upload->checksum) != 0)
        return differs(upload, "checksum", object->checksum, upload->checksum, error);
    if (upload->etag && object->etag && !s3_upload_is_etag(object->etag, upload->etag))
        return differs(upload, "ETag", object->etag, upload->etag, error);
    return TRUE;
}

static gboolean prove(S3Upload *upload, GError **error)
{
    g_auto(S3Object) object = {0};
    g_autoptr(GError) failed = NULL;
    if (!s3_object_head(&upload->call, upload->put->key, upload->kind, FALSE, &object, &failed)) {
        if (g_error_matches(failed, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            failed->code = STENO_ERROR_STORAGE_FAILED; /* it said that it was stored */
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    if (is_right(upload, &object, error))
        return s3_lock_ensure(&upload->call, upload->put->key, &object, error);
    take_away(upload);
    return FALSE;
}

/* ---- put --------------------------------------------------------------------------------------------------------- */

/* FALSE with *found: it is there already, and right. FALSE without: an error. */
static gboolean look_before(S3Upload *upload, gboolean *found, GError **error)
{
    g_auto(S3Object) object = {0};
    g_autoptr(GError) failed = NULL;
    *found = FALSE;
    if (!s3_object_head(&upload->call, upload->put->key, S3_CHECKSUM_NONE, TRUE, &object, &failed)) {
        /* Who may not list is told AccessDenied of what is not there. */
        gboolean denied = g_error_matches(failed, STENO_ERROR, STENO_ERROR_STORAGE_DENIED);
        if (denied)
            upload->unseen = g_steal_pointer(&failed);
        if (denied || g_error_matches(failed, STENO_ERROR, STENO_ERROR_NOT_FOUND))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    if (object.bytes == upload->put->bytes && g_strcmp0(object.sha256_hex, upload->put->sha256_hex) == 0) {
        *found = s3_lock_ensure(&upload->call, upload->put->key, &object, error);
        return FALSE;
    }
    if (upload->put->replace)
        return TRUE;
    g_autofree char *where = s3_where(upload->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "%s in %s is there already, with other contents",
                upload->put->key, where);
    return FALSE;
}

static gboolean put_rounds(S3Upload *upload, GError **error)
{
    for (guint round = 0; round < ROUNDS_MAX; round++) {
        gboolean found;
        upload->stored_bytes = 0;
        upload->kind = s3_checksum_kind(upload->s3);
        upload->compares_etags = upload->kind <= S3_CHECKSUM_MD5 && strcmp(upload->s3->settings->checksum, "none") != 0;
        g_clear_pointer(&upload->etag, g_free);
        g_clear_pointer(&upload->checksum, g_free);
        g_clear_error(&upload->unseen);
        if (!look_before(upload, &found, error)) {
            if (found)
                s3_upload_forget(upload);
            return found;
        }
        S3Uploaded uploaded = upload->put->bytes <= upload->s3->settings->part_bytes ? s3_upload_whole(upload, error)
                                                                                     : s3_upload_parts(upload, error);
        if (uploaded == S3_UPLOADED)
            return prove(upload, error);
        if (uploaded == S3_UPLOAD_FAILED)
            return FALSE;
    }
    g_autofree char *where = s3_where(upload->s3);
    g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED,
                "cannot store %s in %s: it takes the upload's parts, and then does not have them", upload->put->key,
                where);
    return FALSE;
}

static gboolean open_source(S3Upload *upload, GError **error)
{
    struct stat status;
    const StenoPut *put = upload->put;
    upload->fd = open(put->source, O_RDONLY | O_CLOEXEC);
    if (upload->fd < 0 || fstat(upload->fd, &status) != 0) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_FAILED, "reading %s: %s", put->source, g_strerror(errno));
        return FALSE;
    }
    if (status.st_size != put->bytes) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_SOURCE_DAMAGED,
                    "%s has %" G_GINT64_FORMAT " bytes, but should have %" G_GINT64_FORMAT ": it is not what it was",
                    put->source, (gint64)status.st_size, put->bytes);
        return FALSE;
    }
    return TRUE;
}

gboolean s3_put(gpointer state, const StenoPut *put, GError **error)
{
    S3Upload upload = {.s3 = state, .put = put, .fd = -1};
    gboolean stored = open_source(&upload, error);
    if (stored) {
        g_autofree char *uri = steno_store_uri(upload.s3->store, put->key);
        g_autofree char *where = s3_where(upload.s3);
        g_autofree char *address = g_strdup_printf("%s\n%s", where, uri);
        upload.memo_path = put->memo_folder ? s3_memo_path(put->memo_folder, address) : NULL;
        s3_call_begin(&upload.call, upload.s3, put->cancellable);
        upload.call.trouble = tell_trouble;
        upload.call.user = &upload;
        stored = put_rounds(&upload, error);
        s3_call_end(&upload.call);
    }
    if (stored && upload.memo_path)
        s3_memo_remove(upload.memo_path);
    if (stored && put->progress)
        put->progress(put->user, put->bytes, NULL);
    if (upload.fd >= 0)
        close(upload.fd);
    g_free(upload.memo_path);
    g_clear_error(&upload.unseen);
    g_free(upload.etag);
    g_free(upload.checksum);
    return stored;
}
