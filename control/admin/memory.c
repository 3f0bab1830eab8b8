/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/memory.h"

#include "control/daemon/datapath.h"
#include "control/tls/tls_memory.h"

static struct clv_memory of_budget(const char *of, const struct clv_budget *b)
{
	return (struct clv_memory){ of, b->used, b->max, b->refused };
}

/* Commands and datagrams on their way to workers. */
static struct clv_memory of_commands(const struct clv_daemon *daemon)
{
	struct clv_memory m = { .of = "worker_commands" };

	m.used = clv_control_commands_waiting(daemon->control, &m.max);
	m.refused = clv_count_read(clv_control_counters(daemon->control),
				   CLV_COUNT_DROP_WORKER_BUSY);
	return m;
}

/* Of handshakes, and of the connections of each worker. */
static struct clv_memory of_quic(const struct clv_daemon *daemon)
{
	struct clv_memory m = { .of = "quic" };

	m.used = clv_control_quic_memory(daemon->control, &m.max);
	m.refused = clv_count_read(clv_control_counters(daemon->control),
				   CLV_COUNT_QUIC_MEMORY_FULL);
	for (uint16_t i = 0; i < daemon->workers_len; i++) {
		const struct clv_worker *w = daemon->workers[i].worker;
		uint64_t max;

		m.used += clv_worker_quic_memory(w, &max);
		m.max += max;
		m.refused += clv_count_read(clv_worker_counters(w), CLV_COUNT_QUIC_MEMORY_FULL);
	}
	return m;
}

/* For datagrams that wait in workers. */
static struct clv_memory of_buffers(const struct clv_daemon *daemon)
{
	struct clv_memory m = { .of = "worker_buffers" };

	for (uint16_t i = 0; i < daemon->workers_len; i++) {
		const struct clv_worker *w = daemon->workers[i].worker;
		uint64_t max;

		m.used += clv_worker_buffers(w, &max);
		m.max += max;
		m.refused += clv_count_read(clv_worker_counters(w), CLV_COUNT_DROP_BUFFERS);
	}
	return m;
}

static struct clv_memory of_tls(const struct clv_daemon *daemon)
{
	return (struct clv_memory){
		.of = "tls",
		.used = clv_tls_memory_held(),
		.max = daemon->config.limits.tls_memory,
		.refused = clv_count_read(clv_control_counters(daemon->control),
					  CLV_COUNT_DROP_TLS_MEMORY),
	};
}

/* Limited by the number of names. */
static struct clv_memory of_dns(const struct clv_daemon *daemon)
{
	return (struct clv_memory){
		.of = "dns",
		.used = clv_resolve_figures(daemon->resolve).memory_bytes,
	};
}

size_t clv_memory_figures(const struct clv_daemon *daemon, struct clv_memory out[CLV_MEMORY_MAX])
{
	size_t n = 0;

	out[n++] = of_budget("buffered", clv_control_buffered(daemon->control));
	out[n++] = of_budget("http", clv_control_http_memory(daemon->control));
	out[n++] = of_quic(daemon);
	out[n++] = of_commands(daemon);
	out[n++] = of_buffers(daemon);
	out[n++] = of_tls(daemon);
	out[n++] = of_dns(daemon);
	return n;
}
