/* The benchmark's work in C on libmosquitto. It does the same as the worker in Go, in
 * the way of a C program. A process does one job and prints its result as a line of
 * JSON. */
#ifndef BENCH_H
#define BENCH_H

#include <mosquitto.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

struct job {
	bool forever; /* mosquitto_loop_forever in main, otherwise mosquitto_loop_start */
	const char *host;
	int port;
	long count; /* messages, or connects */
	int size;   /* bytes of a payload */
	int qos;
	int window;         /* limit of messages that have not arrived or are not acknowledged */
	int in_flight;      /* limit of the library; 0 is its default */
	int clients;        /* number of clients of the job idle */
	const char *cafile; /* empty without TLS */
	const char *topic;  /* the topic that the processes share */
};

/* One function for each kind of job. It prints the result. */
void work_receive(const struct job *job);
void work_publish(const struct job *job);
void work_both_ends(const struct job *job);
void work_publisher(const struct job *job);
void work_subscriber(const struct job *job);
void work_latency(const struct job *job);
void work_connects(const struct job *job);
void work_idle(const struct job *job);

double now(void); /* seconds */
void must(int rc, const char *what);
char *payload(const struct job *job);

typedef void (*message_callback)(struct mosquitto *, void *, const struct mosquitto_message *);

/* Returns a client with its settings, not connected. */
struct mosquitto *make_client(const struct job *job, const char *id, void *obj, bool nodelay);

/* Connects, starts the library's thread, and waits for the CONNACK. */
void start_and_wait(struct mosquitto *mosq, const struct job *job);

/* Subscribes and waits for the SUBACK. The loop must run. */
void subscribe_and_wait(struct mosquitto *mosq, const char *filter, int qos);

/* Limits the messages in flight. If the limit is reached, the publisher waits until half
 * of them are done, so that it is not woken for every acknowledgement. */
struct limiter {
	long size;
	atomic_long taken;
	sem_t wake;
};

void limiter_init(struct limiter *limiter, long size);
void limiter_enter(struct limiter *limiter); /* by one thread */
void limiter_leave(struct limiter *limiter);
void limiter_drain(struct limiter *limiter); /* waits until no message is in flight */

void print_rate(long count, double seconds);

#endif
