/* Flood control: publishers can queue QoS 0 messages faster than Run writes them. The
 * library writes until no message is queued, and meanwhile Run reads nothing. */
#ifndef GOMOSQ_FLOOD_H
#define GOMOSQ_FLOOD_H

#include "callbacks.h"

/* How many QoS 0 messages publishers may queue ahead of a running write. The next
 * publisher waits until the write has caught up. If publishers have queued GOMOSQ_AHEAD_ALL
 * messages during this write, the next publisher waits until the write has ended: otherwise
 * the write could be endless. */
#define GOMOSQ_AHEAD 8192
#define GOMOSQ_AHEAD_LEFT 2048
#define GOMOSQ_AHEAD_ALL 32768
#define GOMOSQ_AHEAD_CHECK 128 /* messages between two reads of the other side's counter */

static inline bool gomosq_flooded(struct gomosq_client *c) { return __atomic_load_n(&c->published.flooded, __ATOMIC_RELAXED); }

/* Starts or ends a flood. The end wakes the publisher that waits for it. */
static inline void gomosq_flooded_set(struct gomosq_client *c, bool on)
{
	if(!on && !__atomic_load_n(&c->published.flooded, __ATOMIC_SEQ_CST)) return;
	__atomic_store_n(&c->published.flooded, on, __ATOMIC_SEQ_CST);
	if(!on) gomosq_notify(c);
}

/* QoS 0 messages that are queued behind the running write, at most. */
static inline int32_t gomosq_ahead(struct gomosq_client *c, uint32_t queued)
{
	return (int32_t)(queued - __atomic_load_n(&c->written.messages, __ATOMIC_RELAXED));
}

/* Counts a QoS 0 message that was published while Run writes. */
static inline void gomosq_note_published_ahead(struct gomosq_client *c)
{
	uint32_t queued = __atomic_add_fetch(&c->published.queued, 1, __ATOMIC_RELAXED);

	if(queued % GOMOSQ_AHEAD_CHECK || (queued < GOMOSQ_AHEAD_ALL && gomosq_ahead(c, queued) < GOMOSQ_AHEAD)) return;
	gomosq_flooded_set(c, true);
	if(!__atomic_load_n(&c->written.on, __ATOMIC_SEQ_CST)) gomosq_flooded_set(c, false);
}

/* Counts a message that was published. */
static inline void gomosq_note_published(struct gomosq_client *c, int rc, int qos)
{
	if(rc) return;
	if(!__atomic_load_n(&c->written.on, __ATOMIC_RELAXED)) __atomic_add_fetch(&c->published.unwritten, 1, __ATOMIC_RELAXED);
	else if(qos == 0) gomosq_note_published_ahead(c);
}

/* Counts a message that Run has written, or reported to OnPublish. */
static inline void gomosq_note_written(struct gomosq_client *c)
{
	uint32_t messages = c->written.messages + 1;
	uint32_t queued;

	__atomic_store_n(&c->written.messages, messages, __ATOMIC_RELAXED);
	if(messages % GOMOSQ_AHEAD_CHECK || !gomosq_flooded(c)) return;
	queued = __atomic_load_n(&c->published.queued, __ATOMIC_RELAXED);
	if(queued < GOMOSQ_AHEAD_ALL && gomosq_ahead(c, queued) < GOMOSQ_AHEAD_LEFT) gomosq_flooded_set(c, false);
}

/* Starts to count the messages of a write, and returns the number of messages that were
 * published since the last write. */
static inline uint32_t gomosq_write_begins(struct gomosq_client *c)
{
	__atomic_store_n(&c->published.queued, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->written.messages, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->written.on, 1, __ATOMIC_RELAXED);
	return __atomic_exchange_n(&c->published.unwritten, 0, __ATOMIC_RELAXED);
}

/* Notes that a write has left packets behind, which the next write sends too. */
static inline void gomosq_note_left(struct gomosq_client *c) { __atomic_add_fetch(&c->published.unwritten, 2, __ATOMIC_RELAXED); }

static inline void gomosq_write_ends(struct gomosq_client *c)
{
	__atomic_store_n(&c->written.on, 0, __ATOMIC_SEQ_CST);
	gomosq_flooded_set(c, false);
}

#endif
