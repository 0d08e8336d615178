// Options of level SOL_SOCKET, see socket.h. socket(7); sizes and bounds as Linux's net/core/sock.c.
//
// DEVIATION: what only concerns a network device or the host (SO_BINDTODEVICE, filters, busy polling, time stamps) is kept
// where it is a plain value and has no effect on local sockets; packet filters are ENOPROTOOPT.
#include <linux/capability.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "net/socket.h"
#include "abi/time.h"

#define SNDBUF_MIN 4608u
#define RCVBUF_MIN 2304u

static const struct {
    int name;
    enum socket_option bit;
} switches[] = {
    {SO_DEBUG, SOCKET_DEBUG},         {SO_REUSEADDR, SOCKET_REUSEADDR}, {SO_REUSEPORT, SOCKET_REUSEPORT},
    {SO_KEEPALIVE, SOCKET_KEEPALIVE}, {SO_BROADCAST, SOCKET_BROADCAST}, {SO_PASSCRED, SOCKET_PASSCRED},
    {SO_PASSSEC, SOCKET_PASSSEC},     {SO_DONTROUTE, SOCKET_DONTROUTE}, {SO_OOBINLINE, SOCKET_OOBINLINE},
    {SO_RXQ_OVFL, SOCKET_RXQ_OVFL},   {SO_NO_CHECK, SOCKET_NO_CHECK},   {SO_TIMESTAMP, SOCKET_TIMESTAMP},
    {SO_TIMESTAMPNS, SOCKET_TIMESTAMPNS},
};

static enum socket_option find_switch(int name)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(switches); i++) {
        if (switches[i].name == name)
            return switches[i].bit;
    }
    return 0;
}

