#include "writer.h"

#include <string.h>

void writer_bits(Writer *writer, guint count, guint64 value)
{
    while (count-- > 0) {
        g_assert(writer->bits < sizeof writer->data * 8);
        writer->data[writer->bits / 8] |= (guint8)((value >> count & 1) << (7 - writer->bits % 8));
        writer->bits++;
    }
}

void writer_ue(Writer *writer, guint value)
{
    const guint bits = (guint)g_bit_storage((gulong)value + 1);
    writer_bits(writer, bits - 1, 0);
    writer_bits(writer, bits, (guint64)value + 1);
}

void writer_trail(Writer *writer)
{
    writer_bits(writer, 1, 1);
    while (writer->bits % 8)
        writer_bits(writer, 1, 0);
}

void writer_escape(Writer *writer, gsize from)
{
    guint zeros = 0;
    for (gsize i = from; i < writer_bytes(writer); i++) {
        if (zeros >= 2 && writer->data[i] <= 3) {
            memmove(writer->data + i + 1, writer->data + i, writer_bytes(writer) - i);
            writer->data[i++] = 3;
            writer->bits += 8;
            zeros = 0;
        }
        zeros = writer->data[i] ? 0 : zeros + 1;
    }
}

gsize writer_bytes(const Writer *writer)
{
    return (writer->bits + 7) / 8;
}
