//go:build cgo

/* Trampolines: the library's callbacks, which call Go.
 *
 * To add a callback: (1) its bit and its Go function in include/callbacks.h, (2) a
 * trampoline here with the library's exact type, (3) a line in
 * gomosq_callbacks_install, (4) the Go function in callbacks_export.go, (5) the
 * setter in callbacks.go.
 *
 * A trampoline leaves errno and OpenSSL's error queue as it found them: the library decides
 * by both whether the connection is lost. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "callbacks.h"
#include "flood.h"
#include "platform.h"
#include "properties.h"
#include "tlsio.h"

__thread struct gomosq_thread gomosq_thread;

unsigned gomosq_inside(struct gomosq_client *client)
{
	struct gomosq_frame *f;
	unsigned events = 0;

	for(f = gomosq_thread.frames; f; f = f->outer){
		if(f->client == client) events |= (unsigned)f->event;
	}
	return events;
}

/* Wakes the threads that wait for the end of the connection or of a flood. */
void gomosq_notify(struct gomosq_client *client)
{
	if(__atomic_load_n(&client->waiters, __ATOMIC_SEQ_CST) == 0) return;
	pthread_mutex_lock(&client->wait);
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->wait);
}

/* Child processes of os/exec must not keep the connection open. */
void gomosq_cloexec(int fd)
{
	int saved = errno;
	int flags;

	if(fd >= 0){
		flags = fcntl(fd, F_GETFD);
		if(flags >= 0 && !(flags & FD_CLOEXEC)) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
	errno = saved;
}

/* Stores the identity of the connection's socket. It runs on the thread that owns the
 * socket. */
void gomosq_note_socket(struct gomosq_client *client)
{
	int saved = errno;
	int fd = mosquitto_socket(client->mosq);

	__atomic_store_n(&client->cookie, fd < 0 ? 0 : gomosq_socket_cookie(fd), __ATOMIC_RELEASE);
	errno = saved;
}

/* Reports whether the file descriptor fd is still the connection after a short wait, and
 * same is a duplicate of it. The library closes a socket before it clears the stored file
 * descriptor, so another thread may get the same number in between. That takes
 * microseconds, unless the loop's thread is suspended for longer than a millisecond. */
static bool is_connection_still(struct gomosq_client *client, int fd, int same)
{
	struct timespec moment = {0, 1000000};

	nanosleep(&moment, NULL);
	return mosquitto_socket(client->mosq) == fd && gomosq_same_socket(same, fd);
}

/* Ends a connection whose loop runs on another thread. That thread may close the socket at
 * the same time. The duplicate still refers to the same socket. */
void gomosq_cut(struct gomosq_client *client)
{
	uint64_t cookie = __atomic_load_n(&client->cookie, __ATOMIC_ACQUIRE);
	int fd = mosquitto_socket(client->mosq);
	int same = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if(same < 0) return;
	if((cookie && gomosq_socket_cookie(same) == cookie) || is_connection_still(client, fd, same)) shutdown(same, SHUT_RDWR);
	close(same);
}

/* After a panic the running loop must return to Go. */
static void end_loop(struct gomosq_frame *f)
{
	struct mosquitto *mosq = f->client->mosq;
	int fd = mosquitto_socket(mosq);

	if(gomosq_thread.entered != GOMOSQ_IN_LOOP) return;
	if(fd >= 0) shutdown(fd, SHUT_RDWR); /* so that the broker keeps what was not acknowledged */
	if(f->event != GOMOSQ_LOG) mosquitto_disconnect(mosq);
}

/* The events that must not be delivered before earlier messages. */
#define GOMOSQ_IN_ORDER (GOMOSQ_CONNECT | GOMOSQ_DISCONNECT | GOMOSQ_PUBLISH | GOMOSQ_SUBSCRIBE | GOMOSQ_UNSUBSCRIBE | GOMOSQ_EXT_AUTH)

/* Begins a callback. Reports whether there is a Go callback to call. */
static bool enter(struct gomosq_frame *f, void *obj, int event)
{
	struct gomosq_client *client = obj;

	if(event & GOMOSQ_IN_ORDER){
		gomosq_flush(client);
		gomosq_flush_sent(client);
	}
	f->client = client;
	f->event = event;
	f->saved_errno = errno;
	f->saved_refused = gomosq_thread.refused;
	gomosq_thread.refused = 0;
	f->outer = gomosq_thread.frames;
	gomosq_thread.frames = f;
	gomosq_tls_mark_errors(client);
	if(gomosq_thread.entered == GOMOSQ_OUTSIDE && !__atomic_load_n(&client->thread_known, __ATOMIC_ACQUIRE)){
		client->thread = pthread_self();
		__atomic_store_n(&client->thread_known, 1, __ATOMIC_RELEASE);
	}
	if(gomosq_thread.panicked){
		end_loop(f);
		return false;
	}
	if(__atomic_load_n(&client->silent, __ATOMIC_RELAXED)) return false;
	return __atomic_load_n(&client->interest, __ATOMIC_RELAXED) & (uint32_t)event;
}

/* Ends a callback. */
static void leave(struct gomosq_frame *f)
{
	gomosq_thread.frames = f->outer;
	gomosq_tls_drop_errors_since_mark(f->client);
	gomosq_thread.refused = f->saved_refused;
	errno = f->saved_errno;
}

/* Stores the panic ticket that a Go function has returned. */
static void relay(struct gomosq_frame *f, int ticket)
{
	if(ticket == 0) return;
	if(gomosq_thread.entered == GOMOSQ_OUTSIDE) gomosqGoCrash(ticket); /* no Go frame to raise it in */
	gomosq_thread.panicked = ticket;
	end_loop(f);
}

/* Repeats a disconnect, because the library discards a disconnect while its loop
 * reconnects. Without a connection this only sets the library's state. */
static void repeat_disconnect(struct gomosq_client *client)
{
	int saved = errno;

	if(__atomic_load_n(&client->leaving, __ATOMIC_RELAXED)) mosquitto_disconnect(client->mosq);
	errno = saved;
}

/* Stores the parts of a CONNACK that Run needs. */
static void note_connack(struct gomosq_client *client, int rc, const mosquitto_property *props)
{
	uint16_t seconds = 0;

	gomosq_note_socket(client);
	client->connack = rc;
	client->server_keepalive = -1;
	if(rc == 0) client->accepted++;
	if(mosquitto_property_read_int16(props, MQTT_PROP_SERVER_KEEP_ALIVE, &seconds, false)) client->server_keepalive = seconds;
}

static void on_connect(struct mosquitto *mosq, void *obj, int rc, int flags, const mosquitto_property *props)
{
	struct gomosq_frame f;
	struct gomosq_flat flat;

	((struct gomosq_client *)obj)->handled++;
	gomosq_cloexec(mosquitto_socket(mosq)); /* a reconnect by the library's own loop */
	note_connack(obj, rc, props);
	if(enter(&f, obj, GOMOSQ_CONNECT)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoConnect(f.client->id, rc, flags, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	repeat_disconnect(f.client);
	leave(&f);
}

/* Returns the code for OnDisconnect. After a Disconnect, a connection loss has code 0, even
 * if a CONNACK has made the library discard the Disconnect. */
static int loss_code(const struct gomosq_client *client, int rc)
{
	bool reason = rc >= MQTT_RC_UNSPECIFIED; /* of the broker's DISCONNECT */

	return __atomic_load_n(&client->leaving, __ATOMIC_RELAXED) && !reason ? MOSQ_ERR_SUCCESS : rc;
}

static void on_disconnect(struct mosquitto *mosq, void *obj, int rc, const mosquitto_property *props)
{
	struct gomosq_client *client = obj;
	struct gomosq_frame f;
	struct gomosq_flat flat;

	if(client->watched >= 0){ /* the poller's file descriptor must not keep the connection open */
		int saved = errno;
		/* After a DISCONNECT Run still reads: a packet of the broker must not cause a reset. */
		shutdown(client->watched, __atomic_load_n(&client->leaving, __ATOMIC_RELAXED) ? SHUT_WR : SHUT_RDWR);
		client->watched = -1;
		errno = saved;
	}
	if(enter(&f, obj, GOMOSQ_DISCONNECT)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoDisconnect(f.client->id, loss_code(f.client, rc), f.saved_errno, f.saved_refused, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	if(mosquitto_socket(mosq) < 0) repeat_disconnect(f.client);
	gomosq_notify(f.client);
	leave(&f);
}

/* Grows the array for one more packet id. */
static bool grow_sent(struct gomosq_client *client)
{
	uint32_t capacity = client->sent.capacity ? 2 * client->sent.capacity : 64;
	int *mids;

	if(client->sent.count < client->sent.capacity) return true;
	mids = realloc(client->sent.mids, capacity * sizeof(*mids));
	if(mids == NULL) return false;
	client->sent.mids = mids;
	client->sent.capacity = capacity;
	return true;
}

/* Stores the packet id of a message that a write of Run has sent. OnPublish receives it
 * after the write, so that a callback that publishes cannot make the write endless. */
static bool gather_sent(struct gomosq_client *client, int mid)
{
	int saved = errno;
	bool done = true;

	if(!client->written.on) return false;
	gomosq_note_written(client);
	if(__atomic_load_n(&client->interest, __ATOMIC_RELAXED) & GOMOSQ_PUBLISH){
		done = grow_sent(client);
		if(done) client->sent.mids[client->sent.count++] = mid;
	}
	errno = saved;
	return done;
}

#define GOMOSQ_SENT_KEPT 16384 /* capacity that is kept for the next write */

/* Delivers the packet ids of the messages that a write has sent. */
void gomosq_flush_sent(struct gomosq_client *client)
{
	struct gomosq_frame f;
	uint32_t count = client->sent.count;

	if(count == 0) return;
	client->sent.count = 0;
	if(enter(&f, client, GOMOSQ_PUBLISH)) relay(&f, gomosqGoSent(client->id, client->sent.mids, (int)count));
	leave(&f);
	if(client->sent.capacity <= GOMOSQ_SENT_KEPT) return;
	free(client->sent.mids);
	client->sent.mids = NULL;
	client->sent.capacity = 0;
}

static void on_publish(struct mosquitto *mosq, void *obj, int mid, int reason, const mosquitto_property *props)
{
	struct gomosq_frame f;
	struct gomosq_flat flat;

	(void)mosq;
	if(gather_sent(obj, mid)) return;
	((struct gomosq_client *)obj)->handled++;
	if(enter(&f, obj, GOMOSQ_PUBLISH)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoPublish(f.client->id, mid, reason, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	leave(&f);
}

/* Calls OnAcknowledge if the next write sends acknowledgements of messages. The caller must
 * not write if unacknowledged is set then. */
void gomosq_before_acknowledging(struct gomosq_client *client)
{
	struct gomosq_frame f;

	if(!client->to_acknowledge) return;
	client->to_acknowledge = 0;
	if(enter(&f, client, GOMOSQ_ACKNOWLEDGE)) relay(&f, gomosqGoAcknowledge(client->id));
	leave(&f);
}

/* Delivers the batch of a pass. */
void gomosq_flush(struct gomosq_client *client)
{
	struct gomosq_batch *batch = client->batch;
	struct gomosq_frame f;

	if(batch == NULL || batch->count == 0) return;
	client->batch = NULL; /* a nested callback must not deliver the batch again */
	if(enter(&f, client, GOMOSQ_MESSAGE)) relay(&f, gomosqGoMessages(client->id, batch));
	leave(&f);
	batch->count = 0;
	batch->used = 0;
	batch->topic_len = 0;
	client->batch = batch;
}

/* Delivers the messages that Go holds. */
void gomosq_deliver_pending(struct gomosq_client *client)
{
	struct gomosq_frame f;

	if(enter(&f, client, GOMOSQ_MESSAGE)) relay(&f, gomosqGoPending(client->id));
	leave(&f);
}

/* Sends a PINGREQ if it is due, and ends the connection if a PINGRESP is overdue. */
int gomosq_keep_alive(struct gomosq_client *client)
{
	int rc;

	gomosq_log_pings(client, true);
	client->keeping_alive = 1;
	rc = mosquitto_loop_misc(client->mosq);
	client->keeping_alive = 0;
	return rc;
}

/* Delivers the events that Go holds when the connection is lost. */
void gomosq_deliver_events(struct gomosq_client *client)
{
	struct gomosq_frame f;

	if(enter(&f, client, GOMOSQ_MESSAGE)) relay(&f, gomosqGoEvents(client->id));
	leave(&f);
}

/* Writes output and checks the keepalive after a slow message callback. Before 2.1 the
 * library returns from its read after this packet if errno says that the socket is empty.
 * From 2.1 on it first handles all input that it has read, up to 4 KiB. But it holds no
 * lock in callbacks, so Run can write here. */
static void after_slow_callback(struct gomosq_client *client)
{
	if(!client->passing || !client->spent) return;
#if GOMOSQ_21
	if(gomosq_thread.panicked || client->watched < 0 || __atomic_load_n(&client->leaving, __ATOMIC_RELAXED)) return;
	if(client->unacknowledged) return;
	int saved = errno;
	if(!client->ping_awaited){
		gomosq_keep_alive(client);
	}
	gomosq_tls_send(client);
	if(client->watched >= 0 && !client->tls_unsent && mosquitto_want_write(client->mosq)){
		client->wrote = 1;
		gomosq_before_acknowledging(client);
		if(gomosq_thread.panicked || client->unacknowledged) return;
		gomosq_write_begins(client);
		mosquitto_loop_write(client->mosq, 1);
		gomosq_write_ends(client);
		gomosq_flush_sent(client);
	}
	errno = saved;
#else
	errno = EAGAIN;
#endif
}

static bool has_last_topic(const struct gomosq_batch *batch, const char *topic, size_t len)
{
	return len == batch->topic_len && memcmp(topic, batch->topic, len) == 0;
}

/* Copies a message into a batch that has enough memory. */
static void append(struct gomosq_batch *batch, const struct mosquitto_message *message, size_t topic_len)
{
	struct gomosq_batched *item = &batch->items[batch->count++];
	size_t payload_len = (size_t)message->payloadlen;
	char *to = batch->data + batch->used;

	item->offset = (uint16_t)batch->used;
	item->topic_len = 0;
	item->payload_len = (uint16_t)payload_len;
	item->retain = message->retain;
	if(!has_last_topic(batch, message->topic, topic_len)){
		item->topic_len = (uint16_t)topic_len;
		memcpy(to, message->topic, topic_len);
		batch->topic = to;
		batch->topic_len = topic_len;
		to += topic_len;
	}
	if(payload_len) memcpy(to, message->payload, payload_len);
	batch->used = (uint32_t)(to + payload_len - batch->data);
}

/* Adds a short QoS 0 message without properties to the batch, if there is a batch. Messages
 * of QoS 1 and 2 are delivered alone and at once, because the library has already queued
 * their acknowledgements. */
static bool gather(struct gomosq_client *client, const struct mosquitto_message *message, size_t topic_len, const mosquitto_property *props)
{
	struct gomosq_batch *batch = client->batch;
	size_t size = topic_len + (size_t)message->payloadlen;

	if(batch == NULL || !(__atomic_load_n(&client->interest, __ATOMIC_RELAXED) & GOMOSQ_MESSAGE)) return false;
	if(client->slow || client->spent || message->qos || props || topic_len == 0 || size > GOMOSQ_BATCH_LONGEST){
		gomosq_flush(client);
		return false;
	}
	if(batch->count == GOMOSQ_BATCH_MESSAGES || batch->used + size > GOMOSQ_BATCH_BYTES) gomosq_flush(client);
	append(batch, message, topic_len);
	return true;
}

/* Counts the messages that arrive before a PINGRESP. */
static void note_read_ahead(struct gomosq_client *client, size_t bytes)
{
	if(client->ping_awaited && client->read_ahead <= GOMOSQ_READ_AHEAD) client->read_ahead += (uint32_t)bytes;
}

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message, const mosquitto_property *props)
{
	size_t topic_len = message->topic ? strlen(message->topic) : 0;
	struct gomosq_client *client = obj;
	struct gomosq_frame f;
	struct gomosq_flat flat;

	(void)mosq;
	if(message->qos && client->passing) client->to_acknowledge = 1;
	client->handled++;
	note_read_ahead(obj, topic_len + (size_t)message->payloadlen);
	if(gather(obj, message, topic_len, props)) return;
	if(enter(&f, obj, GOMOSQ_MESSAGE)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoMessage(f.client->id, (struct mosquitto_message *)message, topic_len, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	leave(&f);
	after_slow_callback(obj);
}

static void on_subscribe(struct mosquitto *mosq, void *obj, int mid, int n, const int *granted, const mosquitto_property *props)
{
	struct gomosq_frame f;
	struct gomosq_flat flat;

	(void)mosq;
	((struct gomosq_client *)obj)->handled++;
	if(enter(&f, obj, GOMOSQ_SUBSCRIBE)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoSubscribe(f.client->id, mid, n, (int *)granted, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	leave(&f);
}

static void unsubscribed(void *obj, int mid, int n, const int *codes, const mosquitto_property *props)
{
	struct gomosq_frame f;
	struct gomosq_flat flat;

	((struct gomosq_client *)obj)->handled++;
	if(enter(&f, obj, GOMOSQ_UNSUBSCRIBE)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoUnsubscribe(f.client->id, mid, n, (int *)codes, flat.items, flat.count));
		gomosq_flat_release(&flat);
	}
	leave(&f);
}

#if GOMOSQ_21
static void on_unsubscribe(struct mosquitto *mosq, void *obj, int mid, int n, const int *codes, const mosquitto_property *props)
{
	(void)mosq;
	unsubscribed(obj, mid, n, codes, props);
}

static void on_pre_connect(struct mosquitto *mosq, void *obj)
{
	struct gomosq_frame f;

	(void)mosq;
	if(enter(&f, obj, GOMOSQ_PRE_CONNECT)) relay(&f, gomosqGoPreConnect(f.client->id));
	leave(&f);
}

static int on_ext_auth(struct mosquitto *mosq, void *obj, const char *method, uint16_t len, const void *data, const mosquitto_property *props)
{
	struct gomosq_frame f;
	struct gomosq_flat flat;
	int rc = MOSQ_ERR_AUTH; /* the library's result without a callback */

	(void)mosq;
	if(enter(&f, obj, GOMOSQ_EXT_AUTH)){
		gomosq_flatten(&flat, props);
		relay(&f, gomosqGoExtAuth(f.client->id, (char *)method, len, (void *)data, flat.items, flat.count, &rc));
		gomosq_flat_release(&flat);
	}
	leave(&f);
	return rc;
}
#else
static void on_unsubscribe(struct mosquitto *mosq, void *obj, int mid, const mosquitto_property *props)
{
	(void)mosq;
	unsubscribed(obj, mid, 0, NULL, props);
}
#endif

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);
	size_t end_len = strlen(end);

	return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* The library reports PINGREQ and PINGRESP only in log lines, and it truncates the lines of
 * clients with a long id. Therefore every line during a keepalive check counts as a PINGREQ:
 * the library logs nothing else then. A PINGRESP is not detected in a truncated line, so
 * ping_awaited stays set until the next connection. */
static void note_ping(struct gomosq_client *client, const char *text)
{
	if(client->keeping_alive || ends_with(text, " sending PINGREQ")){
		client->ping_awaited = client->pinged = 1;
		client->read_ahead = 0;
	}else if(ends_with(text, " received PINGRESP")){
		client->ping_awaited = 0;
	}
}

static void on_log(struct mosquitto *mosq, void *obj, int level, const char *text)
{
	struct gomosq_client *client = obj;
	struct gomosq_frame f;

	(void)mosq;
	if(client->log_pings && gomosq_thread.entered == GOMOSQ_IN_LOOP && level == MOSQ_LOG_DEBUG) note_ping(client, text);
	if(!(__atomic_load_n(&client->interest, __ATOMIC_RELAXED) & GOMOSQ_LOG)) return;
	if(enter(&f, obj, GOMOSQ_LOG)){
		if(__atomic_load_n(&f.client->log_levels, __ATOMIC_RELAXED) & (uint32_t)level){
			relay(&f, gomosqGoLog(f.client->id, level, (char *)text));
		}
	}
	leave(&f);
}

/* OpenSSL calls this function to get the key's password. userdata is the library's client. Without a
 * Go callback it returns an error, because OpenSSL must not ask on the terminal. */
int gomosq_password(char *buf, int size, int rwflag, void *userdata)
{
	struct gomosq_frame f;
	int written = 0;

	if(enter(&f, mosquitto_userdata(userdata), GOMOSQ_PASSWORD)){
		relay(&f, gomosqGoPassword(f.client->id, buf, size, rwflag, &written));
	}
	leave(&f);
	return written;
}

/* The library calls the v5 form of each callback with every protocol version. */
void gomosq_callbacks_install(struct gomosq_client *client)
{
	struct mosquitto *mosq = client->mosq;

	mosquitto_connect_v5_callback_set(mosq, on_connect);
	mosquitto_disconnect_v5_callback_set(mosq, on_disconnect);
	mosquitto_publish_v5_callback_set(mosq, on_publish);
	mosquitto_message_v5_callback_set(mosq, on_message);
	mosquitto_subscribe_v5_callback_set(mosq, on_subscribe);
#if GOMOSQ_21
	mosquitto_unsubscribe2_v5_callback_set(mosq, on_unsubscribe);
	mosquitto_pre_connect_callback_set(mosq, on_pre_connect);
	mosquitto_ext_auth_callback_set(mosq, on_ext_auth);
#else
	mosquitto_unsubscribe_v5_callback_set(mosq, on_unsubscribe);
#endif
}

/* Installed only when needed: with it the library formats a line for every packet. */
void gomosq_log_install(struct gomosq_client *client, bool on)
{
	pthread_mutex_lock(&client->log);
	client->log_listener = on;
	mosquitto_log_callback_set(client->mosq, on || client->log_pings ? on_log : NULL);
	pthread_mutex_unlock(&client->log);
}

/* Starts and stops watching for PINGREQ and PINGRESP. Only the loop calls it. */
void gomosq_log_pings(struct gomosq_client *client, bool on)
{
	if(client->log_pings == on) return;
	pthread_mutex_lock(&client->log);
	client->log_pings = on;
	if(!client->log_listener) mosquitto_log_callback_set(client->mosq, on ? on_log : NULL);
	pthread_mutex_unlock(&client->log);
}
