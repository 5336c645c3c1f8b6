/* One message at a time, there and back. With mosquitto_loop_start the main thread
 * publishes. With mosquitto_loop_forever the callback publishes, because there is no
 * other thread. This is the fastest way in C. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WARMUP = 200 };

static const struct job *the_job;
static char *text;
static char topic[64];
static double *times, sent;
static long turns;
static sem_t back;

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void send_one(struct mosquitto *mosq)
{
	sent = now();
	must(mosquitto_publish(mosq, NULL, topic, the_job->size, text, 0, false), "mosquitto_publish");
}

/* Notes the time, and returns whether another message follows. */
static bool note(void)
{
	if(turns >= WARMUP) times[turns - WARMUP] = now() - sent;
	return ++turns < WARMUP + the_job->count;
}

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message)
{
	(void)obj;
	(void)message;
	if(!the_job->forever) sem_post(&back);
	else if(note()) send_one(mosq);
	else mosquitto_disconnect(mosq);
}

static void on_connect(struct mosquitto *mosq, void *obj, int rc)
{
	(void)obj;
	must(rc, "CONNACK");
	must(mosquitto_subscribe(mosq, NULL, topic, 0), "mosquitto_subscribe");
}

static void on_subscribe(struct mosquitto *mosq, void *obj, int mid, int n, const int *granted)
{
	(void)obj;
	(void)mid;
	(void)n;
	(void)granted;
	send_one(mosq);
}

static void in_callbacks(struct mosquitto *mosq, const struct job *job)
{
	mosquitto_connect_callback_set(mosq, on_connect);
	mosquitto_subscribe_callback_set(mosq, on_subscribe);
	must(mosquitto_connect(mosq, job->host, job->port, 60), "mosquitto_connect");
	mosquitto_loop_forever(mosq, -1, 1);
}

static void in_main(struct mosquitto *mosq, const struct job *job)
{
	start_and_wait(mosq, job);
	subscribe_and_wait(mosq, topic, 0);
	do{
		send_one(mosq);
		sem_wait(&back);
	}while(note());
}

void work_latency(const struct job *job)
{
	struct mosquitto *mosq = make_client(job, NULL, NULL, true);

	the_job = job;
	text = payload(job);
	times = calloc((size_t)job->count, sizeof *times);
	if(!times) must(MOSQ_ERR_NOMEM, "times");
	sem_init(&back, 0, 0);
	snprintf(topic, sizeof topic, "echo/%d", (int)getpid());
	mosquitto_message_callback_set(mosq, on_message);
	if(job->forever) in_callbacks(mosq, job);
	else in_main(mosq, job);
	if(turns < WARMUP + job->count) must(MOSQ_ERR_CONN_LOST, "latency");
	qsort(times, (size_t)job->count, sizeof *times, compare);
	printf("{\"count\":%ld,\"p50\":%.3f,\"p99\":%.3f}\n", job->count,
		times[job->count / 2] * 1e6, times[job->count * 99 / 100] * 1e6);
}
