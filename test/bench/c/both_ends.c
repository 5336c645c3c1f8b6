/* A publisher and a subscriber in one process, the broker between them. */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

static struct limiter limiter;

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message)
{
	(void)mosq;
	(void)obj;
	(void)message;
	limiter_leave(&limiter);
}

void work_both_ends(const struct job *job)
{
	struct mosquitto *subscriber = make_client(job, NULL, NULL, false);
	struct mosquitto *publisher = make_client(job, NULL, NULL, false);
	char *text = payload(job);
	char topic[64];
	double started;
	long i;

	limiter_init(&limiter, job->window);
	snprintf(topic, sizeof topic, "bench/%d", (int)getpid());
	mosquitto_message_callback_set(subscriber, on_message);
	start_and_wait(subscriber, job);
	start_and_wait(publisher, job);
	subscribe_and_wait(subscriber, topic, job->qos);
	started = now();
	for(i = 0; i < job->count; i++){
		limiter_enter(&limiter);
		must(mosquitto_publish(publisher, NULL, topic, job->size, text, job->qos, false), "mosquitto_publish");
	}
	limiter_drain(&limiter);
	print_rate(job->count, now() - started);
}
