/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames over a real link into a real AF_XDP socket, in a namespace of our own:
 *
 *   packet socket -- clvsend === veth === clvrecv -- XDP, native -- AF_XDP socket, queue 0, copy mode
 *
 * What the other tests take from BPF_PROG_TEST_RUN is seen here where the worker sees it.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include <cmocka.h>

#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

enum {
	QUEUES = 4,
	XSK_BASE = 256, /* not that of the loopback interface */
	N_FRAMES = 64,
	CHUNK = XSK_UMEM__DEFAULT_FRAME_SIZE,
};

static struct world world;

static struct {
	int sender;
	uint32_t ifindex;
	void *area;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion, rx;
} link0 = { .sender = -1 };

static void run_command(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s failed", command);
}

static int open_sender(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	to.sll_ifindex = (int)if_nametoindex("clvsend");
	assert_return_code(fd, errno);
	assert_return_code(bind(fd, (const void *)&to, sizeof(to)), errno);
	return fd;
}

static void open_socket(void)
{
	const struct xsk_umem_config umem_config = {
		.fill_size = N_FRAMES,
		.comp_size = N_FRAMES,
		.frame_size = CHUNK,
	};
	const struct xsk_socket_config config = {
		.rx_size = N_FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY,
	};
	uint32_t first = 0;

	link0.area = mmap(NULL, N_FRAMES * CHUNK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(link0.area != MAP_FAILED);
	assert_int_equal(xsk_umem__create(&link0.umem, link0.area, N_FRAMES * CHUNK, &link0.fill,
					  &link0.completion, &umem_config),
			 0);
	assert_int_equal(xsk_socket__create(&link0.socket, "clvrecv", 0, link0.umem, &link0.rx,
					    NULL, &config),
			 0);
	assert_int_equal(xsk_ring_prod__reserve(&link0.fill, N_FRAMES, &first), N_FRAMES);
	for (uint32_t i = 0; i < N_FRAMES; i++)
		*xsk_ring_prod__fill_addr(&link0.fill, first + i) = (uint64_t)i * CHUNK;
	xsk_ring_prod__submit(&link0.fill, N_FRAMES);
}

static void publish_link(void)
{
	const struct clv_link value = { .xsk_base = XSK_BASE };
	const uint32_t slot = XSK_BASE;
	int fd = xsk_socket__fd(link0.socket);

	assert_int_equal(bpf_map__update_elem(world.skel->maps.links, &link0.ifindex,
					      sizeof(link0.ifindex), &value, sizeof(value),
					      BPF_ANY),
			 0);
	assert_int_equal(bpf_map__update_elem(world.skel->maps.xsks, &slot, sizeof(slot), &fd,
					      sizeof(fd), BPF_ANY),
			 0);
}

static void attach(uint32_t mode)
{
	int program_fd = bpf_program__fd(world.skel->progs.clv_ingress);

	assert_return_code(bpf_xdp_attach((int)link0.ifindex, program_fd, mode, NULL), errno);
}

static int open_link(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return 0;
	world_isolate();
	world_open(&world);
	run_command("ip link add clvsend numtxqueues 1 numrxqueues 1 type veth "
		    "peer name clvrecv numtxqueues 1 numrxqueues 4");
	run_command("ip link set clvsend up && ip link set clvrecv up");
	/*
	 * The end that came first may send when the kernel has seen its carrier, which is a job for
	 * later: until then frames are dropped, though send() succeeds.
	 */
	run_command("timeout 5 sh -c 'until ip -o link show clvsend | grep -q \"state UP\"; do "
		    "sleep 0.01; done'");
	link0.ifindex = if_nametoindex("clvrecv");
	attach(XDP_FLAGS_DRV_MODE);
	open_socket();
	publish_link();
	link0.sender = open_sender();
	return 0;
}

/* The namespace, and with it the link, goes with the process. */
static int close_link(void **state)
{
	(void)state;
	if (!world.skel)
		return 0;
	close(link0.sender);
	xsk_socket__delete(link0.socket);
	xsk_umem__delete(link0.umem);
	munmap(link0.area, N_FRAMES * CHUNK);
	world_close(&world);
	return 0;
}

/* The next frame that reached the socket, or NULL after a while.  Lends; N_FRAMES in all. */
static const uint8_t *receive(size_t *len)
{
	struct pollfd fd = { .fd = xsk_socket__fd(link0.socket), .events = POLLIN };
	const struct xdp_desc *desc;
	const uint8_t *frame;
	uint32_t at;

	if (!xsk_ring_cons__peek(&link0.rx, 1, &at)) {
		poll(&fd, 1, 1000);
		if (!xsk_ring_cons__peek(&link0.rx, 1, &at))
			return NULL;
	}
	desc = xsk_ring_cons__rx_desc(&link0.rx, at);
	frame = xsk_umem__get_data(link0.area, desc->addr);
	*len = desc->len;
	xsk_ring_cons__release(&link0.rx, 1);
	return frame;
}

static void check_arrivals(void)
{
	static const struct {
		const char *name;
		struct frame_spec in;
		uint8_t kind;
		const struct clv_ref *ref;
	} arrivals[] = {
		{ "connection",
		  { .first = 0x40, .cid = known_cid, .payload_len = 1200 },
		  CLV_KIND_CONN,
		  &known_conn },
		{ "connection in two tags",
		  { .first = 0x40, .cid = known_cid, .payload_len = 1200, .vlan_tags = 2 },
		  CLV_KIND_CONN,
		  &known_conn },
		{ "context over IPv6",
		  { .src = REMOTE6, .dst = RELAY6, .dport = PORT_CLOSED, .payload_len = 1452 },
		  CLV_KIND_CONTEXT,
		  &closed_tunnel },
		{ "open port, one byte",
		  { .dport = PORT_OPEN, .payload_len = 1 },
		  CLV_KIND_UNCOMPRESSED,
		  &open_tunnel },
	};

	for (size_t i = 0; i < sizeof(arrivals) / sizeof(arrivals[0]); i++) {
		uint8_t sent[FRAME_MAX];
		size_t sent_len = frame_build(&arrivals[i].in, sent), len;
		const uint8_t *frame;
		struct clv_meta meta;

		assert_int_equal(send(link0.sender, sent, sent_len, 0), sent_len);
		frame = receive(&len);
		if (!frame)
			fail_msg("%s: nothing arrived", arrivals[i].name);
		assert_int_equal(len, sent_len);
		assert_memory_equal(frame, sent, sent_len);

		memcpy(&meta, frame - sizeof(meta), sizeof(meta));
		assert_int_equal(meta.magic, CLV_META_MAGIC);
		assert_int_equal(meta.kind, arrivals[i].kind);
		assert_memory_equal(&meta.ref, arrivals[i].ref, sizeof(meta.ref));
	}
}

static void metadata_and_frame_arrive_in_the_umem(void **state)
{
	(void)state;
	need_root();
	check_arrivals();
}

/* The last fallback that still uses AF_XDP. */
static void generic_xdp_brings_metadata_as_well(void **state)
{
	(void)state;
	need_root();
	assert_return_code(bpf_xdp_detach((int)link0.ifindex, XDP_FLAGS_DRV_MODE, NULL), errno);
	attach(XDP_FLAGS_SKB_MODE);
	check_arrivals();
	assert_return_code(bpf_xdp_detach((int)link0.ifindex, XDP_FLAGS_SKB_MODE, NULL), errno);
	attach(XDP_FLAGS_DRV_MODE);
}

static void what_is_passed_or_dropped_never_reaches_the_socket(void **state)
{
	static const struct frame_spec others[] = {
		{ .first = 0xc0, .payload_len = 1200 },
		{ .first = 0x40, .cid = unknown_cid, .payload_len = 60 },
		{ .dport = PORT_FOREIGN, .payload_len = 60 },
		{ .dport = PORT_CLOSED, .sport = 1, .payload_len = 60 },
		{ .dport = PORT_OPEN, .src = "10.2.3.4", .payload_len = 60 },
	};
	const struct frame_spec last = { .first = 0x41, .cid = known_cid, .payload_len = 60 };
	struct clv_count seen;
	uint8_t sent[FRAME_MAX];
	const uint8_t *frame;
	size_t len;

	(void)state;
	need_root();
	seen = world_count(&world, CLV_XDP_SEEN);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		len = frame_build(&others[i], sent);
		assert_int_equal(send(link0.sender, sent, len, 0), len);
	}
	len = frame_build(&last, sent);
	assert_int_equal(send(link0.sender, sent, len, 0), len);

	frame = receive(&len);
	assert_non_null(frame);
	assert_memory_equal(frame, sent, len);
	/* The link's own neighbour discovery may come on top. */
	assert_true(world_count(&world, CLV_XDP_SEEN).packets - seen.packets >= 6);
}

