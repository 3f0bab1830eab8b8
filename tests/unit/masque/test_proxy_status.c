/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/masque/proxy_status.h"
#include "datapath/base/err.h"

static const struct {
	enum clv_proxy_error error;
	const char *token;
	unsigned status;
	int err;
} tokens[] = {
	{ CLV_PROXY_OK, "", 200, 0 },
	{ CLV_PROXY_DNS_TIMEOUT, "dns_timeout", 504, CLV_ENAMETIME },
	{ CLV_PROXY_DNS_ERROR, "dns_error", 502, CLV_ENONAME },
	{ CLV_PROXY_DESTINATION_NOT_FOUND, "destination_not_found", 500, CLV_EUNROUTABLE },
	{ CLV_PROXY_DESTINATION_UNAVAILABLE, "destination_unavailable", 503, CLV_EUNROUTABLE },
	{ CLV_PROXY_DESTINATION_IP_PROHIBITED, "destination_ip_prohibited", 502, CLV_EDENIED },
	{ CLV_PROXY_DESTINATION_IP_UNROUTABLE, "destination_ip_unroutable", 502, CLV_EUNROUTABLE },
	{ CLV_PROXY_CONNECTION_REFUSED, "connection_refused", 502, CLV_EHTTP },
	{ CLV_PROXY_CONNECTION_TERMINATED, "connection_terminated", 502, CLV_EHTTP },
	{ CLV_PROXY_CONNECTION_TIMEOUT, "connection_timeout", 504, CLV_ETIMEOUT },
	{ CLV_PROXY_CONNECTION_LIMIT_REACHED, "connection_limit_reached", 503, CLV_EFULL },
	{ CLV_PROXY_HTTP_REQUEST_DENIED, "http_request_denied", 403, CLV_EDENIED },
	{ CLV_PROXY_HTTP_REQUEST_ERROR, "http_request_error", 400, CLV_EHTTP },
	{ CLV_PROXY_HTTP_PROTOCOL_ERROR, "http_protocol_error", 502, CLV_EHTTP },
	{ CLV_PROXY_PROXY_INTERNAL_RESPONSE, "proxy_internal_response", 0, CLV_EHTTP },
	{ CLV_PROXY_PROXY_INTERNAL_ERROR, "proxy_internal_error", 500, CLV_EHTTP },
	{ CLV_PROXY_PROXY_CONFIGURATION_ERROR, "proxy_configuration_error", 500, CLV_EHTTP },
	{ CLV_PROXY_PROXY_LOOP_DETECTED, "proxy_loop_detected", 502, CLV_EHTTP },
	{ CLV_PROXY_UNKNOWN, "", 0, CLV_EHTTP },
};

static void test_every_error_has_its_token_status_and_meaning(void **state)
{
	(void)state;
	assert_int_equal(sizeof(tokens) / sizeof(tokens[0]), CLV_PROXY_UNKNOWN + 1);
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		assert_string_equal(clv_proxy_error_token(tokens[i].error), tokens[i].token);
		assert_int_equal(clv_proxy_error_status(tokens[i].error), tokens[i].status);
		assert_int_equal(clv_proxy_error_to_err(tokens[i].error), tokens[i].err);
	}
}

static void test_every_error_is_read_back_as_written(void **state)
{
	char text[CLV_PROXY_STATUS_MAX];

	(void)state;
	for (int e = CLV_PROXY_OK; e < CLV_PROXY_UNKNOWN; e++) {
		struct clv_proxy_status ps = { .error = (enum clv_proxy_error)e,
					       .next_hop = "2001:db8::1",
					       .rcode = "NXDOMAIN",
					       .status_code = 400,
					       .details = "a \"quoted\" \\ word" };
		struct clv_proxy_status_read read;
		int n = clv_proxy_status_write("my relay", &ps, text, sizeof(text));

		assert_int_equal(n, strlen(text));
		assert_int_equal(clv_proxy_status_parse(text, (size_t)n, &read), 0);
		assert_int_equal(read.error, e);
		assert_string_equal(read.next_hop, ps.next_hop);
		assert_string_equal(read.rcode, ps.rcode);
		assert_string_equal(read.details, ps.details);
	}
}

