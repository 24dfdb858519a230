/*
 * SRTP: takes protection off and puts it on, with keys from DTLS or SDES. The only file that knows libsrtp2.
 */
#ifndef STENO_TRANSPORT_SRTP_H
#define STENO_TRANSPORT_SRTP_H

#include <glib.h>

/* The longest that protection adds to a packet: 16 bytes of tag, 4 of SRTCP index, and room for an MKI we do not use.
 */
#define STENO_SRTP_TRAILER_MAX 160

/* In the order in which we like them. */
typedef enum {
    STENO_SRTP_AEAD_AES_128_GCM, /* RFC 7714 */
    STENO_SRTP_AEAD_AES_256_GCM,
    STENO_SRTP_AES128_CM_SHA1_80, /* RFC 5764, RFC 3711 */
    STENO_SRTP_AES128_CM_SHA1_32, /* SDES only: a 32-bit tag is too short to offer it */
    STENO_SRTP_PROFILES
} StenoSrtpProfile;

typedef struct {
    const char *name;      /* for statistics */
    const char *sdes_name; /* RFC 4568 §6.2, RFC 7714 §14.2 */
    const char *dtls_name; /* OpenSSL's; NULL where DTLS may not use it */
    guint key_bytes, salt_bytes;
} StenoSrtpProfileInfo;

/* The row of a profile. */
const StenoSrtpProfileInfo *steno_srtp_profile_info(StenoSrtpProfile profile);
/* The profile of an SDES suite or of OpenSSL's name; FALSE when there is none. */
gboolean steno_srtp_profile_from_sdes(const char *name, StenoSrtpProfile *profile);
gboolean steno_srtp_profile_from_dtls(const char *name, StenoSrtpProfile *profile);

/* Initializes libsrtp, which takes 30–100 ms the first time. Any thread. FALSE when its self-tests fail. */
gboolean steno_srtp_load(void);

typedef struct StenoSrtp StenoSrtp;

/* Keys are master key ‖ master salt as long as the profile says, copied. WEAK_CRYPTO when libsrtp lacks the profile. */
StenoSrtp *steno_srtp_new(StenoSrtpProfile profile, const guint8 *inbound, const guint8 *outbound, GError **error);
void steno_srtp_free(StenoSrtp *srtp);

typedef enum { STENO_SRTP_OK, STENO_SRTP_REPLAY, STENO_SRTP_FAILURE } StenoSrtpResult;

/* In place. *bytes shrinks. */
StenoSrtpResult steno_srtp_unprotect(StenoSrtp *srtp, gboolean rtcp, guint8 *data, guint32 *bytes);
/* In place; there must be STENO_SRTP_TRAILER_MAX bytes of room behind. *bytes grows. */
gboolean steno_srtp_protect(StenoSrtp *srtp, gboolean rtcp, guint8 *data, guint32 *bytes);

#endif
