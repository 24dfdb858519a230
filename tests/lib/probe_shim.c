/*
 * LD_PRELOAD: tries from inside of one program what its sandbox must keep it from, and tells what came of it: before
 * its main() begins; in each thread that is sent the signal; and with the first rename().
 *
 *   STENO_PROBE_PROGRAM  comm of the program; others are left alone
 *   STENO_PROBE_FILE     a file that is none of its business; another one is made beside it
 *   STENO_PROBE_SOCKET   a Unix socket that somebody listens at
 *   STENO_PROBE_REPORT   lines "WHEN COMM TID WHAT ERRNO" are added to this file; 0: it could be done
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNAL (SIGRTMIN + 5)

static struct {
    int report; /* 0: this program is not probed */
    const char *file;
    char beside[4096];
    struct sockaddr_un address;
    int renamed;
} probe;

static void tell(const char *when, const char *what, long result)
{
    char line[200], name[17] = "";
    int fault = result < 0 ? errno : 0;
    (void)prctl(PR_GET_NAME, name);
    int bytes = snprintf(line, sizeof line, "%s %s %d %s %d\n", when, name, (int)syscall(SYS_gettid), what, fault);
    if (write(probe.report, line, (size_t)bytes) < 0)
        abort();
    if (result > 2)
        close((int)result);
}

static long connect_unix(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&probe.address, sizeof probe.address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Another process, and another program: either would do. */
static long run(void)
{
    char *const argv[] = {"true", NULL}, *const environment[] = {NULL};
    if (execve("/nonexistent", argv, environment) < 0 && errno != ENOENT)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        execve("/bin/true", argv, environment);
        _exit(1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : -1;
}

static void try_all(const char *when)
{
    int saved_errno = errno;
    tell(when, "read", open(probe.file, O_RDONLY | O_CLOEXEC));
    tell(when, "create", open(probe.beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    tell(when, "system-file", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    tell(when, "run", run());
    tell(when, "internet-socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    tell(when, "unix-socket", connect_unix());
    errno = saved_errno;
}

static void on_signal(int number)
{
    (void)number;
    try_all("inside");
}

__attribute__((constructor)) static void begin(void)
{
    char name[17] = "";
    const char *program = getenv("STENO_PROBE_PROGRAM"), *report = getenv("STENO_PROBE_REPORT"),
               *address = getenv("STENO_PROBE_SOCKET");
    (void)prctl(PR_GET_NAME, name);
    probe.file = getenv("STENO_PROBE_FILE");
    if (!program || !report || !address || !probe.file || strncmp(name, program, 15) != 0)
        return;
    probe.report = open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (probe.report < 0 || strlen(address) >= sizeof probe.address.sun_path)
        abort();
    probe.address.sun_family = AF_UNIX;
    memcpy(probe.address.sun_path, address, strlen(address) + 1);
    snprintf(probe.beside, sizeof probe.beside, "%s.%d", probe.file, (int)getpid());
    try_all("before");
    (void)unlink(probe.beside);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigaction(SIGNAL, &action, NULL);
}

int rename(const char *from, const char *to)
{
    __typeof__(&rename) real = (__typeof__(&rename))dlsym(RTLD_NEXT, "rename");
    if (probe.report && !__atomic_exchange_n(&probe.renamed, 1, __ATOMIC_SEQ_CST))
        try_all("inside");
    return real(from, to);
}