static void test_the_field_is_written_in_full_or_not_at_all(void **state)
{
	const struct clv_proxy_status ps = { .error = CLV_PROXY_DNS_ERROR,
					     .rcode = "NXDOMAIN",
					     .next_hop = "t.example",
					     .details = "no \"such\" name" };
	const struct clv_proxy_status limit = { .error = CLV_PROXY_HTTP_REQUEST_ERROR,
						.status_code = 429 };
	static const char want[] = "\"culvert\"; error=dns_error; rcode=\"NXDOMAIN\"; "
				   "next-hop=\"t.example\"; details=\"no \\\"such\\\" name\"";
	char text[CLV_PROXY_STATUS_MAX];

	(void)state;
	assert_int_equal(clv_proxy_status_write("culvert", &ps, text, sizeof(text)),
			 sizeof(want) - 1);
	assert_string_equal(text, want);
	assert_int_equal(clv_proxy_status_write("culvert", &ps, text, sizeof(want)),
			 sizeof(want) - 1);
	for (size_t len = 0; len < sizeof(want); len++)
		assert_int_equal(clv_proxy_status_write("culvert", &ps, text, len), CLV_ERANGE);

	assert_true(clv_proxy_status_write("c", &limit, text, sizeof(text)) > 0);
	assert_string_equal(text, "\"c\"; error=http_request_error; status-code=429");
	assert_true(clv_proxy_status_write("c", &(struct clv_proxy_status){ 0 }, text,
					   sizeof(text)) > 0);
	assert_string_equal(text, "\"c\"");
}

static const struct {
	const char *value;
	int err;
	enum clv_proxy_error error;
	const char *next_hop;
} fields[] = {
	{ "culvert", 0, CLV_PROXY_OK, "" },
	{ "\"r\"; next-hop=target", 0, CLV_PROXY_OK, "target" },
	{ "r; error=dns_timeout", 0, CLV_PROXY_DNS_TIMEOUT, "" },
	{ "r; error=\"dns_timeout\"", 0, CLV_PROXY_UNKNOWN, "" },
	{ "r; error=made_up", 0, CLV_PROXY_UNKNOWN, "" },
	{ "r; error=dns_timeou", 0, CLV_PROXY_UNKNOWN, "" },
	{ "r; error", 0, CLV_PROXY_UNKNOWN, "" },
	{ "far; error=dns_error; next-hop=a, near; error=dns_timeout; next-hop=b", 0,
	  CLV_PROXY_DNS_TIMEOUT, "b" },
	{ "far; error=dns_error; next-hop=a, near; next-hop=b", 0, CLV_PROXY_DNS_ERROR, "a" },
	{ "far; next-hop=a, near; next-hop=b", 0, CLV_PROXY_OK, "b" },
	{ "r; next-hop=5; received-status=200; info-code=3", 0, CLV_PROXY_OK, "" },
	{ "", 0, CLV_PROXY_OK, "" },
	{ "r; error=", CLV_ESYNTAX, 0, 0 },
	{ "r, ", CLV_ESYNTAX, 0, 0 },
	{ "r; details=\"open", CLV_ESYNTAX, 0, 0 },
};

static void test_a_client_reads_the_error_nearest_to_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct clv_proxy_status_read read;
		int err = clv_proxy_status_parse(fields[i].value, strlen(fields[i].value), &read);

		if (err != fields[i].err)
			fail_msg("%s: %d", fields[i].value, err);
		if (err < 0)
			continue;
		if (read.error != fields[i].error)
			fail_msg("%s: error %d", fields[i].value, read.error);
		assert_string_equal(read.next_hop, fields[i].next_hop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_error_has_its_token_status_and_meaning),
		cmocka_unit_test(test_every_error_is_read_back_as_written),
		cmocka_unit_test(test_the_field_is_written_in_full_or_not_at_all),
		cmocka_unit_test(test_a_client_reads_the_error_nearest_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
