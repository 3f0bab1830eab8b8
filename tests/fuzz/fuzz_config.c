/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any text as a configuration file: a valid configuration, or an error with the file's name. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_ranges(const struct clv_config *c)
{
	size_t i, k;

	check(c->listeners_len >= 1 && c->listeners_len <= CLV_LISTENERS_MAX);
	check(c->egress_port_min <= c->egress_port_max);
	check(c->limits.conns_max >= 1 && c->limits.tunnels_max >= 1);
	check(c->workers_max <= CLV_WORKERS_MAX);
	for (i = 0; i < c->listeners_len; i++) {
		check(c->listeners[i].port != 0);
		for (k = 0; k < i; k++)
			check(c->listeners[k].port != c->listeners[i].port);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[300] = "", *text = malloc(size + 1);
	struct clv_config c;
	int err;

	check(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	err = clv_config_parse("file", text, &c, error, sizeof(error));
	if (err) {
		check(strncmp(error, "file:", 5) == 0);
	} else {
		check_ranges(&c);
		clv_config_fini(&c);
	}
	free(text);
	return 0;
}
