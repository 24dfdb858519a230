#include "srtp.h"

#include "steno/base/error.h"
#include "steno/transport.h"

#include <srtp2/srtp.h>
#include <string.h>

G_STATIC_ASSERT(STENO_SRTP_TRAILER_MAX >= SRTP_MAX_TRAILER_LEN + 4);

struct StenoSrtp {
    srtp_t inbound, outbound;
};

static const StenoSrtpProfileInfo profiles[STENO_SRTP_PROFILES] = {
    [STENO_SRTP_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", "AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM", 16, 12},
    [STENO_SRTP_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", "AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM", 32, 12},
    [STENO_SRTP_AES128_CM_SHA1_80] = {"AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80", 16, 14},
    [STENO_SRTP_AES128_CM_SHA1_32] = {"AES128_CM_SHA1_32", "AES_CM_128_HMAC_SHA1_32", NULL, 16, 14},
};

const StenoSrtpProfileInfo *steno_srtp_profile_info(StenoSrtpProfile profile)
{
    return &profiles[profile];
}

gboolean steno_srtp_profile_from_sdes(const char *name, StenoSrtpProfile *profile)
{
    for (guint i = 0; name && i < STENO_SRTP_PROFILES; i++) {
        if (g_ascii_strcasecmp(name, profiles[i].sdes_name) == 0) {
            *profile = (StenoSrtpProfile)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean steno_srtp_profile_from_dtls(const char *name, StenoSrtpProfile *profile)
{
    for (guint i = 0; name && i < STENO_SRTP_PROFILES; i++) {
        if (g_strcmp0(name, profiles[i].dtls_name) == 0) {
            *profile = (StenoSrtpProfile)i;
            return TRUE;
        }
    }
    return FALSE;
}

static void set_policy(StenoSrtpProfile profile, srtp_policy_t *policy)
{
    switch (profile) {
    case STENO_SRTP_AEAD_AES_128_GCM:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
        break;
    case STENO_SRTP_AEAD_AES_256_GCM:
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtcp);
        break;
    case STENO_SRTP_AES128_CM_SHA1_32:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtcp);
        break;
    case STENO_SRTP_AES128_CM_SHA1_80:
    case STENO_SRTP_PROFILES:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtcp);
        break;
    }
}

static gboolean create(srtp_t *session, StenoSrtpProfile profile, srtp_ssrc_type_t direction, const guint8 *key)
{
    srtp_policy_t policy;
    guint8 copy[SRTP_MAX_KEY_LEN] = {0}; /* libsrtp wants it writable, and may read up to its own longest key */

    memcpy(copy, key, profiles[profile].key_bytes + profiles[profile].salt_bytes);
    memset(&policy, 0, sizeof policy);
    set_policy(profile, &policy);
    policy.ssrc.type = direction;
    policy.key = copy;
    policy.window_size = STENO_TRANSPORT_REPLAY_WINDOW;
    policy.allow_repeat_tx = direction == ssrc_any_outbound; /* a plain resend, for a NACK, is the same packet again */
    gboolean ok = srtp_create(session, &policy) == srtp_err_status_ok;
    steno_secret_wipe(copy, sizeof copy);
    return ok;
}

gboolean steno_srtp_load(void)
{
    static gsize loaded; /* libsrtp is process-wide itself */

    if (g_once_init_enter(&loaded))
        g_once_init_leave(&loaded, srtp_init() == srtp_err_status_ok ? 1 : 2);
    return loaded == 1;
}

StenoSrtp *steno_srtp_new(StenoSrtpProfile profile, const guint8 *inbound, const guint8 *outbound, GError **error)
{
    gboolean loaded = steno_srtp_load();
    StenoSrtp *srtp = g_new0(StenoSrtp, 1);
    if (loaded && create(&srtp->inbound, profile, ssrc_any_inbound, inbound) &&
        create(&srtp->outbound, profile, ssrc_any_outbound, outbound))
        return srtp;
    g_set_error(error, STENO_ERROR, STENO_ERROR_WEAK_CRYPTO,
                "setting up SRTP: this machine's libsrtp refuses %s; install one built with OpenSSL or NSS",
                profiles[profile].name);
    steno_srtp_free(srtp);
    return NULL;
}

void steno_srtp_free(StenoSrtp *srtp)
{
    if (!srtp)
        return;
    if (srtp->inbound)
        srtp_dealloc(srtp->inbound);
    if (srtp->outbound)
        srtp_dealloc(srtp->outbound);
    g_free(srtp);
}

StenoSrtpResult steno_srtp_unprotect(StenoSrtp *srtp, gboolean rtcp, guint8 *data, guint32 *bytes)
{
    int length = (int)*bytes;
    srtp_err_status_t status =
        rtcp ? srtp_unprotect_rtcp(srtp->inbound, data, &length) : srtp_unprotect(srtp->inbound, data, &length);

    if (status == srtp_err_status_ok) {
        *bytes = (guint32)length;
        return STENO_SRTP_OK;
    }
    return status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old ? STENO_SRTP_REPLAY
                                                                                         : STENO_SRTP_FAILURE;
}

gboolean steno_srtp_protect(StenoSrtp *srtp, gboolean rtcp, guint8 *data, guint32 *bytes)
{
    int length = (int)*bytes;
    srtp_err_status_t status =
        rtcp ? srtp_protect_rtcp(srtp->outbound, data, &length) : srtp_protect(srtp->outbound, data, &length);

    if (status != srtp_err_status_ok)
        return FALSE;
    *bytes = (guint32)length;
    return TRUE;
}
