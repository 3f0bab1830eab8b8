/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Contexts and ports of bound tunnels come and go while their remotes send: the XDP program matches
 * every frame, a worker on another thread takes what it steers, and the test plays control in the
 * order that control keeps.
 *
 *   this thread   commands to the worker, then the maps; the maps, then commands to the worker
 *   the other     frame -> program -> metadata -> clv_worker_step -> CLV_EVT_DATAGRAM_UP
 *
 * Slots, ports and entries of the maps are used again at once by the next tunnel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "control/xdp/maps.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/varint.h"
#include "datapath/quic/conn.h"
#include "datapath/quic/dgram.h"
#include "datapath/worker/worker.h"
#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

enum {
	PORTS = 4,   /* of the relay; even ones IPv4, odd ones IPv6 */
	REMOTES = 5, /* that send to every port */
	FRAMES = PORTS * REMOTES,
	SLOTS = 3, /* tunnels alive at a time: fewer than ports, so that ports wander */
	LIVES = 2000,
	FIRST_PORT = 41000,
	BATCH = 16,	    /* frames of one worker's step */
	LIVED = 4 * FRAMES, /* frames that a tunnel lives for, at least */
	MAILBOX_BYTES = 8 << 20,
	PAYLOAD_LEN = 16,
};

/* The payload of a frame. */
struct cargo {
	uint64_t number; /* frames are numbered from 1; frame n is of sender n % FRAMES */
	uint32_t sender;
	uint32_t pad;
};
_Static_assert(sizeof(struct cargo) == PAYLOAD_LEN, "cargo fills the payload");

/* What control opened for one remote or, uncompressed, for all others. */
struct grant {
	uint64_t id;		/* 0: none */
	uint64_t from;		/* frames after this one must come */
	uint64_t until;		/* up to this one; 0: it is open */
	uint64_t dead_from;	/* none from this one on; 0: it is open */
	uint64_t come[REMOTES]; /* that had to */
	uint64_t last[REMOTES]; /* number of the last one */
};

/* One tunnel, from its command to its end. */
struct life {
	struct clv_ref ref;
	unsigned port;
	struct grant compressed[REMOTES];
	struct grant uncompressed;
	bool is_gone;
};

/* ---- the other thread ---- */

struct source {
	struct clv_port port;
	const struct world *world;
	uint8_t frames[FRAMES][FRAME_MAX];
	size_t len, payload_at[FRAMES];
	struct clv_tuple tuples[FRAMES];
	uint8_t payloads[BATCH][PAYLOAD_LEN];
	struct clv_mailbox *events;
	_Atomic uint64_t begun, done; /* frame numbers */
	uint64_t steered, dropped, torn;
	struct clv_worker_counters none;
};

static struct source source;
static struct clv_worker *worker;
static struct clv_mailbox *commands, *events;
static atomic_bool is_over;

static unsigned port_of(unsigned sender)
{
	return sender / REMOTES;
}

static unsigned remote_of(unsigned sender)
{
	return sender % REMOTES;
}

/* Run the program over one frame.  Returns whether it was steered, with *rx as AF_XDP gives it. */
static bool receive(struct source *s, uint64_t number, uint8_t payload[static PAYLOAD_LEN],
		    struct clv_rx *rx)
{
	const unsigned sender = number % FRAMES;
	const struct cargo cargo = { .number = number, .sender = sender };
	uint8_t back[FRAME_MAX + 64];
	struct clv_meta meta;
	struct xdp_md in = { .data_end = (uint32_t)s->len }, out;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = s->frames[sender], .data_out = back,
		    .ctx_in = &in, .ctx_out = &out, .data_size_in = (uint32_t)s->len,
		    .data_size_out = sizeof(back), .ctx_size_in = sizeof(in),
		    .ctx_size_out = sizeof(out), .repeat = 1);

	in.data_end = (uint32_t)(s->payload_at[sender] + PAYLOAD_LEN);
	run.data_size_in = in.data_end;
	memcpy(s->frames[sender] + s->payload_at[sender], &cargo, sizeof(cargo));
	if (bpf_prog_test_run_opts(bpf_program__fd(s->world->skel->progs.clv_ingress), &run))
		abort();
	if (run.retval != XDP_REDIRECT)
		return false;
	memcpy(&meta, back, sizeof(meta));
	memcpy(payload, back + out.data + s->payload_at[sender], PAYLOAD_LEN);
	*rx = (struct clv_rx){
		.local = s->tuples[sender].local,
		.remote = s->tuples[sender].remote,
		.payload = payload,
		.payload_len = PAYLOAD_LEN,
		.kind = meta.kind,
		.ref = meta.ref,
	};
	return true;
}

