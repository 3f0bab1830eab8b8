/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * shift_clock - for LD_PRELOAD: a program whose wall clock is as many seconds ahead as the decimal
 * number in file $SHIFT_CLOCK says, which may change while it runs.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NUMBER_MAX = 32 }; /* bytes of the file, at least */

static const volatile char *number;

/* The file is mapped once, before a sandbox forbids it. */
__attribute__((constructor)) static void map(void)
{
	const char *path = getenv("SHIFT_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, NUMBER_MAX, PROT_READ, MAP_SHARED, fd, 0);

	number = at == MAP_FAILED ? NULL : at;
	if (fd >= 0)
		close(fd);
}

static time_t shift(void)
{
	return number ? (time_t)atol((const char *)number) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int res = (int)syscall(SYS_clock_gettime, clock, out);

	if (!res && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out->tv_sec += shift();
	return res;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}
