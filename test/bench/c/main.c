#define _GNU_SOURCE
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static sem_t connected, subscribed;

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void must(int rc, const char *what)
{
	if(rc == MOSQ_ERR_SUCCESS) return;
	fprintf(stderr, "%s: %s\n", what, mosquitto_strerror(rc));
	exit(1);
}

char *payload(const struct job *job)
{
	char *p = malloc((size_t)job->size + 1);

	if(!p) must(MOSQ_ERR_NOMEM, "payload");
	memset(p, 'x', (size_t)job->size + 1);
	return p;
}

struct mosquitto *make_client(const struct job *job, const char *id, void *obj, bool nodelay)
{
	struct mosquitto *mosq = mosquitto_new(id, true, obj);

	if(!mosq) must(MOSQ_ERR_NOMEM, "mosquitto_new");
	if(job->in_flight) mosquitto_max_inflight_messages_set(mosq, (unsigned)job->in_flight);
	if(*job->cafile) must(mosquitto_tls_set(mosq, job->cafile, NULL, NULL, NULL, NULL), "mosquitto_tls_set");
	if(nodelay) must(mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1), "MOSQ_OPT_TCP_NODELAY");
	return mosq;
}

static void on_connect(struct mosquitto *mosq, void *obj, int rc)
{
	(void)mosq;
	(void)obj;
	if(rc){
		fprintf(stderr, "refused: %s\n", mosquitto_connack_string(rc));
		exit(1);
	}
	sem_post(&connected);
}

static void on_subscribe(struct mosquitto *mosq, void *obj, int mid, int n, const int *granted)
{
	(void)mosq;
	(void)obj;
	(void)mid;
	(void)n;
	(void)granted;
	sem_post(&subscribed);
}

void start_and_wait(struct mosquitto *mosq, const struct job *job)
{
	mosquitto_connect_callback_set(mosq, on_connect);
	must(mosquitto_connect(mosq, job->host, job->port, 60), "mosquitto_connect");
	must(mosquitto_loop_start(mosq), "mosquitto_loop_start");
	sem_wait(&connected);
}

void subscribe_and_wait(struct mosquitto *mosq, const char *filter, int qos)
{
	mosquitto_subscribe_callback_set(mosq, on_subscribe);
	must(mosquitto_subscribe(mosq, NULL, filter, qos), "mosquitto_subscribe");
	sem_wait(&subscribed);
}

void print_rate(long count, double seconds)
{
	printf("{\"count\":%ld,\"seconds\":%.9f}\n", count, seconds);
}

static const struct {
	const char *name;
	void (*run)(const struct job *);
} works[] = {
	{"receive", work_receive},
	{"publish", work_publish},
	{"both-ends", work_both_ends},
	{"publisher", work_publisher},
	{"subscriber", work_subscriber},
	{"latency", work_latency},
	{"connects", work_connects},
	{"idle", work_idle},
};

/* worker start|forever WORK HOST PORT COUNT SIZE QOS WINDOW IN_FLIGHT CLIENTS CAFILE TOPIC */
int main(int argc, char *argv[])
{
	struct job job;
	size_t i;

	if(argc != 13) return 2;
	job.forever = !strcmp(argv[1], "forever");
	job.host = argv[3];
	job.port = atoi(argv[4]);
	job.count = atol(argv[5]);
	job.size = atoi(argv[6]);
	job.qos = atoi(argv[7]);
	job.window = atoi(argv[8]);
	job.in_flight = atoi(argv[9]);
	job.clients = atoi(argv[10]);
	job.cafile = argv[11];
	job.topic = argv[12];

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL; libmosquitto ignores the signal only before 2.0.15 */
	sem_init(&connected, 0, 0);
	sem_init(&subscribed, 0, 0);
	mosquitto_lib_init();
	for(i = 0; i < sizeof works / sizeof works[0]; i++){
		if(strcmp(works[i].name, argv[2])) continue;
		works[i].run(&job);
		fflush(stdout);
		_Exit(0); /* without a DISCONNECT, which is not part of any work */
	}
	return 2;
}
