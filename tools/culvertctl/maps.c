/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/ask.h"

#include "control/admin/listing.h"
#include "control/xdp/load.h"
#include "control/admission/guard.h"
#include "control/xdp/maps.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <bpf/bpf.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	KEY_MAX = 64, /* bytes */
	VALUE_MAX = 64,
};

static json_t *from_context(const void *key, const void *value)
{
	const struct clv_context *context = value;
	const struct clv_tuple *tuple = key;

	return json_pack("{s:o,s:o,s:o,s:I}", "local", clv_listing_endpoint(&tuple->local),
			 "remote", clv_listing_endpoint(&tuple->remote), "tunnel",
			 clv_listing_ref(&context->tunnel), "context_id",
			 (json_int_t)context->context_id);
}

static json_t *from_binding(const void *key, const void *value)
{
	const struct clv_binding *binding = value;

	return json_pack("{s:o,s:o,s:b}", "local", clv_listing_endpoint(key), "tunnel",
			 clv_listing_ref(&binding->tunnel), "uncompressed",
			 (binding->flags & CLV_BINDING_UNCOMPRESSED) != 0);
}

static json_t *from_bucket(const void *key, const void *value)
{
	const struct clv_guard_key *bucket = key;
	uint64_t full_ns, now_ns = clv_clock_now_ns();
	char text[CLV_GUARD_TEXT_MAX];

	memcpy(&full_ns, value, sizeof(full_ns));
	return json_pack("{s:s,s:s,s:I}", "source", clv_guard_source(bucket, text), "kind",
			 clv_guard_kind_name((enum clv_guard_kind)bucket->kind), "full_in_ms",
			 (json_int_t)(full_ns > now_ns ? (full_ns - now_ns) / CLV_MSEC : 0));
}

static json_t *from_conn(const void *key, const void *value)
{
	const struct clv_cid *cid = key;
	char hex[2 * CLV_CID_LEN + 1];
	size_t i;

	for (i = 0; i < CLV_CID_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", cid->id[i]);
	return json_pack("{s:s,s:o}", "id", hex, "conn", clv_listing_ref(value));
}

static bool is_of(const json_t *item, const char *tunnel)
{
	const char *its = json_string_value(json_object_get(item, "tunnel"));

	return its && strcmp(its, tunnel) == 0;
}

/*
 * Walk a map that changes while we look: the kernel starts over when the key we stand on is gone,
 * so the number of steps is bounded by what fits the map, twice.
 */
static json_t *walk(int fd, const char *name, const struct ask_request *rq,
		    json_t *(*from)(const void *key, const void *value))
{
	_Alignas(8) char key[KEY_MAX], next[KEY_MAX], value[VALUE_MAX];
	struct bpf_map_info info = { 0 };
	__u32 info_len = sizeof(info);
	json_t *items = json_array(), *item;
	json_int_t total = 0;
	uint64_t steps;
	const void *at = NULL;

	if (bpf_map_get_info_by_fd(fd, &info, &info_len) || info.key_size > sizeof(key) ||
	    info.value_size > sizeof(value))
		info.max_entries = 0;
	for (steps = 2 * (uint64_t)info.max_entries; steps; steps--) {
		if (bpf_map_get_next_key(fd, at, next))
			break;
		memcpy(key, next, info.key_size);
		at = key;
		if (bpf_map_lookup_elem(fd, key, value))
			continue;
		item = from(key, value);
		if (rq->tunnel && !is_of(item, rq->tunnel)) {
			json_decref(item);
			continue;
		}
		total++;
		if (rq->limit <= 0 || total <= rq->limit)
			json_array_append_new(items, item);
		else
			json_decref(item);
	}
	return json_pack("{s:o,s:I}", name, items, "total", total);
}

static json_t *xdp_drops(const struct clv_bpf_maps *maps)
{
	json_t *xdp = clv_listing_xdp(maps, true);

	return json_pack("{s:o}", "xdp", xdp ? xdp : json_object());
}

int ask_maps(const struct ask_request *rq, json_t **out, char *error, size_t error_len)
{
	char pin_dir[CLV_PINS_PATH_MAX];
	struct clv_bpf_maps maps;
	int err;

	err = clv_pins_path(rq->run_dir, pin_dir);
	if (err) {
		snprintf(error, error_len, "%s: %s", rq->run_dir, clv_strerror(err));
		return err;
	}
	err = clv_bpf_open_pinned(pin_dir, &maps);
	if (err) {
		if (err == -ENOENT)
			snprintf(error, error_len, "no maps are pinned in %s", pin_dir);
		else if (err == -EPERM || err == -EACCES)
			snprintf(error, error_len, "%s: permission denied: run as root", pin_dir);
		else
			snprintf(error, error_len, "%s: %s", pin_dir, clv_strerror(err));
		return err;
	}
	if (strcmp(rq->command, "contexts") == 0)
		*out = walk(maps.contexts, "contexts", rq, from_context);
	else if (strcmp(rq->command, "bindings") == 0)
		*out = walk(maps.bindings, "bindings", rq, from_binding);
	else if (strcmp(rq->command, "guard") == 0)
		*out = walk(maps.guard, "guard", rq, from_bucket);
	else if (strcmp(rq->command, "ids") == 0)
		*out = walk(maps.conns, "ids", rq, from_conn);
	else
		*out = xdp_drops(&maps);
	clv_bpf_close_pinned(&maps);
	return *out ? 0 : -ENOMEM;
}
