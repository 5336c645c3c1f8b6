/* Shared by callbacks.c, callbacks_export.go and shims.h: the C part of a client, the
 * state of a thread, and the Go functions that the callbacks call. */
#ifndef GOMOSQ_CALLBACKS_H
#define GOMOSQ_CALLBACKS_H

#include <pthread.h>

#include "mosq.h"

/* The events that have a Go callback. Also the bits of gomosq_client.interest and of
 * gomosq_inside. */
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
	GOMOSQ_ACKNOWLEDGE = 1 << 10,
	GOMOSQ_POSTED = 1 << 11 /* not a callback: a function that Post queued */
};

/* A callback in progress on this thread; they nest. */
struct gomosq_frame {
	struct gomosq_client *client;
	int event;
	int saved_errno;
	int saved_refused;
	struct gomosq_frame *outer;
};

/* Limits of a batch: the messages that Run delivers with one call from C into Go. */
#define GOMOSQ_BATCH_MESSAGES 64
#define GOMOSQ_BATCH_BYTES 8192
#define GOMOSQ_BATCH_LONGEST 1024 /* longer messages are delivered alone, which saves a copy */

/* The maximum number of bytes of messages that Run reads after a PINGREQ although
 * callbacks are slow or reading is paused. The PINGRESP arrives after these messages. */
#define GOMOSQ_READ_AHEAD (1 << 20)

/* The kind of the first message or event that is pending in Go. */
enum {
	GOMOSQ_PENDING_NOTHING = 0,
	GOMOSQ_PENDING_MESSAGE,
	GOMOSQ_PENDING_EVENT
};

/* A message of QoS 0. Its topic and payload begin at offset in data. If topic_len is 0, it has
 * the topic of the message before it, and only its payload is in data. */
struct gomosq_batched {
	uint16_t offset;
	uint16_t topic_len;
	uint16_t payload_len;
	bool retain;
};

struct gomosq_batch {
	int count;
	uint32_t used;
	const char *topic; /* of the last message, in data */
	size_t topic_len; /* 0 if there is no message yet */
	struct gomosq_batched items[GOMOSQ_BATCH_MESSAGES];
	char data[GOMOSQ_BATCH_BYTES];
};

/* The C part of a client, and the library's user data. Go identifies clients by id,
 * never by this address. */
struct gomosq_client {
	struct mosquitto *mosq;
	uintptr_t id;
	uint32_t interest;   /* events with a Go callback (atomic) */
	uint32_t log_levels; /* levels of OnLog (atomic) */
	void *tls_ctx;       /* the context that SetTLS made; the library owns it */
	int pair[2];         /* file descriptors of the library's pair of sockets, -1 if unknown */
	pthread_t thread;    /* the library's own thread, as a callback saw it */
	int thread_known;    /* (atomic) */
	int leaving;         /* Disconnect was called since the last connect (atomic) */
	int silent;          /* no callback calls Go (atomic) */
	int reading;         /* a burst of reads is running (atomic) */
	int yielding;        /* a publisher waits for the end of a burst (atomic) */
	int pause_reading;   /* ends a burst of reads after the current packet (atomic) */
	int waiters;         /* threads that wait for changed (atomic) */
	bool log_listener;   /* OnLog has a callback */
	bool log_pings;      /* Run looks for PINGREQ and PINGRESP in the log */

	/* State of Run. The loop owns it. */
	int connect_errno;   /* errno after the last call that may open the socket */
	struct gomosq_batch *batch; /* on the stack of a running pass, NULL otherwise */
	uint64_t cookie;     /* names the connection's socket in the kernel, 0 if unknown (atomic) */
	int watched;         /* the poller's file descriptor of the connection, -1 without one */
	int connack;         /* code of the last CONNACK, -1 while there is none for this CONNECT */
	unsigned accepted;   /* number of CONNACKs that accepted the connection */
	int server_keepalive; /* seconds that the last CONNACK demanded, -1 if none */
	uint32_t read_ahead; /* bytes of messages since the awaited PINGREQ */
	unsigned handled;    /* packets of this burst of reads that had a callback */
	int pending;         /* GOMOSQ_PENDING_...: the first delivery that Go holds */
	bool ping_awaited;   /* a PINGREQ was sent and its PINGRESP has not arrived */
	bool keeping_alive;  /* the library is checking the keepalive */
	bool pinged;         /* a PINGREQ was sent in this pass */
	bool unacknowledged; /* pending has a QoS 1 or 2 message: its acknowledgement must not be written */
	bool to_acknowledge; /* messages of QoS 1 or 2 have reached OnMessage since the last write */
	bool passing;        /* a pass of Run is running */
	bool spent;          /* the callbacks of this pass have used its time */
	bool slow;           /* the callbacks of the last pass had used its time */
	bool wrote;          /* this pass has written between two callbacks */
	bool tls_drained;    /* the last read has found that OpenSSL holds no complete record */
	bool tls_unsent;     /* encrypted output waits until the socket is no longer full */
	bool sent_pending;   /* Go holds OnPublish events of the messages of sent */
	struct gomosq_frame posting; /* of the function that Post queued and Run is running */

