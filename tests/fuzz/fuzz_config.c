/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any text as a configuration file: a valid configuration, or an error with the file's name. */
#include <stdio.h>
#include <string.h>

#include "control/daemon/config.h"
#include "tests/fuzz/fuzz.h"

static void check_ranges(const struct clv_config *c)
{
	size_t i, k;

	CHECK(c->listeners_len >= 1 && c->listeners_len <= CLV_LISTENERS_MAX);
	CHECK(c->egress_port_min <= c->egress_port_max);
	CHECK(c->limits.conns_max >= 1 && c->limits.tunnels_max >= 1);
	CHECK(c->workers_max <= CLV_WORKERS_MAX);
	for (i = 0; i < c->listeners_len; i++) {
		CHECK(c->listeners[i].port != 0);
		for (k = 0; k < i; k++)
			CHECK(c->listeners[k].port != c->listeners[i].port);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[300] = "", *text = malloc(size + 1);
	struct clv_config c;
	int err;

	CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	err = clv_config_parse("file", text, &c, error, sizeof(error));
	if (err) {
		CHECK(strncmp(error, "file:", 5) == 0);
	} else {
		check_ranges(&c);
		clv_config_fini(&c);
	}
	free(text);
	return 0;
}
