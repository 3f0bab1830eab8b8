/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * counters - what workers and control count; the lists give slots, classes, names and help.
 *
 * Every datagram that enters leaves, or is in exactly one DROP counter.
 *
 * Threading: one writer for each struct; any thread reads (relaxed), a reader sums.
 */
#ifndef CLV_BASE_COUNTERS_H
#define CLV_BASE_COUNTERS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* What an increment means; metrics and reports select by it. */
enum clv_counter_class {
	CLV_CLASS_TRAFFIC, /* a packet or datagram came or went */
	CLV_CLASS_DROP,	   /* one did not: its reason; named drop_<reason> */
	CLV_CLASS_REFUSAL, /* a connection, request, context or memory was denied or ended */
	CLV_CLASS_EVENT,   /* anything else that happened */
};

/*
 * X(symbol, class, exported name, help): what datapath/ counts.  Workers have these alone; control
 * has them too, for its own port and for connections that no worker owns yet.
 */
#define CLV_WORKER_COUNTERS(X)                                                                     \
	X(RX_PEER, TRAFFIC, "rx_peer_packets", "QUIC packets received from peers")                 \
	X(RX_TARGET, TRAFFIC, "rx_target_packets", "UDP packets received from targets")            \
	X(TX_PEER, TRAFFIC, "tx_peer_packets", "QUIC packets sent to peers")                       \
	X(TX_TARGET, TRAFFIC, "tx_target_packets", "UDP packets sent to targets")                  \
	X(DGRAM_IN, TRAFFIC, "datagrams_in", "HTTP datagrams received from peers")                 \
	X(DGRAM_OUT, TRAFFIC, "datagrams_out", "HTTP datagrams sent to peers")                     \
	X(CAPSULES_IN, TRAFFIC, "capsules_in", "HTTP datagrams received from peers in capsules")   \
	X(CAPSULES_OUT, TRAFFIC, "capsules_out",                                                   \
	  "HTTP datagrams passed to control for capsules to peers")                                \
	X(RX_KERNEL, TRAFFIC, "rx_kernel_packets",                                                 \
	  "of those from peers and targets, received from a kernel socket")                        \
	X(HANDOFF_OUT, TRAFFIC, "handoff_packets", "packets passed to the worker that owns them")  \
	X(HAIRPIN, TRAFFIC, "hairpin_packets", "datagrams between two tunnels of this relay")      \
	X(DROP_MALFORMED, DROP, "drop_malformed", "frames whose lengths or headers disagree")      \
	X(DROP_CHECKSUM, DROP, "drop_checksum", "wrong UDP checksum")                              \
	X(DROP_MTU, DROP, "drop_mtu", "larger than the link they were to leave by")                \
	X(DROP_STALE, DROP, "drop_stale", "for a connection or tunnel that no longer exists")      \
	X(DROP_UNKNOWN, DROP, "drop_unknown", "for no connection or tunnel of ours")               \
	X(DROP_WRONG_REMOTE, DROP, "drop_wrong_remote",                                            \
	  "from another address than the tunnel's target or joined application")                   \
	X(DROP_QUIC, DROP, "drop_quic", "packets the QUIC library discarded")                      \
	X(DROP_DGRAM_MALFORMED, DROP, "drop_datagram_malformed", "HTTP datagrams cut short")       \
	X(DROP_UNKNOWN_STREAM, DROP, "drop_unknown_stream", "HTTP datagrams of no open tunnel")    \
	X(DROP_UNKNOWN_CONTEXT, DROP, "drop_unknown_context",                                      \
	  "HTTP datagrams of an unknown Context ID")                                               \
	X(DROP_CLOSED_CONTEXT, DROP, "drop_closed_context",                                        \
	  "HTTP datagrams of a closed Context ID")                                                 \
	X(DROP_BAD_REMOTE, DROP, "drop_bad_remote",                                                \
	  "uncompressed datagrams that name no usable remote")                                     \
	X(DROP_UNKNOWN_REMOTE, DROP, "drop_unknown_remote",                                        \
	  "to a bound tunnel from a remote that its peer did not permit")                          \
	X(DROP_DENIED, DROP, "drop_denied",                                                        \
	  "received from a kernel socket for a bound tunnel, from an address the policy denies")   \
	X(DROP_REFUSED_REMOTE, DROP, "drop_refused_remote",                                        \
	  "uncompressed datagrams to a remote that was refused, or is not known in time")          \
	X(DROP_REMOTES_FULL, DROP, "drop_remotes_full",                                            \
	  "for a remote beyond the ceiling of remotes")                                            \
	X(DROP_REMOTES_CONN, DROP, "drop_remotes_of_connection",                                   \
	  "for a remote beyond the ceiling of one connection")                                     \
	X(DROP_BUFFERS, DROP, "drop_buffers",                                                      \
	  "would have waited, but the buffers left are for those that hold fewer")                 \
	X(DROP_EARLY_FULL, DROP, "drop_early_full", "early datagrams beyond the bound")            \
	X(DROP_EARLY_EXPIRED, DROP, "drop_early_expired",                                          \
	  "early datagrams whose tunnel never came")                                               \
	X(DROP_TOO_BIG_PEER, DROP, "drop_too_big_peer",                                            \
	  "from targets, larger than a datagram frame")                                            \
	X(DROP_TOO_BIG_TARGET, DROP, "drop_too_big_target",                                        \
	  "from peers, larger than the path to the target")                                        \
	X(DROP_QUEUE_FULL, DROP, "drop_queue_full", "send queue of a connection full")             \
	X(DROP_SOJOURN, DROP, "drop_sojourn", "waited too long in a send queue")                   \
	X(DROP_CLOSED, DROP, "drop_closed", "for a connection that was closing")                   \
	X(DROP_CLOSING, DROP, "drop_closing", "QUIC packets of a connection that was closing")     \
	X(DROP_NO_FRAME, DROP, "drop_no_frame", "no free packet buffer")                           \
	X(DROP_TX_RING, DROP, "drop_tx_ring", "transmit ring full")                                \
	X(DROP_SOCKET_FULL, DROP, "drop_socket_full",                                              \
	  "no room in the buffer of a kernel socket, or a wrong checksum there")                   \
	X(DROP_NO_NEIGHBOUR, DROP, "drop_no_neighbour",                                            \
	  "next hop did not resolve or too many waited")                                           \
	X(DROP_NO_ROUTE, DROP, "drop_no_route", "no route or link down")                           \
	X(DROP_HANDOFF_FULL, DROP, "drop_handoff_full", "hand-off ring of the owner full")         \
	X(DROP_LINK_GONE, DROP, "drop_link_gone",                                                  \
	  "in the rings of an interface that went, or whose sockets were opened anew")             \
	X(DROP_SEND_ERROR, DROP, "drop_send_error", "the kernel refused to send")                  \
	X(DROP_CLIENT_RATE, DROP, "drop_client_rate",                                              \
	  "beyond the packets or bytes a second of a client")                                      \
	X(DROP_CLIENT_BYTES, DROP, "drop_client_bytes",                                            \
	  "beyond the bytes that a client may send and receive in all")                            \
	X(DROP_CAPSULE_BACKLOG, DROP, "drop_capsule_backlog",                                      \
	  "datagram capsules a slow reader left waiting")                                          \
	X(BUFFERED_FULL, REFUSAL, "buffered_full",                                                 \
	  "connections, streams and capsules ended: too many bytes would wait")                    \
	X(QUIC_MEMORY_FULL, REFUSAL, "quic_memory_full",                                           \
	  "memory for connections that the QUIC library was refused: too much is held")            \
	X(KEY_UPDATES, EVENT, "key_updates", "QUIC key updates")                                   \
	X(PATH_CHANGES, EVENT, "path_changes", "validated changes of a peer's address")            \
	X(EARLY_HELD, EVENT, "early_held", "datagrams kept until their tunnel was ready")          \
	X(REMOTES_EVICTED, EVENT, "remotes_evicted",                                               \
	  "remotes without a context that had never answered, and made room for another")          \
	X(TARGETS_UNREACHABLE, EVENT, "targets_unreachable",                                       \
	  "tunnels given another address of their target's name after an error")                   \
	X(TARGETS_SILENT, EVENT, "targets_silent",                                                 \
	  "tunnels given another address of their target's name, since the first was silent")      \
	X(TARGET_AGAIN, EVENT, "target_datagrams_again",                                           \
	  "datagrams sent to another address of a target, which the first did not answer")         \
	X(ICMP_LIMITED, EVENT, "icmp_limited",                                                     \
	  "ICMP errors not sent or not read, beyond the limit")                                    \
	X(ICMP_TOO_BIG, EVENT, "icmp_too_big", "reports of a reduced path MTU to a target")        \
	X(ICMP_UNREACHABLE, EVENT, "icmp_unreachable",                                             \
	  "reports that a target is unreachable; they end nothing")                                \
	X(EVENT_NOMEM, EVENT, "events_lost",                                                       \
	  "messages to control lost for want of memory; must stay 0")

