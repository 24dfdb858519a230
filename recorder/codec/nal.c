#include "nal.h"

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

void steno_nal_sprop(StenoDepacketizer *depacketizer, const char *key,
                     void (*take)(StenoDepacketizer *depacketizer, const guint8 *nal, gsize bytes))
{
    g_autofree char *value = steno_fmtp_value(depacketizer->config.fmtp, key);
    if (!value)
        return;
    g_auto(GStrv) sets = g_strsplit(value, ",", STENO_NAL_PPS_MAX);
    for (char **set = sets; *set; set++) {
        gsize bytes = 0;
        g_autofree guint8 *nal = g_base64_decode(*set, &bytes);
        if (bytes > 0)
            take(depacketizer, nal, bytes);
    }
}
