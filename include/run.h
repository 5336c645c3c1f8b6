/* The C part of Run: one call from Go makes a burst of reads and a write. Only
 * mosquitto_cgo.go includes this file. */
#ifndef GOMOSQ_RUN_H
#define GOMOSQ_RUN_H

#include "platform.h"
#include "shims.h"
#include "tlsio.h"

/* The state of a connection after a pass. */
struct gomosq_pass {
	struct gomosq_result result;
	int fd;          /* the library's socket, -1 after the library has closed it */
	bool watching;   /* Go's poller watches the socket */
	bool more;       /* there may be more input, or a callback is due */
	bool want_write; /* the library has packets queued */
	bool writable;   /* output is queued and the socket may accept it: it was queued after the write, or a TLS handshake waits for input */
	bool read;       /* there was input */
	bool wrote;      /* there was output */
	bool pinged;     /* a PINGREQ was sent */
	bool corked;     /* the kernel buffers output */
	bool leaving;    /* a DISCONNECT is queued */
	int packets;     /* packets that were read */
	unsigned accepted; /* number of CONNACKs that accepted the connection */
};

/* Every 16 packets, a burst ends if packets are queued or functions are posted. The library
 * searches its list of messages in flight linearly, so a short list is cheaper. */
#define GOMOSQ_CHECK_PACKETS 16

/* The packets with callbacks of one burst. One read of the library handles a whole TLS record,
 * or 4 KiB from 2.1 on. A burst that lasts too long would count as slow callbacks. */
#define GOMOSQ_BURST_PACKETS 4096

/* Reports whether a pass may continue after a library call that returned rc. */
static inline bool gomosq_may_continue(struct gomosq_client *c, int rc)
{
	return rc == MOSQ_ERR_SUCCESS && c->watched >= 0 && !gomosq_thread.panicked;
}

/* Reports whether PauseReading holds messages back from the callbacks now. It holds no
 * message back after Disconnect. While Run waits for a PINGRESP, which arrives after the
 * messages, it holds them back only when Run has reached the limit of reading ahead. */
static inline bool gomosq_holds_messages(struct gomosq_client *c)
{
	if(!__atomic_load_n(&c->published.paused, __ATOMIC_RELAXED) || __atomic_load_n(&c->leaving, __ATOMIC_RELAXED)) return false;
	return !c->ping_awaited || c->read_ahead >= GOMOSQ_READ_AHEAD;
}

/* Reports whether Run reads messages although earlier callbacks are pending, because a
 * PINGRESP arrives after these messages. */
static inline bool gomosq_reads_ahead(struct gomosq_client *c)
{
	return c->ping_awaited && c->read_ahead < GOMOSQ_READ_AHEAD;
}

/* Reports whether the peer has closed the connection and no input is unread. */
static inline bool gomosq_input_ended(struct gomosq_client *c) { return gomosq_peer_closed(c->watched) && !gomosq_tls_unread(c); }

/* Reports whether the library has queued packets, or encrypted output was not written because
 * the socket was full. */
static inline bool gomosq_want_write(struct gomosq_client *c) { return c->tls_unsent || mosquitto_want_write(c->mosq); }

/* Reports whether Run may read from the connection. Run reads the CONNACK although messages
 * of the last connection may be pending. If Run must not read, it still notices that the
 * peer has closed. */
static inline bool gomosq_may_read(struct gomosq_client *c)
{
	if(c->unacknowledged) return gomosq_input_ended(c);
	if(c->connack < 0) return true;
	if(gomosq_holds_messages(c)) return gomosq_input_ended(c);
	return !c->pending || gomosq_reads_ahead(c);
}

/* Reports whether the first pending message or event may reach its callback. */
static inline bool gomosq_may_deliver(struct gomosq_client *c)
{
	if(c->unacknowledged || c->pending == GOMOSQ_PENDING_EVENT) return true;
	return c->pending && !gomosq_holds_messages(c);
}

/* Reports whether Run may write. Run calls the pending OnPublish callbacks of written messages
 * first: it reads nothing while they are pending, and each may publish more. Run writes a
 * PINGREQ without this wait. */
static inline bool gomosq_may_write(struct gomosq_client *c)
{
	if(c->unacknowledged) return false;
	return !c->sent_pending || c->pinged || !gomosq_may_deliver(c);
}

static inline bool gomosq_posted(struct gomosq_client *c) { return __atomic_load_n(&c->published.posted, __ATOMIC_RELAXED); }

