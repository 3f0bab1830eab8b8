/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/slice.h"

#include <errno.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

int clv_slice_set(uint64_t ns)
{
	struct sched_attr attr = { .size = sizeof(attr) };

	if (!ns)
		return 0;
	/* the C library has no wrappers for these */
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
		return -errno;
	attr.sched_runtime = ns;
	return syscall(SYS_sched_setattr, 0, &attr, 0) ? -errno : 0;
}
