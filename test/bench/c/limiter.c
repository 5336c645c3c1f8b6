#include "bench.h"

static void until(struct limiter *limiter, long n)
{
	while(atomic_load(&limiter->taken) > n) sem_wait(&limiter->wake);
}

void limiter_init(struct limiter *limiter, long size)
{
	limiter->size = size;
	atomic_init(&limiter->taken, 0);
	sem_init(&limiter->wake, 0, 0);
}

void limiter_enter(struct limiter *limiter)
{
	if(atomic_load(&limiter->taken) >= limiter->size) until(limiter, limiter->size / 2);
	atomic_fetch_add(&limiter->taken, 1);
}

void limiter_leave(struct limiter *limiter)
{
	long n = atomic_fetch_sub(&limiter->taken, 1) - 1;

	if(n == limiter->size / 2 || n == 0) sem_post(&limiter->wake);
}

void limiter_drain(struct limiter *limiter) { until(limiter, 0); }