static unsigned source_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	struct source *s = (struct source *)port;
	unsigned n = 0;

	(void)max;
	if (clv_mailbox_backlog(s->events)) /* the test shall lose nothing by being slow */
		return 0;
	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t number = atomic_fetch_add(&s->begun, 1) + 1;

		if (receive(s, number, s->payloads[n], &batch[n])) {
			s->steered++;
			n++;
		} else {
			s->dropped++;
		}
	}
	return n;
}

static void source_done(struct clv_port *port)
{
	struct source *s = (struct source *)port;

	atomic_store(&s->done, atomic_load(&s->begun));
}

static int no_frame(struct clv_port *port, struct clv_tx *tx)
{
	(void)port;
	(void)tx;
	return -ENOBUFS;
}

static void nothing_to_do(struct clv_port *port)
{
	(void)port;
}

static unsigned nothing_received(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	(void)port;
	(void)batch;
	(void)max;
	return 0;
}

static const struct clv_port_ops source_ops = {
	.name = "source",
	.rx = source_rx,
	.rx_done = source_done,
	.tx_take = no_frame,
	.flush = nothing_to_do,
	.close = nothing_to_do,
};
static const struct clv_port_ops silent_ops = {
	.name = "silent",
	.rx = nothing_received,
	.rx_done = nothing_to_do,
	.tx_take = no_frame,
	.flush = nothing_to_do,
	.close = nothing_to_do,
};

static void *work(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_over))
		clv_worker_step(worker, CLV_SEC); /* no time passes: no timer takes a part */
	return NULL;
}

/* ---- this thread: lives ---- */

static struct life lives[LIVES];
static struct clv_maps maps;
static uint64_t seed = 88172645463325252;

static unsigned dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % sides;
}

static const char *relay_text(unsigned port)
{
	return port & 1 ? RELAY6 : "198.51.100.1";
}

static void remote_text(unsigned port, unsigned remote, char text[static 32])
{
	snprintf(text, 32, port & 1 ? "2001:db8:7::%u" : "203.0.113.%u", 100 + remote);
}

static struct clv_tuple tuple_of(unsigned port, unsigned remote)
{
	return source.tuples[port * REMOTES + remote];
}

static void send_command(enum clv_command type, const void *head, size_t len)
{
	assert_int_equal(clv_mailbox_send(commands, type, head, len, NULL, 0), 0);
}

static uint64_t id_of_uncompressed(const uint8_t *body, size_t len, const struct life *life,
				   const struct cargo *cargo, const uint8_t **payload)
{
	struct clv_endpoint wire;
	const struct clv_tuple tuple = tuple_of(life->port, remote_of(cargo->sender));
	size_t used = clv_dgram_decode_remote(body, len, &wire);

	assert_true(used > 0);
	*payload = body + used;
	assert_memory_equal(&wire, &tuple.remote, sizeof(wire));
	return life->uncompressed.id;
}

static void arrived(struct grant *g, const struct cargo *cargo)
{
	if (g->dead_from)
		assert_true(cargo->number < g->dead_from);
	if (g->from && cargo->number > g->from && (!g->until || cargo->number <= g->until)) {
		g->come[remote_of(cargo->sender)]++;
		g->last[remote_of(cargo->sender)] = cargo->number;
	}
}

/* A datagram for the peer of a tunnel: is it that tunnel's, with the right Context ID? */
static void up(const struct clv_evt_tunnel *evt, const uint8_t *body, size_t len)
{
	const uint8_t *p = body, *payload;
	struct life *life;
	struct cargo cargo;
	uint64_t id;

	assert_true(len >= PAYLOAD_LEN && evt->ref.generation < LIVES);
	life = &lives[evt->ref.generation];
	memcpy(&cargo, body + len - PAYLOAD_LEN, sizeof(cargo));
	assert_int_equal(cargo.number % FRAMES, cargo.sender);
	assert_int_equal(life->ref.slot, evt->ref.slot);
	assert_false(life->is_gone);
	assert_int_equal(life->port, port_of(cargo.sender));
	assert_int_equal(clv_varint_read(&p, body + len, &id), 0);
	payload = p;
	if (id == life->uncompressed.id) {
		id_of_uncompressed(p, len - (size_t)(p - body), life, &cargo, &payload);
		arrived(&life->uncompressed, &cargo);
	} else {
		assert_int_equal(id, life->compressed[remote_of(cargo.sender)].id);
		arrived(&life->compressed[remote_of(cargo.sender)], &cargo);
	}
	assert_ptr_equal(payload, body + len - PAYLOAD_LEN);
}

