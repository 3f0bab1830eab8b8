/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pass - an XDP program that passes every frame.
 *
 * A veth end takes the frames that a program at the other end sends back (XDP_TX) at once only if it
 * has a program itself; otherwise they lie there until another one comes.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
