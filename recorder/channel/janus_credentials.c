#include "janus_credentials.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/log.h"
#include "steno/token.h"

#define VIDEOROOM "janus.plugin.videoroom"

typedef struct {
    StenoSecret *token;
    gint64 renew_mono_us; /* when it is to be minted anew */
} Minted;

struct JanusCredentials {
    const StenoJobSpec *job;
    Minted core, room;
};

JanusCredentials *janus_credentials_new(const StenoJobSpec *job)
{
    JanusCredentials *credentials = g_new0(JanusCredentials, 1);
    credentials->job = job;
    return credentials;
}

void janus_credentials_free(JanusCredentials *credentials)
{
    if (!credentials)
        return;
    g_clear_pointer(&credentials->core.token, steno_secret_unref);
    g_clear_pointer(&credentials->room.token, steno_secret_unref);
    g_free(credentials);
}

static const char *text_of(const StenoSecret *secret)
{
    return secret ? steno_secret_text(secret) : NULL;
}

static const char *mint(const StenoJobSpec *job, Minted *minted, const char *realm, const char *descriptor)
{
    gint64 now = steno_clock_mono_us();
    if (minted->token && now < minted->renew_mono_us)
        return steno_secret_text(minted->token);
    const char *descriptors[] = {descriptor, NULL};
    gint64 expires_s = steno_clock_wall_us() / G_USEC_PER_SEC + job->token_ttl_s;
    g_autoptr(GError) error = NULL;
    StenoSecret *token = steno_token_mint_janus(job->token_secret, realm, descriptors, expires_s, &error);
    if (token) {
        g_clear_pointer(&minted->token, steno_secret_unref);
        minted->token = token;
        minted->renew_mono_us = now + job->token_ttl_s * G_USEC_PER_SEC / 10 * 8;
    }
    return text_of(minted->token);
}

const char *janus_credentials_core(JanusCredentials *credentials)
{
    const StenoJobSpec *job = credentials->job;
    if (job->token)
        return steno_secret_text(job->token);
    return job->token_secret ? mint(job, &credentials->core, "janus", VIDEOROOM) : NULL;
}

const char *janus_credentials_room(JanusCredentials *credentials)
{
    const StenoJobSpec *job = credentials->job;
    if (job->room_token)
        return steno_secret_text(job->room_token);
    if (!job->token_secret)
        return NULL;
    g_autofree char *descriptor = g_strdup_printf("room=%s", job->channel);
    return mint(job, &credentials->room, VIDEOROOM, descriptor);
}

const char *janus_credentials_api_secret(const JanusCredentials *credentials)
{
    return text_of(credentials->job->api_secret);
}

const char *janus_credentials_pin(const JanusCredentials *credentials)
{
    return text_of(credentials->job->pin);
}

static gboolean check_one(const StenoSecret *token, const char *what, GError **error)
{
    gint64 expires_s = token ? steno_token_janus_expiry(steno_secret_text(token)) : -1;
    if (expires_s < 0 || steno_clock_wall_us() / G_USEC_PER_SEC <= expires_s)
        return TRUE;
    g_autofree char *when = steno_clock_format(expires_s * G_USEC_PER_SEC);
    g_set_error(error, STENO_ERROR, STENO_ERROR_TOKEN_EXPIRED,
                "%s expired at %s: get a new one, or pass --token-secret-file so that Steno mints and renews it", what,
                when);
    return FALSE;
}

gboolean janus_credentials_check(const JanusCredentials *credentials, GError **error)
{
    return check_one(credentials->job->token, "the Janus token", error) &&
           check_one(credentials->job->room_token, "the room's token", error);
}