/* What only control/ counts. */
#define CLV_CONTROL_COUNTERS(X)                                                                    \
	X(DROP_INITIAL_SHORT, DROP, "drop_initial_short", "Initials below 1200 bytes")             \
	X(DROP_VERSION, DROP, "drop_version", "unknown QUIC version, too short to answer")         \
	X(DROP_CONNS_FULL, DROP, "drop_connections_full", "new connections beyond the ceiling")    \
	X(DROP_SOURCE_FULL, DROP, "drop_source_full",                                              \
	  "new connections beyond the ceiling of their source's prefix")                           \
	X(DROP_TLS_MEMORY, DROP, "drop_tls_memory",                                                \
	  "new connections while handshakes hold too much memory")                                 \
	X(DROP_GUARD, DROP, "drop_guard",                                                          \
	  "of no connection, from a source that sent too many of those")                           \
	X(DROP_STUN_LIMIT, DROP, "drop_stun_limit",                                                \
	  "STUN Binding requests of a source that sent too many")                                  \
	X(DROP_STUN_MALFORMED, DROP, "drop_stun_malformed",                                        \
	  "STUN other than a bare Binding request")                                                \
	X(DROP_RESET_LIMIT, DROP, "drop_reset_limit",                                              \
	  "would have had a stateless reset; rate limited")                                        \
	X(DROP_RETRY_LIMIT, DROP, "drop_retry_limit", "would have had a Retry; rate limited")      \
	X(DROP_VERSION_LIMIT, DROP, "drop_version_limit",                                          \
	  "would have had a Version Negotiation; rate limited")                                    \
	X(DROP_REFUSAL_LIMIT, DROP, "drop_refusal_limit",                                          \
	  "Retry tokens that would have been refused with a reason; rate limited")                 \
	X(DROP_NOT_INITIAL, DROP, "drop_not_initial", "long headers of no connection")             \
	X(DROP_WORKER_BUSY, DROP, "drop_worker_busy",                                              \
	  "on their way to a worker that is behind, beyond what may wait for it")                  \
	X(REFUSED_TUNNELS_CONN, REFUSAL, "refused_tunnels_of_connection",                          \
	  "tunnels refused beyond the ceiling of one connection")                                  \
	X(HTTP_MEMORY_FULL, REFUSAL, "http_memory_full",                                           \
	  "memory for requests that was refused, and connections ended: too much is held")         \
	X(REFUSED_UNFINISHED, REFUSAL, "refused_unfinished",                                       \
	  "requests beyond those of a connection that may be incomplete at a time")                \
	X(REQUESTS_LATE, REFUSAL, "request_timeouts",                                              \
	  "requests that were not complete, or not answered, in time")                             \
	X(SETTINGS_LATE, REFUSAL, "settings_timeouts",                                             \
	  "connections closed because their client sent no SETTINGS in time")                      \
	X(REFUSED_TUNNELS, REFUSAL, "refused_tunnels",                                             \
	  "tunnels refused beyond the ceiling of all")                                             \
	X(REFUSED_REMOTES_CONN, REFUSAL, "refused_remotes_of_connection",                          \
	  "remotes refused beyond the ceiling of one connection, with a context or without")       \
	X(DROP_ADDRESS, DROP, "drop_client_address",                                               \
	  "of no connection, from an address that may not use the relay")                          \
	X(REFUSED_ADDRESS, REFUSAL, "refused_client_address",                                      \
	  "requests from an address that may not use the relay")                                   \
	X(REFUSED_NO_CREDENTIALS, REFUSAL, "refused_no_credentials",                               \
	  "requests refused because they had no credentials")                                      \
	X(REFUSED_CREDENTIALS, REFUSAL, "refused_credentials",                                     \
	  "requests refused because their credentials are malformed, forged or wrong")             \
	X(REFUSED_EXPIRED, REFUSAL, "refused_expired",                                             \
	  "requests refused because their credentials have expired")                               \
	X(REFUSED_REVOKED, REFUSAL, "refused_revoked",                                             \
	  "requests refused because their credentials were revoked")                               \
	X(REFUSED_FAILURES, REFUSAL, "refused_failed_attempts",                                    \
	  "passwords refused unchecked after too many failed attempts from one source")            \
	X(REFUSED_CHECKS, REFUSAL, "refused_password_checks",                                      \
	  "passwords refused unchecked while too many are being checked")                          \
	X(REFUSED_CLIENT_LIMIT, REFUSAL, "refused_client_limit",                                   \
	  "requests refused beyond a limit of the client's credential")                            \
	X(ACCESS_ENDED, REFUSAL, "access_ended",                                                   \
	  "tunnels ended because their credentials expired or were revoked")                       \
	X(REFUSED_RATE, REFUSAL, "refused_request_rate", "requests refused that came too fast")    \
	X(REFUSED_NAMES, REFUSAL, "refused_names",                                                 \
	  "requests refused while too many names are resolved")                                    \
	X(REFUSED_NEIGHBOURS, REFUSAL, "refused_neighbours",                                       \
	  "targets and remotes on the link refused: new ones came too fast")                       \
	X(CONNS_REFUSED, REFUSAL, "connections_refused",                                           \
	  "refusals sent to clients beyond a ceiling")                                             \
	X(TOKEN_REFUSED, REFUSAL, "tokens_refused",                                                \
	  "Retry tokens that were forged, moved or too old")                                       \
	X(CONTEXT_REFUSED_POLICY, REFUSAL, "context_refused_policy",                               \
	  "registrations that policy denies")                                                      \
	X(CONTEXT_REFUSED_FAMILY, REFUSAL, "context_refused_family",                               \
	  "registrations of remotes that no route or address of ours leads to")                    \
	X(CONTEXT_REFUSED_ADDRESS, REFUSAL, "context_refused_address",                             \
	  "registrations of port 0, of ::, of IPv4 as IPv6, or of the target of Context ID 0")     \
	X(CONTEXT_REFUSED_FULL, REFUSAL, "context_refused_full",                                   \
	  "registrations beyond the ceiling")                                                      \
	X(CONTEXT_REFUSED_RATE, REFUSAL, "context_refused_rate",                                   \
	  "registrations that came too fast")                                                      \
	X(CONTEXT_REFUSED_ERROR, REFUSAL, "context_refused_error",                                 \
	  "registrations that failed for want of something else")                                  \
	X(CONTEXT_ABORT_MALFORMED, REFUSAL, "context_abort_malformed",                             \
	  "bound tunnels aborted: capsules that break a rule")                                     \
	X(CONTEXT_ABORT_ANSWERS, REFUSAL, "context_abort_answers",                                 \
	  "bound tunnels aborted: too many responses that the peer does not read")                 \
	X(CONTEXT_ABORT_GAPS, REFUSAL, "context_abort_gaps",                                       \
	  "bound tunnels aborted: too many gaps between Context IDs")                              \
	X(STREAM_FLOODS, REFUSAL, "stream_floods",                                                 \
	  "connections closed for cancelling too many requests")                                   \
	X(CONTEXT_ABORT_ZERO, REFUSAL, "context_abort_zero",                                       \
	  "bound tunnels aborted: a datagram by Context ID 0 without a target")                    \
	X(CONTEXTS_NOT_OFFERED, REFUSAL, "contexts_not_offered",                                   \
	  "busy remotes without a context, for want of room")                                      \
	X(REMOTES_REVOKED, REFUSAL, "remotes_revoked",                                             \
	  "remotes of bound tunnels that a new policy denies")                                     \
	X(BIND_REFUSED, REFUSAL, "bind_refused", "bound tunnels that could not be opened")         \
	X(REMOTE_REFUSED_POLICY, REFUSAL, "remote_refused_policy",                                 \
	  "remotes without a context that policy denies")                                          \
	X(REMOTE_REFUSED_FAMILY, REFUSAL, "remote_refused_family",                                 \
	  "remotes without a context that no route or address of ours leads to")                   \
	X(REMOTE_REFUSED_RATE, REFUSAL, "remote_refused_rate",                                     \
	  "remotes without a context that came too fast")                                          \
	X(REMOTE_REFUSED_FULL, REFUSAL, "remote_refused_full",                                     \
	  "remotes without a context, beyond the ceiling")                                         \
	X(SIGNAL_SECOND, REFUSAL, "signal_refused_second",                                         \
	  "signal streams refused: their connection has one")                                      \
	X(SIGNAL_ABORTED, REFUSAL, "signal_aborted",                                               \
	  "signal streams aborted: capsules that break a rule")                                    \
	X(SIGNAL_PUBLISH_BUSY, REFUSAL, "signal_publish_busy", "records that came too fast")       \
	X(SIGNAL_LOOKUPS_BUSY, REFUSAL, "signal_lookups_busy", "look-ups that came too fast")      \
	X(SIGNAL_KNOCKS_BUSY, REFUSAL, "signal_knocks_busy", "knocks that came too fast")          \
	X(SIGNAL_KNOCKS_TO_BUSY, REFUSAL, "signal_knocks_to_busy",                                 \
	  "knocks for peers that get too many of them")                                            \
	X(SIGNAL_FULL, REFUSAL, "signal_full", "records and knocks beyond a ceiling or a share")   \
	X(SIGNAL_BACKLOG, REFUSAL, "signal_backlog",                                               \
	  "signal capsules not sent to clients that read too slowly")                              \
	X(SIGNAL_STRAY, REFUSAL, "signal_stray_answers", "answers that were to no knock")          \
	X(SIGNAL_NO_IDENTITY, REFUSAL, "signal_no_identity",                                       \
	  "records and knocks of another identity than TLS has proven, or of none")                \
	X(SIGNAL_OBJECTS_MALFORMED, REFUSAL, "signal_objects_malformed",                           \
	  "objects that cannot be read, or are not for what they were sent for")                   \
	X(SIGNAL_OBJECTS_FORGED, REFUSAL, "signal_objects_forged",                                 \
	  "objects whose signature is wrong")                                                      \
	X(SIGNAL_OBJECTS_EXPIRED, REFUSAL, "signal_objects_expired",                               \
	  "objects that are expired, or not valid yet")                                            \
	X(SIGNAL_OBJECTS_REPLAYED, REFUSAL, "signal_objects_replayed",                             \
	  "objects no newer than the one that is here")                                            \
	X(RECORDS_PUBLISHED, EVENT, "records_published", "records of peers that were taken")       \
	X(LOOKUPS_HIT, EVENT, "lookups_hit", "look-ups answered with a record")                    \
	X(LOOKUPS_MISS, EVENT, "lookups_miss", "look-ups of identities that have no record here")  \
	X(KNOCKS, EVENT, "knocks", "knocks passed on to peers")                                    \
	X(KNOCKS_MISSED, EVENT, "knocks_missed", "knocks for identities that are not here")        \
	X(KNOCKS_UNANSWERED, EVENT, "knocks_unanswered", "knocks that got no answer in time")      \
	X(SIGNAL_OBSERVED, EVENT, "observed_addresses",                                            \
	  "addresses told to clients on signal streams")                                           \
	X(HANDSHAKES, EVENT, "handshakes", "handshakes completed")                                 \
	X(REQUESTS, EVENT, "requests", "HTTP requests answered")                                   \
	X(RESET_SENT, EVENT, "stateless_resets", "stateless resets sent")                          \
	X(STUN_ANSWERED, EVENT, "stun_answers",                                                    \
	  "STUN Binding requests answered, other than by XDP")                                     \
	X(RETRY_SENT, EVENT, "retries", "Retry packets sent")                                      \
	X(TOKENS_TAKEN, EVENT, "tokens_taken", "address tokens that spared a client the Retry")    \
	X(VERSION_SENT, EVENT, "version_negotiations", "Version Negotiation packets sent")         \
	X(HANDSHAKE_FAILED, EVENT, "handshakes_failed", "handshakes that did not complete")        \
	X(CONTEXTS_OPENED, EVENT, "contexts_opened",                                               \
	  "contexts of bound tunnels that peers registered")                                       \
	X(CONTEXTS_OFFERED, EVENT, "contexts_offered",                                             \
	  "contexts of bound tunnels registered at peers")                                         \
	X(CONTEXTS_CLOSED, EVENT, "contexts_closed",                                               \
	  "contexts of bound tunnels closed, by either side")                                      \
	X(CONTEXTS_REJECTED, EVENT, "contexts_rejected",                                           \
	  "contexts offered to a peer that it refused")                                            \
	X(CONTEXTS_CROSSED, EVENT, "contexts_crossed",                                             \
	  "remotes that both sides registered at the same time")                                   \
	X(ICMP_TOO_BIG_SENT, EVENT, "icmp_too_big_sent",                                           \
	  "ICMP errors sent to targets: larger than the tunnel takes")                             \
	X(ICMP_WITHHELD, EVENT, "icmp_withheld",                                                   \
	  "ICMP errors not sent to targets: another client's tunnel to it has more room")          \
	X(ICMP_SEEN, EVENT, "icmp_seen", "ICMP errors received about UDP of this host")            \
	X(ICMP_IGNORED, EVENT, "icmp_ignored", "ICMP errors that were malformed or not about UDP") \
	X(CONTEXTS_IDLE, EVENT, "contexts_idle",                                                   \
	  "contexts of bound tunnels closed because they were idle")                               \
	X(BOUND_TUNNELS, EVENT, "bound_tunnels", "bound tunnels opened")                           \
	X(LOG_LOST, EVENT, "log_lines_lost", "lines of the log that could not be written at once") \
	X(DATAPATH_REOPENED, EVENT, "datapath_reopened",                                           \
	  "AF_XDP sockets opened again: an interface's receive queues changed or had none")        \
	X(DATAPATH_STEPPED_DOWN, EVENT, "datapath_stepped_down",                                   \
	  "interfaces that fell back to a lesser datapath mode while they carried traffic")

