/* The RTP header (RFC 3550 §5.1) and its extensions (RFC 8285). */
#include "rtp_internal.h"

#include <errno.h>

int rtp_header_parse(RtpHeader *header, const guint8 *data, gsize bytes)
{
    if (bytes < RTP_HEADER_BYTES || bytes > G_MAXUINT16 || data[0] >> 6 != 2)
        return -EBADMSG;
    gsize offset = RTP_HEADER_BYTES + 4 * (gsize)(data[0] & 0x0f);
    header->marker = data[1] >> 7;
    header->payload_type = data[1] & 0x7f;
    header->seq = rtp_read16(data + 2);
    header->timestamp = rtp_read32(data + 4);
    header->ssrc = rtp_read32(data + 8);
    header->extension = NULL;
    header->extension_bytes = 0;
    header->extension_profile = 0;
    if (data[0] & 0x10) {
        if (offset + 4 > bytes)
            return -EBADMSG;
        gsize words = rtp_read16(data + offset + 2);
        header->extension_profile = rtp_read16(data + offset);
        offset += 4;
        if (offset + 4 * words > bytes)
            return -EBADMSG;
        header->extension = data + offset;
        header->extension_bytes = (guint16)(4 * words);
        offset += 4 * words;
    }
    if (offset > bytes)
        return -EBADMSG;
    gsize padding = 0;
    if (data[0] & 0x20) {
        padding = offset < bytes ? data[bytes - 1] : 0;
        if (padding == 0 || padding > bytes - offset)
            return -EBADMSG;
    }
    header->payload_offset = (guint16)offset;
    header->payload_bytes = (guint16)(bytes - offset - padding);
    return 0;
}

static const guint8 *find_one_byte(const RtpHeader *header, guint8 id, guint *bytes)
{
    const guint8 *at = header->extension, *end = at + header->extension_bytes;
    while (at < end) {
        guint element = *at >> 4, length = (*at & 0x0f) + 1u;
        if (*at == 0) { /* padding */
            at++;
            continue;
        }
        /* §4.2: 15 and 0 with a length end the whole extension. */
        if (element == 15 || element == 0 || at + 1 + length > end)
            return NULL;
        if (element == id) {
            *bytes = length;
            return at + 1;
        }
        at += 1 + length;
    }
    return NULL;
}

static const guint8 *find_two_byte(const RtpHeader *header, guint8 id, guint *bytes)
{
    const guint8 *at = header->extension, *end = at + header->extension_bytes;
    while (at < end) {
        if (*at == 0) { /* padding */
            at++;
            continue;
        }
        if (at + 2 > end || at + 2 + at[1] > end)
            return NULL;
        if (*at == id) {
            *bytes = at[1];
            return at + 2;
        }
        at += 2 + at[1];
    }
    return NULL;
}

const guint8 *rtp_header_extension(const RtpHeader *header, guint8 id, guint *bytes)
{
    if (id == 0 || !header->extension)
        return NULL;
    if (header->extension_profile == 0xBEDE)
        return find_one_byte(header, id, bytes);
    if ((header->extension_profile & 0xfff0) == 0x1000)
        return find_two_byte(header, id, bytes);
    return NULL;
}
