/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * micro - measure how long one call of something takes, within seconds.
 *
 * Each subject runs in rounds of at least MICRO_ROUND_MSEC of this thread's CPU time, so that other
 * programs on the core count little.  It prints the median, the best, and the spread of the rounds.
 * Caches are warm: the result is the cost of the code, not of its first use.
 *
 *   packet/decode 64 IPv4                 14.3 ns  best   14.1  spread  4 %
 *
 * With an argument only subjects whose name contains it run; MICRO_JSON=1 prints a JSON object
 * each.
 *
 * Threading: one.
 */
#ifndef CLV_BENCH_MICRO_MICRO_H
#define CLV_BENCH_MICRO_MICRO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	MICRO_ROUNDS = 9,
	MICRO_ROUND_MSEC = 20,
};

/* Do it n times.  The result is used, so that the compiler keeps the work. */
typedef uint64_t micro_fn(void *arg, uint64_t n);

static volatile uint64_t micro_sink;

static inline uint64_t micro_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int micro_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline uint64_t micro_time(micro_fn *fn, void *arg, uint64_t n)
{
	uint64_t begin = micro_cpu_ns();

	micro_sink += fn(arg, n);
	return micro_cpu_ns() - begin;
}

/* Print the time of one call.  ns: of each round; sorted here. */
static inline void micro_print(const char *name, double ns[static MICRO_ROUNDS])
{
	const char *format = "%-38s %8.1f ns  best %8.1f  spread %3.0f %%\n";

	qsort(ns, MICRO_ROUNDS, sizeof(ns[0]), micro_compare);
	if (getenv("MICRO_JSON"))
		format =
			"{\"name\": \"%s\", \"ns\": %.2f, \"best_ns\": %.2f, \"spread_percent\": %.1f}\n";
	printf(format, name, ns[MICRO_ROUNDS / 2], ns[0],
	       100 * (ns[MICRO_ROUNDS - 1] - ns[0]) / ns[MICRO_ROUNDS / 2]);
	fflush(stdout);
}

/* name: "module/what". */
static inline void micro(int argc, char **argv, const char *name, micro_fn *fn, void *arg)
{
	double ns[MICRO_ROUNDS];
	uint64_t n = 64;

	if (argc > 1 && !strstr(name, argv[1]))
		return;
	while (micro_time(fn, arg, n) < MICRO_ROUND_MSEC * UINT64_C(1000000))
		n *= 2;
	for (int i = 0; i < MICRO_ROUNDS; i++)
		ns[i] = (double)micro_time(fn, arg, n) / (double)n;
	micro_print(name, ns);
}

/* Make the compiler believe that a value is used. */
#define MICRO_USE(value) __asm__ volatile("" : : "g"(value) : "memory")

#endif
