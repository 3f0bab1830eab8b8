/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/client_limits.h"

#include "datapath/base/err.h"
#include "datapath/base/why.h"
#include "datapath/base/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint64_t maximum;
} limits[CLV_LIMIT_MAX] = {
#define X(symbol, word, maximum, help) { word, maximum },
	CLV_CLIENT_LIMITS(X)
#undef X
};

/* The order of the text form: rates first. */
static const enum clv_client_limit written[CLV_LIMIT_MAX] = {
	CLV_LIMIT_MBIT,	 CLV_LIMIT_PACKETS, CLV_LIMIT_TUNNELS,
	CLV_LIMIT_CONNS, CLV_LIMIT_PORTS,   CLV_LIMIT_BYTES,
};

static const struct unit {
	const char *suffix;
	uint64_t factor;
} units[] = {
	{ "K", UINT64_C(1000) },       { "M", UINT64_C(1000000) },
	{ "G", UINT64_C(1000000000) }, { "T", UINT64_C(1000000000000) },
	{ "Ki", UINT64_C(1) << 10 },   { "Mi", UINT64_C(1) << 20 },
	{ "Gi", UINT64_C(1) << 30 },   { "Ti", UINT64_C(1) << 40 },
};

enum {
	UNITS = sizeof(units) / sizeof(units[0]),
	DIGITS_MAX = 19, /* any number of 19 digits fits into 64 bits */
};

static bool is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(text, word, len) == 0;
}

void clv_client_limits_init(struct clv_client_limits *l)
{
	for (int i = 0; i < CLV_LIMIT_MAX; i++)
		l->of[i] = CLV_UNLIMITED;
}

void clv_client_limits_narrow(struct clv_client_limits *l, const struct clv_client_limits *other)
{
	for (int i = 0; i < CLV_LIMIT_MAX; i++)
		if (other->of[i] < l->of[i])
			l->of[i] = other->of[i];
}

bool clv_client_limits_valid(const struct clv_client_limits *l)
{
	for (int i = 0; i < CLV_LIMIT_MAX; i++)
		if (l->of[i] != CLV_UNLIMITED && l->of[i] > limits[i].maximum)
			return false;
	return true;
}

const char *clv_client_limits_name(enum clv_client_limit limit)
{
	return limits[limit].name;
}

/* The factor that a suffix stands for, 1 for an empty one, 0 for an unknown one. */
static uint64_t factor_of(enum clv_client_limit limit, const char *suffix, size_t len)
{
	if (!len)
		return 1;
	for (int i = 0; limit == CLV_LIMIT_BYTES && i < UNITS; i++)
		if (is_word(suffix, len, units[i].suffix))
			return units[i].factor;
	return 0;
}

static int read_value(enum clv_client_limit limit, const char *text, size_t len, uint64_t *value,
		      const char **why)
{
	uint64_t number = 0, factor;
	size_t digits = 0;

	if (is_word(text, len, "unlimited")) {
		*value = CLV_UNLIMITED;
		return 0;
	}
	while (digits < len && text[digits] >= '0' && text[digits] <= '9') {
		if (digits == DIGITS_MAX)
			return clv_fail(why, "a limit is too large", CLV_ERANGE);
		number = number * 10 + (uint64_t)(text[digits++] - '0');
	}
	factor = factor_of(limit, text + digits, len - digits);
	if (!digits || !factor)
		return clv_fail(why, "a limit is not a number or \"unlimited\"", CLV_ESYNTAX);
	if (number > limits[limit].maximum / factor)
		return clv_fail(why, "a limit is too large", CLV_ERANGE);
	*value = number * factor;
	return 0;
}

int clv_client_limits_read_word(struct clv_client_limits *l, unsigned *seen, const char *word,
				size_t len, const char **why)
{
	const char *equals = memchr(word, '=', len);
	size_t name_len = equals ? (size_t)(equals - word) : len;

	for (int i = 0; i < CLV_LIMIT_MAX; i++) {
		int err;

		if (!is_word(word, name_len, limits[i].name))
			continue;
		if (!equals)
			return clv_fail(why, "a limit has no value", CLV_ESYNTAX);
		if (*seen & 1u << i)
			return clv_fail(why, "a limit is given twice", CLV_ESYNTAX);
		err = read_value((enum clv_client_limit)i, equals + 1, len - name_len - 1,
				 &l->of[i], why);
		if (err)
			return err;
		*seen |= 1u << i;
		return 0;
	}
	return -ENOENT;
}

int clv_client_limits_parse(const char *text, size_t len, struct clv_client_limits *l,
			    const char **why)
{
	struct clv_words words = { text, text + len };
	struct clv_client_limits read;
	const char *word;
	unsigned seen = 0;

	clv_client_limits_init(&read);
	while (clv_words_next(&words, &word, &len)) {
		int err = clv_client_limits_read_word(&read, &seen, word, len, why);

		if (err == -ENOENT)
			return clv_fail(why, "unknown limit", CLV_ESYNTAX);
		if (err)
			return err;
	}
	*l = read;
	return 0;
}

const char *clv_client_limits_format(const struct clv_client_limits *l,
				     char buf[static CLV_CLIENT_LIMITS_TEXT_MAX])
{
	size_t at = 0;

	buf[0] = '\0';
	for (int i = 0; i < CLV_LIMIT_MAX; i++) {
		enum clv_client_limit limit = written[i];
		uint64_t value = l->of[limit], factor = 1;
		const char *suffix = "";

		if (value == CLV_UNLIMITED)
			continue;
		/* The largest unit that leaves a whole number. */
		for (int k = 0; limit == CLV_LIMIT_BYTES && value && k < UNITS; k++)
			if (value % units[k].factor == 0 && units[k].factor > factor) {
				factor = units[k].factor;
				suffix = units[k].suffix;
			}
		at += (size_t)snprintf(buf + at, CLV_CLIENT_LIMITS_TEXT_MAX - at,
				       "%s%s=%" PRIu64 "%s", at ? " " : "", limits[limit].name,
				       value / factor, suffix);
	}
	return buf;
}
