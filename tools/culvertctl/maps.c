/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/bpf.h"
#include "control/xdp/maps.h"
#include "control/xdp/pins.h"
#include "datapath/base/err.h"
#include "tools/culvertctl/query.h"

#include <bpf/bpf.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	KEY_MAX = 64, /* bytes */
	VALUE_MAX = 64,
};

static bool is_of_tunnel(const json_t *item, const char *tunnel)
{
	const char *name = json_string_value(json_object_get(item, "tunnel"));

	return name && strcmp(name, tunnel) == 0;
}

/*
 * The map may change meanwhile, and the kernel starts over when the key of the last step is gone:
 * the number of steps is limited to twice the entries that fit.
 */
json_t *query_list_map(int fd, const char *name, const struct query *q,
		       json_t *(*row)(const void *key, const void *value))
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
		item = row(key, value);
		if (q->tunnel && !is_of_tunnel(item, q->tunnel)) {
			json_decref(item);
			continue;
		}
		total++;
		if (q->limit <= 0 || total <= q->limit)
			json_array_append_new(items, item);
		else
			json_decref(item);
	}
	return json_pack("{s:o,s:I}", name, items, "total", total);
}

int query_maps(const struct query *q, json_t **out, char *error, size_t error_len)
{
	char pin_dir[CLV_PINS_PATH_MAX];
	struct clv_bpf_maps maps;
	int err;

	err = clv_pins_path(q->run_dir, pin_dir);
	if (err) {
		snprintf(error, error_len, "%s: %s", q->run_dir, clv_strerror(err));
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
	*out = q->command->from_maps(&maps, q);
	clv_bpf_close_pinned(&maps);
	return *out ? 0 : -ENOMEM;
}
