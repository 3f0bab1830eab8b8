/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/remote.h"

#include "datapath/base/addr.h"
#include "tests/unit/check.h"

static bool remote_deliver(void *self, const struct wire_packet *p)
{
	struct remote *r = self;

	if (!clv_endpoint_equal(&p->to, &r->endpoint))
		return false;
	r->received++;
	r->heard = p->from;
	r->ecn |= p->ecn;
	snprintf(r->last, sizeof(r->last), "%.*s", (int)p->len, (const char *)p->bytes);
	return true;
}

void remote_join(struct remote *r, struct world *w, const char *endpoint)
{
	*r = (struct remote){ .w = w, .end = { .deliver = remote_deliver, .self = r } };
	assert_int_equal(clv_endpoint_parse(endpoint, &r->endpoint), 0);
	wire_join(&w->wire, &r->end);
}

void remote_send(struct remote *r, const struct clv_endpoint *to, const char *text)
{
	wire_send(&r->w->wire, &r->endpoint, to, 0, (const uint8_t *)text, strlen(text));
}

void remote_expect(struct remote *r, const struct clv_endpoint *from, const char *text)
{
	assert_int_equal(r->received, 1);
	assert_string_equal(r->last, text);
	assert_memory_equal(&r->heard, from, sizeof(*from));
	r->received = 0;
}
