/* One static inline function for each library function that Go cannot call directly.
 * They return out-values and errno by value, from the thread and the call that set
 * them. They terminate Go texts with a NUL on the C stack. The functions have the order of
 * mosquitto.h. Only mosquitto_cgo.go includes this file. */
#ifndef GOMOSQ_SHIMS_H
#define GOMOSQ_SHIMS_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "callbacks.h"
#include "flood.h"
#include "platform.h"
#include "properties.h"
#include "tlsctx.h"
#include "tlsio.h"

struct gomosq_result {
	int rc;
	int err;      /* errno; valid only for some values of rc */
	int mid;
	int panicked; /* ticket of the panic to raise again */
	int refused;  /* as in struct gomosq_thread */
};

/* Begins a library call. */
static inline int gomosq_enter(struct gomosq_client *c, int how)
{
	int outer = gomosq_thread.entered;

	gomosq_tls_drop_errors(c);
	gomosq_thread.entered = how;
	return outer;
}

static inline struct gomosq_result gomosq_leave(int outer, int rc, int mid)
{
	struct gomosq_result r = {rc, errno, mid, gomosq_thread.panicked, gomosq_thread.refused};

	/* Either Run sees the packet that was queued, or the caller sees that Run is parked. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	gomosq_thread.panicked = gomosq_thread.refused = 0;
	gomosq_thread.entered = outer;
	return r;
}

/* Makes a library call: it marks the thread as inside the library, and returns the code,
 * errno and the ticket of a panic. */
#define GOMOSQ_DO(how, call) \
	int outer = gomosq_enter(c, how); \
	return gomosq_leave(outer, (call), 0)

#define GOMOSQ_CALL(call) GOMOSQ_DO(GOMOSQ_IN_CALL, call)
#define GOMOSQ_LOOP(call) GOMOSQ_DO(GOMOSQ_IN_LOOP, call)

/* Like GOMOSQ_CALL, for calls that may open the socket. */
#define GOMOSQ_CONNECTING(call) \
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL); \
	int rc = (c->connack = c->server_keepalive = -1, (call)); \
	c->connect_errno = errno; \
	gomosq_cloexec(mosquitto_socket(c->mosq)); \
	gomosq_note_socket(c); \
	return gomosq_leave(outer, rc, 0)

/* Like GOMOSQ_CALL, for calls with a property list. It frees the list unless the library
 * keeps it. */
#define GOMOSQ_WITH_PROPERTIES(call) \
	mosquitto_property *list = NULL; \
	int mid = 0; \
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL); \
	int rc = gomosq_properties_build(&list, props, props_len); \
	if(rc == MOSQ_ERR_SUCCESS) rc = (call); \
	int err = errno; \
	mosquitto_property_free_all(&list); \
	errno = err; \
	return gomosq_leave(outer, rc, mid)

/* === Create, destroy === */

static inline void gomosq_locks_init(struct gomosq_client *c)
{
	pthread_mutex_init(&c->log, NULL);
	pthread_mutex_init(&c->wait, NULL);
	gomosq_cond_init(&c->changed);
}

static inline void gomosq_locks_destroy(struct gomosq_client *c)
{
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->wait);
	pthread_mutex_destroy(&c->log);
}

struct gomosq_new {
	struct gomosq_client *client;
	int err;
};

static inline struct gomosq_new gomosq_new(const char *id, bool clean, uintptr_t handle)
{
	struct gomosq_new r = {calloc(1, sizeof(struct gomosq_client)), 0};

	if(r.client == NULL){
		r.err = ENOMEM;
		return r;
	}
	r.client->id = handle;
	r.client->watched = -1;
	r.client->pair[0] = r.client->pair[1] = -1;
	r.client->connack = -1;
	gomosq_locks_init(r.client);
	r.client->server_keepalive = -1;
	errno = 0;
	r.client->mosq = mosquitto_new(id, clean, r.client);
	if(r.client->mosq == NULL){
		r.err = errno;
		gomosq_locks_destroy(r.client);
		free(r.client);
		r.client = NULL;
		return r;
	}
	gomosq_callbacks_install(r.client);
	mosquitto_threaded_set(r.client->mosq, true);
	return r;
}

