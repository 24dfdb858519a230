/* What the settings of a storage need of each other. */
#include "check.h"
#include "forms.h"

#include <string.h>

static gboolean has(char *const *list, const char *word)
{
    return g_strv_contains((const char *const *)list, word);
}

static void note(ConfigLoad *load, const StenoConfigStorage *storage, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void note(ConfigLoad *load, const StenoConfigStorage *storage, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(load->config->notes, g_strdup_printf("storage '%s' %s", storage->name, words));
}

static void check_urls(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigStorage *storage = thing->object;
    const char *wrong = storage->endpoint ? config_server_url_check(storage->endpoint, storage->allow_http) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, endpoint, "%s", wrong);
    wrong = storage->sts_endpoint ? config_url_check(storage->sts_endpoint, storage->allow_http, FALSE) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, sts_endpoint, "%s", wrong);
    wrong = storage->container_endpoint ? config_url_check(storage->container_endpoint, TRUE, TRUE) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, container_endpoint, "%s", wrong);
    wrong = storage->imds_endpoint ? config_server_url_check(storage->imds_endpoint, TRUE) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, imds_endpoint, "%s", wrong);
    wrong = storage->proxy ? config_server_url_check(storage->proxy, TRUE) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, proxy, "%s", wrong);
}

static void check_credentials(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigStorage *storage = thing->object;
    if (has(storage->credentials, "file") && !storage->access_key_file)
        FAULT(load, thing, STORAGE, credentials, "has \"file\", but access_key_file is not given");
    if (storage->access_key_file && storage->credentials[0] && !has(storage->credentials, "file"))
        note(load, storage, "has an access_key_file, but no \"file\" in its credentials: it is not read");
    if (has(storage->credentials, "web-identity") && (!storage->role_arn || !storage->web_identity_token_file))
        FAULT(load, thing, STORAGE, credentials,
              "has \"web-identity\", but role_arn and web_identity_token_file are not both given");
    if (storage->client_certificate_file && !storage->client_key_file)
        FAULT(load, thing, STORAGE, client_certificate_file, "is given without client_key_file, but must be with it");
    if (storage->client_key_file && !storage->client_certificate_file)
        FAULT(load, thing, STORAGE, client_key_file, "is given without client_certificate_file, but must be with it");
}

/* Whoever gives a key means that it is used: not to encrypt would be worse than to stop. */
static void check_protection(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigStorage *storage = thing->object;
    gboolean is_customer = strcmp(storage->encryption, "customer") == 0;
    gboolean is_locked = strcmp(storage->lock_mode, "none") != 0;
    if (is_customer && !storage->customer_key_file)
        FAULT(load, thing, STORAGE, encryption, "is \"customer\", but customer_key_file is not given");
    if (!is_customer && storage->customer_key_file)
        FAULT(load, thing, STORAGE, customer_key_file, "is given, but encryption is \"%s\", not \"customer\"",
              storage->encryption);
    if (storage->kms_key_id && strcmp(storage->encryption, "kms") != 0)
        FAULT(load, thing, STORAGE, kms_key_id, "is given, but encryption is \"%s\", not \"kms\"", storage->encryption);
    if (is_customer && storage->endpoint && g_str_has_prefix(storage->endpoint, "http:"))
        note(load, storage, "sends its customer key without TLS");
    if (is_locked && storage->lock_days == 0)
        FAULT(load, thing, STORAGE, lock_mode, "is \"%s\", but lock_days is not given", storage->lock_mode);
    if (!is_locked && storage->lock_days != 0)
        FAULT(load, thing, STORAGE, lock_days, "is given, but lock_mode is \"none\"");
    if (storage->allow_regions[0] && storage->region && !has(storage->allow_regions, storage->region))
        FAULT(load, thing, STORAGE, allow_regions, "does not have the region itself, '%s'", storage->region);
}

void config_check_storage(ConfigLoad *load, const ConfigThing *thing)
{
    const StenoConfigStorage *storage = thing->object;
    gboolean is_s3 = strcmp(storage->type, "s3") == 0;
    const char *wrong = storage->key ? config_template_check(storage->key) : NULL;
    if (wrong)
        FAULT(load, thing, STORAGE, key, "%s, but must be as in '{app}/{channel}/{date}/{recording}/{file}'", wrong);
    if (!is_s3 && !storage->root)
        FAULT(load, thing, STORAGE, root, "is missing, but must be given (type \"local\"): the folder");
    if (is_s3 && !storage->bucket)
        FAULT(load, thing, STORAGE, bucket, "is missing, but must be given (type \"s3\")");
    if (storage->name)
        config_note_other_types(load, thing);
    check_urls(load, thing);
    if (is_s3) {
        check_credentials(load, thing);
        check_protection(load, thing);
    }
}
