/*
 * stream: what a file says about each of its streams before the first packet.
 */
#ifndef STENO_ASSEMBLE_STREAM_H
#define STENO_ASSEMBLE_STREAM_H

#include "feed.h"

#include <libavformat/avformat.h>

/* Fills in the stream for what is copied (not AAC). CAPTURE_DAMAGED when the codec's parameters are nowhere to be
 * found. */
gboolean stream_describe(Model *model, const PlanOutput *output, const PlanStream *plan, AVStream *stream,
                         GError **error);

#endif