/* Frees the TLS settings. Before 2.0.21 the library does not free a context that it has
 * not connected with. */
static inline void gomosq_tls_clear(struct gomosq_client *c)
{
	if(c->tls_ctx == NULL) return;
	gomosq_tls_replace(c->tls_ctx, NULL);
	c->tls_ctx = NULL;
}

static inline void gomosq_destroy(struct gomosq_client *c)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);

	gomosq_tls_clear(c);
	mosquitto_destroy(c->mosq);
	gomosq_locks_destroy(c);
	free(c->sent.mids);
	free(c);
	gomosq_leave(outer, 0, 0);
}

static inline struct gomosq_result gomosq_reinitialise(struct gomosq_client *c, const char *id, bool clean)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	int rc;

	gomosq_tls_clear(c);
	rc = mosquitto_reinitialise(c->mosq, id, clean, c);
	if(rc == MOSQ_ERR_SUCCESS){
		c->thread_known = 0;
		c->interest = 0;
		c->log_listener = c->log_pings = false;
		c->pending = c->sent_pending = c->unacknowledged = 0;
		__atomic_store_n(&c->published.paused, 0, __ATOMIC_RELAXED);
		gomosq_callbacks_install(c);
		mosquitto_threaded_set(c->mosq, true);
	}
	return gomosq_leave(outer, rc, 0);
}

/* Lists the file descriptors from first to end - 1 that look like an end of a client's
 * socket pair, and that child processes inherit. */
struct gomosq_pair_like {
	int lowest[2]; /* the two lowest free file descriptors, -1 if unknown: the kernel will choose them */
	int first;
	int end;
	int count;
	struct {
		int fd;
		ino_t inode;
	} sockets[64];
};

#define GOMOSQ_PAIR_WINDOW 64  /* file descriptors to search, from the lowest free one upwards */
#define GOMOSQ_PAIR_WIDE 4096  /* file descriptors to search below the window, if the pair is not in it */

/* Reports whether fd is an unnamed, non-blocking unix socket that child processes inherit. */
static inline bool gomosq_is_pair_like(int fd, ino_t *inode)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct stat status;
	int flags = fcntl(fd, F_GETFD);

	if(flags < 0 || (flags & FD_CLOEXEC)) return false;
	if(getsockname(fd, (struct sockaddr *)&addr, &len) || addr.ss_family != AF_UNIX) return false;
	if(!gomosq_is_unnamed(&addr, len) || !(fcntl(fd, F_GETFL) & O_NONBLOCK) || fstat(fd, &status)) return false;
	*inode = status.st_ino;
	return true;
}

/* Prepares the search for the pair that the library is about to open: it looks up the lowest
 * free file descriptors. If wide is set, because the pair was not found there, it lists the
 * sockets that already look like the pair. */
static inline struct gomosq_pair_like gomosq_list_pair_like(bool wide)
{
	struct gomosq_pair_like before;
	ino_t inode;
	int fd;

	before.lowest[0] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0); /* faster than open */
	if(before.lowest[0] < 0) before.lowest[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	before.lowest[1] = before.lowest[0] < 0 ? -1 : fcntl(before.lowest[0], F_DUPFD_CLOEXEC, 0);
	if(before.lowest[1] >= 0) close(before.lowest[1]);
	if(before.lowest[0] >= 0) close(before.lowest[0]);
	before.count = before.first = before.end = 0;
	if(!wide) return before;
	if(before.lowest[0] > 0) before.first = before.lowest[0];
	before.end = before.first + GOMOSQ_PAIR_WINDOW;
	before.first = before.first > GOMOSQ_PAIR_WIDE ? before.first - GOMOSQ_PAIR_WIDE : 0;
	for(fd = before.first; fd < before.end && before.count < 64; fd++){
		if(!gomosq_is_pair_like(fd, &inode)) continue;
		before.sockets[before.count].fd = fd;
		before.sockets[before.count++].inode = inode;
	}
	return before;
}

