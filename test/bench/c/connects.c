/* Connects and disconnects on 100 threads. Each connect uses a new client. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 100 };

static const struct job *the_job;
static atomic_long next;

static void on_connect(struct mosquitto *mosq, void *obj, int rc)
{
	(void)obj;
	must(rc, "CONNACK");
	must(mosquitto_disconnect(mosq), "mosquitto_disconnect");
}

static void *thread(void *unused)
{
	long i;

	(void)unused;
	while((i = atomic_fetch_add(&next, 1)) < the_job->count){
		char id[32];
		struct mosquitto *mosq;

		snprintf(id, sizeof id, "connect-%ld", i);
		mosq = make_client(the_job, id, NULL, false);
		mosquitto_connect_callback_set(mosq, on_connect);
		must(mosquitto_connect(mosq, the_job->host, the_job->port, 60), "mosquitto_connect");
		must(mosquitto_loop_forever(mosq, -1, 1), "mosquitto_loop_forever");
		mosquitto_destroy(mosq);
	}
	return NULL;
}

void work_connects(const struct job *job)
{
	pthread_t threads[THREADS];
	double started = now();
	int i;

	the_job = job;
	for(i = 0; i < THREADS; i++) must(pthread_create(&threads[i], NULL, thread, NULL), "pthread_create");
	for(i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
	print_rate(job->count, now() - started);
}
