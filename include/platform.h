/* The differences between operating systems. With GOMOSQ_LINUX a function uses system calls
 * of Linux, without it those of POSIX, macOS and FreeBSD. The build tag mosquitto_portable
 * defines GOMOSQ_PORTABLE, which turns GOMOSQ_LINUX off on Linux too. The tests run both. */
#ifndef GOMOSQ_PLATFORM_H
#define GOMOSQ_PLATFORM_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mosq.h"

#if defined(__linux__) && !defined(GOMOSQ_PORTABLE)
#define GOMOSQ_LINUX 1
#else
#define GOMOSQ_LINUX 0
#endif

/* === File descriptors === */

/* Returns a non-blocking, close-on-exec socket whose peer is closed, or -1. */
static inline int gomosq_closed_socket(void)
{
	int pair[2];

#if GOMOSQ_LINUX
	if(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) return -1;
#else /* a child that starts before F_SETFD inherits only a socket without a peer */
	if(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return -1;
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	fcntl(pair[1], F_SETFD, FD_CLOEXEC);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
#endif
	close(pair[1]);
	return pair[0];
}

/* Makes fd a close-on-exec duplicate of replacement. */
static inline void gomosq_replace_fd(int replacement, int fd)
{
#if GOMOSQ_LINUX
	dup3(replacement, fd, O_CLOEXEC);
#else
	if(dup2(replacement, fd) == fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
}

/* Reports whether the address of a unix socket is empty. For an empty address Linux returns
 * only the family, and BSD adds zeros. */
static inline bool gomosq_is_unnamed(const struct sockaddr_storage *addr, socklen_t len)
{
#if GOMOSQ_LINUX
	(void)addr;
	return len == sizeof(sa_family_t);
#else
	const char *bytes = (const char *)addr;
	socklen_t i;

	for(i = offsetof(struct sockaddr_un, sun_path); i < len && i < sizeof(*addr); i++){
		if(bytes[i]) return false;
	}
	return true;
#endif
}

/* === Sockets === */

/* Returns the number that identifies a socket in the kernel for its lifetime, or 0 if
 * the system has no such number. */
static inline uint64_t gomosq_socket_cookie(int fd)
{
	uint64_t cookie = 0;
#if GOMOSQ_LINUX && defined(SO_COOKIE)
	socklen_t len = sizeof(cookie);

	if(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len)) cookie = 0;
#else
	(void)fd;
#endif
	return cookie;
}

typedef int gomosq_get_name(int fd, struct sockaddr *addr, socklen_t *len);

/* Reports whether two sockets have the same address, or both have none. */
static inline bool gomosq_same_name(gomosq_get_name *get, int a, int b)
{
	struct sockaddr_storage names[2];
	socklen_t lens[2] = {sizeof(names[0]), sizeof(names[1])};
	int failed[2];

	memset(names, 0, sizeof(names));
	failed[0] = get(a, (struct sockaddr *)&names[0], &lens[0]);
	failed[1] = get(b, (struct sockaddr *)&names[1], &lens[1]);
	if(failed[0] || failed[1]) return failed[0] == failed[1];
	return lens[0] == lens[1] && memcmp(&names[0], &names[1], sizeof(names[0])) == 0;
}

/* Reports whether two file descriptors refer to the same socket. TCP sockets of macOS
 * and FreeBSD have no inode number, but differ in an address. */
static inline bool gomosq_same_socket(int a, int b)
{
	struct stat first, second;

	if(fstat(a, &first) || fstat(b, &second) || !S_ISSOCK(first.st_mode) || first.st_ino != second.st_ino) return false;
#if GOMOSQ_LINUX
	return true;
#else
	return gomosq_same_name(getsockname, a, b) && gomosq_same_name(getpeername, a, b);
#endif
}

static inline short gomosq_poll(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

/* Reports whether the peer has closed the connection and no input is unread, or the
 * connection is reset. */
static inline bool gomosq_peer_closed(int fd)
{
#if GOMOSQ_LINUX
	short events = gomosq_poll(fd, POLLRDHUP);
	int unread = 0;

	if(events & (POLLERR | POLLHUP | POLLNVAL)) return true;
	return (events & POLLRDHUP) && ioctl(fd, FIONREAD, &unread) == 0 && unread == 0;
#else
	int saved = errno;
	char byte;
	ssize_t n;
	bool closed;

	/* With POLLIN, macOS sets POLLHUP although there is unread input. */
	if(gomosq_poll(fd, POLLOUT) & (POLLERR | POLLHUP | POLLNVAL)) return true;
	n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
	errno = saved;
	return closed;
#endif
}

/* The limits of gomosq_discard_input: more than a receive buffer holds, but a fast sender
 * cannot keep it busy. */
#define GOMOSQ_DISCARD_CHUNK 16384
#define GOMOSQ_DISCARD_CHUNKS 1024

/* Discards unread input. */
static inline void gomosq_discard_input(int fd)
{
#if GOMOSQ_LINUX
	recv(fd, NULL, 1 << 30, MSG_TRUNC | MSG_DONTWAIT);
#else
	char chunk[GOMOSQ_DISCARD_CHUNK];
	int i;
	ssize_t n;

	for(i = 0; i < GOMOSQ_DISCARD_CHUNKS; i++){
		n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if(n == 0 || (n < 0 && errno != EINTR)) return;
	}
#endif
}

/* Lets the kernel buffer output, or sends the buffered output. On macOS it does nothing:
 * buffered output would wait there for the next write. */
static inline void gomosq_cork_socket(int fd, bool on)
{
#if GOMOSQ_LINUX
	int value = on;

	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
#elif defined(TCP_NOPUSH) && !defined(__APPLE__)
	int value = on;

	setsockopt(fd, IPPROTO_TCP, TCP_NOPUSH, &value, sizeof(value));
#else
	(void)fd;
	(void)on;
#endif
}

/* Sends output at once, although earlier output is not acknowledged yet. */
static inline void gomosq_send_at_once(int fd)
{
	int value = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
}

/* Sends a TCP acknowledgement that the kernel delays, by up to 40 ms on Linux. A peer with
 * the Nagle delay, which is the default of mosquitto, sends no further small packet before
 * the acknowledgement arrives. */
static inline void gomosq_acknowledge_input(int fd)
{
#if GOMOSQ_LINUX
	int value = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &value, sizeof(value));
#else
	(void)fd;
#endif
}

/* Reports whether the peer had accepted a connection that has ended. Linux then has a
 * round-trip time of the connection. Other systems do not report it after the end: they need
 * err, the errno after the library's connect call, which the TLS handshake received. */
static inline bool gomosq_was_accepted(int fd, int err)
{
#if GOMOSQ_LINUX
	struct tcp_info info;
	socklen_t len = sizeof(info);

	(void)err;
	memset(&info, 0, sizeof(info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_rtt > 0;
#else
	(void)fd;
	return err != ECONNREFUSED;
#endif
}

/* Reports whether err, the errno of getpeername, means that the socket has no peer. macOS
 * sets EINVAL after the end of a connection. */
static inline bool gomosq_no_peer(int err) { return err == ENOTCONN || err == EINVAL; }

/* === Conditions with a timeout === */

static inline void gomosq_cond_init(pthread_cond_t *cond)
{
#ifdef __APPLE__
	pthread_cond_init(cond, NULL);
#else
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
#endif
}

/* Like pthread_cond_timedwait. end is a time of CLOCK_MONOTONIC. */
static inline int gomosq_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end)
{
#ifdef __APPLE__
	struct timespec now, left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left.tv_sec = end->tv_sec - now.tv_sec;
	left.tv_nsec = end->tv_nsec - now.tv_nsec;
	if(left.tv_nsec < 0){
		left.tv_sec--;
		left.tv_nsec += 1000000000;
	}
	if(left.tv_sec < 0) return ETIMEDOUT;
	return pthread_cond_timedwait_relative_np(cond, mutex, &left);
#else
	return pthread_cond_timedwait(cond, mutex, end);
#endif
}

/* === OpenSSL === */

/* Returns a handle of libmosquitto, through which dlsym finds the symbols of its OpenSSL.
 * Returns NULL if libmosquitto is part of the program. */
static inline void *gomosq_open_libmosquitto(void)
{
	Dl_info info;
	void *function = dlsym(RTLD_DEFAULT, "mosquitto_lib_version");

	if(function == NULL || dladdr(function, &info) == 0 || info.dli_fname == NULL) return NULL;
	return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

/* Returns a function of the OpenSSL that libmosquitto has loaded, or NULL. The process may
 * have a second OpenSSL: macOS has its own, with the same names. */
static inline void *gomosq_openssl_symbol(const char *name)
{
#if !GOMOSQ_LINUX
	static void *library; /* (atomic) */
	void *handle = __atomic_load_n(&library, __ATOMIC_RELAXED);

	if(handle == NULL){
		handle = gomosq_open_libmosquitto();
		__atomic_store_n(&library, handle, __ATOMIC_RELAXED);
	}
	if(handle) return dlsym(handle, name);
#endif
	return dlsym(RTLD_DEFAULT, name);
}

#endif
