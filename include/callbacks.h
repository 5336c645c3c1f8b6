/* What callbacks.c, callbacks_export.go and shims.h share: the C side of a
 * client, the state of a thread, and the Go ends of the callbacks. */
#ifndef GOMOSQ_CALLBACKS_H
#define GOMOSQ_CALLBACKS_H

#include <pthread.h>
#include <time.h>

#include "mosq.h"

/* The events that a Go closure can listen to; also the bits of
 * gomosq_client.interest and of gomosq_inside. */
enum {
	GOMOSQ_CONNECT = 1 << 0,
	GOMOSQ_DISCONNECT = 1 << 1,
	GOMOSQ_PUBLISH = 1 << 2,
	GOMOSQ_MESSAGE = 1 << 3,
	GOMOSQ_SUBSCRIBE = 1 << 4,
	GOMOSQ_UNSUBSCRIBE = 1 << 5,
	GOMOSQ_LOG = 1 << 6,
	GOMOSQ_PRE_CONNECT = 1 << 7,
	GOMOSQ_EXT_AUTH = 1 << 8,
	GOMOSQ_PASSWORD = 1 << 9,
	GOMOSQ_POSTED = 1 << 10 /* no callback: a function that Post queued */
};

/* A callback in progress on this thread; they nest. */
struct gomosq_frame {
	struct gomosq_client *client;
	int event;
	int saved_errno;
	struct gomosq_frame *outer;
};

/* Messages that Run delivers together: one crossing for many. */
#define GOMOSQ_BATCH_MESSAGES 64
#define GOMOSQ_BATCH_BYTES 8192
#define GOMOSQ_BATCH_LONGEST 1024 /* longer ones cross by themselves: one copy less */

/* Bytes of messages that Run reads for each PINGREQ although it should not read: the
 * PINGRESP lies behind them. */
#define GOMOSQ_READ_AHEAD (1 << 20)

struct gomosq_batched {
	int mid;
	int qos;
	bool retain;
	uint32_t offset; /* of the topic in data; the payload follows */
	uint32_t topic_len;
	uint32_t payload_len;
};

struct gomosq_batch {
	int count;
	uint32_t used;
	struct gomosq_batched items[GOMOSQ_BATCH_MESSAGES];
	char data[GOMOSQ_BATCH_BYTES];
};

/* The library's user data. Go sees the id, never this address as a handle. */
struct gomosq_client {
	struct mosquitto *mosq;
	uintptr_t id;
	uint32_t interest;   /* events with a listener (atomic) */
	uint32_t log_levels; /* levels the log listener wants (atomic) */
	pthread_t thread;    /* the library's own thread, as a callback saw it */
	int thread_known;    /* (atomic) */
	int leaving;         /* Disconnect was called since the last connect (atomic) */
	int silent;           /* no callback crosses into Go (atomic) */
	int reading;         /* a burst of reads is on (atomic) */
	int yielding;      /* a publisher waits for its end (atomic) */
	int pause_reading;   /* ends a burst of reads after the packet in hand (atomic) */
	pthread_mutex_t log; /* guards the two below, and which log callback is installed */
	bool log_listener;   /* OnLog has one */
	bool log_pings;      /* Run wants to know of PINGREQ and PINGRESP */
	pthread_mutex_t wait; /* for changed */
	pthread_cond_t changed; /* the connection or a flood has ended */
	int waiters;         /* threads that wait for changed (atomic) */

