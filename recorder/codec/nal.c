#include "nal.h"

#include <errno.h>
#include <string.h>

static const guint8 start_code[4] = {0, 0, 0, 1};

static void set_clear(StenoNalSet *set)
{
    if (set->bytes)
        g_byte_array_unref(set->bytes);
    set->bytes = NULL;
}

void steno_nal_sets_init(StenoNalSets *sets)
{
    sets->active = -1;
    sets->annexb = g_byte_array_new();
}

void steno_nal_sets_clear(StenoNalSets *sets)
{
    for (guint i = 0; i < STENO_NAL_VPS_MAX; i++)
        set_clear(&sets->vps[i]);
    for (guint i = 0; i < STENO_NAL_SPS_MAX; i++)
        set_clear(&sets->sps[i]);
    for (guint i = 0; i < STENO_NAL_PPS_MAX; i++)
        set_clear(&sets->pps[i]);
    g_byte_array_unref(sets->annexb);
}

void steno_nal_sets_put(StenoNalSets *sets, StenoNalSetKind kind, const StenoNalSetFacts *facts, const guint8 *nal,
                        gsize bytes)
{
    static const guint limits[] = {STENO_NAL_VPS_MAX, STENO_NAL_SPS_MAX, STENO_NAL_PPS_MAX};
    StenoNalSet *tables[] = {sets->vps, sets->sps, sets->pps};
    if (facts->id >= limits[kind] || bytes > STENO_NAL_SET_MAX_BYTES)
        return;
    StenoNalSet *set = &tables[kind][facts->id];
    if (set->bytes && set->bytes->len == bytes && memcmp(set->bytes->data, nal, bytes) == 0)
        return;
    if (!set->bytes)
        set->bytes = g_byte_array_new();
    g_byte_array_set_size(set->bytes, 0);
    g_byte_array_append(set->bytes, nal, bytes);
    set->facts = *facts;
    sets->changed = true;
}

/* The PPS, if it and its SPS are known. */
static const StenoNalSet *usable_pps(const StenoNalSets *sets, int pps)
{
    if (pps < 0 || pps >= STENO_NAL_PPS_MAX || !sets->pps[pps].bytes)
        return NULL;
    const guint sps = sets->pps[pps].facts.refers;
    return sps < STENO_NAL_SPS_MAX && sets->sps[sps].bytes ? &sets->pps[pps] : NULL;
}

bool steno_nal_sets_activate(StenoNalSets *sets, int pps)
{
    const StenoNalSet *set = usable_pps(sets, pps);
    if (!set && pps < 0 && sets->active >= 0)
        return true;
    for (int i = 0; !set && pps < 0 && i < STENO_NAL_PPS_MAX; i++)
        set = usable_pps(sets, i);
    if (!set)
        return false;
    if (sets->active != (int)set->facts.refers) {
        sets->active = (int)set->facts.refers;
        sets->changed = true;
    }
    return true;
}

static void annexb_append(StenoNalSets *sets, const StenoNalSet *set)
{
    if (!set->bytes)
        return;
    g_byte_array_append(sets->annexb, start_code, sizeof start_code);
    g_byte_array_append(sets->annexb, set->bytes->data, set->bytes->len);
}

void steno_nal_sets_format(StenoNalSets *sets, StenoFormat *format)
{
    if (sets->active < 0)
        return;
    const StenoNalSet *sps = &sets->sps[sets->active];
    if (sets->changed) {
        g_byte_array_set_size(sets->annexb, 0);
        if (sps->facts.refers < STENO_NAL_VPS_MAX)
            annexb_append(sets, &sets->vps[sps->facts.refers]);
        annexb_append(sets, sps);
        for (guint i = 0; i < STENO_NAL_PPS_MAX; i++) {
            if (sets->pps[i].facts.refers == (guint)sets->active)
                annexb_append(sets, &sets->pps[i]);
        }
        sets->changed = false;
    }
    format->width = MIN(sps->facts.width, G_MAXUINT16);
    format->height = MIN(sps->facts.height, G_MAXUINT16);
    format->parameters = sets->annexb->data;
    format->parameters_bytes = sets->annexb->len;
}

void steno_nal_append(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes)
{
    steno_depacketizer_append(depacketizer, start_code, sizeof start_code);
    steno_depacketizer_append(depacketizer, nal, bytes);
}

void steno_nal_sprop(void *state, const char *fmtp, const char *key,
                     void (*take)(void *state, const guint8 *nal, gsize bytes))
{
    g_autofree char *value = steno_fmtp_value(fmtp, key);
    if (!value)
        return;
    g_auto(GStrv) sets = g_strsplit(value, ",", STENO_NAL_PPS_MAX);
    for (char **set = sets; *set; set++) {
        gsize bytes = 0;
        g_autofree guint8 *nal = g_base64_decode(*set, &bytes);
        if (bytes > 0)
            take(state, nal, bytes);
    }
}

