/* The benchmark's work in C on libmosquitto: what the Go side does, done the way
 * a C program does it. One worker process does one piece of work and prints one
 * line of JSON. */
#ifndef BENCH_H
#define BENCH_H

#include <mosquitto.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

struct job {
	bool forever; /* mosquitto_loop_forever in main, else mosquitto_loop_start */
	const char *host;
	int port;
	long count; /* messages */
	int size;   /* bytes of a payload */
	int qos;
	int window;  /* messages under way at most */
	int clients; /* of idle */
};

/* One function per work; each prints its result. */
void work_receive(const struct job *job);
void work_publish(const struct job *job);
void work_both_ends(const struct job *job);
void work_latency(const struct job *job);
void work_idle(const struct job *job);

double now(void); /* seconds */
void must(int rc, const char *what);
char *payload(const struct job *job);

typedef void (*message_callback)(struct mosquitto *, void *, const struct mosquitto_message *);

/* A client with its settings, not connected. */
struct mosquitto *make_client(const struct job *job, const char *id, void *obj, bool nodelay);

/* Connects, starts the library's thread, and waits for the broker's word. */
void start_and_wait(struct mosquitto *mosq, const struct job *job);

/* Subscribes and waits for the SUBACK. The loop is on. */
void subscribe_and_wait(struct mosquitto *mosq, const char *filter, int qos);

/* Bounds what is under way. A publisher that finds it full waits until half of it
 * is free, so that it is not woken for every acknowledgement. */
struct room {
	long size;
	atomic_long taken;
	sem_t wake;
};

void room_init(struct room *room, long size);
void room_enter(struct room *room); /* by one thread */
void room_leave(struct room *room);
void room_empty(struct room *room); /* waits for that */

void print_rate(long count, double seconds);

#endif
