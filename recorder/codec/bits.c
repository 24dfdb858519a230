#include "bits.h"

void steno_bits_init(StenoBits *bits, const guint8 *data, gsize bytes)
{
    *bits = (StenoBits){.data = data, .bytes = bytes};
}

void steno_bits_init_rbsp(StenoBits *bits, const guint8 *data, gsize bytes)
{
    *bits = (StenoBits){.data = data, .bytes = bytes, .escaped = true};
}

/* Loads the next byte; FALSE at the end. */
static bool load(StenoBits *bits)
{
    if (bits->escaped && bits->zeros >= 2 && bits->at < bits->bytes && bits->data[bits->at] == 3) {
        bits->at++;
        bits->zeros = 0;
    }
    if (bits->at >= bits->bytes) {
        bits->failed = true;
        return false;
    }
    bits->byte = bits->data[bits->at++];
    bits->left = 8;
    bits->zeros = bits->byte == 0 ? MIN(bits->zeros + 1, 2) : 0;
    return true;
}

guint32 steno_bits_read(StenoBits *bits, guint count)
{
    guint64 value = 0;
    while (count > 0) {
        if (bits->left == 0 && !load(bits))
            return 0;
        const guint take = MIN(count, bits->left);
        value = value << take | (bits->byte >> (bits->left - take) & ((1u << take) - 1));
        bits->left -= take;
        count -= take;
    }
    return (guint32)value;
}

void steno_bits_skip(StenoBits *bits, guint count)
{
    for (; count > 32 && !bits->failed; count -= 32)
        steno_bits_read(bits, 32);
    steno_bits_read(bits, MIN(count, 32));
}

guint32 steno_bits_ue(StenoBits *bits)
{
    guint zeros = 0;
    while (!bits->failed && !steno_bits_flag(bits)) {
        if (++zeros > 32) {
            bits->failed = true;
            return 0;
        }
    }
    if (bits->failed)
        return 0;
    return (guint32)((G_GUINT64_CONSTANT(1) << zeros) - 1 + steno_bits_read(bits, zeros));
}

gint32 steno_bits_se(StenoBits *bits)
{
    const guint32 code = steno_bits_ue(bits);
    return code & 1 ? (gint32)(code / 2 + 1) : -(gint32)(code / 2);
}
