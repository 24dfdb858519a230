#include "av1_header.h"

#include "bits.h"

enum { KEY_FRAME, INTER_FRAME, INTRA_ONLY_FRAME, SWITCH_FRAME };

#define SELECT 2 /* SELECT_SCREEN_CONTENT_TOOLS, SELECT_INTEGER_MV */
#define REFS_PER_FRAME 7

/* uvlc(), §4.10.3 */
static void skip_uvlc(StenoBits *bits)
{
    guint zeros = 0;
    while (!bits->failed && !steno_bits_flag(bits))
        zeros++;
    if (zeros < 32)
        steno_bits_skip(bits, zeros);
}

/* timing_info() and decoder_model_info(), §5.5.3, §5.5.4 */
static void read_timing(StenoBits *bits, StenoAv1Sequence *sequence)
{
    if (!steno_bits_flag(bits)) /* timing_info_present_flag */
        return;
    steno_bits_skip(bits, 64);
    sequence->equal_picture_interval = steno_bits_flag(bits);
    if (sequence->equal_picture_interval)
        skip_uvlc(bits);
    sequence->decoder_model = steno_bits_flag(bits);
    if (!sequence->decoder_model)
        return;
    sequence->delay_bits = steno_bits_read(bits, 5) + 1;
    steno_bits_skip(bits, 32);
    sequence->buffer_removal_bits = steno_bits_read(bits, 5) + 1;
    sequence->presentation_bits = steno_bits_read(bits, 5) + 1;
}

static void read_operating_points(StenoBits *bits, StenoAv1Sequence *sequence)
{
    const bool display_delay = steno_bits_flag(bits);
    sequence->n_operating_points = steno_bits_read(bits, 5) + 1;
    for (guint i = 0; i < sequence->n_operating_points; i++) {
        sequence->operating_point[i] = steno_bits_read(bits, 12);
        if (steno_bits_read(bits, 5) > 7)
            steno_bits_skip(bits, 1); /* seq_tier */
        if (sequence->decoder_model) {
            sequence->has_decoder_model[i] = steno_bits_flag(bits);
            if (sequence->has_decoder_model[i])
                steno_bits_skip(bits, 2 * sequence->delay_bits + 1);
        }
        if (display_delay && steno_bits_flag(bits))
            steno_bits_skip(bits, 4);
    }
}

static void read_tools(StenoBits *bits, StenoAv1Sequence *sequence)
{
    sequence->screen_content_tools = sequence->integer_mv = SELECT;
    if (sequence->reduced_still_picture)
        return;
    steno_bits_skip(bits, 4); /* interintra, masked compound, warped motion, dual filter */
    const bool order_hint = steno_bits_flag(bits);
    if (order_hint)
        steno_bits_skip(bits, 2); /* jnt_comp, ref_frame_mvs */
    if (!steno_bits_flag(bits))
        sequence->screen_content_tools = steno_bits_read(bits, 1);
    if (sequence->screen_content_tools > 0 && !steno_bits_flag(bits))
        sequence->integer_mv = steno_bits_read(bits, 1);
    if (order_hint)
        sequence->order_hint_bits = steno_bits_read(bits, 3) + 1;
}

bool steno_av1_sequence(const guint8 *data, gsize bytes, StenoAv1Sequence *sequence)
{
    StenoBits bits;
    steno_bits_init(&bits, data, bytes);
    *sequence = (StenoAv1Sequence){.n_operating_points = 1};
    steno_bits_skip(&bits, 3 + 1); /* seq_profile, still_picture */
    sequence->reduced_still_picture = steno_bits_flag(&bits);
    if (sequence->reduced_still_picture) {
        steno_bits_skip(&bits, 5); /* seq_level_idx */
    } else {
        read_timing(&bits, sequence);
        read_operating_points(&bits, sequence);
    }
    sequence->width_bits = steno_bits_read(&bits, 4) + 1;
    sequence->height_bits = steno_bits_read(&bits, 4) + 1;
    sequence->width = steno_bits_read(&bits, sequence->width_bits) + 1;
    sequence->height = steno_bits_read(&bits, sequence->height_bits) + 1;
    sequence->frame_ids = !sequence->reduced_still_picture && steno_bits_flag(&bits);
    if (sequence->frame_ids) {
        sequence->delta_frame_id_bits = steno_bits_read(&bits, 4) + 2;
        sequence->frame_id_bits = steno_bits_read(&bits, 3) + 1 + sequence->delta_frame_id_bits;
    }
    steno_bits_skip(&bits, 3); /* use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter */
    read_tools(&bits, sequence);
    sequence->superres = steno_bits_flag(&bits);
    return !bits.failed;
}

static StenoAv1Size read_size(StenoBits *bits, const StenoAv1Sequence *sequence, bool override)
{
    StenoAv1Size size = {sequence->width, sequence->height};
    if (override) {
        size.width = steno_bits_read(bits, sequence->width_bits) + 1;
        size.height = steno_bits_read(bits, sequence->height_bits) + 1;
    }
    return size;
}

