#include "names.h"

#include "steno/base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_MAX_BYTES 256
#define SERVICE_MAX_BYTES 32
#define ADDRESSES_MAX 64

/* Between two processes of one image. Empty names are none. */
typedef struct {
    char node[NAME_MAX_BYTES], service[SERVICE_MAX_BYTES];
    gboolean has_hints;
    int flags, family, socktype, protocol;
} Question;

typedef struct {
    int flags, family, socktype, protocol;
    socklen_t bytes;
    struct sockaddr_in6 address; /* or a shorter one */
} Address;

typedef struct {
    int fault, system_errno;
    guint n;
    char canonical[NAME_MAX_BYTES];
    Address addresses[ADDRESSES_MAX];
} Answer;

/* The one place of the program with state of its own: getaddrinfo() has no argument that could lead to it. */
static struct {
    GMutex lock;
    GCond freed;
    gboolean in_use;
    int free[NAMES_LANES];
    guint n_free;
} names;

/* ---- looking up -------------------------------------------------------------------------------------------------- */

static void take(Answer *answer, const struct addrinfo *found)
{
    for (; found && answer->n < ADDRESSES_MAX; found = found->ai_next) {
        Address *address = &answer->addresses[answer->n];
        if (found->ai_addrlen > sizeof address->address)
            continue;
        *address =
            (Address){found->ai_flags, found->ai_family, found->ai_socktype, found->ai_protocol, found->ai_addrlen};
        memcpy(&address->address, found->ai_addr, found->ai_addrlen);
        answer->n++;
        if (found->ai_canonname)
            g_strlcpy(answer->canonical, found->ai_canonname, sizeof answer->canonical);
    }
}

/* By the C library, in this process. */
static void look_up(const Question *question, Answer *answer)
{
    __typeof__(&getaddrinfo) real = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");
    __typeof__(&freeaddrinfo) release = (__typeof__(&freeaddrinfo))dlsym(RTLD_NEXT, "freeaddrinfo");
    const struct addrinfo hints = {.ai_flags = question->flags,
                                   .ai_family = question->family,
                                   .ai_socktype = question->socktype,
                                   .ai_protocol = question->protocol};
    struct addrinfo *found = NULL;
    *answer = (Answer){0};
    answer->fault = real(question->node[0] ? question->node : NULL, question->service[0] ? question->service : NULL,
                         question->has_hints ? &hints : NULL, &found);
    answer->system_errno = errno;
    if (answer->fault != 0)
        return;
    take(answer, found);
    release(found);
}

void names_serve(int lane)
{
    Question question;
    Answer answer;
    while (recv(lane, &question, sizeof question, 0) == (gssize)sizeof question) {
        question.node[NAME_MAX_BYTES - 1] = question.service[SERVICE_MAX_BYTES - 1] = '\0';
        look_up(&question, &answer);
        if (send(lane, &answer, sizeof answer, MSG_NOSIGNAL) != (gssize)sizeof answer)
            return;
    }
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

void names_ask(const int lanes[NAMES_LANES])
{
    memcpy(names.free, lanes, sizeof names.free);
    names.n_free = NAMES_LANES;
    names.in_use = TRUE;
}

static void ask(const Question *question, Answer *answer)
{
    g_mutex_lock(&names.lock);
    while (names.n_free == 0)
        g_cond_wait(&names.freed, &names.lock);
    int lane = names.free[--names.n_free];
    g_mutex_unlock(&names.lock);
    gssize bytes = send(lane, question, sizeof *question, MSG_NOSIGNAL) < 0 ? -1 : 0;
    while (bytes == 0 && (bytes = recv(lane, answer, sizeof *answer, 0)) < 0 && errno == EINTR)
        bytes = 0;
    g_mutex_lock(&names.lock);
    names.free[names.n_free++] = lane;
    g_cond_signal(&names.freed);
    g_mutex_unlock(&names.lock);
    if (bytes == (gssize)sizeof *answer)
        return;
    steno_warning(NULL, "the recorder's agent, which looks up names, has ended: '%s' is not known", question->node);
    *answer = (Answer){.fault = EAI_FAIL};
}

/* An address needs nobody. */
static void find(const Question *question, Answer *answer)
{
    Question numeric = *question;
    numeric.flags |= AI_NUMERICHOST;
    numeric.has_hints = TRUE;
    look_up(names.in_use ? &numeric : question, answer);
    if (names.in_use && answer->fault == EAI_NONAME && question->node[0] && !(question->flags & AI_NUMERICHOST))
        ask(question, answer);
}

/* ---- for the whole program --------------------------------------------------------------------------------------- */

static struct addrinfo *new_item(const Address *address)
{
    struct addrinfo *item = g_malloc0(sizeof *item + sizeof address->address);
    item->ai_flags = address->flags;
    item->ai_family = address->family;
    item->ai_socktype = address->socktype;
    item->ai_protocol = address->protocol;
    item->ai_addrlen = address->bytes;
    item->ai_addr = (struct sockaddr *)(gpointer)(item + 1);
    memcpy(item->ai_addr, &address->address, address->bytes);
    return item;
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    Question question = {.has_hints = hints != NULL, .family = AF_UNSPEC};
    Answer answer;
    if ((node && g_strlcpy(question.node, node, sizeof question.node) >= sizeof question.node) ||
        (service && g_strlcpy(question.service, service, sizeof question.service) >= sizeof question.service))
        return EAI_NONAME;
    if (hints) {
        question.flags = hints->ai_flags;
        question.family = hints->ai_family;
        question.socktype = hints->ai_socktype;
        question.protocol = hints->ai_protocol;
    } else {
        question.flags = AI_V4MAPPED | AI_ADDRCONFIG; /* what no hints mean */
    }
    find(&question, &answer);
    errno = answer.system_errno;
    if (answer.fault != 0)
        return answer.fault;
    struct addrinfo **end = found;
    *found = NULL;
    for (guint i = 0; i < MIN(answer.n, ADDRESSES_MAX); i++, end = &(*end)->ai_next)
        *end = new_item(&answer.addresses[i]);
    answer.canonical[NAME_MAX_BYTES - 1] = '\0';
    if (*found && answer.canonical[0])
        (*found)->ai_canonname = g_strdup(answer.canonical);
    return *found ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *item)
{
    while (item) {
        struct addrinfo *next = item->ai_next;
        g_free(item->ai_canonname);
        g_free(item);
        item = next;
    }
}
