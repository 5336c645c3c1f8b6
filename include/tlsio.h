/* TLS input and output of Run with fewer system calls, and OpenSSL's error queue. The library
 * encrypts each packet by itself, and OpenSSL makes two reads and one write for each. So Run
 * lets OpenSSL read ahead, and buffers its output. Other loops must not read ahead: the library
 * does not look for input that OpenSSL has read ahead. Only shims.h, run.h and callbacks.c
 * include this file. */
#ifndef GOMOSQ_TLSIO_H
#define GOMOSQ_TLSIO_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "callbacks.h"
#include "platform.h"

/* Constants of OpenSSL. They are part of its stable ABI. */
#define GOMOSQ_SSL_READING 3
#define GOMOSQ_SSL_RECEIVED_SHUTDOWN 2
#define GOMOSQ_BIO_TYPE_BUFFER (9 | 0x200)
#define GOMOSQ_BIO_CTRL_FLUSH 11
#define GOMOSQ_BIO_SET_BUFFER_SIZE 117
#define GOMOSQ_BIO_SHOULD_RETRY 8

/* The functions of OpenSSL. */
#define GOMOSQ_TLSIO_FUNCTIONS(F) \
	F(unsigned long, ERR_peek_error, (void)) \
	F(void, ERR_clear_error, (void)) \
	F(int, ERR_set_mark, (void)) \
	F(int, ERR_pop_to_mark, (void)) \
	F(int, SSL_has_pending, (const void *ssl)) \
	F(int, SSL_want, (const void *ssl)) \
	F(int, SSL_get_read_ahead, (const void *ssl)) \
	F(void, SSL_set_read_ahead, (void *ssl, int yes)) \
	F(void, SSL_set_shutdown, (void *ssl, int mode)) \
	F(void *, SSL_get_wbio, (const void *ssl)) \
	F(void, SSL_set0_wbio, (void *ssl, void *bio)) \
	F(const void *, BIO_f_buffer, (void)) \
	F(void *, BIO_new, (const void *method)) \
	F(int, BIO_up_ref, (void *bio)) \
	F(void *, BIO_push, (void *bio, void *next)) \
	F(void *, BIO_next, (void *bio)) \
	F(long, BIO_ctrl, (void *bio, int command, long number, void *value)) \
	F(long, BIO_int_ctrl, (void *bio, int command, long number, int which)) \
	F(int, BIO_method_type, (const void *bio)) \
	F(int, BIO_test_flags, (const void *bio, int flags)) \
	F(void, BIO_free_all, (void *bio))

#ifdef GOMOSQ_LINK_OPENSSL /* as in tlsctx.h */

#define GOMOSQ_TLSIO_DECLARE(result, name, arguments) extern result name arguments;
GOMOSQ_TLSIO_FUNCTIONS(GOMOSQ_TLSIO_DECLARE)
#define GOMOSQ_TLSIO(name) name

static inline bool gomosq_tlsio_look_up(void) { return true; }

#else

#define GOMOSQ_TLSIO_DECLARE(result, name, arguments) result (*name) arguments;
static struct { GOMOSQ_TLSIO_FUNCTIONS(GOMOSQ_TLSIO_DECLARE) } gomosq_tlsio; /* written once, by gomosq_tlsio_look_up */
#define GOMOSQ_TLSIO(name) gomosq_tlsio.name

