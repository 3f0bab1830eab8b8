/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hist - a log-linear histogram of times: 64 slots for each power of two, so that a value is known
 * within 1.6 %, from 1 ns to 18 minutes.
 *
 * Without coordinated omission: record now less the time a datagram was due, not less the time that
 * the sender got round to it.
 */
#ifndef CLV_BENCH_LOAD_HIST_H
#define CLV_BENCH_LOAD_HIST_H

#include <stdint.h>
#include <stdio.h>

enum {
	HIST_BITS = 6, /* slots of a power of two, log */
	HIST_POWERS = 40,
	HIST_SLOTS = (HIST_POWERS - HIST_BITS + 2) << HIST_BITS,
};

struct hist {
	uint64_t slots[HIST_SLOTS];
	uint64_t count, max_ns, sum_ns;
};

static inline unsigned hist_slot(uint64_t ns)
{
	unsigned power, slot;

	if (ns < 1u << HIST_BITS)
		return (unsigned)ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	slot = ((power - HIST_BITS + 1) << HIST_BITS) +
	       (unsigned)((ns >> (power - HIST_BITS)) & ((1u << HIST_BITS) - 1));
	return slot < HIST_SLOTS ? slot : HIST_SLOTS - 1;
}

/* The middle of a slot. */
static inline double hist_value(unsigned slot)
{
	unsigned power = (slot >> HIST_BITS) + HIST_BITS - 1;
	uint64_t low, width;

	if (slot < 1u << HIST_BITS)
		return slot;
	width = UINT64_C(1) << (power - HIST_BITS);
	low = (UINT64_C(1) << power) + (slot & ((1u << HIST_BITS) - 1)) * width;
	return (double)low + (double)width / 2;
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->slots[hist_slot(ns)]++;
	h->count++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

static inline double hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->count), seen = 0;

	for (unsigned i = 0; i < HIST_SLOTS; i++) {
		seen += h->slots[i];
		if (seen > want)
			return hist_value(i);
	}
	return (double)h->max_ns;
}

/* As members of a JSON object, microseconds; nothing without values. */
static inline void hist_print(const struct hist *h, FILE *out)
{
	if (!h->count)
		return;
	fprintf(out,
		", \"timed\": %llu, \"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, "
		"\"p999_us\": %.2f, \"max_us\": %.2f, \"mean_us\": %.2f",
		(unsigned long long)h->count, hist_quantile(h, 0.5) / 1e3,
		hist_quantile(h, 0.9) / 1e3, hist_quantile(h, 0.99) / 1e3,
		hist_quantile(h, 0.999) / 1e3, (double)h->max_ns / 1e3,
		(double)h->sum_ns / (double)h->count / 1e3);
}

#endif
