// /proc/net. What belongs to Internet protocols comes from the network stack where the build has one; without it the files have
// their headings, as on a machine where nothing is open.
#include "fs/proc/proc-int.h"

// Implemented by net/, when it is there: appends the whole text, heading included.
void unix_show(struct strbuf *out) PROC_HOOK;
void inet_show_tcp(struct strbuf *out) PROC_HOOK;
void inet_show_tcp6(struct strbuf *out) PROC_HOOK;
void inet_show_udp(struct strbuf *out) PROC_HOOK;
void inet_show_udp6(struct strbuf *out) PROC_HOOK;
void inet_show_raw(struct strbuf *out) PROC_HOOK;
void inet_show_dev(struct strbuf *out) PROC_HOOK;
void inet_show_route(struct strbuf *out) PROC_HOOK;
void inet_show_if_inet6(struct strbuf *out) PROC_HOOK;
void inet_show_snmp(struct strbuf *out) PROC_HOOK;
void inet_show_netstat(struct strbuf *out) PROC_HOOK;
void inet_show_sockstat(struct strbuf *out) PROC_HOOK;
void inet_show_arp(struct strbuf *out) PROC_HOOK;

#define TCP_HEADING                                                                                                            \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                           " \
    "                          \n"
#define TCP6_HEADING                                                                                                           \
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when "       \
    "retrnsmt   uid  timeout inode\n"
#define UDP_HEADING                                                                                                            \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops         " \
    "    \n"
#define UDP6_HEADING                                                                                                           \
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when "       \
    "retrnsmt   uid  timeout inode ref pointer drops\n"
#define DEV_HEADING                                                                                                            \
    "Inter-|   Receive                                                |  Transmit\n"                                           \
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "          \
    "compressed\n"
#define LOOPBACK_LINE "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"
#define SNMP                                                                                                                   \
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers "        \
    "OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n"           \
    "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"                                                                             \
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs "       \
    "RetransSegs InErrs OutRsts InCsumErrors\n"                                                                                \
    "Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n"                                                                             \
    "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"            \
    "Udp: 0 0 0 0 0 0 0 0 0\n"

// One of the above, or its stand-in.
#define NET_FILE(name, hook, otherwise)                                                                                        \
    static int show_##name(const struct tree_call *c, struct strbuf *out)                                                      \
    {                                                                                                                          \
        if (hook)                                                                                                              \
            hook(out);                                                                                                         \
        else                                                                                                                   \
            strbuf_puts(out, otherwise);                                                                                       \
        return 0;                                                                                                              \
    }

NET_FILE(unix, unix_show, "Num       RefCount Protocol Flags    Type St Inode Path\n")
NET_FILE(tcp, inet_show_tcp, TCP_HEADING)
NET_FILE(tcp6, inet_show_tcp6, TCP6_HEADING)
NET_FILE(udp, inet_show_udp, UDP_HEADING)
NET_FILE(udp6, inet_show_udp6, UDP6_HEADING)
NET_FILE(raw, inet_show_raw, UDP_HEADING)
NET_FILE(dev, inet_show_dev, DEV_HEADING LOOPBACK_LINE)
NET_FILE(route, inet_show_route,
         "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                          "
         "                             \n")
NET_FILE(if_inet6, inet_show_if_inet6, "")
NET_FILE(snmp, inet_show_snmp, SNMP)
NET_FILE(netstat, inet_show_netstat, "TcpExt: SyncookiesSent\nTcpExt: 0\nIpExt: InNoRoutes\nIpExt: 0\n")
NET_FILE(sockstat, inet_show_sockstat,
         "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n"
         "FRAG: inuse 0 memory 0\n")
NET_FILE(arp, inet_show_arp, "IP address       HW type     Flags       HW address            Mask     Device\n")

#define FILE_ENTRY(name_, show_)                                  \
    {                                                             \
        .name = (name_), .mode = S_IFREG | 0444, .show = (show_)  \
    }
#define TEXT_ENTRY(name_, text_)                                  \
    {                                                             \
        .name = (name_), .mode = S_IFREG | 0444, .text = (text_)  \
    }

static const struct tree_entry net_entries[] = {
    FILE_ENTRY("arp", show_arp),
    FILE_ENTRY("dev", show_dev),
    TEXT_ENTRY("fib_trie", ""),
    FILE_ENTRY("if_inet6", show_if_inet6),
    TEXT_ENTRY("igmp", "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"),
    TEXT_ENTRY("ipv6_route", ""),
    TEXT_ENTRY("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    FILE_ENTRY("netstat", show_netstat),
    TEXT_ENTRY("packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    TEXT_ENTRY("protocols",
               "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp "
               "em\n"),
    TEXT_ENTRY("psched", "000003e8 00000040 000f4240 3b9aca00\n"),
    TEXT_ENTRY("ptype", "Type Device      Function\n"),
    FILE_ENTRY("raw", show_raw),
    FILE_ENTRY("route", show_route),
    FILE_ENTRY("snmp", show_snmp),
    FILE_ENTRY("sockstat", show_sockstat),
    FILE_ENTRY("tcp", show_tcp),
    FILE_ENTRY("tcp6", show_tcp6),
    FILE_ENTRY("udp", show_udp),
    FILE_ENTRY("udp6", show_udp6),
    FILE_ENTRY("unix", show_unix),
};
const struct tree_table proc_net_table = {TREE_ENTRIES(net_entries), .no_cache = true};
