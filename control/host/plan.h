/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plan - assign workers and the control thread to cores, with the reason.
 *
 * Cores on the interfaces' NUMA node come first; no two workers share a core's hardware threads
 * while whole cores are free; control gets a core of its own when there is one.
 *
 * Threading: start-up, one thread.
 */
#ifndef CLV_HOST_PLAN_H
#define CLV_HOST_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <hwloc.h>

#include "bpf/abi.h"

enum {
	CLV_PLAN_WHY_MAX = 160,
};

struct clv_plan_request {
	unsigned workers;   /* wanted; 0: as many as make sense */
	unsigned queues;    /* receive queues that bound the workers; 0: no bound */
	char queues_of[32]; /* the interface that has them, for the reason */
	int numa_node;	    /* of the interfaces; -1: unknown */
	unsigned cores;	    /* of a machine that is not here; 0: this one */
};

/* Where one thread runs. */
struct clv_plan_thread {
	unsigned cpu;  /* the system's number */
	int numa_node; /* -1: there is only one, or unknown */
	char why[CLV_PLAN_WHY_MAX];
};

struct clv_plan {
	uint16_t workers_len;
	struct clv_plan_thread workers[CLV_WORKERS_MAX];
	struct clv_plan_thread control;
	char why[CLV_PLAN_WHY_MAX]; /* reason for the number of workers */
};

/*
 * Make a plan for a loaded topology.
 * Returns 0 and fills *out, or -ENODEV when it has no processing unit, or -ENOMEM.
 */
int clv_plan_make(hwloc_topology_t topology, const struct clv_plan_request *request,
		  struct clv_plan *out);

/*
 * Make a plan for the part of this machine that this process may use, or for one of request->cores
 * cores.  Returns as make.
 */
int clv_plan_machine(const struct clv_plan_request *request, struct clv_plan *out);

/* Print the plan as readable text. */
void clv_plan_print(const struct clv_plan *plan, FILE *out);

#endif
