/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options themselves, and the file that documents them. */
#include "control/daemon/config.h"

#include "datapath/base/clock.h"

#include <string.h>

#define MEMBER_OF(type, member)                                                                    \
	.offset = offsetof(struct type, member), .bytes = sizeof(((struct type *)0)->member)
#define MEMBER(member) MEMBER_OF(clv_config, member)
#define RANGE(from, to, unit_, default_)                                                           \
	.type = CLV_CONFIG_NUMBER, .min = (from), .max = (to), .unit = (unit_),                    \
	.initial = (default_)

static const struct clv_config_option options[] = {
	{ NULL, "datapath", CLV_CONFIG_CHOICE, .initial = "auto",
	  .choices = "auto|zerocopy|xdp|generic|sock", MEMBER(datapath),
	  .help = "How packets reach the workers.  auto takes the best each interface has: zero-copy,\n"
		  "copy, generic XDP, plain sockets.  zerocopy and xdp (zero-copy or copy under native\n"
		  "XDP) refuse to start on less; generic and sock ask for that rung." },
	{ NULL, "interfaces", CLV_CONFIG_LIST, .initial = "{}", MEMBER(interfaces),
	  .help = "Interfaces that get the XDP program.  Empty: all Ethernet interfaces that are up." },
	{ NULL, "workers", RANGE(0, CLV_WORKERS_MAX, "", "0"), MEMBER(workers_max),
	  .help = "Packet threads, one a core.  0: as many as there are cores, less one for control,\n"
		  "and receive queues (culvertd --plan shows it)." },
	{ NULL, "log-level", CLV_CONFIG_CHOICE, .initial = "info",
	  .choices = "error|warn|info|debug", MEMBER(log_level), .is_reloadable = true,
	  .help = "How much goes to the log.  No level joins a client with its target." },
	{ NULL, "proxy-name", CLV_CONFIG_TEXT, .initial = "\"\"", MEMBER(proxy_name),
	  .help = "What the relay calls itself in Proxy-Status.  Empty: the host's name." },
	{ NULL, "names", CLV_CONFIG_LIST, .initial = "{}", MEMBER(names),
	  .help = "DNS names and addresses in the certificate made on first start.  Empty: the host's\n"
		  "name and all its addresses." },

	{ NULL, "user", CLV_CONFIG_TEXT, .initial = "culvert", MEMBER(user),
	  .help = "Whom the daemon runs as once all is set up, with the few capabilities it still needs\n"
		  "(culvertctl status shows them).  A user that does not exist is logged, and the\n"
		  "capabilities go all the same.  Empty: whoever started it." },
	{ NULL, "sandbox", CLV_CONFIG_BOOL, .initial = "true", MEMBER(sandbox),
	  .help = "Allow the system calls that serving takes, and no others.  One that is not allowed is\n"
		  "logged by name and ends the daemon." },

	{ "listener", "port", RANGE(1, 65535, "", "443"), MEMBER_OF(clv_config_listener, port),
	  .help = "UDP port, on every local address of both families." },
	{ "listener", "profile", CLV_CONFIG_CHOICE, .initial = "pqc", .choices = "pqc|hybrid",
	  MEMBER_OF(clv_config_listener, profile),
	  .help = "pqc: ML-KEM-768 and ML-DSA-65 and nothing else.  hybrid: X25519MLKEM768 or\n"
		  "SecP256r1MLKEM768 with any certificate, for today's browsers and libraries.  Neither\n"
		  "falls back to classical key exchange." },
	{ "listener", "cert", CLV_CONFIG_TEXT, .initial = "\"\"",
	  MEMBER_OF(clv_config_listener, cert_file),
	  .help = "Certificate chain (PEM, leaf first).  Empty: one made on first start, in the state\n"
		  "folder." },
	{ "listener", "key", CLV_CONFIG_TEXT, .initial = "\"\"",
	  MEMBER_OF(clv_config_listener, key_file), .help = "Its private key (PEM)." },

	{ "policy", "allow", CLV_CONFIG_LIST, .initial = "{}", MEMBER(allow), .is_reloadable = true,
	  .help = "Prefixes clients may reach although the table of special-use addresses refuses\n"
		  "them, as {\"198.18.0.0/15\", \"fd00::/8\"}.  The longest prefix decides." },
	{ "policy", "deny", CLV_CONFIG_LIST, .initial = "{}", MEMBER(deny), .is_reloadable = true,
	  .help = "Prefixes clients may not reach.  At equal length deny wins." },

	{ "egress", "port-min", RANGE(1, 65535, "", "20000"), MEMBER(egress_port_min),
	  .help = "Ports toward targets: first and last of the range, for each local address." },
	{ "egress", "port-max", RANGE(1, 65535, "", "59999"), MEMBER(egress_port_max), .help = "" },

	{ "bind", "offered", CLV_CONFIG_BOOL, .initial = "true", MEMBER(bind.is_offered),
	  .help = "Bound tunnels (CONNECT-UDP-bind): a client gets a port of each family for itself,\n"
		  "and exchanges datagrams with whom it likes and policy allows." },
	{ "bind", "local", CLV_CONFIG_LIST, .initial = "{}", MEMBER(bind_local),
	  .help = "Addresses of this host that the ports are on, one of a family.  Empty: the source\n"
		  "of the default route." },
	{ "bind", "public", CLV_CONFIG_LIST, .initial = "{}", MEMBER(bind_public),
	  .help = "What clients are told instead, one of a family: for a host behind a NAT that maps\n"
		  "this address to it, port by port." },
	{ "bind", "uncompressed", CLV_CONFIG_BOOL, .initial = "true", MEMBER(bind.is_uncompressed),
	  .help = "Let a client be reached by anybody, if it asks for that.  false: by remotes alone\n"
		  "that it registered." },
	{ "bind", "tunnels", RANGE(1, 1 << 20, "tunnels", "4096"), MEMBER(bind.tunnels_max),
	  .help = "Bound at a time." },
	{ "bind", "contexts", RANGE(2, 1 << 20, "contexts, for each tunnel", "16384"),
	  MEMBER(bind.contexts.open_max),
	  .help = "Remotes that have a Context ID; the relay itself opens half of them at most." },
	{ "bind", "registrations-per-sec", RANGE(0, 1000000, "registrations", "4096"),
	  MEMBER(bind.registrations_per_sec),
	  .help = "Remotes that one connection may name, with a Context ID or without, and as many at\n"
		  "once; what comes faster is refused.  0: no limit." },
	{ "bind", "answers", RANGE(1, 1 << 20, "answers", "16384"),
	  MEMBER(bind.contexts.answers_max),
	  .help = "To registrations, that a client has not read; then its tunnel is aborted." },
	{ "bind", "id-gaps", RANGE(1, 65536, "gaps", "256"), MEMBER(bind.contexts.gaps_max),
	  .help = "In the Context IDs a client uses; then its tunnel is aborted." },
	{ "bind", "busy-packets-per-sec", RANGE(0, 1000000, "packets", "50"),
	  MEMBER(bind.busy_per_sec),
	  .help = "A remote without a Context ID that is as busy gets one.  0: never." },
	{ "bind", "context-idle-sec", RANGE(0, 86400, "", "300"), .scale = CLV_SEC,
	  MEMBER(bind.context_idle_ns),
	  .help = "A silent remote loses its Context ID.  0: never." },
	{ "bind", "tunnel-idle-sec", RANGE(0, 86400, "", "0"), .scale = CLV_SEC,
	  MEMBER(bind.tunnel_idle_ns),
	  .help = "A silent bound tunnel is closed after this.  0: it waits for callers as long as\n"
		  "the client's connection lives." },

	{ "limits", "conns", RANGE(1, 1 << 20, "connections, for each worker", "16384"),
	  MEMBER(limits.conns_max), .help = "" },
	{ "limits", "conns-total", RANGE(1, 1 << 24, "connections", "65536"),
	  MEMBER(limits.conns_total),
	  .help = "Of all workers, half-open ones too.  Who comes beyond is told CONNECTION_REFUSED." },
	{ "limits", "conns-per-host", RANGE(1, 1 << 24, "connections", "2048"),
	  MEMBER(limits.conns_per_host),
	  .help = "From one source: an IPv4 address, which may be a carrier's NAT, or an IPv6 /64." },
	{ "limits", "conns-per-net", RANGE(1, 1 << 24, "connections", "16384"),
	  MEMBER(limits.conns_per_net), .help = "From one IPv4 /24 or IPv6 /48." },
	{ "limits", "handshakes", RANGE(1, 1 << 20, "connections", "1024"),
	  MEMBER(limits.handshakes_max), .help = "Half-open at a time." },
	{ "limits", "retry-above", RANGE(0, 1 << 20, "connections", "128"),
	  MEMBER(limits.retry_above),
	  .help = "With more half-open than this, clients must prove their address first (Retry)." },
	{ "limits", "tunnels", RANGE(1, 1 << 22, "tunnels, for each worker", "65536"),
	  MEMBER(limits.tunnels_max), .help = "" },
	{ "limits", "tunnels-total", RANGE(1, 1 << 24, "tunnels", "262144"),
	  MEMBER(limits.tunnels_total), .help = "Of all workers." },
	{ "limits", "requests-per-sec", RANGE(0, 1000000, "requests, for each connection", "2000"),
	  MEMBER(limits.requests_per_sec),
	  .help = "More are answered with status 429.  0: no limit." },
	{ "limits", "requests-burst", RANGE(1, 1 << 24, "requests", "16384"),
	  MEMBER(limits.requests_burst), .help = "Of them, at once." },
	{ "limits", "tunnels-per-conn", RANGE(1, 1 << 22, "tunnels", "16384"),
	  MEMBER(limits.tunnels_per_conn), .help = "" },
	{ "limits", "remotes", RANGE(0, 1 << 22, "remotes, for each worker", "65536"),
	  MEMBER(limits.remotes_max), .help = "That bound tunnels talk to, all together." },
	{ "limits", "remotes-per-conn", RANGE(1, 1 << 22, "remotes", "16384"),
	  MEMBER(limits.remotes_per_conn), .help = "Of them, for all tunnels of a connection." },
	{ "limits", "remotes-per-tunnel", RANGE(1, 1 << 22, "remotes", "16384"),
	  MEMBER(limits.remotes_per_tunnel),
	  .help = "That a bound tunnel may reach at a time without registering them." },
	{ "limits", "queue-packets", RANGE(1, 65536, "datagrams", "256"),
	  MEMBER(limits.queue_packets),
	  .help = "Send queue of a connection: what congestion control holds back." },
	{ "limits", "sojourn-ms", RANGE(1, 10000, "", "50"), .scale = CLV_MSEC,
	  MEMBER(limits.sojourn_ns),
	  .help = "Longest wait in the send queue; then it is dropped." },
	{ "limits", "conn-idle-sec", RANGE(5, 86400, "", "120"), .scale = CLV_SEC,
	  MEMBER(limits.conn_idle_ns), .help = "A silent connection is closed after this." },
	{ "limits", "tunnel-idle-sec", RANGE(5, 86400, "", "120"), .scale = CLV_SEC,
	  MEMBER(limits.tunnel_idle_ns),
	  .help = "A silent tunnel is closed after this.  RFC 4787 wants 120 or more." },
	{ "limits", "handshake-sec", RANGE(1, 60, "", "10"), .scale = CLV_SEC,
	  MEMBER(limits.handshake_ns), .help = "" },
	{ "limits", "stream-window-kib", RANGE(16, 16384, "", "64"), .scale = 1024,
	  MEMBER(limits.stream_window), .help = "Flow control of one request stream." },
	{ "limits", "conn-window-kib", RANGE(16, 65536, "", "1024"), .scale = 1024,
	  MEMBER(limits.conn_window), .help = "Flow control of all streams of a connection." },
	{ "limits", "buffered-kib", RANGE(1024, 1 << 24, "", "131072"), .scale = 1024,
	  MEMBER(limits.buffered),
	  .help = "Bytes of all streams and capsules that wait for a slow peer, for a tunnel or for a\n"
		  "busy thread: for control, and for each worker.  Connections that hold many are closed\n"
		  "with H3_EXCESSIVE_LOAD before it is reached." },
	{ "limits", "quic-memory-kib", RANGE(1024, 1u << 30, "", "2097152"), .scale = 1024,
	  MEMBER(limits.quic_memory),
	  .help = "Memory of the QUIC library, where wait what peers send with gaps and what they do not\n"
		  "acknowledge: for connections being made, and for those of each worker.  Some 30 KiB for\n"
		  "each.  Connections that hold much are given up before it is reached." },
	{ "limits", "capsule-backlog-kib", RANGE(4, 65536, "", "256"), .scale = 1024,
	  MEMBER(limits.capsule_backlog),
	  .help = "Datagram capsules a slow reader may leave waiting." },
	{ "limits", "resets-per-sec", RANGE(0, 1000000, "packets", "100"),
	  MEMBER(limits.answers.resets_per_sec), .help = "Stateless resets." },
	{ "limits", "retries-per-sec", RANGE(0, 1000000, "packets", "2000"),
	  MEMBER(limits.answers.retries_per_sec), .help = "Retry packets." },
	{ "limits", "versions-per-sec", RANGE(0, 1000000, "packets", "500"),
	  MEMBER(limits.answers.versions_per_sec), .help = "Version Negotiation packets." },
	{ "limits", "refusals-per-sec", RANGE(0, 1000000, "packets", "500"),
	  MEMBER(limits.answers.refusals_per_sec),
	  .help = "Refusals of connections beyond a ceiling and of Retry tokens that do not hold." },
	{ "limits", "given-up-per-sec", RANGE(1, 1000000, "streams, for each connection", "1000"),
	  MEMBER(limits.given_up_per_sec),
	  .help = "Requests a client may reset or stop, ten seconds' worth at once.  Beyond, the\n"
		  "connection is closed with H3_EXCESSIVE_LOAD." },
	{ "limits", "early-per-conn", RANGE(0, 1024, "datagrams", "16"),
	  MEMBER(limits.early_per_conn),
	  .help = "Kept while a connection is handed to its worker." },
	{ "limits", "early-per-tunnel", RANGE(0, 1024, "datagrams", "16"),
	  MEMBER(tunnel_early_packets),
	  .help = "Kept for tunnels to come: a client sends before its request is answered." },
	{ "limits", "early-ms", RANGE(1, 60000, "", "3000"), .scale = CLV_MSEC,
	  MEMBER(tunnel_early_ns), .help = "How long." },
	{ "limits", "icmp-per-sec", RANGE(1, 100000, "messages", "100"), MEMBER(icmp_per_sec),
	  .help = "ICMP errors: sent to targets whose datagrams do not fit their tunnel, by each\n"
		  "worker, and looked at when they come." },
	{ "limits", "hop-wait-packets", RANGE(1, 1024, "datagrams", "64"), MEMBER(hop_wait_packets),
	  .help = "Kept for a next hop whose link address is being resolved." },
	{ "limits", "buffers", RANGE(64, 1 << 22, "buffers, for each worker", "16384"),
	  MEMBER(buffers), .help = "For all datagrams that wait, 2 KiB each." },
	{ "limits", "names-pending", RANGE(1, 65536, "names", "256"), MEMBER(names_pending_max),
	  .help = "Being resolved at a time." },
	{ "limits", "name-ms", RANGE(100, 60000, "", "5000"), .scale = CLV_MSEC, MEMBER(name_ns),
	  .help = "Longest wait for a name." },

	{ "guard", "host-per-sec", RANGE(0, 10000000, "packets", "500"),
	  MEMBER(limits.guard_host_per_sec),
	  .help = "Packets of no connection that one source (an IPv4 address, an IPv6 /64) may send:\n"
		  "Initials, and apart from them what names unknown connections.  More is dropped, in\n"
		  "XDP where there is XDP.  A handshake takes five to ten.  0: no limit." },
	{ "guard", "host-burst", RANGE(1, 1 << 24, "packets", "2000"),
	  MEMBER(limits.guard_host_burst), .help = "Of them, at once after a silence." },
	{ "guard", "net-per-sec", RANGE(0, 10000000, "packets", "4000"),
	  MEMBER(limits.guard_net_per_sec), .help = "The same for an IPv4 /24 and an IPv6 /48." },
	{ "guard", "net-burst", RANGE(1, 1 << 24, "packets", "16000"),
	  MEMBER(limits.guard_net_burst), .help = "" },
	{ "guard", "sources", RANGE(64, 1 << 24, "prefixes", "65536"), MEMBER(limits.guard_sources),
	  .help = "Remembered at a time, in the kernel and in the daemon each." },

	{ "io", "look-usec", RANGE(0, 10000, "", "1500"), .scale = 1000, MEMBER(pace.look_ns),
	  .help = "How long a worker looks on after it had something to do, before it sleeps.  Spares the\n"
		  "time of a wake-up where answers follow soon; given up where they do not.  0: never." },
	{ "io", "look-per-sec", RANGE(0, 10000000, "packets", "15000"), MEMBER(pace.look_per_sec),
	  .help = "With more than this a worker sleeps at once: they come several at a time anyway." },
	{ "io", "batch-packets", RANGE(0, 64, "packets", "64"), MEMBER(pace.batch),
	  .help = "With much traffic, but not enough to be busy all the time, a worker pauses until\n"
		  "about so many packets are there, instead of waking for each.  0: never." },
	{ "io", "pause-usec", RANGE(1, 1000, "", "250"), .scale = 1000, MEMBER(pace.pause_max_ns),
	  .help = "Longest such pause: what a datagram may be late by.  Traffic that brings fewer than 8\n"
		  "packets in that time knows no pauses." },
	{ "io", "slice-usec", RANGE(0, 100000, "", "100"), .scale = 1000, MEMBER(slice_ns),
	  .help = "How long a worker computes before others on its core have a turn.  With short turns it\n"
		  "waits less for them when packets come: for handshakes, where control shares the core.\n"
		  "100 and more are kept, by Linux 6.12 and newer.  0: the system's default." },
	{ "io", "ring-packets", RANGE(64, 65536, "packets, a power of two", "2048"),
	  MEMBER(ring_packets),
	  .help = "Each AF_XDP ring.  A queue takes 8 KiB of memory for each." },
	{ "io", "verify-checksum", CLV_CONFIG_BOOL, .initial = "true", MEMBER(verify_checksum),
	  .help = "Drop datagrams with a wrong UDP checksum.  false where senders on the same machine\n"
		  "leave checksums to a device that is not there." },
	{ "io", "busy-poll-usec", RANGE(0, 1000, "", "0"), MEMBER(busy_poll_usec),
	  .help = "Preferred busy polling on AF_XDP sockets; 0: off." },
	{ "io", "busy-poll-packets", RANGE(1, 1024, "packets", "64"), MEMBER(busy_poll_packets),
	  .help = "Its budget." },
	{ "io", "socket-kib", RANGE(0, 65536, "", "4096"), .scale = 1024, MEMBER(socket_bytes),
	  .help = "Buffers of the listeners' kernel sockets; 0: the system's default." },

	{ "metrics", "listen", CLV_CONFIG_TEXT, .initial = "127.0.0.1:9845", MEMBER(metrics_listen),
	  .help = "TCP address of Prometheus' /metrics, without TLS or access control.  Empty: none." },
};

