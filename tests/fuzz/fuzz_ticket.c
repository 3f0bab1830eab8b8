/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a ticket: one that is read is written again and read as the same, or there is a reason. */
#include <string.h>

#include "control/peer/ticket.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct clv_ticket ticket, again;
	char text[CLV_TICKET_MAX];
	const char *why = NULL;
	int err;

	memset(&ticket, 0, sizeof(ticket));
	memset(&again, 0, sizeof(again));
	err = clv_ticket_parse((const char *)data, size, &ticket, &why);
	if (err) {
		CHECK((err == CLV_ESYNTAX || err == CLV_ERANGE) && why);
		return 0;
	}
	CHECK(ticket.relays_len && ticket.relays_len <= CLV_TICKET_RELAYS_MAX);
	CHECK(clv_ticket_format(&ticket, text, sizeof(text)) == 0);
	CHECK(clv_ticket_is(text));
	CHECK(clv_ticket_parse(text, strlen(text), &again, NULL) == 0);
	CHECK(memcmp(&ticket, &again, sizeof(ticket)) == 0);
	return 0;
}