static void receive_events(void)
{
	struct clv_record r;

	clv_mailbox_flush(commands);
	while (clv_mailbox_peek(events, &r)) {
		const struct clv_evt_tunnel *evt = (const void *)r.body;

		if (r.type == CLV_EVT_DATAGRAM_UP) {
			up(evt, r.body + sizeof(*evt), r.len - sizeof(*evt));
		} else if (r.type == CLV_EVT_TUNNEL_GONE) {
			assert_int_equal(evt->error, 0);
			lives[evt->ref.generation].is_gone = true;
		}
		clv_mailbox_release(events);
	}
}

/* Until the worker is done with so many frames more. */
static void wait_frames(uint64_t frames)
{
	uint64_t until = atomic_load(&source.done) + frames;

	while (atomic_load(&source.done) < until) {
		receive_events();
		usleep(20);
	}
}

static void opened(struct grant *g)
{
	g->from = atomic_load(&source.begun);
}

/* The tables still have it: what is done by now had to come. */
static void closing(struct grant *g)
{
	g->until = atomic_load(&source.done);
	/* Of a step in progress something may have come already, from each one at most. */
	for (unsigned r = 0; r < REMOTES; r++)
		if (g->last[r] > g->until)
			g->come[r]--;
}

/* The worker has the command: its step in progress may not have read it, the next one does. */
static void closed(struct grant *g)
{
	receive_events();
	g->dead_from = atomic_load(&source.done) + BATCH + 1;
}

static void open_compressed(struct life *l, unsigned remote, uint64_t id)
{
	const struct clv_tuple tuple = tuple_of(l->port, remote);
	const struct clv_context context = { .tunnel = l->ref, .context_id = id };
	const struct clv_cmd_context_open cmd = {
		.ref = l->ref,
		.context_id = id,
		.remote = { .endpoint = tuple.remote, .local = tuple.local, .remote = tuple.remote },
	};

	l->compressed[remote].id = id;
	send_command(CLV_CMD_CONTEXT_OPEN, &cmd, sizeof(cmd));
	receive_events();
	assert_int_equal(clv_maps_context_publish(&maps, &tuple, &context), 0);
	opened(&l->compressed[remote]);
}

static void close_compressed(struct life *l, unsigned remote)
{
	const struct clv_tuple tuple = tuple_of(l->port, remote);
	const struct clv_cmd_context_close cmd = { l->ref, l->compressed[remote].id };

	closing(&l->compressed[remote]);
	clv_maps_context_retire(&maps, &tuple);
	send_command(CLV_CMD_CONTEXT_CLOSE, &cmd, sizeof(cmd));
	closed(&l->compressed[remote]);
}

static void publish_port(const struct life *l, uint32_t flags)
{
	const struct clv_tuple tuple = tuple_of(l->port, 0);
	const struct clv_binding binding = { .tunnel = l->ref, .flags = flags };

	assert_int_equal(clv_maps_binding_publish(&maps, &tuple.local, &binding), 0);
}

static void open_uncompressed(struct life *l, uint64_t id)
{
	const struct clv_cmd_context_open cmd = { .ref = l->ref,
						  .context_id = id,
						  .flags = CLV_CONTEXT_UNCOMPRESSED };

	l->uncompressed.id = id;
	send_command(CLV_CMD_CONTEXT_OPEN, &cmd, sizeof(cmd));
	receive_events();
	publish_port(l, CLV_BINDING_UNCOMPRESSED);
	opened(&l->uncompressed);
}

static void close_uncompressed(struct life *l)
{
	const struct clv_cmd_context_close cmd = { l->ref, l->uncompressed.id };

	closing(&l->uncompressed);
	publish_port(l, 0);
	send_command(CLV_CMD_CONTEXT_CLOSE, &cmd, sizeof(cmd));
	closed(&l->uncompressed);
}

static const struct clv_ref the_conn = { .slot = 0, .generation = 1 };

