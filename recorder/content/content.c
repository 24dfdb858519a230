#include "format.h"

/* The order in which help and errors name them. */
static const StenoContentFormat *const formats[] = {
    NULL, /* until the first row is there */
};

const StenoContentFormat *steno_content_format(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i] && g_strcmp0(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}
