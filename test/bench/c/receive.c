/* Receives messages from a peer, which sends them when the client subscribes. */
#include "bench.h"

#include <stdio.h>

static const struct job *the_job;
static long received;
static double started, ended;
static sem_t done;

static void on_connect(struct mosquitto *mosq, void *obj, int rc)
{
	char filter[64];

	(void)obj;
	must(rc, "CONNACK");
	snprintf(filter, sizeof filter, "flood/%d/%ld", the_job->size, the_job->count);
	started = now();
	must(mosquitto_subscribe(mosq, NULL, filter, 0), "mosquitto_subscribe");
}

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message)
{
	(void)obj;
	(void)message;
	if(++received < the_job->count) return;
	ended = now();
	if(the_job->forever) mosquitto_disconnect(mosq);
	else sem_post(&done);
}

void work_receive(const struct job *job)
{
	struct mosquitto *mosq = make_client(job, "receive", NULL, false);

	the_job = job;
	sem_init(&done, 0, 0);
	mosquitto_connect_callback_set(mosq, on_connect);
	mosquitto_message_callback_set(mosq, on_message);
	must(mosquitto_connect(mosq, job->host, job->port, 60), "mosquitto_connect");
	if(job->forever){
		mosquitto_loop_forever(mosq, -1, 1);
	}else{
		must(mosquitto_loop_start(mosq), "mosquitto_loop_start");
		sem_wait(&done);
	}
	if(received < job->count) must(MOSQ_ERR_CONN_LOST, "receive");
	print_rate(received, ended - started);
}
