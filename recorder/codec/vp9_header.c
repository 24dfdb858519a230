#include "vp9_header.h"

#include "bits.h"
#include "steno/codec.h"

#include <string.h>

#define SYNC_CODE 0x498342
#define COLOR_SPACE_RGB 7

static void skip_color_config(StenoBits *bits, guint profile)
{
    if (profile >= 2)
        steno_bits_skip(bits, 1); /* ten_or_twelve_bit */
    if (steno_bits_read(bits, 3) != COLOR_SPACE_RGB) {
        steno_bits_skip(bits, 1); /* color_range */
        if (profile & 1)
            steno_bits_skip(bits, 3); /* subsampling_x, subsampling_y, reserved_zero */
    } else if (profile & 1) {
        steno_bits_skip(bits, 1);
    }
}

static StenoVp9Size read_size(StenoBits *bits)
{
    StenoVp9Size size;
    size.width = steno_bits_read(bits, 16) + 1;
    size.height = steno_bits_read(bits, 16) + 1;
    return size;
}

static StenoVp9Size read_size_with_refs(StenoBits *bits, const StenoVp9References *references)
{
    guint slots[3];
    for (guint i = 0; i < 3; i++) {
        slots[i] = steno_bits_read(bits, 3);
        steno_bits_skip(bits, 1); /* sign_bias */
    }
    for (guint i = 0; i < 3; i++) {
        if (steno_bits_flag(bits)) /* found_ref */
            return references->slots[slots[i]];
    }
    return read_size(bits);
}

static guint read_profile(StenoBits *bits)
{
    const guint low = steno_bits_read(bits, 1);
    const guint profile = steno_bits_read(bits, 1) << 1 | low;
    if (profile == 3)
        steno_bits_skip(bits, 1);
    return profile;
}

bool steno_vp9_header(const guint8 *data, gsize bytes, StenoVp9References *references, StenoVp9Header *header)
{
    StenoBits bits;
    steno_bits_init(&bits, data, bytes);
    *header = (StenoVp9Header){.shown = true};
    if (steno_bits_read(&bits, 2) != 2)
        return false;
    const guint profile = read_profile(&bits);
    if (steno_bits_flag(&bits)) { /* show_existing_frame */
        header->size = references->slots[steno_bits_read(&bits, 3)];
        header->error_resilient = true; /* nothing is decoded */
        return !bits.failed;
    }
    header->keyframe = !steno_bits_flag(&bits);
    header->shown = steno_bits_flag(&bits);
    header->error_resilient = steno_bits_flag(&bits);
    guint refresh = 0xff;
    if (header->keyframe) {
        if (steno_bits_read(&bits, 24) != SYNC_CODE)
            return false;
        skip_color_config(&bits, profile);
        header->size = read_size(&bits);
    } else {
        const bool intra_only = !header->shown && steno_bits_flag(&bits);
        if (!header->error_resilient)
            steno_bits_skip(&bits, 2); /* reset_frame_context */
        if (intra_only) {
            if (steno_bits_read(&bits, 24) != SYNC_CODE)
                return false;
            if (profile > 0)
                skip_color_config(&bits, profile);
        }
        refresh = steno_bits_read(&bits, 8);
        header->size = intra_only ? read_size(&bits) : read_size_with_refs(&bits, references);
    }
    if (bits.failed)
        return false;
    for (guint i = 0; i < 8; i++) {
        if (refresh & (1u << i))
            references->slots[i] = header->size;
    }
    return true;
}

guint steno_vp9_superframe(const guint8 *data, gsize bytes, gsize sizes[8])
{
    const guint8 marker = bytes > 0 ? data[bytes - 1] : 0;
    if ((marker & 0xe0) != 0xc0)
        return 0;
    const guint count = (marker & 7) + 1, size_bytes = (marker >> 3 & 3) + 1;
    const gsize index_bytes = 2 + (gsize)count * size_bytes;
    if (index_bytes > bytes || data[bytes - index_bytes] != marker)
        return 0;
    const guint8 *at = data + bytes - index_bytes + 1;
    gsize left = bytes - index_bytes;
    for (guint i = 0; i < count; i++) {
        sizes[i] = 0;
        for (guint j = 0; j < size_bytes; j++)
            sizes[i] |= (gsize)*at++ << (8 * j);
        if (sizes[i] > left)
            return 0;
        left -= sizes[i];
    }
    return count;
}

gsize steno_vp9_index(guint8 index[STENO_VP9_INDEX_MAX_BYTES], const gsize *sizes, guint count)
{
    gsize fill = 0;
    index[fill++] = 0xc0 | 3 << 3 | (count - 1);
    for (guint i = 0; i < count; i++) {
        for (guint shift = 0; shift < 32; shift += 8)
            index[fill++] = sizes[i] >> shift & 0xff;
    }
    index[fill++] = index[0];
    return fill;
}

guint steno_codec_layers(StenoCodec codec, const guint8 *data, gsize bytes, gsize sizes[STENO_CODEC_LAYERS_MAX])
{
    guint8 index[STENO_VP9_INDEX_MAX_BYTES];
    gsize sum = 0;
    const guint count = codec == STENO_CODEC_VP9 ? steno_vp9_superframe(data, bytes, sizes) : 0;
    for (guint i = 0; i < count; i++)
        sum += sizes[i];
    if (count > 1) { /* one of ours, and nothing that only looks like one */
        const gsize index_bytes = steno_vp9_index(index, sizes, count);
        if (sum + index_bytes == bytes && memcmp(data + sum, index, index_bytes) == 0)
            return count;
    }
    sizes[0] = bytes;
    return 1;
}

gsize steno_codec_join_layers(guint8 *data, const gsize *sizes, guint count)
{
    gsize sum = 0;
    for (guint i = 0; i < count; i++)
        sum += sizes[i];
    return count > 1 ? sum + steno_vp9_index(data + sum, sizes, count) : sum;
}
