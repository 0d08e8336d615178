// Installing the generated seccomp programs, and the two readings of them that tests compare.

#include "host/filter.h"
#include "base/log.h"
#include "host/filter-int.h"
#include "host/syscall.h"
#include <linux/seccomp.h>
#include <ucontext.h>

// BPF_MAXINSNS is 4,096; the programs have a few hundred instructions.
enum { PROGRAM_MAX = 512 };

int host_filter_install(enum host_filter_id which, enum host_filter_answer answer)
{
    const struct host_filter *filter = &host_filters[which];
    struct sock_filter program[PROGRAM_MAX];
    if (filter->count > PROGRAM_MAX)
        return -E2BIG;
    memcpy(program, filter->program, filter->count * sizeof(program[0]));
    program[filter->count - 1].k =
        answer == HOST_FILTER_TRAP ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS;

    struct sock_fprog fprog = {.len = (unsigned short)filter->count, .filter = program};
    // No speculation mitigations beyond the host's defaults: they would cost every return to user mode, and what this
    // process could read speculatively is its own.
    return (int)host_syscall3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                              (long)&fprog);
}

static void caught(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    const char *name = "not in the table";
    for (int i = 0; i < HOST_CALL_COUNT; i++)
        if (host_call_numbers[i] == info->si_syscall)
            name = host_call_names[i];
    log_error("host call %d (%s) is refused by the process's own filter, called from %p",
              info->si_syscall, name, info->si_call_addr);
    host_syscall1(SYS_exit_group, 128 + SIGSYS);
}

int host_filter_catch(void)
{
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSYS, &action, NULL) == 0 ? 0 : -errno;
}

const struct sock_filter *host_filter_program(enum host_filter_id which, uint32_t *ret_count)
{
    *ret_count = host_filters[which].count;
    return host_filters[which].program;
}

uint32_t host_filter_run(const struct sock_filter *program, uint32_t count,
                         const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (uint32_t pc = 0; pc < count; pc++) {
        const struct sock_filter *i = &program[pc];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (i->k > sizeof(*data) - sizeof(a) || i->k % 4)
                return SECCOMP_RET_KILL_PROCESS;
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            return SECCOMP_RET_KILL_PROCESS;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

static bool rule_fits(const struct host_rule *rule, const struct seccomp_data *data)
{
    if (rule->number != data->nr)
        return false;
    if (rule->arg < 0)
        return true;
    uint64_t value = data->args[rule->arg] & rule->mask;
    for (uint32_t i = 0; i < rule->value_count; i++)
        if (value == rule->values[i])
            return true;
    return false;
}

bool host_filter_allows(enum host_filter_id which, const struct seccomp_data *data)
{
    if (data->arch != HOST_ARCH)
        return false;
    for (uint32_t i = 0; i < host_filters[which].rule_count; i++)
        if (rule_fits(&host_filters[which].rules[i], data))
            return true;
    return false;
}