/* The size of an inter frame: its own or that of one of its references. */
static StenoAv1Size read_inter_size(StenoBits *bits, const StenoAv1Sequence *sequence, bool override, bool resilient,
                                    const StenoAv1Size references[8])
{
    guint slots[REFS_PER_FRAME] = {0};
    const bool short_signaling = sequence->order_hint_bits > 0 && steno_bits_flag(bits);
    if (short_signaling)
        steno_bits_skip(bits, 6); /* last_frame_idx, gold_frame_idx */
    for (guint i = 0; i < REFS_PER_FRAME; i++) {
        if (!short_signaling)
            slots[i] = steno_bits_read(bits, 3);
        if (sequence->frame_ids)
            steno_bits_skip(bits, sequence->delta_frame_id_bits);
    }
    if (override && !resilient) {
        for (guint i = 0; i < REFS_PER_FRAME; i++) {
            if (!steno_bits_flag(bits)) /* found_ref */
                continue;
            /* Short signaling leaves it to order hints which references these are: unknown. */
            return short_signaling ? (StenoAv1Size){0, 0} : references[slots[i]];
        }
    }
    return read_size(bits, sequence, override);
}

static void skip_buffer_removal_times(StenoBits *bits, const StenoAv1Sequence *sequence, guint temporal_id,
                                      guint spatial_id)
{
    if (!sequence->decoder_model || !steno_bits_flag(bits))
        return;
    for (guint i = 0; i < sequence->n_operating_points; i++) {
        const guint point = sequence->operating_point[i];
        const bool inside = (point >> temporal_id & 1) && (point >> (spatial_id + 8) & 1);
        if (sequence->has_decoder_model[i] && (point == 0 || inside))
            steno_bits_skip(bits, sequence->buffer_removal_bits);
    }
}

/* frame_type, show_frame, error_resilient_mode: the head of uncompressed_header(), §5.9.2. */
static guint read_type(StenoBits *bits, const StenoAv1Sequence *sequence, bool *shown, bool *resilient)
{
    if (sequence->reduced_still_picture) {
        *shown = *resilient = true;
        return KEY_FRAME;
    }
    const guint type = steno_bits_read(bits, 2);
    *shown = steno_bits_flag(bits);
    if (!*shown)
        steno_bits_skip(bits, 1); /* showable_frame */
    else if (sequence->decoder_model && !sequence->equal_picture_interval)
        steno_bits_skip(bits, sequence->presentation_bits);
    *resilient = type == SWITCH_FRAME || (type == KEY_FRAME && *shown) || steno_bits_flag(bits);
    return type;
}

/* From disable_cdf_update to current_frame_id. */
static void skip_tools(StenoBits *bits, const StenoAv1Sequence *sequence)
{
    steno_bits_skip(bits, 1);
    const guint tools =
        sequence->screen_content_tools == SELECT ? steno_bits_read(bits, 1) : sequence->screen_content_tools;
    if (tools > 0 && sequence->integer_mv == SELECT)
        steno_bits_skip(bits, 1);
    if (sequence->frame_ids)
        steno_bits_skip(bits, sequence->frame_id_bits);
}

bool steno_av1_frame(const guint8 *data, gsize bytes, const StenoAv1Sequence *sequence, guint temporal_id,
                     guint spatial_id, StenoAv1Size references[8], StenoAv1Frame *frame)
{
    StenoBits bits;
    steno_bits_init(&bits, data, bytes);
    *frame = (StenoAv1Frame){.shown = true};
    if (!sequence->reduced_still_picture && steno_bits_flag(&bits)) { /* show_existing_frame */
        frame->size = references[steno_bits_read(&bits, 3)];
        return !bits.failed;
    }
    bool resilient;
    const guint type = read_type(&bits, sequence, &frame->shown, &resilient);
    const bool intra = type == KEY_FRAME || type == INTRA_ONLY_FRAME;
    frame->keyframe = type == KEY_FRAME && frame->shown;
    skip_tools(&bits, sequence);
    const bool override = type == SWITCH_FRAME || (!sequence->reduced_still_picture && steno_bits_flag(&bits));
    steno_bits_skip(&bits, sequence->order_hint_bits);
    if (!intra && !resilient)
        steno_bits_skip(&bits, 3); /* primary_ref_frame */
    skip_buffer_removal_times(&bits, sequence, temporal_id, spatial_id);
    const guint refresh = type == SWITCH_FRAME || frame->keyframe ? 0xff : steno_bits_read(&bits, 8);
    if ((!intra || refresh != 0xff) && resilient)
        steno_bits_skip(&bits, 8 * sequence->order_hint_bits); /* ref_order_hint */
    frame->size = intra ? read_size(&bits, sequence, override)
                        : read_inter_size(&bits, sequence, override, resilient, references);
    if (bits.failed)
        return false;
    for (guint i = 0; i < 8; i++) {
        if (refresh & (1u << i))
            references[i] = frame->size;
    }
    return true;
}
