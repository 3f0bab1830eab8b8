/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/nat64.h"

#include <string.h>

enum {
	LENGTHS = 6,
	RESERVED_BYTE = 8, /* bits 64 to 71 are zero, and no part of the address */
};

/* The longest, and most common, first. */
static const uint8_t lengths[LENGTHS] = { 96, 64, 56, 48, 40, 32 };

bool clv_nat64_is_length(unsigned prefix_bits)
{
	return memchr(lengths, (int)prefix_bits, LENGTHS) != NULL;
}

/* Where the four bytes are behind a prefix. */
static void find_positions(unsigned prefix_bits, uint8_t at[static 4])
{
	unsigned next = prefix_bits / 8;

	for (unsigned i = 0; i < 4; next++)
		if (next != RESERVED_BYTE)
			at[i++] = (uint8_t)next;
}

static void read_embedded(unsigned prefix_bits, const uint8_t addr[static 16],
			  uint8_t v4[static 16])
{
	uint8_t at[4];

	find_positions(prefix_bits, at);
	memset(v4, 0, 10);
	memset(v4 + 10, 0xff, 2);
	for (unsigned i = 0; i < 4; i++)
		v4[12 + i] = addr[at[i]];
}

bool clv_nat64_extract(const struct clv_prefix *prefix, const uint8_t addr[static 16],
		       uint8_t v4[static 16])
{
	if (memcmp(addr, prefix->addr, prefix->prefix_bits / 8) != 0)
		return false;
	read_embedded(prefix->prefix_bits, addr, v4);
	return true;
}

void clv_nat64_embed(const struct clv_prefix *prefix, const uint8_t v4[static 16],
		     uint8_t addr[static 16])
{
	uint8_t at[4];

	find_positions(prefix->prefix_bits, at);
	memset(addr, 0, 16);
	memcpy(addr, prefix->addr, prefix->prefix_bits / 8);
	for (unsigned i = 0; i < 4; i++)
		addr[at[i]] = v4[12 + i];
}

bool clv_nat64_find(const uint8_t addr[static 16], struct clv_prefix *out)
{
	static const uint8_t well_known[] = { 192, 0, 0 };
	unsigned found_bits = 0;
	uint8_t v4[16];

	for (unsigned i = 0; i < LENGTHS; i++) {
		read_embedded(lengths[i], addr, v4);
		if (memcmp(v4 + 12, well_known, sizeof(well_known)) != 0 ||
		    (v4[15] != 170 && v4[15] != 171))
			continue;
		if (found_bits)
			return false; /* which of the two is the prefix's own? */
		found_bits = lengths[i];
	}
	if (!found_bits)
		return false;
	*out = (struct clv_prefix){ .prefix_bits = found_bits };
	memcpy(out->addr, addr, found_bits / 8);
	return true;
}
