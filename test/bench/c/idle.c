/* Clients that only keep their connections alive. The library has a thread for each
 * client. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST = 10 }; /* these clients load the code and the heap */

static long resident(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if(!f || fscanf(f, "%*d %ld", &pages) != 1) exit(1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void connect_one(const struct job *job, int i)
{
	char id[32];

	snprintf(id, sizeof id, "c-idle-%d", i);
	start_and_wait(make_client(job, id, NULL, false), job);
}

void work_idle(const struct job *job)
{
	long base;
	int i;

	for(i = 0; i < FIRST; i++) connect_one(job, i);
	base = resident();
	for(; i < FIRST + job->clients; i++) connect_one(job, i);
	printf("{\"clients\":%d,\"baseRSS\":%ld,\"rss\":%ld}\n", job->clients, base, resident());
	fflush(stdout);
	getchar(); /* until the benchmark closes the input */
}
