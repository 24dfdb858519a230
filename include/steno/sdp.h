/*
 * sdp: session descriptions (RFC 8866, 8829, 8839, 8842, 4568, 4566 style files) read into structs, and answers
 * written.
 *
 * The reader takes bytes from strangers: everything is bounded, nothing is guessed, and what it does not know it skips.
 */
#ifndef STENO_SDP_H
#define STENO_SDP_H

#include "steno/frame.h"
#include "steno/transport.h"

#define STENO_SDP_MAX_BYTES (256 * 1024) /* 256 m-lines of 1 kB */
#define STENO_SDP_MEDIA_MAX 256
#define STENO_SDP_FORMATS_MAX 64 /* payload types of one m-line; Chromium offers 40 */

typedef enum { STENO_SDP_SENDRECV, STENO_SDP_SENDONLY, STENO_SDP_RECVONLY, STENO_SDP_INACTIVE } StenoSdpDirection;

typedef struct {
    guint8 payload_type;
    char *name;       /* encoding name as written, NULL when there is no rtpmap and it is not a static type */
    StenoCodec codec; /* UNKNOWN for what we do not record */
    guint32 clock_hz;
    guint8 channels;                             /* 0: not said */
    char *fmtp;                                  /* NULL: none */
    gint16 rtx_of;                               /* apt of an rtx format, else -1 */
    gboolean nack, pli, fir, remb, transport_cc; /* a=rtcp-fb for it, or for "*" */
} StenoSdpFormat;

typedef struct {
    char *kind; /* "audio", "video", "application" … as written */
    guint16 port;
    char *protocol; /* "UDP/TLS/RTP/SAVPF", "RTP/AVP" … */
    char *mid;      /* NULL: none */
    StenoSdpDirection direction;
    char *address;     /* c= of the m-line or of the session, NULL: none; without TTL */
    guint16 rtcp_port; /* a=rtcp; 0: not said */
    gboolean rtcp_mux, rtcp_rsize;
    gboolean bundle_only;           /* port 0, but not rejected (RFC 9143 §6) */
    GPtrArray *formats;             /* StenoSdpFormat * */
    guint32 ssrc, rtx_ssrc;         /* first a=ssrc, and its partner by ssrc-group:FID; 0: none */
    char *msid_stream, *msid_track; /* a=msid, or of a=ssrc …msid:; NULL: none */
    guint8 mid_extension, transport_cc_extension, abs_send_time_extension; /* a=extmap ids, 0: none */
    char *ufrag, *password;                                                /* own or inherited from the session */
    GPtrArray *fingerprints; /* char *, NULL-terminated in pdata; own or inherited */
    StenoDtlsSetup setup;
    gboolean has_setup;
    GPtrArray *candidates; /* char *, NULL-terminated in pdata, "candidate:…" */
    gboolean end_of_candidates;
    gboolean sdes_offered;              /* there is an a=crypto line, usable or not: the media is protected */
    char *sdes_suite, *sdes_key_base64; /* first usable a=crypto, NULL: none; wiped when freed */
    char *source_filter;                /* the source address of a=source-filter: incl, NULL: none */
    char *label;                        /* a=label or i=, NULL: none */
} StenoSdpMedia;

typedef struct {
    char *session_name; /* s= */
    GPtrArray *media;   /* StenoSdpMedia * */
    char *bundle;       /* mids of a=group:BUNDLE, space-separated; NULL: none */
    gboolean ice_lite;
} StenoSdp;

/* SDP_INVALID with the line number, what stands there, and what was expected. */
StenoSdp *steno_sdp_parse(const char *text, gsize bytes, GError **error);
void steno_sdp_free(StenoSdp *sdp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoSdp, steno_sdp_free)

/* The format of a payload type, or NULL. */
const StenoSdpFormat *steno_sdp_format(const StenoSdpMedia *media, guint8 payload_type);

/*
 * A receive-only answer to a WebRTC offer: every m-line with a format we record is recvonly with those formats and
 * their rtx, everything else is rejected (port 0) or, when it is the bundle's tag, inactive; our ICE, DTLS and
 * feedback. Caller frees.
 */
char *steno_sdp_answer(const StenoSdp *offer, const StenoTransportLocal *local);

#endif