static void set_switch(struct socket *s, enum socket_option o, bool on)
{
    if (on)
        __atomic_fetch_or((uint32_t *)&s->options, o, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and((uint32_t *)&s->options, ~(uint32_t)o, __ATOMIC_RELAXED);
}

// Linux doubles what is asked for, to have room for its bookkeeping.
static uint32_t buffer_size(int32_t value, uint64_t max, uint32_t min)
{
    uint64_t v = value < 0 ? max : MIN((uint64_t)value, max);
    return (uint32_t)MAX(MIN(v, INT32_MAX / 2) * 2, min);
}

static int set_timeout(nsec_t *out, const void *value, uint32_t size)
{
    struct timeval_wire tv;
    if (size < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, value, sizeof(tv));
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -EDOM;
    if (tv.sec < 0)
        *out = 0;
    else if (tv.sec == 0 && tv.usec == 0)
        *out = NSEC_MAX;
    else if (tv.sec > NSEC_MAX / NSEC_PER_SEC - 1)
        *out = NSEC_MAX;
    else
        *out = tv.sec * NSEC_PER_SEC + tv.usec * 1000;
    return 0;
}

static int set_linger(struct socket *s, const void *value, uint32_t size)
{
    struct linger lg;
    if (size < sizeof(lg))
        return -EINVAL;
    memcpy(&lg, value, sizeof(lg));
    set_switch(s, SOCKET_LINGER, lg.l_onoff != 0);
    if (lg.l_onoff)
        s->linger_seconds = (uint32_t)lg.l_linger;
    return 0;
}

static int set_value(struct task *t, struct socket *s, int name, int32_t v)
{
    struct kernel *k = t->kernel;
    switch (name) {
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!capable(t, CAP_NET_ADMIN))
            return -EPERM;
        if (name == SO_SNDBUFFORCE)
            s->sndbuf = buffer_size(MAX(v, 0), INT32_MAX, SNDBUF_MIN);
        else
            s->rcvbuf = buffer_size(MAX(v, 0), INT32_MAX, RCVBUF_MIN);
        break;
    case SO_SNDBUF:
        s->sndbuf = buffer_size(v, sysctl_get(k, SYSCTL_WMEM_MAX), SNDBUF_MIN);
        break;
    case SO_RCVBUF:
        s->rcvbuf = buffer_size(v, sysctl_get(k, SYSCTL_RMEM_MAX), RCVBUF_MIN);
        return 0;
    case SO_RCVLOWAT:
        s->rcvlowat = v < 0 ? INT32_MAX : v == 0 ? 1 : (uint32_t)v;
        return 0;
    case SO_PRIORITY:
        if ((v < 0 || v > 6) && !capable(t, CAP_NET_ADMIN))
            return -EPERM;
        s->priority = (uint32_t)v;
        return 0;
    case SO_MARK:
        if (!capable(t, CAP_NET_ADMIN))
            return -EPERM;
        s->mark = (uint32_t)v;
        return 0;
    case SO_PEEK_OFF:
        if (v < -1)
            return -EINVAL;
        s->peek_offset = v;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
    socket_wake(s, 0);
    return 0;
}

int socket_set_option(struct task *t, struct socket *s, int name, const void *value, uint32_t size)
{
    enum socket_option bit = find_switch(name);
    int32_t v;
    // Linux wants an int before it looks at the name.
    if (size < sizeof(v))
        return -EINVAL;
    memcpy(&v, value, sizeof(v));
    if (bit) {
        if (bit == SOCKET_DEBUG && v && !capable(t, CAP_NET_ADMIN))
            return -EACCES;
        set_switch(s, bit, v != 0);
        return 0;
    }
    switch (name) {
    case SO_LINGER:
        return set_linger(s, value, size);
    case SO_RCVTIMEO:
        return set_timeout(&s->rcvtimeo, value, size);
    case SO_SNDTIMEO:
        return set_timeout(&s->sndtimeo, value, size);
    default:
        return set_value(t, s, name, v);
    }
}

static int answer(void *value, uint32_t *size, const void *data, uint32_t data_size)
{
    *size = MIN(*size, data_size);
    memcpy(value, data, *size);
    return 0;
}

static struct timeval_wire timeout_value(nsec_t ns)
{
    if (ns == NSEC_MAX)
        return (struct timeval_wire){0};
    return (struct timeval_wire){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000};
}

static int get_value(struct socket *s, int name, int32_t *v)
{
    const struct socket_ops *ops = socket_ops(s);
    switch (name) {
    case SO_TYPE:
        *v = s->type;
        return 0;
    case SO_DOMAIN:
        *v = s->family;
        return 0;
    case SO_PROTOCOL:
        *v = s->protocol;
        return 0;
    case SO_ERROR:
        *v = -socket_take_error(s);
        return 0;
    case SO_ACCEPTCONN:
        *v = ops->listening && ops->listening(s);
        return 0;
    case SO_SNDBUF:
        *v = (int32_t)s->sndbuf;
        return 0;
    case SO_RCVBUF:
        *v = (int32_t)s->rcvbuf;
        return 0;
    case SO_RCVLOWAT:
        *v = (int32_t)s->rcvlowat;
        return 0;
    case SO_SNDLOWAT:
        *v = 1;
        return 0;
    case SO_PRIORITY:
        *v = (int32_t)s->priority;
        return 0;
    case SO_MARK:
        *v = (int32_t)s->mark;
        return 0;
    case SO_PEEK_OFF:
        *v = s->peek_offset;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_get_option(struct task *t UNUSED, struct socket *s, int name, void *value, uint32_t *size)
{
    enum socket_option bit = find_switch(name);
    int32_t v = bit && socket_option(s, bit);
    if (name == SO_RCVTIMEO || name == SO_SNDTIMEO) {
        struct timeval_wire tv = timeout_value(name == SO_RCVTIMEO ? s->rcvtimeo : s->sndtimeo);
        return answer(value, size, &tv, sizeof(tv));
    }
    if (name == SO_LINGER) {
        struct linger lg = {.l_onoff = socket_option(s, SOCKET_LINGER), .l_linger = (int)s->linger_seconds};
        return answer(value, size, &lg, sizeof(lg));
    }
    int ret = bit ? 0 : get_value(s, name, &v);
    return ret < 0 ? ret : answer(value, size, &v, sizeof(v));
}