const struct clv_config_option *clv_config_options(size_t *len)
{
	*len = sizeof(options) / sizeof(options[0]);
	return options;
}

const char *clv_config_datapath_name(enum clv_config_datapath datapath)
{
	static const char *const names[] = { "auto", "zerocopy", "xdp", "generic", "sock" };

	return (unsigned)datapath < sizeof(names) / sizeof(names[0]) ? names[datapath] : "?";
}

static bool is_same_list(const struct clv_config_list *a, const struct clv_config_list *b)
{
	size_t i;

	if (a->len != b->len)
		return false;
	for (i = 0; i < a->len; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool is_same_at(const struct clv_config_option *o, const void *a, const void *b)
{
	const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

	switch (o->type) {
	case CLV_CONFIG_LIST:
		return is_same_list((const struct clv_config_list *)x,
				    (const struct clv_config_list *)y);
	case CLV_CONFIG_TEXT:
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	default:
		return memcmp(x, y, o->bytes) == 0;
	}
}

bool clv_config_is_same(const struct clv_config_option *option, const struct clv_config *a,
			const struct clv_config *b)
{
	size_t i;

	if (!option->section || strcmp(option->section, "listener") != 0)
		return is_same_at(option, a, b);
	if (a->listeners_len != b->listeners_len)
		return false;
	for (i = 0; i < a->listeners_len; i++)
		if (!is_same_at(option, &a->listeners[i], &b->listeners[i]))
			return false;
	return true;
}

/* Help text as comment lines, and behind it what the option takes. */
static void print_help(FILE *out, const struct clv_config_option *o, const char *indent)
{
	const char *line = o->help, *end;

	while (*line) {
		end = strchrnul(line, '\n');
		fprintf(out, "%s# %.*s\n", indent, (int)(end - line), line);
		line = *end ? end + 1 : end;
	}
	fprintf(out, "%s# ", indent);
	switch (o->type) {
	case CLV_CONFIG_NUMBER:
		fprintf(out, "%llu to %llu%s%s", (unsigned long long)o->min,
			(unsigned long long)o->max, *o->unit ? " " : "", o->unit);
		break;
	case CLV_CONFIG_BOOL:
		fputs("true or false", out);
		break;
	case CLV_CONFIG_CHOICE:
		fprintf(out, "%s", o->choices);
		break;
	case CLV_CONFIG_TEXT:
		fputs("text", out);
		break;
	case CLV_CONFIG_LIST:
		fputs("list", out);
		break;
	}
	fprintf(out, "%s\n", o->is_reloadable ? "; a reload (SIGHUP) applies it" : "");
}

void clv_config_print(FILE *out)
{
	const char *section = NULL, *indent = "";
	size_t i;

	fputs("# SPDX-License-Identifier: GPL-3.0-or-later\n"
	      "#\n"
	      "# Culvert's configuration: every key with its default (culvertd --print-config).\n"
	      "# Without this file the relay starts with all of them.  Lines of the form #key = value\n"
	      "# are settings to uncomment.  culvertd --check validates.\n"
	      "#\n"
	      "# A second listener, for clients without ML-DSA certificates:\n"
	      "#\n"
	      "#   listener web { port = 4443  profile = hybrid }\n",
	      out);
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct clv_config_option *o = &options[i];

		if (o->section && (!section || strcmp(section, o->section) != 0)) {
			fprintf(out, "%s\n#%s%s {\n", section ? "#}\n" : "", o->section,
				strcmp(o->section, "listener") == 0 ? " main" : "");
			section = o->section;
			indent = "\t";
		} else {
			fputc('\n', out);
		}
		print_help(out, o, indent);
		fprintf(out, "#%s%s = %s\n", indent, o->name, o->initial);
	}
	fputs("#}\n", out);
}