	/* Packet ids of the QoS 0 messages that a write of Run has sent, until OnPublish
	 * receives them. */
	struct {
		int *mids;
		uint32_t count;
		uint32_t capacity;
	} sent;

	/* Counters that change with each message, on cache lines of their own: first the
	 * publishers', then the loop's. The rarely used locks keep the lines apart. */
	pthread_mutex_t log; /* guards log_listener, log_pings and the library's log callback */
	pthread_mutex_t wait; /* for changed */
	struct {
		uint32_t queued;   /* QoS 0 messages that were published during the running write (atomic) */
		uint32_t unwritten; /* messages that were published since the last write began (atomic) */
		int flooded;       /* publishers of QoS 0 messages must wait (atomic) */
		int posted;        /* Post has queued functions (atomic) */
		int paused;        /* PauseReading was called (atomic) */
	} published;
	pthread_cond_t changed; /* the connection or a flood has ended */
	char apart[16];
	struct {
		uint32_t messages; /* QoS 0 messages that it has written; pending OnPublish events that were delivered after it (atomic) */
		int on;            /* Run is in the library's write (atomic) */
	} written;
};

/* How a thread has entered the library. */
enum {
	GOMOSQ_OUTSIDE = 0, /* not from Go: the library's thread */
	GOMOSQ_IN_CALL = 1,
	GOMOSQ_IN_LOOP = 2
};

struct gomosq_thread {
	int entered;
	int panicked; /* ticket of a Go panic that the Go caller raises again */
	int refused;  /* OpenSSL's reason why it does not accept the broker's certificate, 0 if there is none */
	struct gomosq_frame *frames;
};

extern __thread struct gomosq_thread gomosq_thread;

/* A v5 property that Go reads without calling C. */
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
void gomosq_cut(struct gomosq_client *client);
void gomosq_note_socket(struct gomosq_client *client);
void gomosq_notify(struct gomosq_client *client);
void gomosq_log_pings(struct gomosq_client *client, bool on);
int gomosq_keep_alive(struct gomosq_client *client);
void gomosq_flush(struct gomosq_client *client);
void gomosq_flush_sent(struct gomosq_client *client);
void gomosq_before_acknowledging(struct gomosq_client *client);
void gomosq_deliver_pending(struct gomosq_client *client);
void gomosq_deliver_events(struct gomosq_client *client);
int gomosq_password(char *buf, int size, int rwflag, void *userdata);

/* Exported by Go. Each returns 0, or the ticket of the panic that ended it. */
int gomosqGoConnect(uintptr_t id, int rc, int flags, struct gomosq_property *props, int count);
int gomosqGoDisconnect(uintptr_t id, int rc, int err, int refused, struct gomosq_property *props, int count);
int gomosqGoPublish(uintptr_t id, int mid, int reason, struct gomosq_property *props, int count);
int gomosqGoSent(uintptr_t id, int *mids, int count);
int gomosqGoMessage(uintptr_t id, struct mosquitto_message *message, size_t topic_len, struct gomosq_property *props, int count);
int gomosqGoMessages(uintptr_t id, struct gomosq_batch *batch);
int gomosqGoPending(uintptr_t id);
int gomosqGoEvents(uintptr_t id);
int gomosqGoSubscribe(uintptr_t id, int mid, int n, int *granted, struct gomosq_property *props, int count);
int gomosqGoUnsubscribe(uintptr_t id, int mid, int n, int *codes, struct gomosq_property *props, int count);
int gomosqGoLog(uintptr_t id, int level, char *text);
int gomosqGoPreConnect(uintptr_t id);
int gomosqGoAcknowledge(uintptr_t id);
int gomosqGoExtAuth(uintptr_t id, char *method, int len, void *data, struct gomosq_property *props, int count, int *rc);
int gomosqGoPassword(uintptr_t id, char *buf, int size, int rwflag, int *written);
void gomosqGoCrash(int ticket);

#endif