/* IDs differ from tunnel to tunnel, so that a datagram by a former one's is seen. */
static void begin(struct life *l, uint32_t number, unsigned slot, unsigned port)
{
	const struct clv_tuple tuple = tuple_of(port, 0);
	const struct clv_cmd_tunnel_add add = {
		.ref = { .slot = slot, .generation = number },
		.conn = the_conn,
		.spec = { .stream_id = 4 * (int64_t)slot,
			  .flags = CLV_TUNNEL_BOUND | CLV_TUNNEL_CAPSULES },
		.socket_fd = -1,
	};
	const struct clv_cmd_tunnel_bind bind = {
		.ref = add.ref, .local = tuple.local, .advertised = tuple.local, .socket_fd = -1
	};
	uint64_t id = 2 + 2 * (uint64_t)(number % 97);

	*l = (struct life){ .ref = add.ref, .port = port };
	send_command(CLV_CMD_TUNNEL_ADD, &add, sizeof(add));
	send_command(CLV_CMD_TUNNEL_BIND, &bind, sizeof(bind));
	publish_port(l, 0);
	if (dice(2))
		open_uncompressed(l, id);
	for (unsigned r = 0; r < REMOTES; r++)
		if (dice(2))
			open_compressed(l, r, id += 2);
}

static void end(struct life *l)
{
	const struct clv_cmd_ref cmd = { .ref = l->ref };
	const struct clv_tuple tuple = tuple_of(l->port, 0);

	for (unsigned r = 0; r < REMOTES; r++)
		if (l->compressed[r].id && !l->compressed[r].until)
			closing(&l->compressed[r]);
	if (l->uncompressed.id && !l->uncompressed.until)
		closing(&l->uncompressed);
	clv_maps_binding_retire(&maps, &tuple.local);
	for (unsigned r = 0; r < REMOTES; r++) {
		const struct clv_tuple its = tuple_of(l->port, r);

		if (l->compressed[r].id && !l->compressed[r].dead_from)
			clv_maps_context_retire(&maps, &its);
	}
	send_command(CLV_CMD_TUNNEL_REMOVE, &cmd, sizeof(cmd));
	receive_events();
}

/* Change something in the middle of a life. */
static void change(struct life *l)
{
	unsigned r = dice(REMOTES);

	if (dice(3) == 0 && l->uncompressed.id && !l->uncompressed.until)
		close_uncompressed(l);
	if (l->compressed[r].id && !l->compressed[r].until)
		close_compressed(l, r);
}

/* Frames of one sender with numbers in (from, until]. */
static uint64_t frames_between(unsigned sender, uint64_t from, uint64_t until)
{
	uint64_t first = from + 1 + (sender + FRAMES - (from + 1) % FRAMES) % FRAMES;

	return first > until ? 0 : (until - first) / FRAMES + 1;
}

static void must_be(const struct life *l, unsigned remote, const struct grant *g)
{
	uint64_t want = frames_between(l->port * REMOTES + remote, g->from, g->until);

	if (g->come[remote] == want)
		return;
	fail_msg("life %u, port %u, remote %u, context %lu: %lu of %lu frames from %lu to %lu",
		 l->ref.generation, l->port, remote, (unsigned long)g->id,
		 (unsigned long)g->come[remote], (unsigned long)want, (unsigned long)g->from,
		 (unsigned long)g->until);
}

/* All that had to arrive did; the tunnel's last event was received, so nothing is in flight. */
static uint64_t reckon(const struct life *l)
{
	uint64_t sum = 0;

	for (unsigned r = 0; r < REMOTES; r++) {
		const struct grant *g = l->compressed[r].id ? &l->compressed[r] : &l->uncompressed;

		if (!g->id)
			continue;
		must_be(l, r, g);
		sum += g->come[r];
	}
	return sum;
}

/* ---- the stage ---- */

static int take_cid(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
	return 0;
}

static void drop_cid(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
}

/* A connection that sends nothing: the tunnels' datagrams are passed to control for capsules. */
static void adopt_conn(void)
{
	static const struct clv_conn_ops ops = { .cid_added = take_cid, .cid_removed = drop_cid };
	static const uint8_t secret[CLV_CID_SECRET_LEN];
	static struct clv_rand rand;
	static struct clv_worker_counters counters;
	const struct clv_conn_env env = {
		.ops = &ops, .rand = &rand, .counters = &counters, .reset_secret = secret
	};
	struct clv_conn_params p = {
		.is_server = true,
		.version = NGTCP2_PROTO_VER_V1,
		.local = frame_endpoint("198.51.100.1", PORT_QUIC),
		.remote = frame_endpoint("203.0.113.1", 1234),
		.mtu = 1500,
		.idle_ns = 60 * CLV_SEC,
		.handshake_ns = 60 * CLV_SEC,
		.streams_max = 100,
		.stream_window = 65536,
		.conn_window = 65536,
		.queue.packets = 4,
		.now_ns = CLV_SEC,
	};
	struct clv_cmd_conn_adopt cmd = { .ref = the_conn };

	clv_rand_init(&rand, 5);
	p.client_dcid.datalen = p.client_scid.datalen = 8;
	assert_int_equal(clv_conn_new(&env, &p, &cmd.conn), 0);
	send_command(CLV_CMD_CONN_ADOPT, &cmd, sizeof(cmd));
}