/* Reports whether all input is read, after a read that left EAGAIN in errno. Usually the
 * socket is empty. But errno is EAGAIN too if the library has queued output while its own
 * pair of sockets is full, or if a slow callback has ended the read. Only in these two cases
 * it polls the socket. */
static inline bool gomosq_all_read(struct gomosq_client *c)
{
	if((c->spent || c->wrote || mosquitto_want_write(c->mosq)) && gomosq_poll(c->watched, POLLIN)) return false;
	return !gomosq_tls_unread(c);
}

/* Counts the packets of one call of mosquitto_loop_read. While messages are in flight, the
 * call reads until the socket is empty. So EAGAIN does not mean that it has read nothing:
 * handled packets had a callback. */
static inline void gomosq_count_packets(struct gomosq_pass *p, unsigned handled, int err)
{
	if(err != EAGAIN && handled == 0) handled = 1;
	if(handled) p->read = true;
	p->packets += (int)handled;
}

/* Reads until the socket is empty, without a poll between packets, and delivers
 * messages in batches. It writes nothing, so acknowledgements are sent after the callback
 * has returned. */
static inline int gomosq_read_burst(struct gomosq_client *c, int budget, struct gomosq_pass *p)
{
	struct gomosq_batch batch;
	int rc = MOSQ_ERR_SUCCESS;
	unsigned before;

	batch.count = 0;
	batch.used = 0;
	batch.topic_len = 0;
	c->batch = &batch;
	__atomic_store_n(&c->pause_reading, 0, __ATOMIC_RELAXED);
	c->handled = 0;
	p->more = true;
	gomosq_tls_read_ahead(c);
	__atomic_store_n(&c->reading, 1, __ATOMIC_RELAXED);
	while(budget-- > 0){
		before = c->handled;
		errno = 0;
		rc = mosquitto_loop_read(c->mosq, 1);
		gomosq_tls_note_read(c, errno);
		gomosq_count_packets(p, c->handled - before, errno);
		if(!gomosq_may_continue(c, rc) || __atomic_load_n(&c->pause_reading, __ATOMIC_RELAXED)) break;
		if(errno == EAGAIN && gomosq_all_read(c)){
			p->more = false;
			break;
		}
		if(c->unacknowledged && gomosq_input_ended(c)) continue; /* no message can be acknowledged any more */
		if(gomosq_holds_messages(c) || c->unacknowledged) break;
		if(c->spent && !gomosq_reads_ahead(c)) break;
		if(c->handled >= GOMOSQ_BURST_PACKETS) break;
		if(budget % GOMOSQ_CHECK_PACKETS) continue;
		if(gomosq_posted(c)) break;
		if(mosquitto_want_write(c->mosq)) break;
	}
	__atomic_store_n(&c->reading, 0, __ATOMIC_RELAXED);
	gomosq_flush(c);
	c->batch = NULL;
	return rc;
}

/* Lets the kernel buffer output until the end of the pass. The library writes each packet by
 * itself. */
static inline void gomosq_cork(struct gomosq_client *c, struct gomosq_pass *p, bool on)
{
	int saved = errno;

	if(p->corked != on && c->watched >= 0) gomosq_cork_socket(c->watched, on);
	p->corked = on;
	errno = saved;
}

/* Buffers the output of a write: encrypted output in OpenSSL's chain, other output in the
 * kernel. A DISCONNECT with TLS is only corked, because the library closes the connection after
 * writing it. */
static inline void gomosq_buffer_output(struct gomosq_client *c, struct gomosq_pass *p)
{
	if(c->connack == 0 && !p->leaving && !__atomic_load_n(&c->leaving, __ATOMIC_RELAXED) && gomosq_tls_buffer(c)) return;
	gomosq_cork(c, p, true);
}

/* Reports whether a write may send several packets. Such packets must be buffered. Otherwise,
 * if the broker closes the connection after the first packet, the write of the next packet
 * fails, and the library closes the socket with unread acknowledgements. Each message or packet
 * usually causes one packet of output. A CONNACK makes the library send all messages in flight
 * again. The cause of other output is unknown. */
static inline bool gomosq_has_several(uint32_t published, int packets, bool accepted)
{
	return published > 1 || packets > 1 || accepted || (published == 0 && packets == 0);
}

