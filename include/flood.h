/* Publishers that are faster than Run: the library writes as long as QoS 0 messages
 * are queued, and Run reads nothing meanwhile. */
#ifndef GOMOSQ_FLOOD_H
#define GOMOSQ_FLOOD_H

#include "callbacks.h"

/* QoS 0 messages that publishers may queue during one write. The next publisher waits
 * for its end. */
#define GOMOSQ_AHEAD 8192

static inline bool gomosq_flooded(struct gomosq_client *c) { return __atomic_load_n(&c->published.flooded, __ATOMIC_RELAXED); }

/* Starts or ends a flood. The end wakes the publisher that waits for it. */
static inline void gomosq_flooded_set(struct gomosq_client *c, bool on)
{
	if(!on && !__atomic_load_n(&c->published.flooded, __ATOMIC_SEQ_CST)) return;
	__atomic_store_n(&c->published.flooded, on, __ATOMIC_SEQ_CST);
	if(!on) gomosq_notify(c);
}

/* Counts a message that was published while Run writes. */
static inline void gomosq_note_published(struct gomosq_client *c, int rc, int qos)
{
	if(rc || qos || !__atomic_load_n(&c->written.on, __ATOMIC_RELAXED)) return;
	if(__atomic_add_fetch(&c->published.ahead, 1, __ATOMIC_RELAXED) <= GOMOSQ_AHEAD) return;
	gomosq_flooded_set(c, true);
	if(!__atomic_load_n(&c->written.on, __ATOMIC_SEQ_CST)) gomosq_flooded_set(c, false);
}

static inline void gomosq_write_begins(struct gomosq_client *c)
{
	__atomic_store_n(&c->published.ahead, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->written.on, 1, __ATOMIC_RELAXED);
}

static inline void gomosq_write_ends(struct gomosq_client *c)
{
	__atomic_store_n(&c->written.on, 0, __ATOMIC_SEQ_CST);
	gomosq_flooded_set(c, false);
}

/* Counts a written message. A publisher that waits sees from it that Run goes on. */
static inline void gomosq_note_progress(struct gomosq_client *c)
{
	__atomic_store_n(&c->written.progress, c->written.progress + 1, __ATOMIC_RELAXED);
}

#endif