/* Marks fd close-on-exec if it looks like an end of the pair and is not listed in before. */
static inline bool gomosq_cloexec_end(int fd, const struct gomosq_pair_like *before)
{
	ino_t inode;
	int i;

	if(!gomosq_is_pair_like(fd, &inode)) return false;
	for(i = 0; i < before->count; i++){
		if(before->sockets[i].fd == fd && before->sockets[i].inode == inode) return false;
	}
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* Sets close-on-exec for the pair of sockets that the library has opened. The library does
 * not report their file descriptors. They are new, or the same as those of the previous pair.
 * If another thread opens a similar socket without SOCK_CLOEXEC at the same time, it is
 * marked too. Returns the number of marked sockets. */
static inline int gomosq_cloexec_pair(struct gomosq_client *c, const struct gomosq_pair_like *before)
{
	int likely[4] = {c->pair[0], c->pair[1], before->lowest[0], before->lowest[1]};
	int i, fd, found = 0;

	for(i = 0; i < 4 && found < 2; i++){
		if(likely[i] >= 0 && gomosq_cloexec_end(likely[i], before)) c->pair[found++] = likely[i];
	}
	for(fd = before->first; fd < before->end && found < 2; fd++){
		if(gomosq_cloexec_end(fd, before)) c->pair[found++] = fd;
	}
	return found;
}

/* === Will === */

static inline struct gomosq_result gomosq_will_set(struct gomosq_client *c, const char *topic, int len, const void *payload, int qos, bool retain)
{
	GOMOSQ_CALL(mosquitto_will_set(c->mosq, topic, len, payload, qos, retain));
}

/* On success the library owns the list. */
static inline int gomosq_will_keep(struct mosquitto *mosq, const char *topic, int len, const void *payload, int qos, bool retain, mosquitto_property **list)
{
	int rc = mosquitto_will_set_v5(mosq, topic, len, payload, qos, retain, *list);

	if(rc == MOSQ_ERR_SUCCESS) *list = NULL;
	return rc;
}

static inline struct gomosq_result gomosq_will_set_v5(struct gomosq_client *c, const char *topic, int len, const void *payload, int qos, bool retain, const uint8_t *props, size_t props_len)
{
	GOMOSQ_WITH_PROPERTIES(gomosq_will_keep(c->mosq, topic, len, payload, qos, retain, &list));
}

static inline struct gomosq_result gomosq_will_clear(struct gomosq_client *c)
{
	GOMOSQ_CALL(mosquitto_will_clear(c->mosq));
}

/* === Username, password, extended authentication === */

static inline struct gomosq_result gomosq_username_pw_set(struct gomosq_client *c, const char *username, const char *password)
{
	GOMOSQ_CALL(mosquitto_username_pw_set(c->mosq, username, password));
}

static inline struct gomosq_result gomosq_ext_auth_continue(struct gomosq_client *c, const char *method, uint16_t len, const void *data, const uint8_t *props, size_t props_len)
{
#if GOMOSQ_21
	GOMOSQ_WITH_PROPERTIES(mosquitto_ext_auth_continue(c->mosq, method, len, data, list));
#else
	(void)c; (void)method; (void)len; (void)data; (void)props; (void)props_len;
	return (struct gomosq_result){.rc = MOSQ_ERR_NOT_SUPPORTED};
#endif
}

/* === Connect, disconnect === */

static inline struct gomosq_result gomosq_connect(struct gomosq_client *c, const char *host, int port, int keepalive)
{
	GOMOSQ_CONNECTING(mosquitto_connect(c->mosq, host, port, keepalive));
}

static inline struct gomosq_result gomosq_connect_bind(struct gomosq_client *c, const char *host, int port, int keepalive, const char *bind)
{
	GOMOSQ_CONNECTING(mosquitto_connect_bind(c->mosq, host, port, keepalive, bind));
}

static inline struct gomosq_result gomosq_connect_bind_v5(struct gomosq_client *c, const char *host, int port, int keepalive, const char *bind, const uint8_t *props, size_t props_len)
{
	mosquitto_property *list = NULL;
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	int rc = gomosq_properties_build(&list, props, props_len);
	int err;

	c->connack = c->server_keepalive = -1;
	if(rc == MOSQ_ERR_SUCCESS) rc = mosquitto_connect_bind_v5(c->mosq, host, port, keepalive, bind, list);
	err = c->connect_errno = errno;
	mosquitto_property_free_all(&list);
	gomosq_cloexec(mosquitto_socket(c->mosq));
	gomosq_note_socket(c);
	errno = err;
	return gomosq_leave(outer, rc, 0);
}

static inline struct gomosq_result gomosq_connect_async(struct gomosq_client *c, const char *host, int port, int keepalive)
{
	GOMOSQ_CONNECTING(mosquitto_connect_async(c->mosq, host, port, keepalive));
}

static inline struct gomosq_result gomosq_connect_bind_async(struct gomosq_client *c, const char *host, int port, int keepalive, const char *bind)
{
	GOMOSQ_CONNECTING(mosquitto_connect_bind_async(c->mosq, host, port, keepalive, bind));
}

static inline struct gomosq_result gomosq_connect_srv(struct gomosq_client *c, const char *host, int keepalive, const char *bind)
{
	GOMOSQ_CONNECTING(mosquitto_connect_srv(c->mosq, host, keepalive, bind));
}

static inline struct gomosq_result gomosq_reconnect(struct gomosq_client *c)
{
	GOMOSQ_CONNECTING(mosquitto_reconnect(c->mosq));
}

static inline struct gomosq_result gomosq_reconnect_async(struct gomosq_client *c)
{
	GOMOSQ_CONNECTING(mosquitto_reconnect_async(c->mosq));
}

static inline struct gomosq_result gomosq_disconnect(struct gomosq_client *c)
{
	GOMOSQ_CALL(mosquitto_disconnect(c->mosq));
}

static inline struct gomosq_result gomosq_disconnect_v5(struct gomosq_client *c, int reason, const uint8_t *props, size_t props_len)
{
	GOMOSQ_WITH_PROPERTIES(mosquitto_disconnect_v5(c->mosq, reason, list));
}

/* === Publish, subscribe, unsubscribe === */

/* Topics up to this length get their NUL on the stack. */
#define GOMOSQ_STACK_TEXT 1024

static inline char *gomosq_text(char *few, const char *text, size_t len)
{
	char *copy = len < GOMOSQ_STACK_TEXT ? few : malloc(len + 1);

	if(copy){
		memcpy(copy, text, len);
		copy[len] = 0;
	}
	return copy;
}

/* Each publish and each acknowledgement searches the library's list of messages in
 * flight, under a lock. While a burst of reads runs, a publisher yields for at most about
 * 50 microseconds. The yield keeps the list short, and neither side waits for the lock in
 * the kernel. */
#define GOMOSQ_YIELDS 100

static inline void gomosq_yield_to_reader(struct gomosq_client *c, int qos)
{
	int i;

	if(qos == 0 || gomosq_thread.frames) return; /* a callback runs inside the burst */
	if(!__atomic_load_n(&c->reading, __ATOMIC_RELAXED)) return;
	if(__atomic_exchange_n(&c->yielding, 1, __ATOMIC_ACQUIRE)) return; /* one thread is enough */
	for(i = 0; i < GOMOSQ_YIELDS && __atomic_load_n(&c->reading, __ATOMIC_RELAXED); i++) sched_yield();
	__atomic_store_n(&c->yielding, 0, __ATOMIC_RELEASE);
}

/* Publishes with one call from Go and without an allocation in Go: C reads Go memory. */
static inline struct gomosq_result gomosq_publish(uintptr_t client, const char *topic, size_t topic_len, const char *payload, int len, int qos, bool retain)
{
	struct gomosq_client *c = (struct gomosq_client *)client;
	char few[GOMOSQ_STACK_TEXT];
	int mid = 0;
	int rc = MOSQ_ERR_NOMEM;
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	char *text = gomosq_text(few, topic, topic_len);
	int err;

	gomosq_yield_to_reader(c, qos);
	if(text) rc = mosquitto_publish(c->mosq, &mid, text, len, payload, qos, retain);
	err = errno;
	gomosq_note_published(c, rc, qos);
	if(text != few) free(text);
	errno = err;
	return gomosq_leave(outer, rc, mid);
}

static inline struct gomosq_result gomosq_publish_v5(struct gomosq_client *c, const char *topic, size_t topic_len, const void *payload, int len, int qos, bool retain, const uint8_t *props, size_t props_len)
{
	char few[GOMOSQ_STACK_TEXT];
	mosquitto_property *list = NULL;
	int mid = 0;
	int rc = MOSQ_ERR_NOMEM;
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	char *text = gomosq_text(few, topic, topic_len);
	int err;

	gomosq_yield_to_reader(c, qos);
	if(text) rc = gomosq_properties_build(&list, props, props_len);
	if(rc == MOSQ_ERR_SUCCESS) rc = mosquitto_publish_v5(c->mosq, &mid, text, len, payload, qos, retain, list);
	err = errno;
	gomosq_note_published(c, rc, qos);
	mosquitto_property_free_all(&list);
	if(text != few) free(text);
	errno = err;
	return gomosq_leave(outer, rc, mid);
}

static inline struct gomosq_result gomosq_subscribe(struct gomosq_client *c, const char *filter, int qos)
{
	int mid = 0;
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	int rc = mosquitto_subscribe(c->mosq, &mid, filter, qos);

	return gomosq_leave(outer, rc, mid);
}

static inline struct gomosq_result gomosq_subscribe_v5(struct gomosq_client *c, const char *filter, int qos, int options, const uint8_t *props, size_t props_len)
{
	GOMOSQ_WITH_PROPERTIES(mosquitto_subscribe_v5(c->mosq, &mid, filter, qos, options, list));
}

/* Returns an array of pointers to the n texts in packed, each of which ends with a NUL.
 * The library expects such an array; it must not be in Go memory. */
static inline char **gomosq_unpack(const char *packed, int n)
{
	char **texts = calloc((size_t)n, sizeof(char *));
	int i;

	for(i = 0; texts && i < n; i++){
		texts[i] = (char *)packed;
		packed += strlen(packed) + 1;
	}
	return texts;
}

static inline struct gomosq_result gomosq_subscribe_multiple(struct gomosq_client *c, const char *filters, int n, int qos, int options, const uint8_t *props, size_t props_len)
{
	char **texts = gomosq_unpack(filters, n);
	struct gomosq_result r = {.rc = MOSQ_ERR_NOMEM};
	mosquitto_property *list = NULL;
	int outer, mid = 0;

	if(texts == NULL) return r;
	outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	r.rc = gomosq_properties_build(&list, props, props_len);
	if(r.rc == MOSQ_ERR_SUCCESS) r.rc = mosquitto_subscribe_multiple(c->mosq, &mid, n, texts, qos, options, list);
	r = gomosq_leave(outer, r.rc, mid);
	mosquitto_property_free_all(&list);
	free(texts);
	return r;
}

static inline struct gomosq_result gomosq_unsubscribe(struct gomosq_client *c, const char *filter)
{
	int mid = 0;
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	int rc = mosquitto_unsubscribe(c->mosq, &mid, filter);

	return gomosq_leave(outer, rc, mid);
}

static inline struct gomosq_result gomosq_unsubscribe_v5(struct gomosq_client *c, const char *filter, const uint8_t *props, size_t props_len)
{
	GOMOSQ_WITH_PROPERTIES(mosquitto_unsubscribe_v5(c->mosq, &mid, filter, list));
}

static inline struct gomosq_result gomosq_unsubscribe_multiple(struct gomosq_client *c, const char *filters, int n, const uint8_t *props, size_t props_len)
{
	char **texts = gomosq_unpack(filters, n);
	struct gomosq_result r = {.rc = MOSQ_ERR_NOMEM};
	mosquitto_property *list = NULL;
	int outer, mid = 0;

	if(texts == NULL) return r;
	outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	r.rc = gomosq_properties_build(&list, props, props_len);
	if(r.rc == MOSQ_ERR_SUCCESS) r.rc = mosquitto_unsubscribe_multiple(c->mosq, &mid, n, texts, list);
	r = gomosq_leave(outer, r.rc, mid);
	mosquitto_property_free_all(&list);
	free(texts);
	return r;
}

/* === Loops === */

static inline struct gomosq_result gomosq_loop_forever(struct gomosq_client *c, int timeout)
{
	GOMOSQ_LOOP(mosquitto_loop_forever(c->mosq, timeout, 1));
}

/* The library's thread inherits the signal mask of the thread that creates it. All signals
 * are blocked, so that a SIGPIPE after a TLS reset cannot kill the process. (After the first
 * callback Go unblocks some signals; SIGPIPE stays blocked.) */
static inline struct gomosq_result gomosq_loop_start(struct gomosq_client *c)
{
	sigset_t all, before;
	int rc, err, outer;

	outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	__atomic_store_n(&c->thread_known, 0, __ATOMIC_RELEASE);
	mosquitto_threaded_set(c->mosq, false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = mosquitto_loop_start(c->mosq);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return gomosq_leave(outer, rc, 0);
}

/* From 2.0.12 on the library does not join a thread that has ended by itself. */
static inline struct gomosq_result gomosq_loop_stop(struct gomosq_client *c, bool external)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	int rc = mosquitto_loop_stop(c->mosq, false);

	if(rc == MOSQ_ERR_INVAL){
		if(__atomic_load_n(&c->thread_known, __ATOMIC_ACQUIRE)) pthread_join(c->thread, NULL);
		rc = MOSQ_ERR_SUCCESS;
	}
	__atomic_store_n(&c->thread_known, 0, __ATOMIC_RELEASE);
	mosquitto_threaded_set(c->mosq, external);
	return gomosq_leave(outer, rc, 0);
}

static inline struct gomosq_result gomosq_loop(struct gomosq_client *c, int timeout)
{
	GOMOSQ_LOOP(mosquitto_loop(c->mosq, timeout, 1));
}

static inline struct gomosq_result gomosq_loop_read(struct gomosq_client *c)
{
	GOMOSQ_LOOP(mosquitto_loop_read(c->mosq, 1));
}

static inline struct gomosq_result gomosq_loop_write(struct gomosq_client *c)
{
	GOMOSQ_LOOP(mosquitto_loop_write(c->mosq, 1));
}

static inline struct gomosq_result gomosq_loop_misc(struct gomosq_client *c)
{
	GOMOSQ_LOOP(mosquitto_loop_misc(c->mosq));
}

static inline struct gomosq_result gomosq_threaded_set(struct gomosq_client *c, bool external)
{
	GOMOSQ_CALL(mosquitto_threaded_set(c->mosq, external));
}

static inline struct timespec gomosq_deadline(int64_t nanoseconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (t.tv_nsec + nanoseconds) / 1000000000;
	t.tv_nsec = (t.tv_nsec + nanoseconds) % 1000000000;
	return t;
}

static inline bool gomosq_connected(struct gomosq_client *c) { return mosquitto_socket(c->mosq) >= 0; }

/* Waits until condition no longer holds or the time is over. gomosq_notify wakes it. A
 * connection can end without a notification when the library reconnects, so the
 * condition is also checked every 200 ms. */
static inline void gomosq_await(struct gomosq_client *c, bool (*condition)(struct gomosq_client *), int64_t nanoseconds)
{
	const int64_t period = 200000000;
	struct timespec end;

	__atomic_add_fetch(&c->waiters, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&c->wait);
	for(; nanoseconds > 0 && condition(c); nanoseconds -= period){
		end = gomosq_deadline(nanoseconds < period ? nanoseconds : period);
		while(condition(c) && gomosq_cond_wait_until(&c->changed, &c->wait, &end) == 0);
	}
	pthread_mutex_unlock(&c->wait);
	__atomic_sub_fetch(&c->waiters, 1, __ATOMIC_SEQ_CST);
}

static inline void gomosq_await_end(struct gomosq_client *c, int64_t nanoseconds) { gomosq_await(c, gomosq_connected, nanoseconds); }
static inline void gomosq_await_flood_end(struct gomosq_client *c, int64_t nanoseconds) { gomosq_await(c, gomosq_flooded, nanoseconds); }

/* === Options === */

static inline struct gomosq_result gomosq_opts_set(struct gomosq_client *c, int option, void *value)
{
	GOMOSQ_CALL(mosquitto_opts_set(c->mosq, (enum mosq_opt_t)option, value));
}

/* The deprecated function expects the address of the number. */
static inline struct gomosq_result gomosq_opts_set_int(struct gomosq_client *c, int option, int value)
{
	GOMOSQ_CALL(mosquitto_opts_set(c->mosq, (enum mosq_opt_t)option, &value));
}

static inline struct gomosq_result gomosq_int_option(struct gomosq_client *c, int option, int value)
{
	GOMOSQ_CALL(mosquitto_int_option(c->mosq, (enum mosq_opt_t)option, value));
}

static inline struct gomosq_result gomosq_string_option(struct gomosq_client *c, int option, const char *value)
{
	GOMOSQ_CALL(mosquitto_string_option(c->mosq, (enum mosq_opt_t)option, value));
}

static inline struct gomosq_result gomosq_void_option(struct gomosq_client *c, int option, void *value)
{
	GOMOSQ_CALL(mosquitto_void_option(c->mosq, (enum mosq_opt_t)option, value));
}

/* Sets the TLS settings of the next connections, and owns t if it succeeds. With
 * mosquitto_void_option the library counts one more reference of the context, and never
 * frees the one before: so one reference is freed here in each case. */
static inline struct gomosq_result gomosq_tls_install(struct gomosq_client *c, struct gomosq_tls *t)
{
	int outer = gomosq_enter(c, GOMOSQ_IN_CALL);
	void *ctx = c->tls_ctx ? c->tls_ctx : gomosq_tls_context();
	int rc = MOSQ_ERR_NOMEM;

	if(ctx == NULL) return gomosq_leave(outer, rc, 0);
	rc = mosquitto_int_option(c->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
	if(rc == MOSQ_ERR_SUCCESS) rc = mosquitto_void_option(c->mosq, MOSQ_OPT_SSL_CTX, ctx);
	if(rc == MOSQ_ERR_SUCCESS || c->tls_ctx == NULL) GOMOSQ_OPENSSL(SSL_CTX_free)(ctx);
	if(rc != MOSQ_ERR_SUCCESS) return gomosq_leave(outer, rc, 0);
	c->tls_ctx = ctx;
	if(!gomosq_tls_replace(ctx, t)) rc = MOSQ_ERR_NOMEM;
	return gomosq_leave(outer, rc, 0);
}

static inline struct gomosq_result gomosq_reconnect_delay_set(struct gomosq_client *c, unsigned delay, unsigned max, bool exponential)
{
	GOMOSQ_CALL(mosquitto_reconnect_delay_set(c->mosq, delay, max, exponential));
}

static inline struct gomosq_result gomosq_max_inflight_messages_set(struct gomosq_client *c, unsigned n)
{
	GOMOSQ_CALL(mosquitto_max_inflight_messages_set(c->mosq, n));
}

/* === TLS, SOCKS5 === */

static inline struct gomosq_result gomosq_tls_set(struct gomosq_client *c, const char *cafile, const char *capath, const char *cert, const char *key)
{
	GOMOSQ_CALL(mosquitto_tls_set(c->mosq, cafile, capath, cert, key, key ? gomosq_password : NULL));
}

static inline struct gomosq_result gomosq_tls_insecure_set(struct gomosq_client *c, bool insecure)
{
	GOMOSQ_CALL(mosquitto_tls_insecure_set(c->mosq, insecure));
}

static inline struct gomosq_result gomosq_tls_opts_set(struct gomosq_client *c, int verify, const char *version, const char *ciphers)
{
	GOMOSQ_CALL(mosquitto_tls_opts_set(c->mosq, verify, version, ciphers));
}

static inline struct gomosq_result gomosq_tls_psk_set(struct gomosq_client *c, const char *psk, const char *identity, const char *ciphers)
{
	GOMOSQ_CALL(mosquitto_tls_psk_set(c->mosq, psk, identity, ciphers));
}

static inline struct gomosq_result gomosq_socks5_set(struct gomosq_client *c, const char *host, int port, const char *username, const char *password)
{
	GOMOSQ_CALL(mosquitto_socks5_set(c->mosq, host, port, username, password));
}

/* === Listeners === */

static inline void gomosq_leaving_set(struct gomosq_client *c, bool leaving)
{
	__atomic_store_n(&c->leaving, leaving, __ATOMIC_RELAXED);
}

static inline void gomosq_interest_set(struct gomosq_client *c, unsigned event, bool on)
{
	if(on) __atomic_or_fetch(&c->interest, (uint32_t)event, __ATOMIC_RELAXED);
	else __atomic_and_fetch(&c->interest, ~(uint32_t)event, __ATOMIC_RELAXED);
}

static inline void gomosq_log_levels_set(struct gomosq_client *c, unsigned levels)
{
	__atomic_store_n(&c->log_levels, (uint32_t)levels, __ATOMIC_RELAXED);
}

/* === Helpers without a client: they never call a callback === */

static inline int gomosq_string_to_command(const char *text)
{
	int command = 0;

	return mosquitto_string_to_command(text, &command) ? -1 : command;
}

struct gomosq_property_info {
	int rc;
	int id;
	int type;
};

static inline struct gomosq_property_info gomosq_string_to_property_info(const char *name)
{
	struct gomosq_property_info info = {0, 0, 0};

	info.rc = mosquitto_string_to_property_info(name, &info.id, &info.type);
	return info;
}

static inline int gomosq_property_check_all(int command, const uint8_t *props, size_t props_len)
{
	mosquitto_property *list = NULL;
	int rc = gomosq_properties_build(&list, props, props_len);

	if(rc == MOSQ_ERR_SUCCESS) rc = mosquitto_property_check_all(command, list);
	mosquitto_property_free_all(&list);
	return rc;
}

struct gomosq_match {
	int rc;
	bool yes;
};

static inline struct gomosq_match gomosq_topic_matches_sub(const char *sub, const char *topic)
{
	struct gomosq_match m = {0, false};

	m.rc = mosquitto_topic_matches_sub(sub, topic, &m.yes);
	return m;
}

/* Both texts also end with a NUL, because 2.0.11 to 2.0.13 ignore the lengths. */
static inline struct gomosq_match gomosq_topic_matches_sub2(const char *sub, size_t sublen, const char *topic, size_t topiclen)
{
	struct gomosq_match m = {0, false};

	m.rc = mosquitto_topic_matches_sub2(sub, sublen, topic, topiclen, &m.yes);
	return m;
}

static inline struct gomosq_match gomosq_topic_matches_sub_with_pattern(const char *sub, const char *topic, const char *client_id, const char *username)
{
	struct gomosq_match m = {MOSQ_ERR_NOT_SUPPORTED, false};

#if GOMOSQ_21
	m.rc = mosquitto_topic_matches_sub_with_pattern(sub, topic, client_id, username, &m.yes);
#else
	(void)sub; (void)topic; (void)client_id; (void)username;
#endif
	return m;
}

static inline struct gomosq_match gomosq_sub_matches_acl(const char *acl, const char *sub)
{
	struct gomosq_match m = {MOSQ_ERR_NOT_SUPPORTED, false};

#if GOMOSQ_21
	m.rc = mosquitto_sub_matches_acl(acl, sub, &m.yes);
#else
	(void)acl; (void)sub;
#endif
	return m;
}

static inline struct gomosq_match gomosq_sub_matches_acl_with_pattern(const char *acl, const char *sub, const char *client_id, const char *username)
{
	struct gomosq_match m = {MOSQ_ERR_NOT_SUPPORTED, false};

#if GOMOSQ_21
	m.rc = mosquitto_sub_matches_acl_with_pattern(acl, sub, client_id, username, &m.yes);
#else
	(void)acl; (void)sub; (void)client_id; (void)username;
#endif
	return m;
}

struct gomosq_tokens {
	int rc;
	int count;
	char **tokens;
};

static inline struct gomosq_tokens gomosq_sub_topic_tokenise(const char *sub)
{
	struct gomosq_tokens t = {0, 0, NULL};

	t.rc = mosquitto_sub_topic_tokenise(sub, &t.tokens, &t.count);
	return t;
}

static inline void gomosq_sub_topic_tokens_free(struct gomosq_tokens t)
{
	mosquitto_sub_topic_tokens_free(&t.tokens, t.count);
}

struct gomosq_version {
	int major;
	int minor;
	int revision;
};

static inline struct gomosq_version gomosq_lib_version(void)
{
	struct gomosq_version v = {0, 0, 0};

	mosquitto_lib_version(&v.major, &v.minor, &v.revision);
	return v;
}

#endif