static inline int gomosq_write_all(struct gomosq_client *c, struct gomosq_pass *p)
{
	int rc;

	if(c->tls_unsent) gomosq_tls_send(c);
	if(c->tls_unsent || !mosquitto_want_write(c->mosq)) return MOSQ_ERR_SUCCESS;
	gomosq_before_acknowledging(c);
	if(c->unacknowledged || !gomosq_may_continue(c, MOSQ_ERR_SUCCESS)) return MOSQ_ERR_SUCCESS;
	if(gomosq_has_several(gomosq_write_begins(c), p->packets, c->accepted != p->accepted)) gomosq_buffer_output(c, p);
	p->wrote = true;
	errno = 0;
	rc = mosquitto_loop_write(c->mosq, 1);
	gomosq_tls_send(c);
	gomosq_write_ends(c);
	gomosq_flush_sent(c);
	return rc;
}

/* One pass of Run: it delivers pending messages, reads at most budget packets, checks the
 * keepalive if misc is set, and writes. It also writes before it delivers pending messages,
 * whose callbacks may be slow. If leaving is set, a DISCONNECT is queued. It must be written
 * before anything is read, because the library closes the connection at the next packet. */
static inline struct gomosq_pass gomosq_pass(struct gomosq_client *c, int budget, bool misc, bool leaving)
{
	struct gomosq_pass p = {.leaving = leaving};
	int outer = gomosq_enter(c, GOMOSQ_IN_LOOP);
	int rc = MOSQ_ERR_SUCCESS;
	bool blocked = false;

	p.accepted = c->accepted;
	if(leaving && !c->unacknowledged){
		rc = gomosq_write_all(c, &p);
		blocked = gomosq_may_continue(c, rc) && gomosq_want_write(c) && !(gomosq_poll(c->watched, POLLOUT) & POLLOUT);
	}
	c->passing = 1;
	c->slow = c->spent;
	c->spent = c->wrote = c->pinged = 0;
	if(misc && c->connack == 0 && !c->ping_awaited && !c->unacknowledged && gomosq_may_continue(c, rc)){ /* before callbacks that may take long */
		misc = false;
		rc = gomosq_keep_alive(c);
		if(!blocked && gomosq_may_continue(c, rc)) rc = gomosq_write_all(c, &p);
	}
	if(!blocked && c->pending && gomosq_may_write(c) && gomosq_may_continue(c, rc)) rc = gomosq_write_all(c, &p);
	if(!blocked && gomosq_may_continue(c, rc) && gomosq_may_deliver(c)){
		if(c->unacknowledged) c->to_acknowledge = 1;
		gomosq_deliver_pending(c);
	}
	if(budget && !blocked && gomosq_may_continue(c, rc) && gomosq_may_read(c)) rc = gomosq_read_burst(c, budget, &p);
	if(misc && !c->unacknowledged && gomosq_may_continue(c, rc)) rc = gomosq_keep_alive(c);
	if(!blocked && gomosq_may_write(c) && gomosq_may_continue(c, rc)) rc = gomosq_write_all(c, &p);
	gomosq_flooded_set(c, c->sent_pending && !gomosq_may_write(c));
	c->passing = 0;
	p.wrote = p.wrote || c->wrote;
	p.pinged = c->pinged;
	gomosq_cork(c, &p, false);
	if(!c->ping_awaited) gomosq_log_pings(c, false);
	p.result = gomosq_leave(outer, rc, 0);
	p.more = p.more || gomosq_may_deliver(c);
	p.fd = mosquitto_socket(c->mosq);
	p.watching = c->watched >= 0;
	p.want_write = p.watching && gomosq_may_write(c) && gomosq_want_write(c);
	if(p.want_write && p.wrote) gomosq_note_left(c);
	p.writable = p.want_write && !c->tls_unsent && (!p.wrote || (gomosq_poll(c->watched, POLLOUT) & POLLOUT));
	p.accepted = c->accepted;
	return p;
}

/* Reports whether Run must not wait, because there is input or new output. blocked is set
 * if the last pass could not write all output. If acknowledge is set, input that has arrived
 * is acknowledged first. */
static inline bool gomosq_ready(struct gomosq_client *c, bool blocked, bool acknowledge)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the counterpart of the fence in gomosq_leave */
	if(c->watched < 0) return true;
	if(!blocked && gomosq_may_write(c) && gomosq_want_write(c)) return true;
	if(acknowledge) gomosq_acknowledge_input(c->watched);
	return gomosq_may_read(c) && (gomosq_poll(c->watched, POLLIN) || gomosq_tls_unread(c));
}

