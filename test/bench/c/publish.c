/* Publishes to a peer that counts or acknowledges the messages. */
#include "bench.h"

#include <stdio.h>

static sem_t done;
static struct limiter limiter;

/* QoS 0: the peer sends this message when it has received all messages. */
static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message)
{
	(void)mosq;
	(void)obj;
	(void)message;
	sem_post(&done);
}

static void on_publish(struct mosquitto *mosq, void *obj, int mid)
{
	(void)mosq;
	(void)obj;
	(void)mid;
	limiter_leave(&limiter);
}

static void unacknowledged(struct mosquitto *mosq, const struct job *job, const char *text)
{
	long i;

	for(i = 0; i < job->count; i++){
		must(mosquitto_publish(mosq, NULL, "bench/topic", job->size, text, 0, false), "mosquitto_publish");
	}
	sem_wait(&done);
}

static void acknowledged(struct mosquitto *mosq, const struct job *job, const char *text)
{
	long i;

	for(i = 0; i < job->count; i++){
		limiter_enter(&limiter);
		must(mosquitto_publish(mosq, NULL, "bench/topic", job->size, text, 1, false), "mosquitto_publish");
	}
	limiter_drain(&limiter);
}

void work_publish(const struct job *job)
{
	struct mosquitto *mosq = make_client(job, "publish", NULL, false);
	char *text = payload(job);
	char filter[64];
	double started;

	sem_init(&done, 0, 0);
	limiter_init(&limiter, job->window);
	mosquitto_message_callback_set(mosq, on_message);
	if(job->qos) mosquitto_publish_callback_set(mosq, on_publish);
	start_and_wait(mosq, job);
	snprintf(filter, sizeof filter, "count/%ld", job->count);
	subscribe_and_wait(mosq, filter, 0);
	started = now();
	if(job->qos) acknowledged(mosq, job, text);
	else unacknowledged(mosq, job, text);
	print_rate(job->count, now() - started);
}
