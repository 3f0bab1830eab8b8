/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * counters - what a worker and the control plane count; one list feeds slots, names and help.
 *
 * Every datagram that enters leaves, or is in exactly one DROP counter.
 *
 * Threading: one writer for each struct; any thread reads (relaxed), a reader sums.
 */
#ifndef CLV_BASE_COUNTERS_H
#define CLV_BASE_COUNTERS_H

#include <stdint.h>

/* X(symbol, exported name, help) */
#define CLV_COUNTERS(X)                                                                            \
	X(RX_PEER, "rx_peer_packets", "QUIC packets received from peers")                          \
	X(RX_TARGET, "rx_target_packets", "UDP packets received from targets")                     \
	X(TX_PEER, "tx_peer_packets", "QUIC packets sent to peers")                                \
	X(TX_TARGET, "tx_target_packets", "UDP packets sent to targets")                           \
	X(DGRAM_IN, "datagrams_in", "HTTP datagrams received from peers")                          \
	X(DGRAM_OUT, "datagrams_out", "HTTP datagrams sent to peers")                              \
	X(CAPSULES_IN, "capsules_in", "HTTP datagrams received from peers in capsules")            \
	X(CAPSULES_OUT, "capsules_out", "HTTP datagrams given to control for capsules to peers")   \
	X(RX_KERNEL, "rx_kernel_packets",                                                          \
	  "of those from peers and targets, what came by a kernel socket")                         \
	X(HANDOFF_OUT, "handoff_packets", "packets passed to the worker that owns them")           \
	X(HANDSHAKES, "handshakes", "handshakes completed")                                        \
	X(REQUESTS, "requests", "HTTP requests answered")                                          \
	X(KEY_UPDATES, "key_updates", "QUIC key updates")                                          \
	X(PATH_CHANGES, "path_changes", "validated changes of a peer's address")                   \
	X(EARLY_HELD, "early_held", "datagrams kept until their tunnel was ready")                 \
	X(DROP_MALFORMED, "drop_malformed", "frames whose lengths or headers disagree")            \
	X(DROP_CHECKSUM, "drop_checksum", "wrong UDP checksum")                                    \
	X(DROP_MTU, "drop_mtu", "larger than the link they were to leave by")                      \
	X(DROP_STALE, "drop_stale", "for a connection or tunnel that is gone")                     \
	X(DROP_UNKNOWN, "drop_unknown", "for no connection or tunnel of ours")                     \
	X(DROP_WRONG_REMOTE, "drop_wrong_remote", "from another address than the tunnel's target") \
	X(DROP_QUIC, "drop_quic", "packets the QUIC library discarded")                            \
	X(DROP_DGRAM_MALFORMED, "drop_datagram_malformed", "HTTP datagrams cut short")             \
	X(DROP_UNKNOWN_STREAM, "drop_unknown_stream", "HTTP datagrams of no open tunnel")          \
	X(DROP_UNKNOWN_CONTEXT, "drop_unknown_context", "HTTP datagrams of an unknown Context ID") \
	X(DROP_CLOSED_CONTEXT, "drop_closed_context", "HTTP datagrams of a closed Context ID")     \
	X(DROP_BAD_REMOTE, "drop_bad_remote", "uncompressed datagrams that name no usable remote") \
	X(DROP_UNKNOWN_REMOTE, "drop_unknown_remote",                                              \
	  "to a bound tunnel from a remote that its peer did not permit")                          \
	X(DROP_DENIED, "drop_denied",                                                              \
	  "by a kernel socket to a bound tunnel, from an address the policy denies")               \
	X(DROP_REFUSED_REMOTE, "drop_refused_remote",                                              \
	  "uncompressed datagrams to a remote that was refused, or is not known in time")          \
	X(DROP_REMOTES_FULL, "drop_remotes_full", "for a remote beyond the ceiling of remotes")    \
	X(DROP_REMOTES_CONN, "drop_remotes_of_connection",                                         \
	  "for a remote beyond the ceiling of one connection")                                     \
	X(HAIRPIN, "hairpin_packets", "datagrams between two tunnels of this relay")               \
	X(DROP_EARLY_FULL, "drop_early_full", "early datagrams beyond the bound")                  \
	X(DROP_EARLY_EXPIRED, "drop_early_expired", "early datagrams whose tunnel never came")     \
	X(DROP_TOO_BIG_PEER, "drop_too_big_peer", "from targets, larger than a datagram frame")    \
	X(DROP_TOO_BIG_TARGET, "drop_too_big_target",                                              \
	  "from peers, larger than the way to the target")                                         \
	X(DROP_QUEUE_FULL, "drop_queue_full", "send queue of a connection full")                   \
	X(DROP_SOJOURN, "drop_sojourn", "waited too long in a send queue")                         \
	X(DROP_CLOSED, "drop_closed", "for a connection that was closing")                         \
	X(DROP_CLOSING, "drop_closing", "QUIC packets of a connection that was closing")           \
	X(DROP_NO_FRAME, "drop_no_frame", "no free packet buffer")                                 \
	X(DROP_TX_RING, "drop_tx_ring", "transmit ring full")                                      \
	X(DROP_NO_NEIGHBOUR, "drop_no_neighbour", "next hop did not resolve or too many waited")   \
	X(DROP_NO_ROUTE, "drop_no_route", "no route or link down")                                 \
	X(DROP_HANDOFF_FULL, "drop_handoff_full", "hand-off ring of the owner full")               \
	X(DROP_SEND_ERROR, "drop_send_error", "the kernel refused to send")                        \
	X(DROP_CAPSULE_BACKLOG, "drop_capsule_backlog",                                            \
	  "datagram capsules a slow reader left waiting")                                          \
	X(DROP_INITIAL_SHORT, "drop_initial_short", "Initials below 1200 bytes")                   \
	X(DROP_VERSION, "drop_version", "unknown QUIC version, too short to answer")               \
	X(DROP_CONNS_FULL, "drop_connections_full", "new connections beyond the ceiling")          \
	X(DROP_SOURCE_FULL, "drop_source_full",                                                    \
	  "new connections beyond the ceiling of their source's prefix")                           \
	X(DROP_GUARD, "drop_guard", "of no connection, from a source that sent too many of those") \
	X(DROP_RESET_LIMIT, "drop_reset_limit", "would have had a stateless reset; rate limited")  \
	X(DROP_RETRY_LIMIT, "drop_retry_limit", "would have had a Retry; rate limited")            \
	X(DROP_VERSION_LIMIT, "drop_version_limit",                                                \
	  "would have had a Version Negotiation; rate limited")                                    \
	X(DROP_REFUSAL_LIMIT, "drop_refusal_limit",                                                \
	  "Retry tokens that would have been refused in words; rate limited")                      \
	X(DROP_NOT_INITIAL, "drop_not_initial", "long headers of no connection")                   \
	X(RESET_SENT, "stateless_resets", "stateless resets sent")                                 \
	X(RETRY_SENT, "retries", "Retry packets sent")                                             \
	X(REFUSED_TUNNELS_CONN, "refused_tunnels_of_connection",                                   \
	  "tunnels refused beyond the ceiling of one connection")                                  \
	X(REFUSED_TUNNELS, "refused_tunnels", "tunnels refused beyond the ceiling of all")         \
	X(REFUSED_REMOTES_CONN, "refused_remotes_of_connection",                                   \
	  "remotes refused beyond the ceiling of one connection, with a context or without")       \
	X(REFUSED_RATE, "refused_request_rate", "requests refused that came too fast")             \
	X(REFUSED_NAMES, "refused_names", "requests refused while too many names are resolved")    \
	X(BUFFERED_FULL, "buffered_full",                                                          \
	  "connections, streams and capsules given up: too many bytes would wait")                 \
	X(QUIC_MEMORY_FULL, "quic_memory_full",                                                    \
	  "memory for connections that the QUIC library was refused: too much is held")            \
	X(CONNS_REFUSED, "connections_refused", "refusals sent to clients beyond a ceiling")       \
	X(TOKENS_TAKEN, "tokens_taken", "address tokens that spared a client the Retry")           \
	X(TOKEN_REFUSED, "tokens_refused", "Retry tokens that were forged, moved or too old")      \
	X(VERSION_SENT, "version_negotiations", "Version Negotiation packets sent")                \
	X(HANDSHAKE_FAILED, "handshakes_failed", "handshakes that did not complete")               \
	X(CONTEXTS_OPENED, "contexts_opened", "contexts of bound tunnels that peers registered")   \
	X(CONTEXTS_OFFERED, "contexts_offered", "contexts of bound tunnels registered at peers")   \
	X(CONTEXTS_CLOSED, "contexts_closed", "contexts of bound tunnels closed, by either side")  \
	X(CONTEXTS_REJECTED, "contexts_rejected", "contexts offered to a peer that it refused")    \
	X(CONTEXTS_CROSSED, "contexts_crossed", "remotes that both sides registered at a time")    \
	X(CONTEXT_REFUSED_POLICY, "context_refused_policy", "registrations that policy denies")    \
	X(CONTEXT_REFUSED_FAMILY, "context_refused_family",                                        \
	  "registrations of remotes that no route or address of ours leads to")                    \
	X(CONTEXT_REFUSED_ADDRESS, "context_refused_address",                                      \
	  "registrations of port 0, of ::, of IPv4 as IPv6, or of the target of Context ID 0")     \
	X(CONTEXT_REFUSED_FULL, "context_refused_full", "registrations beyond the ceiling")        \
	X(CONTEXT_REFUSED_RATE, "context_refused_rate", "registrations that came too fast")        \
	X(CONTEXT_REFUSED_ERROR, "context_refused_error",                                          \
	  "registrations that failed for want of something else")                                  \
	X(CONTEXT_ABORT_MALFORMED, "context_abort_malformed",                                      \
	  "bound tunnels aborted: capsules that break a rule")                                     \
	X(CONTEXT_ABORT_ANSWERS, "context_abort_answers",                                          \
	  "bound tunnels aborted: too many answers that the peer does not read")                   \
	X(CONTEXT_ABORT_GAPS, "context_abort_gaps",                                                \
	  "bound tunnels aborted: Context IDs all over the place")                                 \
	X(ICMP_TOO_BIG_SENT, "icmp_too_big_sent",                                                  \
	  "errors to targets: larger than the tunnel takes")                                       \
	X(ICMP_SEEN, "icmp_seen", "ICMP errors received about UDP of this host")                   \
	X(ICMP_IGNORED, "icmp_ignored", "ICMP errors that were malformed or not about UDP")        \
	X(ICMP_LIMITED, "icmp_limited", "ICMP errors not sent or not looked at, beyond the limit") \
	X(ICMP_TOO_BIG, "icmp_too_big", "ways to targets said to be narrower than thought")        \
	X(ICMP_UNREACHABLE, "icmp_unreachable", "targets said to be unreachable; ends nothing")    \
	X(STREAM_FLOODS, "stream_floods", "connections closed for giving up too many requests")    \
	X(CONTEXT_ABORT_ZERO, "context_abort_zero",                                                \
	  "bound tunnels aborted: a datagram by Context ID 0 without a target")                    \
	X(CONTEXTS_NOT_OFFERED, "contexts_not_offered",                                            \
	  "busy remotes without a context, for want of room")                                      \
	X(CONTEXTS_IDLE, "contexts_idle", "contexts of bound tunnels closed for being idle")       \
	X(REMOTES_REVOKED, "remotes_revoked", "remotes of bound tunnels that a new policy denies") \
	X(BOUND_TUNNELS, "bound_tunnels", "bound tunnels opened")                                  \
	X(BIND_REFUSED, "bind_refused", "bound tunnels that could not be opened")                  \
	X(REMOTE_REFUSED_POLICY, "remote_refused_policy",                                          \
	  "remotes without a context that policy denies")                                          \
	X(REMOTE_REFUSED_FAMILY, "remote_refused_family",                                          \
	  "remotes without a context that no route or address of ours leads to")                   \
	X(REMOTE_REFUSED_RATE, "remote_refused_rate",                                              \
	  "remotes without a context that came too fast")                                          \
	X(REMOTE_REFUSED_FULL, "remote_refused_full",                                              \
	  "remotes without a context, beyond the ceiling")                                         \
	X(EVENT_NOMEM, "events_lost", "messages to control lost for want of memory; must stay 0")

enum clv_counter {
#define X(symbol, name, help) CLV_COUNT_##symbol,
	CLV_COUNTERS(X)
#undef X
		CLV_COUNTER_MAX
};

struct clv_counters {
	_Alignas(64) uint64_t slot[CLV_COUNTER_MAX];
};

static inline void clv_count_add(struct clv_counters *c, enum clv_counter which, uint64_t n)
{
	__atomic_store_n(&c->slot[which], c->slot[which] + n, __ATOMIC_RELAXED);
}

static inline void clv_count(struct clv_counters *c, enum clv_counter which)
{
	clv_count_add(c, which, 1);
}

static inline uint64_t clv_count_read(const struct clv_counters *c, enum clv_counter which)
{
	return __atomic_load_n(&c->slot[which], __ATOMIC_RELAXED);
}

/* Exported name and help text of a counter; live as long as the program. */
const char *clv_counter_name(enum clv_counter which);
const char *clv_counter_help(enum clv_counter which);

#endif