static inline bool gomosq_writable(int fd) { return gomosq_poll(fd, POLLOUT) != 0; }

/* These functions mark this thread while it runs functions that Post queued. */
static inline void gomosq_posting(struct gomosq_client *c)
{
	c->posting.client = c;
	c->posting.event = GOMOSQ_POSTED;
	c->posting.outer = gomosq_thread.frames;
	gomosq_thread.frames = &c->posting;
}

static inline void gomosq_posting_done(struct gomosq_client *c) { gomosq_thread.frames = c->posting.outer; }

/* Delivers the pending events when the connection is lost. */
static inline struct gomosq_result gomosq_end_deliveries(struct gomosq_client *c)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_LOOP);

	gomosq_deliver_events(c);
	return gomosq_leave(outer, MOSQ_ERR_SUCCESS, 0);
}

/* Returns a duplicate of the connection's file descriptor for Go's poller, or -1 without a
 * connection. It turns the Nagle delay off, because a pass buffers its output itself. */
static inline int gomosq_watch(struct gomosq_client *c)
{
	int fd = mosquitto_socket(c->mosq);

	c->watched = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	c->ping_awaited = 0;
	c->tls_drained = c->tls_unsent = false;
	c->to_acknowledge = 0; /* the acknowledgements of the last connection are lost with it */
	if(fd >= 0) gomosq_send_at_once(fd);
	return c->watched;
}

/* Releases the poller's file descriptor fd before Go closes it. It discards unread
 * input: if a socket is closed with unread input, the kernel sends a reset, which may
 * arrive before the DISCONNECT. */
static inline void gomosq_unwatch(struct gomosq_client *c, int fd)
{
	c->watched = -1;
	c->ping_awaited = 0;
	gomosq_log_pings(c, false);
	gomosq_flooded_set(c, false);
	gomosq_discard_input(fd);
}

/* Returns the state of an asynchronous connect: 0 (connected), EINPROGRESS, or its error.
 * ENOTCONN means that the connection has ended and the TLS handshake has consumed the error. */
static inline int gomosq_connect_state(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int err = 0;
	socklen_t err_len = sizeof(err);
#if GOMOSQ_LINUX /* one call if there is no error */
	short events = gomosq_poll(fd, POLLOUT);

	if(events == 0) return EINPROGRESS;
	if(events == POLLOUT) return 0;
#endif
	if(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len)) return errno;
	if(err) return err;
	if(getpeername(fd, (struct sockaddr *)&peer, &len) == 0) return 0;
	if(!gomosq_no_peer(errno)) return errno;
	if(!(gomosq_poll(fd, POLLHUP) & POLLHUP)) return EINPROGRESS;
	return ENOTCONN;
}

static inline bool gomosq_was_connected(struct gomosq_client *c) { return gomosq_was_accepted(c->watched, c->connect_errno); }

/* Replaces the connection with a closed socket, so that the library reads EOF at once
 * although the peer may still send. Only the owner of the network side may call it. */
static inline void gomosq_cut_own(struct gomosq_client *c)
{
	int fd = mosquitto_socket(c->mosq);
	int closed;

	if(fd < 0) return;
	gomosq_tls_end_input(c);
	shutdown(fd, SHUT_RDWR);
	closed = gomosq_closed_socket();
	if(closed < 0) return;
	gomosq_replace_fd(closed, fd);
	close(closed);
}

/* Reads once, and calls no callback. */
static inline int gomosq_read_silently(struct gomosq_client *c)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_LOOP);
	int rc;

	__atomic_store_n(&c->silent, 1, __ATOMIC_RELAXED);
	rc = mosquitto_loop_read(c->mosq, 1);
	__atomic_store_n(&c->silent, 0, __ATOMIC_RELAXED);
	gomosq_leave(outer, rc, 0);
	return rc;
}

/* Ends a connection that no loop serves, without a callback. */
static inline void gomosq_abandon(struct gomosq_client *c)
{
	if(mosquitto_socket(c->mosq) < 0) return;
	gomosq_cut_own(c);
	gomosq_read_silently(c);
}

/* gomosq_abandon for a connect that has failed. The read first lets the library notice the
 * failure by itself. */
static inline void gomosq_abandon_failed(struct gomosq_client *c)
{
	gomosq_read_silently(c);
	gomosq_abandon(c);
}

#endif