static uint32_t run_on_queue(uint32_t queue)
{
	const struct frame_spec spec = { .first = 0x40, .cid = known_cid, .payload_len = 60 };
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&spec, frame);
	struct xdp_md ctx = { .data_end = (uint32_t)len,
			      .ingress_ifindex = link0.ifindex,
			      .rx_queue_index = queue };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(world.skel->progs.clv_ingress), &run), 0);
	return run.retval;
}

static void each_queue_of_a_link_has_its_own_socket(void **state)
{
	const uint32_t slot = XSK_BASE + 2;

	(void)state;
	need_root();
	assert_int_equal(run_on_queue(0), XDP_REDIRECT);
	assert_int_equal(run_on_queue(2), XDP_PASS);
	assert_int_equal(bpf_map__update_elem(world.skel->maps.xsks, &slot, sizeof(slot),
					      &world.xsk_fd, sizeof(world.xsk_fd), BPF_ANY),
			 0);
	assert_int_equal(run_on_queue(2), XDP_REDIRECT);
	assert_int_equal(run_on_queue(QUEUES - 1), XDP_PASS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_and_frame_arrive_in_the_umem),
		cmocka_unit_test(generic_xdp_brings_metadata_as_well),
		cmocka_unit_test(what_is_passed_or_dropped_never_reaches_the_socket),
		cmocka_unit_test(each_queue_of_a_link_has_its_own_socket),
	};

	return cmocka_run_group_tests(tests, open_link, close_link);
}