#define CLV_COUNTERS(X) CLV_WORKER_COUNTERS(X) CLV_CONTROL_COUNTERS(X)

#define X(symbol, class, name, help) CLV_COUNT_##symbol,
enum clv_counter {
	CLV_WORKER_COUNTERS(X) CLV_WORKER_COUNTER_MAX,
	CLV_WORKER_COUNTER_LAST = CLV_WORKER_COUNTER_MAX - 1, /* so that control's follow at once */
	CLV_CONTROL_COUNTERS(X) CLV_COUNTER_MAX
};
#undef X

struct clv_worker_counters {
	_Alignas(64) uint64_t slot[CLV_WORKER_COUNTER_MAX];
};

struct clv_counters {
	union {
		struct clv_worker_counters worker; /* for what datapath/ counts on control's behalf */
		_Alignas(64) uint64_t slot[CLV_COUNTER_MAX];
	};
};

/* Not defined: a call that remains means that datapath/ counts what only control may. */
#ifndef __clang__
void clv_count_not_a_workers(void) __attribute__((error("not one of CLV_WORKER_COUNTERS")));
#endif

static inline void clv_count_slot(uint64_t *slot, size_t len, enum clv_counter which, uint64_t n)
{
#if defined(__OPTIMIZE__) && !defined(__clang__)
	if (__builtin_constant_p(which) && which >= len)
		clv_count_not_a_workers();
#endif
	assert(which < len);
	__atomic_store_n(&slot[which], slot[which] + n, __ATOMIC_RELAXED);
}

static inline uint64_t clv_count_read_slot(const uint64_t *slot, size_t len, enum clv_counter which)
{
	return which < len ? __atomic_load_n(&slot[which], __ATOMIC_RELAXED) : 0;
}

#define CLV_COUNTERS_LEN(counters) (sizeof((counters)->slot) / sizeof((counters)->slot[0]))

/* counters: a pointer to a worker's or to control's. */
#define clv_count_add(counters, which, n)                                                          \
	clv_count_slot((counters)->slot, CLV_COUNTERS_LEN(counters), which, n)
#define clv_count(counters, which) clv_count_add(counters, which, 1)
/* What was counted; 0 for what a worker does not count. */
#define clv_count_read(counters, which)                                                            \
	clv_count_read_slot((counters)->slot, CLV_COUNTERS_LEN(counters), which)

enum clv_counter_class clv_counter_class(enum clv_counter which);
/* Exported name and help text of a counter; live as long as the program. */
const char *clv_counter_name(enum clv_counter which);
const char *clv_counter_help(enum clv_counter which);
/* The name of a drop without "drop_". */
const char *clv_counter_reason(enum clv_counter which);

#endif
