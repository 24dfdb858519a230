#include "crc32.h"

#include <string.h>

#define POLYNOMIAL 0xEDB88320u /* reflected */

void steno_crc32_init(StenoCrc32 *crc32)
{
    for (guint32 byte = 0; byte < 256; byte++) {
        guint32 value = byte;
        for (guint bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ POLYNOMIAL : value >> 1;
        crc32->table[0][byte] = value;
    }
    for (guint n = 1; n < 8; n++) {
        for (guint byte = 0; byte < 256; byte++) {
            guint32 before = crc32->table[n - 1][byte];
            crc32->table[n][byte] = before >> 8 ^ crc32->table[0][before & 0xff];
        }
    }
}

guint32 steno_crc32(const StenoCrc32 *crc32, const guint8 *data, gsize bytes)
{
    const guint32(*table)[256] = crc32->table;
    guint32 value = 0xffffffffu;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        guint32 low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low = GUINT32_FROM_LE(low) ^ value;
        high = GUINT32_FROM_LE(high);
        value = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
                table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; bytes > 0; data++, bytes--)
        value = value >> 8 ^ table[0][(value ^ *data) & 0xff];
    return ~value;
}