static inline bool gomosq_tlsio_look_up(void)
{
	void *f;

#define GOMOSQ_TLSIO_LOOK_UP(result, name, arguments) \
	f = gomosq_openssl_symbol(#name); \
	if(f == NULL) return false; \
	memcpy(&gomosq_tlsio.name, &f, sizeof(f));
	GOMOSQ_TLSIO_FUNCTIONS(GOMOSQ_TLSIO_LOOK_UP)
#undef GOMOSQ_TLSIO_LOOK_UP
	return true;
}

#endif

static bool gomosq_tlsio_found; /* written once, by gomosq_tlsio_init */

static inline void gomosq_tlsio_init(void) { gomosq_tlsio_found = gomosq_tlsio_look_up(); }

/* Returns OpenSSL's object of the connection, or NULL without TLS or if a function is
 * missing. */
static inline void *gomosq_tlsio_ssl(struct gomosq_client *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *ssl = mosquitto_ssl_get(c->mosq);

	if(ssl == NULL) return NULL;
	pthread_once(&once, gomosq_tlsio_init);
	return gomosq_tlsio_found ? ssl : NULL;
}

/* === Errors === */

/* Each thread has a queue of OpenSSL's errors. Before 2.0.19 the library takes an old error for
 * an error of its connection, and closes the connection. Calls of other clients on this thread
 * leave errors, and so may other users of OpenSSL. */

/* Empties the queue before a call of the library that may use the TLS connection. */
static inline void gomosq_tls_drop_errors(struct gomosq_client *c)
{
	if(gomosq_tlsio_ssl(c) && GOMOSQ_TLSIO(ERR_peek_error)()) GOMOSQ_TLSIO(ERR_clear_error)();
}

/* These functions remove the errors that a callback leaves. Errors from before the callback
 * stay: the library calls OnLog while it reads them. */
static inline void gomosq_tls_mark_errors(struct gomosq_client *c)
{
	if(gomosq_tlsio_ssl(c)) GOMOSQ_TLSIO(ERR_set_mark)();
}

static inline void gomosq_tls_drop_errors_since_mark(struct gomosq_client *c)
{
	if(gomosq_tlsio_ssl(c)) GOMOSQ_TLSIO(ERR_pop_to_mark)();
}

/* === Input === */

/* Lets OpenSSL read as much as its buffer holds. Polling the socket then does not show the
 * input that OpenSSL holds, and gomosq_tls_unread does. */
static inline void gomosq_tls_read_ahead(struct gomosq_client *c)
{
	void *ssl = gomosq_tlsio_ssl(c);

	if(ssl && !GOMOSQ_TLSIO(SSL_get_read_ahead)(ssl)) GOMOSQ_TLSIO(SSL_set_read_ahead)(ssl, 1);
}

/* Reports whether OpenSSL holds input that a read would return. SSL_has_pending counts an
 * incomplete record too. tls_drained is set if the last read has found no complete record. */
static inline bool gomosq_tls_unread(struct gomosq_client *c)
{
	void *ssl;

	if(c->tls_drained) return false;
	ssl = gomosq_tlsio_ssl(c);
	return ssl && GOMOSQ_TLSIO(SSL_has_pending)(ssl);
}

/* Notes whether a read of the library has left input in OpenSSL. err is errno after the read.
 * EAGAIN alone does not mean that OpenSSL has no input: the library may have set errno for its
 * own sockets, or it may have written to a full socket. */
static inline void gomosq_tls_note_read(struct gomosq_client *c, int err)
{
	void *ssl;

	c->tls_drained = false;
	if(err != EAGAIN) return;
	ssl = gomosq_tlsio_ssl(c);
	c->tls_drained = ssl && GOMOSQ_TLSIO(SSL_want)(ssl) == GOMOSQ_SSL_READING;
}

/* Makes the next read return EOF, although OpenSSL holds input. */
static inline void gomosq_tls_end_input(struct gomosq_client *c)
{
	void *ssl = gomosq_tlsio_ssl(c);

	if(ssl) GOMOSQ_TLSIO(SSL_set_shutdown)(ssl, GOMOSQ_SSL_RECEIVED_SHUTDOWN);
}

/* === Output === */

#define GOMOSQ_TLS_BUFFER_SIZE 16384 /* size of the output buffer in bytes */

static inline bool gomosq_tls_is_buffering(void *ssl)
{
	void *bio = GOMOSQ_TLSIO(SSL_get_wbio)(ssl);

	return bio && GOMOSQ_TLSIO(BIO_method_type)(bio) == GOMOSQ_BIO_TYPE_BUFFER;
}

/* Puts a buffer for output between OpenSSL and the socket, until gomosq_tls_send. Returns
 * false without TLS, or if the buffer cannot be made. The buffer belongs to the connection. */
static inline bool gomosq_tls_buffer(struct gomosq_client *c)
{
	void *ssl = gomosq_tlsio_ssl(c);
	void *socket, *buffer;

	if(ssl == NULL) return false;
	if(gomosq_tls_is_buffering(ssl)) return true;
	socket = GOMOSQ_TLSIO(SSL_get_wbio)(ssl);
	buffer = socket ? GOMOSQ_TLSIO(BIO_new)(GOMOSQ_TLSIO(BIO_f_buffer)()) : NULL;
	if(buffer == NULL) return false;
	if(GOMOSQ_TLSIO(BIO_int_ctrl)(buffer, GOMOSQ_BIO_SET_BUFFER_SIZE, GOMOSQ_TLS_BUFFER_SIZE, 1) != 1 || GOMOSQ_TLSIO(BIO_up_ref)(socket) != 1){
		GOMOSQ_TLSIO(BIO_free_all)(buffer);
		return false;
	}
	GOMOSQ_TLSIO(SSL_set0_wbio)(ssl, GOMOSQ_TLSIO(BIO_push)(buffer, socket));
	return true;
}

/* Removes the buffer. During a handshake OpenSSL may have put its own buffer before this
 * buffer, so only OpenSSL changes the chain. */
static inline void gomosq_tls_stop_buffering(void *ssl, void *buffer)
{
	void *socket = GOMOSQ_TLSIO(BIO_next)(buffer);

	GOMOSQ_TLSIO(BIO_up_ref)(buffer);
	GOMOSQ_TLSIO(BIO_up_ref)(socket);
	GOMOSQ_TLSIO(SSL_set0_wbio)(ssl, socket);
	GOMOSQ_TLSIO(BIO_free_all)(buffer); /* the last reference, also to the chain */
}

/* Sends the buffered output, and removes the buffer when it is empty. If the socket is
 * full, unsent output stays in the buffer, and c->tls_unsent is set. After an error, output is
 * lost and no later output may follow. So gomosq_tls_send shuts the socket down, and the next
 * read reports the lost connection. */
static inline void gomosq_tls_send(struct gomosq_client *c)
{
	void *ssl = gomosq_tlsio_ssl(c);
	void *buffer;
	int saved = errno;

	c->tls_unsent = false;
	if(ssl == NULL || !gomosq_tls_is_buffering(ssl)) return;
	buffer = GOMOSQ_TLSIO(SSL_get_wbio)(ssl);
	if(GOMOSQ_TLSIO(BIO_ctrl)(buffer, GOMOSQ_BIO_CTRL_FLUSH, 0, NULL) <= 0){
		c->tls_unsent = GOMOSQ_TLSIO(BIO_test_flags)(buffer, GOMOSQ_BIO_SHOULD_RETRY) != 0;
		if(!c->tls_unsent) shutdown(mosquitto_socket(c->mosq), SHUT_RDWR);
	}
	if(!c->tls_unsent) gomosq_tls_stop_buffering(ssl, buffer);
	errno = saved;
}

#endif
