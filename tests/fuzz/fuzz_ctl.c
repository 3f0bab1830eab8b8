/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as one request to the control socket: the answer is one line with one JSON object. */
#include <string.h>

#include "control/admin/ctl.h"
#include "tests/fuzz/fuzz.h"

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
	CHECK(line != NULL);
	len = strlen(line);
	CHECK(len > 1 && strchr(line, '\n') == line + len - 1);
	answer = json_loads(line, 0, NULL);
	CHECK(json_is_object(answer));
	CHECK(json_object_get(answer, "error") || json_object_get(answer, "request"));
	json_decref(answer);
	free(line);
	return 0;
}
