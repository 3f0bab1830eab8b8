/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/plan.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CORES_MAX = 1024,
};

/* A core with those of its hardware threads that we may use. */
struct core {
	hwloc_bitmap_t cpus;
	unsigned number; /* hwloc's logical index */
	int numa_node;
	bool is_near;
};

struct cores {
	struct core list[CORES_MAX];
	unsigned len;
	bool has_nodes; /* more than one NUMA node */
};

static int node_of(hwloc_topology_t topology, hwloc_obj_t obj)
{
	hwloc_obj_t node = NULL;

	while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)))
		if (hwloc_bitmap_intersects(node->cpuset, obj->cpuset))
			return (int)node->os_index;
	return -1;
}

/* Near cores first, then in the machine's order. */
static int by_distance(const void *a, const void *b)
{
	const struct core *x = a, *y = b;

	if (x->is_near != y->is_near)
		return y->is_near - x->is_near;
	return (x->number > y->number) - (x->number < y->number);
}

static int find_cores(hwloc_topology_t topology, int near, struct cores *out)
{
	/* Some virtual machines report processing units without cores. */
	hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0
					? HWLOC_OBJ_CORE
					: HWLOC_OBJ_PU;
	hwloc_obj_t obj = NULL;

	out->len = 0;
	out->has_nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) > 1;
	while ((obj = hwloc_get_next_obj_by_type(topology, type, obj)) && out->len < CORES_MAX) {
		struct core *core = &out->list[out->len];

		if (hwloc_bitmap_iszero(obj->cpuset))
			continue;
		core->cpus = hwloc_bitmap_dup(obj->cpuset);
		if (!core->cpus)
			return -ENOMEM;
		core->number = obj->logical_index;
		core->numa_node = node_of(topology, obj);
		core->is_near = near >= 0 && core->numa_node == near;
		out->len++;
	}
	qsort(out->list, out->len, sizeof(out->list[0]), by_distance);
	return out->len ? 0 : -ENODEV;
}

static unsigned all_cpus(const struct cores *cores)
{
	unsigned i, n = 0;

	for (i = 0; i < cores->len; i++)
		n += (unsigned)hwloc_bitmap_weight(cores->list[i].cpus);
	return n;
}

/* Decide the number of workers, with the reason in out->why. */
static unsigned decide_count(const struct cores *cores, const struct clv_plan_request *request,
			     struct clv_plan *out)
{
	unsigned free_cores = cores->len > 1 ? cores->len - 1 : 1;
	unsigned cpus = all_cpus(cores), n = request->workers ? request->workers : free_cores;

	snprintf(out->why, sizeof(out->why), "%s",
		 request->workers ? "as configured"
		 : cores->len > 1 ? "one for each core but one, which is left for control"
				  : "there is only one core, shared with control");
	if (n > cpus) {
		n = cpus;
		snprintf(out->why, sizeof(out->why), "only %u CPUs may be used", cpus);
	}
	if (request->queues && n > request->queues) {
		n = request->queues;
		snprintf(out->why, sizeof(out->why), "%s has %u receive queue%s",
			 request->queues_of, n, n == 1 ? "" : "s");
	}
	if (n > CLV_WORKERS_MAX) {
		n = CLV_WORKERS_MAX;
		snprintf(out->why, sizeof(out->why), "more than %u are not supported", n);
	}
	return n;
}

/*
 * The cpu of thread number i: each core's first hardware thread, nearest core first, then the
 * second ones, and so on.  round: the number of the hardware thread in its core.
 */
static const struct core *place(const struct cores *cores, unsigned i, unsigned *cpu,
				unsigned *round)
{
	unsigned taken = 0, k, r;
	int id;

	for (r = 0;; r++) {
		for (k = 0; k < cores->len; k++) {
			const struct core *core = &cores->list[k];
			unsigned nth = r;

			id = hwloc_bitmap_first(core->cpus);
			while (id >= 0 && nth--)
				id = hwloc_bitmap_next(core->cpus, id);
			if (id < 0)
				continue;
			if (taken++ == i) {
				*cpu = (unsigned)id;
				*round = r;
				return core;
			}
		}
	}
}

static void assign(const struct cores *cores, unsigned i, const char *role,
		   struct clv_plan_thread *out)
{
	const struct core *core;
	unsigned round;
	char node[64] = "", thread[48] = "";

	core = place(cores, i, &out->cpu, &round);
	out->numa_node = cores->has_nodes ? core->numa_node : -1;
	if (cores->has_nodes)
		snprintf(node, sizeof(node), ", NUMA node %d%s", core->numa_node,
			 core->is_near ? " (the interfaces')" : "");
	if (round)
		snprintf(thread, sizeof(thread), "hardware thread %u of ", round + 1);
	snprintf(out->why, sizeof(out->why), "%s%score %u%s", role, thread, core->number, node);
}

int clv_plan_make(hwloc_topology_t topology, const struct clv_plan_request *request,
		  struct clv_plan *out)
{
	struct cores *cores = calloc(1, sizeof(*cores));
	struct clv_plan plan = { 0 };
	unsigned i, n;
	int err;

	if (!cores)
		return -ENOMEM;
	err = find_cores(topology, request->numa_node, cores);
	if (err)
		goto free_cores;

	n = decide_count(cores, request, &plan);
	plan.workers_len = (uint16_t)n;
	for (i = 0; i < n; i++)
		assign(cores, i, "", &plan.workers[i]);
	if (n < all_cpus(cores)) {
		assign(cores, n, n < cores->len ? "left by the workers: " : "no core is left: ",
		       &plan.control);
	} else {
		plan.control = plan.workers[n - 1];
		snprintf(plan.control.why, sizeof(plan.control.why),
			 "no CPU is left: shared with worker %u", n - 1);
	}
	*out = plan;

free_cores:
	for (i = 0; i < cores->len; i++)
		hwloc_bitmap_free(cores->list[i].cpus);
	free(cores);
	return err;
}

int clv_plan_machine(const struct clv_plan_request *request, struct clv_plan *out)
{
	hwloc_topology_t topology;
	char synthetic[48];
	int err = -ENOMEM;

	if (hwloc_topology_init(&topology))
		return -ENOMEM;
	snprintf(synthetic, sizeof(synthetic), "core:%u pu:1", request->cores);
	/* Only CPUs that the scheduler lets us use, as limited by taskset and cgroups. */
	if ((request->cores ? hwloc_topology_set_synthetic(topology, synthetic)
			    : hwloc_topology_set_flags(
				      topology,
				      HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM |
					      HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING)) == 0 &&
	    hwloc_topology_load(topology) == 0)
		err = clv_plan_make(topology, request, out);
	hwloc_topology_destroy(topology);
	return err;
}

void clv_plan_print(const struct clv_plan *plan, FILE *out)
{
	uint16_t i;

	fprintf(out, "workers  %u   %s\n", plan->workers_len, plan->why);
	for (i = 0; i < plan->workers_len; i++)
		fprintf(out, "worker %-2u cpu %-3u %s\n", i, plan->workers[i].cpu,
			plan->workers[i].why);
	fprintf(out, "control   cpu %-3u %s\n", plan->control.cpu, plan->control.why);
}
