/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/watch.h"

#include "control/daemon/interfaces.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* New sockets that did not help for so long are no help. */
#define REOPEN_LIFE (60 * CLV_SEC)

enum {
	FILES_SPARE = 8, /* for an interface's program, and what looks at it */
	RETRY_STEPS = 6, /* doublings of a second, between attempts to attach */
};

/* Decide what an interface needs, and write the reason to why. */
static enum clv_interface_remedy judge(struct clv_daemon *daemon, struct clv_interface *interface,
				       uint64_t now_ns, char why[static CLV_REASON_MAX])
{
	const struct clv_nic *nic = &interface->nic;
	struct clv_faults faults, before = interface->faults;
	uint32_t queues;
	bool strips_tags;
	uint64_t lost;

	/* Sockets could not be opened now either.  Frames reach their worker by the kernel's meanwhile. */
	if (clv_nic_look(nic->ifindex, nic->name, &queues, &strips_tags))
		return CLV_REMEDY_NONE;
	clv_maps_faults(&daemon->maps, nic->ifindex, &faults);
	interface->faults = faults;
	if (faults.no_meta > before.no_meta) {
		lost = faults.no_meta - before.no_meta;
		snprintf(why, CLV_REASON_MAX,
			 "%" PRIu64 " frames came without room for metadata in front of them",
			 lost);
		return CLV_REMEDY_STEP_DOWN;
	}
	if (queues != interface->queues) {
		snprintf(why, CLV_REASON_MAX, "it has %u receive queues, and had %u", queues,
			 interface->queues);
		return CLV_REMEDY_REOPEN;
	}
	if (strips_tags != nic->strips_tags) {
		snprintf(why, CLV_REASON_MAX, "its rx-vlan-offload is %s now",
			 nic->strips_tags ? "off" : "on");
		return CLV_REMEDY_REOPEN;
	}
	lost = faults.no_socket > before.no_socket ? faults.no_socket - before.no_socket : 0;
	if (!lost)
		return CLV_REMEDY_NONE;
	snprintf(why, CLV_REASON_MAX,
		 "%" PRIu64 " frames came on receive queues without an AF_XDP socket", lost);
	if (interface->reopened_ns && now_ns - interface->reopened_ns < REOPEN_LIFE)
		return CLV_REMEDY_STEP_DOWN;
	interface->reopened_ns = now_ns;
	return CLV_REMEDY_REOPEN;
}

/* Kernel sockets serve an interface with too few or too many receive queues; that may have changed. */
static enum clv_interface_remedy judge_queues(const struct clv_daemon *daemon,
					      const struct clv_interface *interface,
					      char why[static CLV_REASON_MAX])
{
	bool strips_tags;
	uint32_t queues;

	if (!interface->awaits_queues || !interface->nic.ifindex ||
	    clv_nic_look(interface->nic.ifindex, interface->nic.name, &queues, &strips_tags))
		return CLV_REMEDY_NONE;
	if (queues < daemon->workers_len || queues > CLV_QUEUES_MAX)
		return CLV_REMEDY_NONE;
	snprintf(why, CLV_REASON_MAX, "it has %u receive queues now, enough for all workers",
		 queues);
	return CLV_REMEDY_REOPEN;
}

static bool has_free_files(const struct clv_daemon *daemon, unsigned wanted)
{
	int files[CLV_QUEUES_MAX + FILES_SPARE];
	unsigned got = 0;
	bool has_all;

	for (; got < wanted; got++) {
		files[got] = fcntl(daemon->workers[0].wake_fd, F_DUPFD_CLOEXEC, 0);
		if (files[got] < 0)
			break;
	}
	has_all = got == wanted;
	while (got)
		close(files[--got]);
	return has_all;
}

/* Kernel sockets serve an interface for want of file descriptors; there may be some again. */
static enum clv_interface_remedy judge_files(const struct clv_daemon *daemon,
					     struct clv_interface *interface, uint64_t now_ns,
					     char why[static CLV_REASON_MAX])
{
	bool strips_tags;
	uint32_t queues;

	if (!interface->awaits_files || !interface->nic.ifindex ||
	    (interface->tries && now_ns < interface->retry_ns))
		return CLV_REMEDY_NONE;
	if (clv_nic_look(interface->nic.ifindex, interface->nic.name, &queues, &strips_tags) ||
	    queues > CLV_QUEUES_MAX || !has_free_files(daemon, queues + FILES_SPARE))
		return CLV_REMEDY_NONE;
	interface->retry_ns = now_ns + (CLV_SEC << interface->tries);
	interface->tries += interface->tries < RETRY_STEPS;
	snprintf(why, CLV_REASON_MAX, "there are file descriptors again");
	return CLV_REMEDY_REOPEN;
}

/* What no socket took while they were opened again is no news. */
static void forget_faults(struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		clv_maps_faults(&daemon->maps, daemon->interfaces[i].nic.ifindex,
				&daemon->interfaces[i].faults);
}

static void apply(struct clv_daemon *daemon, struct clv_interface *interface,
		  enum clv_interface_remedy remedy, const char *why)
{
	struct clv_counters *counters = clv_control_own_counters(daemon->control);

	if (remedy == CLV_REMEDY_REOPEN)
		clv_log(CLV_LOG_WARN, "datapath_reopened", "if=%s because=\"%s\"",
			interface->nic.name, why);
	clv_count(counters, remedy == CLV_REMEDY_REOPEN ? CLV_COUNT_DATAPATH_REOPENED
							: CLV_COUNT_DATAPATH_STEPPED_DOWN);
	clv_interfaces_reopen(daemon, interface, remedy, why);
	forget_faults(daemon);
}

bool clv_watch_tick(struct clv_daemon *daemon, uint64_t now_ns)
{
	enum clv_interface_remedy remedy;
	bool has_reopened = false;
	char why[CLV_REASON_MAX];
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++) {
		struct clv_interface *interface = &daemon->interfaces[i];

		if (interface->link_fd >= 0)
			remedy = judge(daemon, interface, now_ns, why);
		else if (interface->awaits_files)
			remedy = judge_files(daemon, interface, now_ns, why);
		else
			remedy = judge_queues(daemon, interface, why);
		if (remedy == CLV_REMEDY_NONE)
			continue;
		apply(daemon, interface, remedy, why);
		has_reopened = true;
	}
	return has_reopened;
}
