#include "bench.h"

static void until(struct room *room, long n)
{
	while(atomic_load(&room->taken) > n) sem_wait(&room->wake);
}

void room_init(struct room *room, long size)
{
	room->size = size;
	atomic_init(&room->taken, 0);
	sem_init(&room->wake, 0, 0);
}

void room_enter(struct room *room)
{
	if(atomic_load(&room->taken) >= room->size) until(room, room->size / 2);
	atomic_fetch_add(&room->taken, 1);
}

void room_leave(struct room *room)
{
	long n = atomic_fetch_sub(&room->taken, 1) - 1;

	if(n == room->size / 2 || n == 0) sem_post(&room->wake);
}

void room_empty(struct room *room) { until(room, 0); }
