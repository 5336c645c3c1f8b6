/* Publishers that are faster than Run: their QoS 0 messages are queued in the
 * library, which writes as long as there are any. */
#ifndef GOMOSQ_FLOOD_H
#define GOMOSQ_FLOOD_H

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "callbacks.h"

/* A flood: more QoS 0 messages than GOMOSQ_FLOOD are queued behind a running write.
 * It ends when fewer than GOMOSQ_FLOOD_END are left. */
#define GOMOSQ_FLOOD 16384
#define GOMOSQ_FLOOD_END 4096
#define GOMOSQ_CHECK_PUBLISHED 256 /* messages between two checks */
#define GOMOSQ_CHECK_WRITTEN 64
#define GOMOSQ_CHECK_LISTENED 8    /* with an OnPublish callback for each message */
#define GOMOSQ_LONG_WRITE 20000000 /* nanoseconds */

static inline bool gomosq_flooded(struct gomosq_client *c) { return __atomic_load_n(&c->published.flooded, __ATOMIC_RELAXED); }

/* Starts or ends a flood. The end wakes the publisher that waits for it. */
static inline void gomosq_flooded_set(struct gomosq_client *c, bool on)
{
	__atomic_store_n(&c->published.flooded, on, __ATOMIC_SEQ_CST);
	if(!on) gomosq_notify(c);
}

static inline int32_t gomosq_backlog(struct gomosq_client *c)
{
	return (int32_t)(__atomic_load_n(&c->published.messages, __ATOMIC_RELAXED) - __atomic_load_n(&c->written.messages, __ATOMIC_RELAXED));
}

static inline void gomosq_note_published(struct gomosq_client *c, int rc, int qos)
{
	if(rc || qos) return;
	if(__atomic_add_fetch(&c->published.messages, 1, __ATOMIC_RELAXED) % GOMOSQ_CHECK_PUBLISHED) return;
	if(__atomic_load_n(&c->written.on, __ATOMIC_RELAXED) && gomosq_backlog(c) > GOMOSQ_FLOOD) gomosq_flooded_set(c, true);
}

/* Makes a running write return: puts a full socket in the place of the connection,
 * until gomosq_restore_socket. */
static inline bool gomosq_stop_write(struct gomosq_client *client)
{
	static const char block[8192];
	int small = 1;
	int pair[2];
	bool full;

	if(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) return false;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while(write(pair[0], block, sizeof(block)) > 0);
	full = write(pair[0], block, 1) < 0 && errno == EAGAIN; /* and not out of memory */
	if(full && dup3(pair[0], mosquitto_socket(client->mosq), O_CLOEXEC) >= 0) client->written.substitute = pair[1];
	else close(pair[1]);
	close(pair[0]);
	return client->written.substitute >= 0;
}

static inline void gomosq_write_begins(struct gomosq_client *client)
{
	client->written.stopped = false;
	clock_gettime(CLOCK_MONOTONIC, &client->written.began);
	__atomic_store_n(&client->written.on, 1, __ATOMIC_RELAXED);
}

static inline int64_t gomosq_since(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - began->tv_sec) * INT64_C(1000000000) + now.tv_nsec - began->tv_nsec;
}

/* Counts a QoS 0 message that was written. The library writes until its queue is
 * empty, so a long write is stopped: input must be read as well. If no socket pair is
 * free for that, publishers wait until the queue is empty. */
static inline void gomosq_note_written(struct gomosq_client *client)
{
	bool listened = __atomic_load_n(&client->interest, __ATOMIC_RELAXED) & GOMOSQ_PUBLISH;
	uint32_t messages = client->written.messages + 1;
	int saved = errno;

	if(!client->written.on) return;
	__atomic_store_n(&client->written.messages, messages, __ATOMIC_RELAXED);
	if(messages % (listened ? GOMOSQ_CHECK_LISTENED : GOMOSQ_CHECK_WRITTEN) || client->written.substitute >= 0) return;
	if(gomosq_since(&client->written.began) > GOMOSQ_LONG_WRITE && !gomosq_stop_write(client)) gomosq_flooded_set(client, true);
	else if(gomosq_flooded(client) && gomosq_backlog(client) < GOMOSQ_FLOOD_END) gomosq_flooded_set(client, false);
	errno = saved;
}

/* Undoes gomosq_stop_write. The poller's file descriptor is a duplicate of the
 * connection's. */
static inline void gomosq_restore_socket(struct gomosq_client *c)
{
	if(c->written.substitute < 0) return;
	if(c->watched >= 0) dup3(c->watched, mosquitto_socket(c->mosq), O_CLOEXEC);
	close(c->written.substitute);
	c->written.substitute = -1;
	c->written.stopped = true;
}

/* Ends a flood after a write, unless the write was stopped and continues at once. If
 * the queue is empty, the two counts are made equal: messages outside Run are not
 * counted as written. */
static inline void gomosq_write_ends(struct gomosq_client *c)
{
	uint32_t published = __atomic_load_n(&c->published.messages, __ATOMIC_RELAXED);
	bool left = mosquitto_want_write(c->mosq);

	__atomic_store_n(&c->written.on, 0, __ATOMIC_RELAXED);
	if(!left) __atomic_store_n(&c->written.messages, published, __ATOMIC_RELAXED);
	if(gomosq_flooded(c) && !(left && c->written.stopped)) gomosq_flooded_set(c, false);
}

#endif
