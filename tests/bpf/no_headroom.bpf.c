/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * no_headroom - runs the program under test on a frame with almost no room in front of it.
 *
 * It moves a frame of 62 bytes (Ethernet, IPv4, UDP, 20 bytes of payload) to the start of its
 * buffer; what remains after it looks like Ethernet padding.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

enum {
	FRAME_BYTES = 62,
	EATEN = 208, /* of 256; the kernel keeps 40 for itself, which leaves 8 */
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

SEC("xdp")
int eat_headroom(struct xdp_md *ctx)
{
	__u8 *data, *end;

	if (bpf_xdp_adjust_head(ctx, -EATEN))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + EATEN + FRAME_BYTES > end)
		return XDP_ABORTED;
	for (int i = 0; i < FRAME_BYTES; i++)
		data[i] = data[EATEN + i];

	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}
