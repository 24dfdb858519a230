/* Inside of sdp: what the line reader and the attribute readers share. */
#ifndef STENO_CHANNEL_SDP_PRIVATE_H
#define STENO_CHANNEL_SDP_PRIVATE_H

#include "steno/sdp.h"

/* Ours when somebody's list is longer than any real one: what is beyond is not read. */
#define STENO_SDP_FINGERPRINTS_MAX 8

/* Where the reader is, for errors, and what the session says for all of its m-lines. */
typedef struct {
    StenoSdp *sdp;
    StenoSdpMedia *media;   /* the current m-line's; before the first one, `session` */
    StenoSdpMedia *session; /* attributes of the session level, inherited by each m-line */
    guint line;             /* from 1 */
    GError **error;
} StenoSdpReader;

/* SDP_INVALID "line N: <words>, at '<start of value>'", what does not print as \xNN. Returns FALSE, for `return`. */
gboolean steno_sdp_fail(const StenoSdpReader *reader, const char *value, const char *words);

/* One attribute ("a=" is off); value is NULL for a flag. FALSE with reader->error set when it matters and is wrong. */
gboolean steno_sdp_read_attribute(StenoSdpReader *reader, const char *name, const char *value);

/* A decimal number of at most 10 digits up to maximum; *end is behind it. FALSE when there is none or it is larger. */
gboolean steno_sdp_number(const char *text, guint32 maximum, guint32 *number, const char **end);

/* A token of RFC 8866 §9 (visible, no separators), bytes long. */
gboolean steno_sdp_is_token(const char *text, gsize bytes);

StenoSdpMedia *steno_sdp_media_new(void);
void steno_sdp_media_free(StenoSdpMedia *media);

#endif
