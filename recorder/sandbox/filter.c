#include "filter.h"

#include "steno/base/error.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADVICE                                                                                                         \
    "a container must allow seccomp(2) and prctl(PR_SET_NO_NEW_PRIVS), as Docker, Podman and systemd-nspawn do by "    \
    "default, and the kernel must have CONFIG_SECCOMP_FILTER"

/* 0, or a negative errno. What this libseccomp, or this machine, has no number for cannot be called by name either. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *argument)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0)
        return 0;
    return seccomp_rule_add_array(filter, action, number, argument ? 1 : 0, argument);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", -1);
    int fault = 0;
    for (guint i = 0; words[i] && fault == 0; i++)
        fault = words[i][0] ? add(filter, action, words[i], NULL) : 0;
    return fault;
}

static int add_if(scmp_filter_ctx filter, const SandboxCondition *row)
{
    int fault = 0;
    for (; row && row->name && fault == 0; row++)
        fault = add(filter, SCMP_ACT_ALLOW, row->name, &row->argument);
    return fault;
}

/* Only to ourselves: abort() and pthread_kill(). */
static int add_own_signals(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp us = SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, G_MAXUINT32, (scmp_datum_t)getpid());
    return add(filter, SCMP_ACT_ALLOW, "tgkill", &us);
}

static int fill(scmp_filter_ctx filter, const SandboxProfile *profile)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    int fault = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (fault == 0) /* a tree, not a list: it is asked at each call */
        fault = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (fault == 0)
        fault = add_all(filter, SCMP_ACT_ALLOW, sandbox_allowed);
    if (fault == 0)
        fault = add_all(filter, SCMP_ACT_ALLOW, profile->allowed);
    if (fault == 0)
        fault = add_if(filter, sandbox_if_so);
    if (fault == 0)
        fault = add_if(filter, profile->if_so);
    if (fault == 0)
        fault = add_own_signals(filter);
    if (fault == 0)
        fault = add_all(filter, refuse, sandbox_refused);
    if (fault == 0)
        fault = add_all(filter, refuse, profile->refused);
    return fault;
}

/* Calls of another architecture's table kill the process. */
gboolean filter_enforce(const SandboxProfile *profile, GError **error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int fault = filter ? fill(filter, profile) : -ENOMEM;
    if (fault == 0)
        fault = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (fault == 0)
        return TRUE;
    return steno_error_set(error, STENO_ERROR_INTERNAL, "the kernel refuses the filter of system calls: %s; " ADVICE,
                           g_strerror(-fault));
}

/* A filter at no address: the kernel that could take one says EFAULT. */
gboolean filter_is_possible(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) != 0 &&
           errno == EFAULT;
}
