#include "private.h"

/* RFC 7983 §7 by the first byte, RFC 5761 §4 by the second. */
StenoDatagramKind steno_datagram_classify(const guint8 *data, gsize bytes)
{
    if (bytes < 1)
        return STENO_DATAGRAM_STRAY;
    if (data[0] <= 3)
        return bytes >= 20 ? STENO_DATAGRAM_STUN : STENO_DATAGRAM_STRAY;
    if (data[0] >= 20 && data[0] <= 63)
        return bytes >= 13 ? STENO_DATAGRAM_DTLS : STENO_DATAGRAM_STRAY;
    if (data[0] < 128 || data[0] > 191 || bytes < 8)
        return STENO_DATAGRAM_STRAY;
    if (data[1] >= 192 && data[1] <= 223)
        return STENO_DATAGRAM_RTCP;
    return bytes >= 12 ? STENO_DATAGRAM_RTP : STENO_DATAGRAM_STRAY;
}
