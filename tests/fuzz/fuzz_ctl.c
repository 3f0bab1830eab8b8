/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as one request to the control socket: the answer is one line with one JSON object. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/admin/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static json_t *answer_echo(void *user, const json_t *request)
{
	(void)user;
	return json_pack("{s:O}", "request", (json_t *)request);
}

static const struct clv_ctl_command commands[] = { { "echo", answer_echo } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *answer;
	size_t len;
	char *line;

	line = clv_ctl_answer(commands, 1, NULL, (const char *)data, size);
	check(line != NULL);
	len = strlen(line);
	check(len > 1 && strchr(line, '\n') == line + len - 1);
	answer = json_loads(line, 0, NULL);
	check(json_is_object(answer));
	check(json_object_get(answer, "error") || json_object_get(answer, "request"));
	json_decref(answer);
	free(line);
	return 0;
}
