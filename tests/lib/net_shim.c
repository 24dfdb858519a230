/*
 * Preloaded by tests: writes each address that a program connects or sends to, and each name that it looks up, to
 * STENO_NET_LOG, a line each. STENO_NET_NAMES ("storage.test=127.0.0.1,127.0.0.2;…") is the DNS of the test: the first
 * lookup of a name gets its first address, the next ones the next, the last one for ever.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *what, const char *which)
{
    const char *path = getenv("STENO_NET_LOG");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    char line[512];
    int bytes = snprintf(line, sizeof line, "%s %s\n", what, which);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)bytes) != bytes)
        abort();
    close(fd);
}

static void say_address(const char *what, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "", whole[INET6_ADDRSTRLEN + 8];
    unsigned port = 0;
    if (!address)
        return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = ntohs(v4->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        port = ntohs(v6->sin6_port);
    } else {
        return;
    }
    snprintf(whole, sizeof whole, "%s %u", text, port);
    say(what, whole);
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    say_address("connect", address);
    return real(fd, address, bytes);
}

ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *address, socklen_t length)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
        (ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "sendto");
    say_address("sendto", address);
    return real(fd, data, bytes, flags, address, length);
}

/* The n-th lookup of a name, counted over all processes of the test. */
static unsigned lookups(const char *name)
{
    const char *log = getenv("STENO_NET_LOG");
    FILE *file = log ? fopen(log, "re") : NULL;
    char line[512], wanted[300];
    unsigned count = 0;
    snprintf(wanted, sizeof wanted, "lookup %s\n", name);
    while (file && fgets(line, sizeof line, file))
        count += strcmp(line, wanted) == 0;
    if (file)
        fclose(file);
    return count;
}

/* The address of a name of the test; FALSE when it has none. */
static int named(const char *name, char *address, size_t room)
{
    const char *names = getenv("STENO_NET_NAMES");
    size_t length = strlen(name);
    const char *found = names ? strstr(names, name) : NULL;
    if (!found || found[length] != '=')
        return 0;
    const char *at = found + length + 1;
    for (unsigned skip = lookups(name); skip > 0; skip--) {
        size_t this_one = strcspn(at, ",;");
        if (at[this_one] != ',')
            break;
        at += this_one + 1;
    }
    snprintf(address, room, "%.*s", (int)strcspn(at, ",;"), at);
    return 1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    char address[64];
    if (!node)
        return real(node, service, hints, found);
    int ours = named(node, address, sizeof address);
    say("lookup", node);
    return real(ours ? address : node, service, hints, found);
}
