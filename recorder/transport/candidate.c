#include "private.h"

#include <string.h>

/* The next word of a space-separated line, cut off in place; NULL at the end. */
static char *next_word(char **cursor)
{
    char *word = *cursor + strspn(*cursor, " ");
    gsize length = strcspn(word, " ");

    if (length == 0)
        return NULL;
    *cursor = word[length] ? word + length + 1 : word + length;
    word[length] = '\0';
    return word;
}

static gboolean parse_number(const char *word, guint64 minimum, guint64 maximum, guint64 *number)
{
    return word && g_ascii_string_to_unsigned(word, 10, minimum, maximum, number, NULL);
}

static gboolean parse_type(const char *word, StenoCandidateType *type)
{
    static const char *const names[] = {"host", "srflx", "prflx", "relay"};

    for (guint i = 0; word && i < G_N_ELEMENTS(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            *type = (StenoCandidateType)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean steno_candidate_parse(const char *text, StenoCandidate *candidate)
{
    char line[512];
    char *cursor = line;
    guint64 component, priority, port;

    if (g_str_has_prefix(text, "a="))
        text += 2;
    if (!g_str_has_prefix(text, "candidate:"))
        return FALSE;
    if (g_strlcpy(line, text + strlen("candidate:"), sizeof line) >= sizeof line)
        return FALSE;
    g_strchomp(line);

    const char *foundation = next_word(&cursor);
    if (!foundation || g_strlcpy(candidate->foundation, foundation, sizeof candidate->foundation) > 32)
        return FALSE;
    if (!parse_number(next_word(&cursor), 1, 256, &component))
        return FALSE;
    const char *transport = next_word(&cursor);
    if (!transport || !parse_number(next_word(&cursor), 0, G_MAXUINT32, &priority))
        return FALSE;
    const char *address = next_word(&cursor);
    if (!address || g_strlcpy(candidate->address, address, sizeof candidate->address) >= sizeof candidate->address)
        return FALSE;
    if (!parse_number(next_word(&cursor), 0, G_MAXUINT16, &port))
        return FALSE;
    const char *keyword = next_word(&cursor);
    if (!keyword || strcmp(keyword, "typ") != 0 || !parse_type(next_word(&cursor), &candidate->type))
        return FALSE;

    candidate->component = (guint)component;
    candidate->priority = (guint32)priority;
    candidate->port = (guint16)port;
    candidate->udp = g_ascii_strcasecmp(transport, "udp") == 0;
    return TRUE;
}
