/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of options, and the file that documents them. */
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
	  .help = "How packets reach the workers.  auto uses the best mode each interface supports, falling\n"
		  "back from AF_XDP zero-copy to copy, generic XDP and kernel sockets.  zerocopy and xdp\n"
		  "(native XDP, zero-copy or copy) refuse to start with less; generic and sock use exactly\n"
		  "that mode." },
	{ NULL, "interfaces", CLV_CONFIG_LIST, .initial = "{}", MEMBER(interfaces),
	  .help = "Interfaces that get the XDP program, also when they come later.  Empty: those with a\n"
		  "device behind them, and those by which packets leave for the Internet." },
	{ NULL, "workers", RANGE(0, CLV_WORKERS_MAX, "", "0"), MEMBER(workers_max),
	  .help = "Packet threads, one per core.  0: one for each core but one, which control gets, and no\n"
		  "more than there are receive queues (culvertd --plan shows it)." },
	{ NULL, "mark", RANGE(0, UINT32_MAX, "", "0"), MEMBER(mark),
	  .help = "Firewall mark of what the relay sends to clients, targets and remotes, for rules such as\n"
		  "ip rule add fwmark 7 lookup 100, which then hold in every mode.  0: none." },
	{ NULL, "log-level", CLV_CONFIG_CHOICE, .initial = "info",
	  .choices = "error|warn|info|debug", MEMBER(log_level), .is_reloadable = true,
	  .help = "How much is logged.  No level logs a client together with its target." },
	{ NULL, "proxy-name", CLV_CONFIG_TEXT, .initial = "\"\"", MEMBER(proxy_name),
	  .help = "The relay's name in Proxy-Status fields.  Empty: the host name." },
	{ NULL, "certificate-names", CLV_CONFIG_LIST, .initial = "{}", MEMBER(certificate_names),
	  .help = "DNS names and addresses in the certificate that is made on first start.  Empty: the\n"
		  "host name, access.host, the listeners' own addresses, and the host's public ones." },

	{ NULL, "user", CLV_CONFIG_TEXT, .initial = "culvert", MEMBER(user),
	  .help = "User to run as after set-up, with the few capabilities that are still needed\n"
		  "(culvertctl status shows them): a name or a number.  make install makes the default one; a\n"
		  "user that does not exist is an error, except where there are no users at all, as in many\n"
		  "containers: there it is 65534.  Empty: do not change the user, only drop capabilities." },
	{ NULL, "sandbox", CLV_CONFIG_BOOL, .initial = "true", MEMBER(sandbox),
	  .help = "Allow only the system calls that serving needs.  Any other call is logged by name and\n"
		  "ends the daemon." },

	{ "listener", "port", RANGE(1, 65535, "", "443"), MEMBER_OF(clv_config_listener, port),
	  .help = "UDP port." },
	{ "listener", "address", CLV_CONFIG_TEXT, .initial = "\"\"",
	  MEMBER_OF(clv_config_listener, address),
	  .help = "Local address to listen on, as \"192.0.2.1\" or \"2001:db8::1\".  Empty: every address of\n"
		  "both families.  Listeners, and other relays, may share a port on different addresses." },
	{ "listener", "profile", CLV_CONFIG_CHOICE, .initial = "pqc", .choices = "pqc|hybrid",
	  MEMBER_OF(clv_config_listener, profile),
	  .help = "pqc: ML-KEM-768 and ML-DSA-65 and nothing else.  hybrid: X25519MLKEM768 or\n"
		  "SecP256r1MLKEM768 with any certificate, for today's browsers and libraries.  Neither\n"
		  "falls back to classical key exchange." },
	{ "listener", "cert", CLV_CONFIG_TEXT, .initial = "\"\"",
	  MEMBER_OF(clv_config_listener, cert_file),
	  .help = "Certificate chain (PEM, leaf first).  Empty: one made on first start, in the state\n"
		  "directory." },
	{ "listener", "key", CLV_CONFIG_TEXT, .initial = "\"\"",
	  MEMBER_OF(clv_config_listener, key_file), .help = "Its private key (PEM)." },

	{ "access", "mode", CLV_CONFIG_CHOICE, .initial = "token",
	  .choices = "token|open|certificate", MEMBER(access_mode), .is_reloadable = true,
	  .help = "Who may use the relay.  token: clients with a credential of `culvertctl user`, be it\n"
		  "a link, a password or a TLS certificate.  certificate: clients with a TLS\n"
		  "certificate whose key, or whose CA, is in the users file.  open: everybody, which\n"
		  "makes the relay an open proxy for UDP." },
	{ "access", "clients", CLV_CONFIG_LIST, .initial = "{}", MEMBER(access_clients),
	  .is_reloadable = true,
	  .help = "Prefixes of the clients that may use the relay, in every mode.  Packets from other\n"
		  "addresses are dropped before a handshake.  Empty: any address." },
	{ "access", "users", CLV_CONFIG_TEXT, .initial = "/etc/culvert/users", MEMBER(access_users),
	  .help = "File with the users, which `culvertctl user` edits.  It need not exist." },
	{ "access", "host", CLV_CONFIG_TEXT, .initial = "\"\"", MEMBER(access_host),
	  .help = "DNS name or address in the links of `culvertctl user link`.  Empty: the first of\n"
		  "certificate-names, or else the host name." },
	{ "access", "failures-per-sec", RANGE(1, 1000, "attempts, for each source", "1"),
	  MEMBER(access_failures_per_sec),
	  .help = "Failed attempts to authenticate; beyond them passwords from that source get\n"
		  "status 429 without being checked.  Valid tokens are still accepted." },
	{ "access", "failures-burst", RANGE(1, 100000, "attempts", "20"),
	  MEMBER(access_failures_burst), .help = "Failed attempts allowed in one burst." },
	{ "access", "password-checks", RANGE(0, 1024, "checks", "16"), MEMBER(access_checks_max),
	  .help = "Passwords being checked at a time, an eighth of them for one source; each takes\n"
		  "19 MiB and some 30 ms of CPU time.  More get status 503.  0: no passwords." },

	{ "policy", "allow", CLV_CONFIG_LIST, .initial = "{}", MEMBER(allow), .is_reloadable = true,
	  .help = "Prefixes clients may reach although the table of special-use addresses refuses\n"
		  "them, as {\"198.18.0.0/15\", \"fd00::/8\"}.  The longest matching prefix decides." },
	{ "policy", "deny", CLV_CONFIG_LIST, .initial = "{}", MEMBER(deny), .is_reloadable = true,
	  .help = "Prefixes clients may not reach.  Of equally long prefixes, deny wins." },
	{ "policy", "nat64", CLV_CONFIG_LIST, .initial = "{}", MEMBER(nat64), .is_reloadable = true,
	  .help = "NAT64 prefixes of this network, as {\"2001:db8:64::/96\"}: the IPv4 addresses\n"
		  "embedded in them must be allowed too, as those in 64:ff9b::/96 always must." },

	{ "egress", "port-min", RANGE(1, 65535, "", "20000"), MEMBER(egress_port_min),
	  .help = "First local port for packets to targets, on each local address." },
	{ "egress", "port-max", RANGE(1, 65535, "", "59999"), MEMBER(egress_port_max),
	  .help = "Last local port for packets to targets.  With AF_XDP, tunnels to different targets share ports\n"
		  "once half of them are in use." },
	{ "egress", "next-address-ms", RANGE(0, 60000, "", "1000"), .scale = CLV_MSEC,
	  MEMBER(proxy.trial_ns),
	  .help = "A tunnel to a name with several addresses, of which the first does not answer, gets the\n"
		  "next one this long after its first datagram; what was sent so far is sent again.  An\n"
		  "ICMP error has the same effect at once.  0: only such an error has." },

	{ "bind", "offered", CLV_CONFIG_BOOL, .initial = "true", MEMBER(bind.is_offered),
	  .help = "Offer bound tunnels (CONNECT-UDP-bind): a client gets a port of each address family\n"
		  "for itself and exchanges datagrams with any remote that policy allows." },
	{ "bind", "local", CLV_CONFIG_LIST, .initial = "{}", MEMBER(bind_local),
	  .help = "Addresses of this host on which the ports are bound, at most one per family.  Empty:\n"
		  "the source address of the default route." },
	{ "bind", "public", CLV_CONFIG_LIST, .initial = "{}", MEMBER(bind_public),
	  .help = "Public addresses to advertise to clients instead, at most one per family: for a host\n"
		  "behind a 1:1 NAT that keeps ports." },
	{ "bind", "uncompressed", CLV_CONFIG_BOOL, .initial = "true", MEMBER(bind.is_uncompressed),
	  .help = "Let any remote reach a client that asks for it (an uncompressed context).  false: only\n"
		  "remotes that the client registered." },
	{ "bind", "tunnels", RANGE(1, 1 << 20, "tunnels", "4096"), MEMBER(bind.tunnels_max),
	  .help = "Bound tunnels open at a time." },
	{ "bind", "contexts", RANGE(2, 1 << 20, "contexts, for each tunnel", "16384"),
	  MEMBER(bind.contexts.open_max),
	  .help = "Remotes that have a Context ID; the relay itself opens half of them at most." },
	{ "bind", "registrations-per-sec", RANGE(0, 1000000, "registrations", "4096"),
	  MEMBER(bind.registrations_per_sec),
	  .help = "Remotes that one connection may register per second, with a Context ID or without,\n"
		  "and as many in one burst; more are refused.  0: no limit." },
	{ "bind", "unacked-responses", RANGE(1, 1 << 20, "responses", "16384"),
	  MEMBER(bind.contexts.unacked_max),
	  .help = "Responses to registrations that a client has not acknowledged; more abort its tunnel." },
	{ "bind", "context-id-gaps", RANGE(1, 65536, "gaps", "256"),
	  MEMBER(bind.contexts.id_gaps_max),
	  .help = "Gaps in the Context IDs that a client uses; more abort its tunnel." },
	{ "bind", "compress-above-packets-per-sec", RANGE(0, 1000000, "packets", "50"),
	  MEMBER(bind.busy_per_sec),
	  .help = "A remote without a Context ID that sends as much gets one.  0: never." },
	{ "bind", "context-idle-sec", RANGE(0, 86400, "", "300"), .scale = CLV_SEC,
	  MEMBER(bind.context_idle_ns),
	  .help = "An idle remote loses its Context ID after this time.  0: never." },
	{ "bind", "tunnel-idle-sec", RANGE(0, 86400, "", "0"), .scale = CLV_SEC,
	  MEMBER(bind.tunnel_idle_ns),
	  .help = "An idle bound tunnel is closed after this time.  0: it stays open as long as the\n"
		  "client's connection." },

	{ "signal", "offered", CLV_CONFIG_BOOL, .initial = "true", MEMBER(signal.is_offered),
	  .help = "Offer signal streams: a client learns its own address, and one with an identity\n"
		  "(culvert id) can publish where it is reached, look up others and knock at them.\n"
		  "Every client is then asked for a certificate; it need not have one." },
	{ "signal", "records", RANGE(1, 1 << 20, "records", "16384"), MEMBER(signal.records_max),
	  .help = "Published records, one for each identity, of up to 8 KiB; they count for\n"
		  "limits.http-memory-kib.  Sources have shares of them." },
	{ "signal", "knocks", RANGE(1, 1 << 20, "knocks", "4096"), MEMBER(signal.knocks_max),
	  .help = "Knocks that wait for an answer.  Sources have shares of them." },
	{ "signal", "knock-timeout-sec", RANGE(1, 60, "", "10"), .scale = CLV_SEC,
	  MEMBER(signal.knock_ns), .help = "How long the answer to a knock may take." },
	{ "signal", "publish-every-sec", RANGE(0, 3600, "for each stream", "10"), .scale = CLV_SEC,
	  MEMBER(signal.publish_every_ns),
	  .help = "One record in this time; more are answered with busy.  0: no limit." },
	{ "signal", "publish-burst", RANGE(1, 1000, "records", "5"), MEMBER(signal.publish_burst),
	  .help = "Records allowed in one burst." },
	{ "signal", "lookups-per-sec", RANGE(0, 10000, "look-ups, for each stream", "5"),
	  MEMBER(signal.lookups_per_sec),
	  .help = "As many in one burst; more are answered with busy.  0: no limit." },
	{ "signal", "knocks-per-sec", RANGE(0, 10000, "knocks, for each stream", "2"),
	  MEMBER(signal.knocks_per_sec),
	  .help = "As many in one burst; more are answered with busy.  0: no limit." },
	{ "signal", "knocks-to-peer-per-sec", RANGE(0, 10000, "knocks", "20"),
	  MEMBER(signal.knocks_to_per_sec),
	  .help = "Of all that reach one peer; more are answered with busy.  0: no limit." },
	{ "signal", "bytes-per-sec", RANGE(0, 100000000, "bytes, for each stream", "65536"),
	  MEMBER(signal.bytes_per_sec),
	  .help = "Twice as many in one burst; what comes beyond them is answered with busy.  0: no\n"
		  "limit." },
	{ "signal", "backlog-kib", RANGE(16, 1 << 20, "for each stream", "64"), .scale = 1024,
	  MEMBER(signal.backlog),
	  .help = "What may wait for a client that reads slowly; it does not get the rest." },

	{ "limits", "conns", RANGE(1, 1 << 20, "connections, for each worker", "16384"),
	  MEMBER(limits.conns_max), .help = "Established connections." },
	{ "limits", "conns-total", RANGE(1, 1 << 24, "connections", "65536"),
	  MEMBER(limits.conns_total),
	  .help = "Connections of all workers, half-open ones included.  More are refused with\n"
		  "CONNECTION_REFUSED." },
	{ "limits", "conns-per-host", RANGE(1, 1 << 24, "connections", "2048"),
	  MEMBER(limits.conns_per_host),
	  .help = "From one source: an IPv4 address, which may be a carrier's NAT, or an IPv6 /64." },
	{ "limits", "conns-per-net", RANGE(1, 1 << 24, "connections", "16384"),
	  MEMBER(limits.conns_per_net), .help = "From one IPv4 /24 or IPv6 /48." },
	{ "limits", "source-shares", RANGE(1, 1024, "", "8"), MEMBER(limits.shares),
	  .help = "Into how many shares each ceiling of connections, half-open ones, requests, tunnels,\n"
		  "bound tunnels, ports, remotes and names is divided.  While more than two shares are\n"
		  "free, everybody may take what there is; the last two are for sources that hold less\n"
		  "than one, the last for those whose IPv4 /24 or IPv6 /48 does, too.  1: whoever comes\n"
		  "first is served." },
	{ "limits", "handshakes", RANGE(1, 1 << 20, "connections", "1024"),
	  MEMBER(limits.handshakes_max), .help = "Half-open connections at a time." },
	{ "limits", "retry-above", RANGE(0, 1 << 20, "connections", "128"),
	  MEMBER(limits.retry_above),
	  .help = "With more half-open connections, clients must first prove their address (Retry)." },
	{ "limits", "tunnels", RANGE(1, 1 << 22, "tunnels, for each worker", "65536"),
	  MEMBER(limits.tunnels_max), .help = "Open tunnels." },
	{ "limits", "tunnels-total", RANGE(1, 1 << 24, "tunnels", "262144"),
	  MEMBER(limits.tunnels_total), .help = "Open tunnels of all workers." },
	{ "limits", "requests", RANGE(1, 1 << 24, "requests", "262144"), MEMBER(proxy.requests_max),
	  .help = "Requests that have a tunnel or wait for one." },
	{ "limits", "requests-per-sec", RANGE(0, 1000000, "requests, for each connection", "2000"),
	  MEMBER(proxy.requests_per_sec), .help = "More requests get status 429.  0: no limit." },
	{ "limits", "requests-burst", RANGE(1, 1 << 24, "requests", "16384"),
	  MEMBER(proxy.requests_burst), .help = "Requests allowed in one burst." },
	{ "limits", "request-timeout-sec", RANGE(1, 3600, "", "10"), .scale = CLV_SEC,
	  MEMBER(proxy.request_ns),
	  .help = "Longest time from a request's first byte to its response, and from a connection's\n"
		  "start to its client's SETTINGS." },
	{ "limits", "unfinished-requests", RANGE(1, 1 << 22, "requests, for each connection", "64"),
	  MEMBER(proxy.unfinished_max),
	  .help = "Requests whose field section has not come whole.  More are reset." },
	{ "limits", "tunnels-per-conn", RANGE(1, 1 << 22, "tunnels", "16384"),
	  MEMBER(limits.tunnels_per_conn), .help = "Open tunnels of one connection." },
	{ "limits", "remotes", RANGE(0, 1 << 22, "remotes, for each worker", "65536"),
	  MEMBER(bind.remotes_max), .help = "Remotes of all bound tunnels." },
	{ "limits", "remotes-per-conn", RANGE(1, 1 << 22, "remotes", "16384"),
	  MEMBER(bind.remotes_per_conn),
	  .help = "Remotes of all bound tunnels of one connection." },
	{ "limits", "remotes-per-tunnel", RANGE(1, 1 << 22, "remotes", "16384"),
	  MEMBER(bind.remotes_per_tunnel),
	  .help = "Remotes that a bound tunnel may reach at a time without registering them." },
	{ "limits", "send-queue-packets", RANGE(1, 65536, "datagrams", "256"),
	  MEMBER(limits.queue.packets),
	  .help = "Datagrams of a connection that congestion control holds back, of all flows.  A flow is\n"
		  "what one remote sends through one tunnel; the longest flow loses what is too much." },
	{ "limits", "sojourn-ms", RANGE(1, 10000, "", "50"), .scale = CLV_MSEC,
	  MEMBER(limits.queue.sojourn_ns),
	  .help = "Longest time a datagram waits for the congestion window before it is dropped." },
	{ "limits", "codel-target-ms", RANGE(1, 1000, "", "5"), .scale = CLV_MSEC,
	  MEMBER(limits.queue.target_ns),
	  .help = "A flow whose datagrams all wait longer than this, for codel-interval-ms, loses a few (CoDel,\n"
		  "RFC 8289): senders that heed losses slow down before they meet sojourn-ms." },
	{ "limits", "codel-interval-ms", RANGE(0, 10000, "", "100"), .scale = CLV_MSEC,
	  MEMBER(limits.queue.interval_ns),
	  .help = "About the longest usual round trip of senders, who need that long to slow down.\n"
		  "0: no CoDel." },
	{ "limits", "conn-idle-sec", RANGE(5, 86400, "", "120"), .scale = CLV_SEC,
	  MEMBER(limits.conn_idle_ns), .help = "An idle connection is closed after this time." },
	{ "limits", "tunnel-idle-sec", RANGE(5, 86400, "", "120"), .scale = CLV_SEC,
	  MEMBER(proxy.tunnel_idle_ns),
	  .help = "An idle tunnel is closed after this time.  RFC 4787 requires 120 or more." },
	{ "limits", "handshake-timeout-sec", RANGE(1, 60, "", "10"), .scale = CLV_SEC,
	  MEMBER(limits.handshake_ns), .help = "A handshake that takes longer is abandoned." },
	{ "limits", "stream-window-kib", RANGE(16, 16384, "", "64"), .scale = 1024,
	  MEMBER(limits.stream_window), .help = "Flow control window of one request stream." },
	{ "limits", "conn-window-kib", RANGE(16, 65536, "", "1024"), .scale = 1024,
	  MEMBER(limits.conn_window),
	  .help = "Flow control window of all streams of a connection." },
	{ "limits", "buffered-kib", RANGE(1024, 1 << 24, "", "131072"), .scale = 1024,
	  MEMBER(limits.buffered),
	  .help = "Stream bytes and capsules that wait for a slow peer, a tunnel or a busy thread: one\n"
		  "limit for control and one for each worker.  From three quarters on the connections that\n"
		  "hold most are closed with H3_EXCESSIVE_LOAD." },
	{ "limits", "tls-memory-kib", RANGE(4096, 1u << 30, "", "262144"), .scale = 1024,
	  MEMBER(limits.tls_memory),
	  .help = "Memory of the TLS library, which nearly all belongs to handshakes.  While so much is held,\n"
		  "no handshake begins." },
	{ "limits", "http-memory-kib", RANGE(8192, 1u << 30, "", "1048576"), .scale = 1024,
	  MEMBER(limits.http_memory),
	  .help = "Memory of the HTTP library and for requests, of all connections.  One connection may have\n"
		  "an eighth; from three quarters on those that hold most are closed with\n"
		  "H3_EXCESSIVE_LOAD." },
	{ "limits", "quic-memory-kib", RANGE(1024, 1u << 30, "", "2097152"), .scale = 1024,
	  MEMBER(limits.quic_memory),
	  .help = "Memory of the QUIC library, which keeps what peers send out of order and what they do\n"
		  "not acknowledge: one limit for handshakes and one for each worker.  A connection needs\n"
		  "about 30 KiB.  Above three quarters, one that has 256 KiB and wants more is closed,\n"
		  "and one that has 48 KiB while its source has more than is left." },
	{ "limits", "capsule-backlog-kib", RANGE(4, 65536, "", "256"), .scale = 1024,
	  MEMBER(proxy.capsule_backlog),
	  .help = "Datagram capsules that may wait for a slow reader." },
	{ "limits", "stateless-resets-per-sec", RANGE(0, 1000000, "packets", "100"),
	  MEMBER(limits.responses.resets_per_sec),
	  .help = "Stateless resets sent for unknown connections." },
	{ "limits", "retries-per-sec", RANGE(0, 1000000, "packets", "2000"),
	  MEMBER(limits.responses.retries_per_sec), .help = "Retry packets sent." },
	{ "limits", "version-negotiations-per-sec", RANGE(0, 1000000, "packets", "500"),
	  MEMBER(limits.responses.version_negotiations_per_sec),
	  .help = "Version Negotiation packets sent." },
	{ "limits", "refusals-per-sec", RANGE(0, 1000000, "packets", "500"),
	  MEMBER(limits.responses.refusals_per_sec),
	  .help = "Refusals sent for connections above a limit and for invalid Retry tokens." },
	{ "limits", "stream-cancels-per-sec",
	  RANGE(1, 1000000, "streams, for each connection", "1000"),
	  MEMBER(limits.stream_cancels_per_sec),
	  .help = "Request streams that a client may reset or stop, ten seconds' worth in one burst.\n"
		  "More close the connection with H3_EXCESSIVE_LOAD." },
	{ "limits", "handover-packets", RANGE(0, 1024, "datagrams, for each connection", "16"),
	  MEMBER(limits.handover_packets),
	  .help = "Kept while a connection is handed over to its worker." },
	{ "limits", "early-packets", RANGE(0, 1024, "datagrams, for each connection", "16"),
	  MEMBER(early_packets),
	  .help = "Kept for tunnels that are not open yet: clients may send before the response." },
	{ "limits", "neighbours-per-source-per-sec",
	  RANGE(0, 1000000, "neighbours, for each source", "256"),
	  MEMBER(proxy.neighbours_per_source_per_sec),
	  .help = "Targets and remotes on a link of the relay for which a neighbour has to be looked for,\n"
		  "and as many in one burst; more are refused.  With AF_XDP.  0: no limit." },
	{ "limits", "neighbours-per-sec", RANGE(0, 1000000, "neighbours", "1024"),
	  MEMBER(proxy.neighbours_per_sec), .help = "The same, of all sources." },
	{ "limits", "early-packets-total", RANGE(0, 1 << 22, "datagrams, for each worker", "2048"),
	  MEMBER(early_total),
	  .help = "Kept of all connections.  As it fills up, those that have fewer than what is left\n"
		  "come first." },
	{ "limits", "early-ms", RANGE(1, 60000, "", "3000"), .scale = CLV_MSEC, MEMBER(early_ns),
	  .help = "How long they are kept." },
	{ "limits", "slow-path-per-sec", RANGE(0, 10000000, "datagrams, for each tunnel", "20000"),
	  MEMBER(slow_path_per_sec),
	  .help = "With AF_XDP: datagrams from targets that come through the kernel all the same, in\n"
		  "fragments, with IP options or by an interface without XDP, and as many in one burst.\n"
		  "More are dropped.  0: no limit." },
	{ "limits", "icmp-per-sec", RANGE(0, 100000, "messages", "100"), MEMBER(icmp_per_sec),
	  .help = "ICMP errors: sent by each worker to targets whose datagrams do not fit the path to\n"
		  "the client, and processed when received.  0: none are sent, and 100 received ones are\n"
		  "processed.  None is sent while another client's tunnel to the target has more room." },
	{ "limits", "icmp-per-source-per-sec", RANGE(0, 100000, "messages", "10"),
	  MEMBER(icmp_source_per_sec),
	  .help = "Those sent because of the clients of one source.  0: no limit of its own." },
	{ "limits", "icmp-mtu-min", RANGE(68, 1500, "bytes", "1280"), MEMBER(icmp_mtu_min),
	  .help = "Least MTU that is reported to an IPv4 target: it keeps that for all datagrams to the\n"
		  "relay's address.  To an IPv6 target it is always 1280." },
	{ "limits", "neighbour-queue-packets", RANGE(1, 1024, "datagrams", "64"),
	  MEMBER(hop_wait_packets),
	  .help = "Kept for a next hop while its link address is being resolved, and for a target's next\n"
		  "address while the first has not answered." },
	{ "limits", "buffers", RANGE(64, 1 << 22, "buffers, for each worker", "16384"),
	  MEMBER(buffers),
	  .help = "2 KiB each, for all datagrams that wait.  A connection and a source (an IPv4\n"
		  "address, an IPv6 /64) may have as many as are left, so that none takes all." },
	{ "limits", "dns-pending", RANGE(1, 65536, "names", "4096"), MEMBER(dns_pending_max),
	  .help = "Names being resolved at a time, and requests that wait for them." },
	{ "limits", "dns-cache", RANGE(0, 1 << 20, "names", "4096"), MEMBER(dns_cache_max),
	  .help = "Names whose addresses are kept, for as long as their TTL says and at most ten minutes." },
	{ "limits", "dns-timeout-ms", RANGE(100, 60000, "", "5000"), .scale = CLV_MSEC,
	  MEMBER(dns_timeout_ns), .help = "Longest time to wait for a name." },

	{ "guard", "host-per-sec", RANGE(0, 10000000, "packets", "500"),
	  MEMBER(limits.guard_host_per_sec),
	  .help = "Packets of no connection that one source (an IPv4 address, an IPv6 /64) may send:\n"
		  "one limit for Initials, one for packets with unknown connection IDs.  More are dropped,\n"
		  "by the XDP program where it runs.  A handshake takes five to ten.  0: no limit." },
	{ "guard", "host-burst", RANGE(1, 1 << 24, "packets", "2000"),
	  MEMBER(limits.guard_host_burst), .help = "As many are allowed in one burst." },
	{ "guard", "net-per-sec", RANGE(0, 10000000, "packets", "4000"),
	  MEMBER(limits.guard_net_per_sec), .help = "The same for an IPv4 /24 and an IPv6 /48." },
	{ "guard", "net-burst", RANGE(1, 1 << 24, "packets", "16000"),
	  MEMBER(limits.guard_net_burst), .help = "As many are allowed in one burst." },
	{ "guard", "sources", RANGE(64, 1 << 24, "prefixes", "65536"), MEMBER(limits.guard_sources),
	  .help = "Sources tracked at a time, in the kernel and in the daemon each." },

	{ "reflect", "stun", CLV_CONFIG_BOOL, .initial = "true", MEMBER(limits.reflect.stun),
	  .help = "Tell who asks at which address the relay sees them: answer STUN Binding requests\n"
		  "(RFC 8489) on the listeners' ports, from addresses in access.clients.  Peers need it to\n"
		  "find a direct path, and culvert nat to name the NAT they are behind." },
	{ "reflect", "stun-per-sec", RANGE(1, 1000000, "answers, to each source", "10"),
	  MEMBER(limits.reflect.per_sec),
	  .help = "A source is an IPv4 address or an IPv6 /64.  More are dropped, by the XDP program where\n"
		  "it runs.  An answer is at most 1.4 times as long as the packet that asked." },
	{ "reflect", "stun-burst", RANGE(1, 1 << 20, "answers", "20"), MEMBER(limits.reflect.burst),
	  .help = "As many are allowed in one burst." },
	{ "reflect", "xdp", CLV_CONFIG_CHOICE, .initial = "auto", .choices = "auto|always|never",
	  MEMBER(reflect_xdp),
	  .help = "Whether the XDP program answers by itself, or passes them to the control plane.  auto:\n"
		  "except in native XDP on veth, whose other end may lose or delay such frames." },

	{ "io", "spin-usec", RANGE(0, 10000, "", "1500"), .scale = 1000, MEMBER(pace.spin_ns),
	  .help = "How long an idle worker polls before it sleeps.  Saves the time of a wake-up where\n"
		  "responses follow soon; it stops by itself where they do not.  0: never." },
	{ "io", "spin-below-packets-per-sec", RANGE(0, 10000000, "packets", "15000"),
	  MEMBER(pace.spin_per_sec),
	  .help = "At higher rates an idle worker sleeps at once: packets arrive in batches anyway." },
	{ "io", "batch-packets", RANGE(0, 64, "packets", "64"), MEMBER(pace.batch),
	  .help = "At high rates that do not keep it busy all the time, a worker pauses until about so\n"
		  "many packets have arrived, instead of waking up for each.  0: never." },
	{ "io", "pause-usec", RANGE(1, 1000, "", "250"), .scale = 1000, MEMBER(pace.pause_max_ns),
	  .help = "Longest such pause, and so the delay it may add to a datagram.  A worker does not pause\n"
		  "when fewer than 8 packets arrive in that time." },
	{ "io", "slice-usec", RANGE(0, 100000, "", "100"), .scale = 1000, MEMBER(slice_ns),
	  .help = "Scheduler time slice of a worker.  With short slices it gets the core back sooner when\n"
		  "packets arrive while another thread computes, such as control in handshakes.  Linux\n"
		  "6.12 and newer honour 100 or more.  0: the system's default." },
	{ "io", "ring-packets", RANGE(64, 65536, "packets, a power of two", "2048"),
	  MEMBER(ring_packets),
	  .help = "Size of each AF_XDP ring.  A queue takes 8 KiB of memory per packet." },
	{ "io", "verify-checksum", CLV_CONFIG_BOOL, .initial = "true", MEMBER(verify_checksum),
	  .help = "Drop datagrams with a wrong UDP checksum.  false: for senders on the same machine that\n"
		  "leave checksums to hardware that does not exist (veth)." },
	{ "io", "busy-poll-usec", RANGE(0, 1000, "", "0"), MEMBER(busy_poll_usec),
	  .help = "Preferred busy polling on AF_XDP sockets; 0: off." },
	{ "io", "busy-poll-packets", RANGE(1, 1024, "packets", "64"), MEMBER(busy_poll_packets),
	  .help = "Budget of one busy poll." },
	{ "io", "socket-buffer-kib", RANGE(0, 65536, "", "4096"), .scale = 1024,
	  MEMBER(socket_bytes),
	  .help = "Buffers of the listeners' kernel sockets; 0: the system's default." },

	{ "metrics", "listen", CLV_CONFIG_TEXT, .initial = "127.0.0.1:9845", MEMBER(metrics_listen),
	  .help = "TCP address of the Prometheus endpoint /metrics, without TLS or access control.  Empty:\n"
		  "none." },
};

