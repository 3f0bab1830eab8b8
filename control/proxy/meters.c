/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/meters.h"

#include <stdlib.h>
#include <string.h>

enum {
	CACHE_LINE = 64, /* a meter shares none with what others write */
};

struct clv_worker_meter {
	_Alignas(CACHE_LINE) struct clv_meter meter; /* the worker's, but for the first limits */
	_Alignas(CACHE_LINE) struct clv_worker_meter *next;
	struct clv_meter_limits told; /* that the worker has, or will have */
	uint32_t tunnels;
	uint16_t worker;
};

static uint64_t read_figure(const uint64_t *figure)
{
	return __atomic_load_n(figure, __ATOMIC_RELAXED);
}

static uint64_t bytes_of(const struct clv_worker_meter *m)
{
	return read_figure(&m->meter.bytes[0]) + read_figure(&m->meter.bytes[1]);
}

/* What is left of the total; CLV_UNLIMITED: there is no such limit. */
static uint64_t bytes_left(const struct clv_meters *ms)
{
	uint64_t left = ms->limits.of[CLV_LIMIT_BYTES];

	if (left == CLV_UNLIMITED)
		return left;
	for (const struct clv_worker_meter *m = ms->first; m; m = m->next) {
		uint64_t used = bytes_of(m);

		left -= used < left ? used : left;
	}
	return left;
}

static struct clv_meter_limits limits_for(const struct clv_meters *ms,
					  const struct clv_worker_meter *m, uint64_t left)
{
	return clv_meter_limits_of(ms->limits.of[CLV_LIMIT_PACKETS], ms->limits.of[CLV_LIMIT_MBIT],
				   ms->in_use,
				   left == CLV_UNLIMITED ? UINT64_MAX : bytes_of(m) + left);
}

/* Send every worker with tunnels its limits, where they changed. */
static void tell(struct clv_meters *ms, const struct clv_meters_out *out)
{
	const uint64_t left = bytes_left(ms);

	for (struct clv_worker_meter *m = ms->first; m; m = m->next) {
		struct clv_cmd_meter cmd = { .meter = &m->meter };

		if (!m->tunnels)
			continue;
		cmd.limits = limits_for(ms, m, left);
		if (memcmp(&cmd.limits, &m->told, sizeof(m->told)) == 0)
			continue;
		m->told = cmd.limits;
		out->send(out->user, m->worker, &cmd);
	}
}

void clv_meters_set_limits(struct clv_meters *ms, const struct clv_client_limits *limits,
			   const struct clv_meters_out *out)
{
	ms->limits = *limits;
	tell(ms, out);
}

void clv_meters_tick(struct clv_meters *ms, const struct clv_meters_out *out)
{
	if (ms->limits.of[CLV_LIMIT_BYTES] != CLV_UNLIMITED)
		tell(ms, out);
}

bool clv_meters_are_used_up(const struct clv_meters *ms)
{
	return bytes_left(ms) == 0;
}

struct clv_worker_meter *clv_meters_open(struct clv_meters *ms, uint16_t worker,
					 const struct clv_meters_out *out)
{
	struct clv_worker_meter *m = ms->first;

	while (m && m->worker != worker)
		m = m->next;
	if (!m) {
		m = aligned_alloc(CACHE_LINE, sizeof(*m));
		if (!m)
			return NULL;
		memset(m, 0, sizeof(*m));
		m->worker = worker;
		m->next = ms->first;
		ms->first = m;
		/* No worker knows it yet: the command that names it comes after this. */
		m->told = m->meter.limits = clv_meter_limits_of(0, 0, 1, 0);
	}
	if (!m->tunnels++) {
		ms->in_use++;
		tell(ms, out);
	}
	return m;
}

void clv_meters_close(struct clv_meters *ms, struct clv_worker_meter *meter,
		      const struct clv_meters_out *out)
{
	if (--meter->tunnels)
		return;
	ms->in_use--;
	tell(ms, out);
}

struct clv_meter *clv_worker_meter_of(struct clv_worker_meter *meter)
{
	return &meter->meter;
}

void clv_meters_sum(const struct clv_meters *ms, struct clv_meters_sum *out)
{
	*out = (struct clv_meters_sum){ 0 };
	for (const struct clv_worker_meter *m = ms->first; m; m = m->next)
		for (int way = 0; way < CLV_METER_WAYS; way++) {
			out->packets[way] += read_figure(&m->meter.packets[way]);
			out->bytes[way] += read_figure(&m->meter.bytes[way]);
			out->dropped[way] += read_figure(&m->meter.dropped[way]);
		}
}

void clv_meters_free(struct clv_meters *ms)
{
	struct clv_worker_meter *m, *next;

	for (m = ms->first; m; m = next) {
		next = m->next;
		free(m);
	}
	ms->first = NULL;
}
