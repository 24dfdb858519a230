/* The RTP packets of a clip, made by tests/lib/packetize.c or by libavformat's muxer. */
#ifndef STENO_TESTS_CODEC_PACKETS_H
#define STENO_TESTS_CODEC_PACKETS_H

#include "clip.h"
#include "harness.h"
#include "lib/packetize.h"

/* GBytes, whole packets with a header of 12 bytes, the sequence number of which wraps. max_payload is of video: frames
 * of sound are packets. */
GPtrArray *packets_by_us(const Clip *clip, gsize max_payload);
/* NULL: this libavformat cannot. */
GPtrArray *packets_by_libavformat(const Clip *clip);
/* A packet's timestamp. */
guint32 packets_ts(const guint8 *packet);
/* Pushes all, with their timestamps, and flushes. */
void packets_push(Harness *harness, const GPtrArray *packets);

#endif
