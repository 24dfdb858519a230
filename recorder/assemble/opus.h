/*
 * opus: how long a packet is, and packets of silence (RFC 6716 §3).
 */
#ifndef STENO_ASSEMBLE_OPUS_H
#define STENO_ASSEMBLE_OPUS_H

#include <glib.h>

#define OPUS_HZ 48000
#define OPUS_PACKET_MAX_SAMPLES 5760 /* 120 ms */
#define OPUS_UNIT_SAMPLES 120        /* 2.5 ms: the shortest packet, and the grain of what silence can fill */
#define OPUS_SILENCE_BYTES 3
#define OPUS_HEAD_BYTES 19

/* Samples at 48 kHz of a packet, or 0 when it is not a lawful one. */
guint opus_packet_samples(const guint8 *data, gsize bytes);
gboolean opus_packet_is_stereo(const guint8 *data, gsize bytes);

/*
 * Writes the longest silent packet of at most max_samples (≥ OPUS_UNIT_SAMPLES): 20, 10, 5 or 2.5 ms of full-band CELT.
 * Returns its samples.
 */
guint opus_silence(guint8 out[OPUS_SILENCE_BYTES], guint64 max_samples, gboolean stereo);

/* The identification header (RFC 7845 §5.1), with no pre-skip: the timeline takes the encoder's delay off. */
void opus_head(guint8 out[OPUS_HEAD_BYTES], guint channels);

#endif
