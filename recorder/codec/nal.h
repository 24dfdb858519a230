/*
 * What H.264 and H.265 share: NAL units into an access unit in Annex B, the parameter sets of a stream, and what is
 * known of an access unit whose slices cannot be read.
 *
 * The parameters of a FORMAT are the sets that the pictures use: the active SPS, all PPS that refer to it, and for
 * H.265 the VPS it names, in Annex B with 4-byte start codes.
 */
#ifndef STENO_CODEC_NAL_H
#define STENO_CODEC_NAL_H

#include "bits.h"
#include "depacketizer.h"

#define STENO_NAL_VPS_MAX 16
#define STENO_NAL_SPS_MAX 32
#define STENO_NAL_PPS_MAX 256
/* A longer parameter set is left out of FORMAT (it stays in band): with all scaling lists and VUI they are a tenth of
 * it. */
#define STENO_NAL_SET_MAX_BYTES 4096

typedef enum { STENO_NAL_VPS, STENO_NAL_SPS, STENO_NAL_PPS } StenoNalSetKind;

/* What is read from a set: its number and what it refers to. */
typedef struct {
    guint id;
    guint refers;          /* PPS: its SPS; SPS of H.265: its VPS */
    guint32 width, height; /* SPS, after cropping */
} StenoNalSetFacts;

typedef struct {
    GByteArray *bytes; /* the NAL unit; NULL: this one is not known */
    StenoNalSetFacts facts;
} StenoNalSet;

typedef struct {
    StenoNalSet vps[STENO_NAL_VPS_MAX], sps[STENO_NAL_SPS_MAX], pps[STENO_NAL_PPS_MAX];
    bool changed; /* since the annexb was made */
    int active;   /* SPS, or -1 */
    GByteArray *annexb;
} StenoNalSets;

void steno_nal_sets_init(StenoNalSets *sets);
void steno_nal_sets_clear(StenoNalSets *sets);
/* Keeps a set. Numbers beyond the tables are not kept. */
void steno_nal_sets_put(StenoNalSets *sets, StenoNalSetKind kind, const StenoNalSetFacts *facts, const guint8 *nal,
                        gsize bytes);
/*
 * The picture uses this PPS (-1: its header cannot be read, it may be encrypted: then as before, or the first known).
 * FALSE when its parameter sets are not known.
 */
bool steno_nal_sets_activate(StenoNalSets *sets, int pps);
/* Fills in size and parameters of the active sets. */
void steno_nal_sets_format(StenoNalSets *sets, StenoFormat *format);

/* Appends a start code and a NAL unit to the open frame, or the beginning of one. */
void steno_nal_append(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes);

/* Calls take for each NAL unit of a comma-separated list in base64 (sprop-parameter-sets, sprop-vps …). */
void steno_nal_sprop(void *state, const char *fmtp, const char *key,
                     void (*take)(void *state, const guint8 *nal, gsize bytes));

/*
 * Calls take for each NAL unit of a frame in Annex B; zeros behind a NAL unit are not of it. -EBADMSG when it does not
 * begin with a start code of three or four bytes, or has an empty NAL unit.
 */
int steno_nal_split(const guint8 *data, gsize bytes, void *state,
                    void (*take)(void *state, const guint8 *nal, gsize bytes));
/* Gives all start codes of a whole frame four bytes. FALSE, with the frame as it was, at a ceiling. */
bool steno_nal_lengthen_start_codes(StenoFrame *frame);

/* ---- the outline of an access unit ------------------------------------------------------------------------------- */

/*
 * Of an opaque stream NAL unit headers are read, and no more. Whether an access unit after a loss is whole shows by
 * how those of its kind begin, key frames and others, where nothing is lost: with a delimiter, with parameter sets,
 * with SEI, or at once with the slice. An access unit without its beginning would be refused as forged, since senders
 * authenticate that too.
 */
typedef enum {
    STENO_NAL_IS_OTHER,
    STENO_NAL_IS_HEAD, /* can only stand in front of slices: delimiter, SEI */
    STENO_NAL_IS_SET,  /* a parameter set: the same */
    STENO_NAL_IS_DELTA,
    STENO_NAL_IS_KEY,
} StenoNalClass;

typedef struct {
    bool has_sets; /* the stream sends parameter sets */
    /* What the last whole access units of others (0) and of key frames (1) began with: NAL unit types; 0: unknown. */
    guint8 beginnings[2];
    bool several; /* the last whole one had several slices in sight: a slice in front may be any of them */

    /* The open access unit. */
    bool begun, is_key;
    guint slices;
    guint8 first_type;
    StenoNalClass first_class;
} StenoNalOutline;

/* A NAL unit of the open access unit. */
void steno_nal_outline_add(StenoNalOutline *outline, guint8 type, StenoNalClass class);
/* The access unit ends; unsure: packets may be missing in front of it. */
StenoEnding steno_nal_outline_close(StenoNalOutline *outline, bool unsure);
void steno_nal_outline_forget(StenoNalOutline *outline);

#endif