static const struct clv_config_rename renames[] = {
	{ NULL, "names", "certificate-names" },
	{ "bind", "answers", "unacked-responses" },
	{ "bind", "id-gaps", "context-id-gaps" },
	{ "bind", "busy-packets-per-sec", "compress-above-packets-per-sec" },
	{ "limits", "queue-packets", "send-queue-packets" },
	{ "limits", "handshake-sec", "handshake-timeout-sec" },
	{ "limits", "resets-per-sec", "stateless-resets-per-sec" },
	{ "limits", "versions-per-sec", "version-negotiations-per-sec" },
	{ "limits", "given-up-per-sec", "stream-cancels-per-sec" },
	{ "limits", "early-per-conn", "handover-packets" },
	{ "limits", "early-per-tunnel", "early-packets" },
	{ "limits", "hop-wait-packets", "neighbour-queue-packets" },
	{ "limits", "names-pending", "dns-pending" },
	{ "limits", "name-ms", "dns-timeout-ms" },
	{ "io", "look-usec", "spin-usec" },
	{ "io", "look-per-sec", "spin-below-packets-per-sec" },
	{ "io", "socket-kib", "socket-buffer-kib" },
};

const struct clv_config_option *clv_config_options(size_t *len)
{
	*len = sizeof(options) / sizeof(options[0]);
	return options;
}

const struct clv_config_rename *clv_config_renames(size_t *len)
{
	*len = sizeof(renames) / sizeof(renames[0]);
	return renames;
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

/* Print the help text as comment lines, and after it the values that the option takes. */
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
	      "# Without this file the relay starts with all defaults.  Lines of the form #key = value\n"
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