/* ---- Annex B (H.264 and H.265 §B) -------------------------------------------------------------------------------- */

/* The offset behind the next 00 00 01 at or after `from`, or 0 when there is none. */
static gsize next_start_code(const guint8 *data, gsize bytes, gsize from)
{
    gsize at = from + 2;
    while (at < bytes) {
        const guint8 *one = memchr(data + at, 1, bytes - at);
        if (!one)
            return 0;
        at = (gsize)(one - data) + 1;
        if (one[-1] == 0 && one[-2] == 0)
            return at;
        at += 1; /* the next 01 has at least one zero in front of it that is behind this one */
    }
    return 0;
}

int steno_nal_split(const guint8 *data, gsize bytes, void *state,
                    void (*take)(void *state, const guint8 *nal, gsize bytes))
{
    gsize begin = next_start_code(data, bytes, 0);
    if (begin == 0 || begin > sizeof start_code || (begin == sizeof start_code && data[0] != 0))
        return -EBADMSG;
    while (begin > 0) {
        const gsize next = next_start_code(data, bytes, begin);
        gsize end = next > 0 ? next - 3 : bytes;
        while (end > begin && data[end - 1] == 0)
            end--;
        if (end == begin)
            return -EBADMSG;
        take(state, data + begin, end - begin);
        begin = next;
    }
    return 0;
}

bool steno_nal_lengthen_start_codes(StenoFrame *frame)
{
    const gsize bytes = frame->payload_bytes;
    gsize missing = 0;
    for (gsize at = next_start_code(frame->payload, bytes, 0); at > 0; at = next_start_code(frame->payload, bytes, at))
        missing += at == 3 || frame->payload[at - 4] != 0;
    if (missing == 0)
        return true;
    if (bytes + missing > STENO_FRAME_MAX_BYTES || !steno_frame_reserve(frame, bytes + missing))
        return false;
    memmove(frame->payload + missing, frame->payload, bytes);
    const guint8 *from = frame->payload + missing;
    guint8 *to = frame->payload;
    for (gsize at = 0; at < bytes && to != from + at;) {
        const gsize next = next_start_code(from, bytes, at);
        const gsize end = next > 0 ? next : bytes;
        const bool is_short = next > 0 && (next == 3 || from[next - 4] != 0);
        if (is_short) {
            memmove(to, from + at, end - 3 - at);
            to += end - 3 - at;
            memcpy(to, start_code, sizeof start_code);
            to += sizeof start_code;
        } else {
            memmove(to, from + at, end - at);
            to += end - at;
        }
        at = end;
    }
    frame->payload_bytes = (guint32)(bytes + missing);
    return true;
}

/* ---- the outline of an access unit ------------------------------------------------------------------------------- */

void steno_nal_outline_add(StenoNalOutline *outline, guint8 type, StenoNalClass class)
{
    if (!outline->begun) {
        outline->begun = true;
        outline->first_type = type;
        outline->first_class = class;
    }
    outline->has_sets |= class == STENO_NAL_IS_SET;
    outline->slices += class >= STENO_NAL_IS_DELTA;
    outline->is_key |= class == STENO_NAL_IS_KEY;
}

/* Is nothing missing in front of the first NAL unit? */
static bool has_head(const StenoNalOutline *outline, bool unsure)
{
    const guint8 usual = outline->beginnings[outline->is_key];
    if (!unsure)
        return true;
    if (outline->several && outline->first_class >= STENO_NAL_IS_DELTA)
        return false;
    if (usual > 0)
        return outline->first_type == usual;
    /* At the start of a stream: what most senders do. A delta that is lost here was of no use without a key frame. */
    return outline->first_class == STENO_NAL_IS_HEAD || outline->first_class == STENO_NAL_IS_SET ||
           (outline->first_class == STENO_NAL_IS_KEY && !outline->has_sets);
}

StenoEnding steno_nal_outline_close(StenoNalOutline *outline, bool unsure)
{
    if (outline->slices == 0)
        return STENO_ENDING_NO_PICTURE;
    if (!has_head(outline, unsure))
        return STENO_ENDING_BEHEADED;
    outline->beginnings[outline->is_key] = outline->first_type;
    outline->several = outline->slices > 1;
    steno_nal_outline_forget(outline);
    return STENO_ENDING_WHOLE;
}

void steno_nal_outline_forget(StenoNalOutline *outline)
{
    outline->begun = outline->is_key = false;
    outline->slices = 0;
}
