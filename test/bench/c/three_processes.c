/* A publisher and a subscriber in separate processes, the broker between them. The
 * subscriber writes a byte to a pipe after each quarter of the window. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { CREDIT_PIPE = 3 };

static const struct job *the_job;
static struct limiter limiter;
static long arrived;
static sem_t done;

static long quarter(void) { return the_job->window / 4; }

static void *read_credits(void *unused)
{
	long left = the_job->count;
	char credit;

	(void)unused;
	while(left > 0){
		long n = left < quarter() ? left : quarter();

		if(read(CREDIT_PIPE, &credit, 1) != 1) must(MOSQ_ERR_ERRNO, "read");
		left -= n;
		while(n--) limiter_leave(&limiter);
	}
	sem_post(&done);
	return NULL;
}

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message)
{
	(void)mosq;
	(void)obj;
	(void)message;
	if(++arrived % quarter() == 0 || arrived == the_job->count){
		if(write(CREDIT_PIPE, "", 1) != 1) must(MOSQ_ERR_ERRNO, "write");
	}
	if(arrived == the_job->count) sem_post(&done);
}

void work_publisher(const struct job *job)
{
	struct mosquitto *mosq = make_client(job, "publisher", NULL, false);
	char *text = payload(job);
	pthread_t reader;
	double started;
	long i;

	the_job = job;
	sem_init(&done, 0, 0);
	limiter_init(&limiter, job->window);
	start_and_wait(mosq, job);
	must(pthread_create(&reader, NULL, read_credits, NULL), "pthread_create");
	started = now();
	for(i = 0; i < job->count; i++){
		limiter_enter(&limiter);
		must(mosquitto_publish(mosq, NULL, job->topic, job->size, text, job->qos, false), "mosquitto_publish");
	}
	sem_wait(&done);
	print_rate(job->count, now() - started);
}

void work_subscriber(const struct job *job)
{
	struct mosquitto *mosq = make_client(job, "subscriber", NULL, false);

	the_job = job;
	sem_init(&done, 0, 0);
	mosquitto_message_callback_set(mosq, on_message);
	start_and_wait(mosq, job);
	subscribe_and_wait(mosq, job->topic, job->qos);
	printf("{}\n"); /* the subscriber is ready */
	fflush(stdout);
	sem_wait(&done);
	printf("{}\n");
	fflush(stdout);
	getchar(); /* until the benchmark closes the input */
}
