/* What the capture room's tests share: a folder of one's own, frames, reading everything back. */
#ifndef STENO_TESTS_CAPTURE_HELPERS_H
#define STENO_TESTS_CAPTURE_HELPERS_H

#include "steno/capture.h"

#define ZERO_US G_GINT64_CONSTANT(1795000000000000)

/* A fresh folder in the temporary one. */
char *helper_folder(void);
void helper_remove(const char *folder);

StenoCapture *helper_capture(const char *folder, guint part);

StenoFrame *helper_frame(StenoFramePool *pool, StenoFrameKind kind, StenoCodec codec, guint32 track, gint64 wall_us,
                         const void *payload, gsize bytes);
StenoFrame *helper_format(StenoFramePool *pool, StenoCodec codec, guint32 track, const void *payload, gsize bytes);
/* Pushes, and waits while the ring is full. */
void helper_push(StenoCapture *capture, StenoFrame *frame);

/* The whole of part-NNNN/events.jsonl as an array of objects; the caller owns it. */
json_t *helper_events(const char *folder, guint part);
/* Events of a type. */
guint helper_count_events(json_t *events, const char *type);

/* Frames of a track file, -1 when it cannot be opened. */
int helper_count_frames(const char *folder, guint part, guint track, guint segment);

#endif