static void make_frames(const struct world *w)
{
	source.world = w;
	source.events = events;
	for (unsigned sender = 0; sender < FRAMES; sender++) {
		char remote[32];
		struct frame_spec spec = {
			.dst = relay_text(port_of(sender)),
			.dport = (uint16_t)(FIRST_PORT + port_of(sender)),
			.payload_len = PAYLOAD_LEN,
		};

		remote_text(port_of(sender), remote_of(sender), remote);
		spec.src = remote;
		frame_build(&spec, source.frames[sender]);
		source.payload_at[sender] = frame_payload_at(&spec);
		source.tuples[sender] = frame_tuple(&spec);
	}
}

static void open_worker(void)
{
	static struct clv_port silent = { .ops = &silent_ops };
	const struct clv_worker_params p = {
		.workers = 1,
		.conns_max = 1,
		.tunnels_max = SLOTS,
		.remotes_max = SLOTS * REMOTES,
		.remotes_per_conn = REMOTES,
		.remotes_per_tunnel = REMOTES,
		.buffers = 16,
		.listener_sockets = 1,
		.hop_wait_packets = 1,
		.rand_seed = 7,
		.sock = &silent,
		.xsk = &source.port,
		.commands = commands,
		.events = events,
	};

	source.port.ops = &source_ops;
	assert_int_equal(clv_worker_open(&p, &worker), 0);
}

static void open_maps(const struct world *w)
{
	struct clv_bpf_maps fds;

	memset(&fds, -1, sizeof(fds));
	fds.contexts = bpf_map__fd(w->skel->maps.contexts);
	fds.bindings = bpf_map__fd(w->skel->maps.bindings);
	clv_maps_init(&maps, &fds);
}

static void live(void)
{
	struct life *in_slot[SLOTS] = { 0 };
	bool is_taken[PORTS] = { 0 };

	for (uint32_t number = 1; number < LIVES; number++) {
		unsigned slot = dice(SLOTS), port = dice(PORTS);

		if (in_slot[slot]) {
			is_taken[in_slot[slot]->port] = false;
			end(in_slot[slot]);
		}
		while (is_taken[port])
			port = (port + 1) % PORTS;
		is_taken[port] = true;
		in_slot[slot] = &lives[number];
		begin(in_slot[slot], number, slot, port);
		wait_frames(dice(3) ? LIVED : 1);
		change(in_slot[slot]);
		wait_frames(dice(2) ? LIVED : 1);
	}
	for (unsigned slot = 0; slot < SLOTS; slot++)
		if (in_slot[slot])
			end(in_slot[slot]);
}

static void no_datagram_is_lost_or_goes_to_another_tunnel(void **state)
{
	static struct world world;
	uint64_t counted = 0;
	pthread_t thread;

	(void)state;
	need_root();
	world_open(&world);
	commands = clv_mailbox_new(MAILBOX_BYTES, -1);
	events = clv_mailbox_new(MAILBOX_BYTES, -1);
	assert_true(commands && events);
	make_frames(&world);
	open_maps(&world);
	open_worker();
	adopt_conn();
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);

	wait_frames(1);
	live();
	wait_frames(4 * BATCH); /* the last ends were heard by then */
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	receive_events();
	for (uint32_t number = 1; number < LIVES; number++) {
		assert_true(lives[number].is_gone);
		counted += reckon(&lives[number]);
	}
	/* Neither side was idle. */
	assert_true(counted > 10 * LIVES && source.dropped > 10 * LIVES);
	print_message(
		"%lu frames, %lu steered; %lu had to come and came; the worker turned away "
		"%lu that the tables still named\n",
		(unsigned long)source.begun, (unsigned long)source.steered, (unsigned long)counted,
		(unsigned long)(clv_count_read(clv_worker_counters(worker), CLV_COUNT_DROP_STALE) +
				clv_count_read(clv_worker_counters(worker),
					       CLV_COUNT_DROP_WRONG_REMOTE) +
				clv_count_read(clv_worker_counters(worker),
					       CLV_COUNT_DROP_UNKNOWN_REMOTE)));

	clv_worker_close(worker);
	clv_mailbox_free(commands);
	clv_mailbox_free(events);
	clv_maps_fini(&maps);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_datagram_is_lost_or_goes_to_another_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