	/* What Run looks at between two calls. */
	struct gomosq_batch *batch; /* on the stack of a pass that is on, NULL otherwise */
	int watched;         /* the poller's descriptor of the connection, -1 without one */
	int connack;         /* the broker's last answer to a CONNECT, -1 before the first */
	unsigned accepted;   /* how many of them were acceptances */
	int server_keepalive; /* seconds, as the last CONNACK demanded, -1 when it did not */
	int ping_awaited;    /* a PINGREQ was sent and its PINGRESP has not arrived (loop only) */
	int pinged;          /* a PINGREQ was sent in this pass (loop only) */
	uint32_t read_ahead; /* bytes of messages since that PINGREQ (loop only) */
	int pending;         /* Go holds messages that no callback has seen yet (loop only) */
	int unacknowledged;  /* pending has a QoS 1 or 2 message: its acknowledgement must not be written (loop only) */
	int passing;         /* Run is in a pass (loop only) */
	int spent;           /* the callbacks of this pass have used its time (loop only) */
	int slow;            /* the callbacks of the last pass had used its time (loop only) */
	int wrote;           /* a write between two callbacks of this pass (loop only) */
	struct gomosq_frame posting; /* of the function that Post queued and Run is running */

	/* Memory that changes with each message: the publishers', and the owner's. */
	char apart[64];
	struct {
		uint32_t messages; /* of QoS 0 that the library took (atomic) */
		int flooded;       /* many of them wait for a write that is on (atomic) */
		int posted;        /* functions that Post queued (atomic) */
		int paused;        /* PauseReading (atomic) */
	} published;
	char apart_too[64];
	struct {
		uint32_t messages; /* of QoS 0, as published counts them (atomic) */
		int on;            /* Run is in the library's write (atomic) */
		int substitute;      /* the far end of what is in the connection's place, -1 when it is the connection */
		bool stopped;      /* the write was ended, and a whole burst of reads comes next */
		struct timespec began;
	} written;
};

/* How a thread came into the library. */
enum {
	GOMOSQ_OUTSIDE = 0, /* not from Go: the library's own thread */
	GOMOSQ_IN_CALL = 1,
	GOMOSQ_IN_LOOP = 2
};

struct gomosq_thread {
	int entered;
	int panicked; /* ticket of a Go panic that waits to be raised again */
	struct gomosq_frame *frames;
};

extern __thread struct gomosq_thread gomosq_thread;

/* One v5 property, flat: Go reads it without calling C. */
struct gomosq_property {
	int id;
	uint32_t number;
	uint32_t name_len;
	uint32_t value_len;
	char *name;
	char *value;
};

void gomosq_callbacks_install(struct gomosq_client *client);
void gomosq_log_install(struct gomosq_client *client, bool on);
unsigned gomosq_inside(struct gomosq_client *client);
void gomosq_cloexec(int fd);
void gomosq_cut(struct mosquitto *mosq);
void gomosq_notify(struct gomosq_client *client);
void gomosq_log_pings(struct gomosq_client *client, bool on);
void gomosq_flush(struct gomosq_client *client);
void gomosq_deliver_pending(struct gomosq_client *client);
int gomosq_password(char *buf, int size, int rwflag, void *userdata);

/* The Go ends. Each returns 0, or the ticket of the panic that ended it. */
int gomosqGoConnect(uintptr_t id, int rc, int flags, struct gomosq_property *props, int count);
int gomosqGoDisconnect(uintptr_t id, int rc, int err, struct gomosq_property *props, int count);
int gomosqGoPublish(uintptr_t id, int mid, int reason, struct gomosq_property *props, int count);
int gomosqGoMessage(uintptr_t id, struct mosquitto_message *message, size_t topic_len, struct gomosq_property *props, int count);
int gomosqGoMessages(uintptr_t id, struct gomosq_batch *batch);
int gomosqGoPending(uintptr_t id);
int gomosqGoSubscribe(uintptr_t id, int mid, int n, int *granted, struct gomosq_property *props, int count);
int gomosqGoUnsubscribe(uintptr_t id, int mid, int n, int *codes, struct gomosq_property *props, int count);
int gomosqGoLog(uintptr_t id, int level, char *text);
int gomosqGoPreConnect(uintptr_t id);
int gomosqGoExtAuth(uintptr_t id, char *method, int len, void *data, struct gomosq_property *props, int count, int *rc);
int gomosqGoPassword(uintptr_t id, char *buf, int size, int rwflag, int *written);
void gomosqGoCrash(int ticket);

#endif
