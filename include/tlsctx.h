/* TLS settings that can change between the connections of one library client. The
 * library keeps one SSL_CTX for the life of a client. So this file gives it a permanent
 * context, and applies the current settings to each connection when its handshake
 * starts. It needs no OpenSSL header. Only shims.h includes this file. */
#ifndef GOMOSQ_TLSCTX_H
#define GOMOSQ_TLSCTX_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callbacks.h"
#include "platform.h"

/* Constants of OpenSSL. They are part of its stable ABI. */
#define GOMOSQ_SSL_VERIFY_NONE 0
#define GOMOSQ_SSL_VERIFY_PEER 1
#define GOMOSQ_SSL_CTRL_MODE 33
#define GOMOSQ_SSL_MODE_RELEASE_BUFFERS 0x10
#define GOMOSQ_SSL_CTRL_SET_TLSEXT_HOSTNAME 55
#define GOMOSQ_SSL_CTRL_CHAIN_CERT 89
#define GOMOSQ_SSL_CTRL_GET_CHAIN_CERTS 115
#define GOMOSQ_SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define GOMOSQ_SSL_CTRL_SET_MAX_PROTO_VERSION 124
#define GOMOSQ_SSL_CB_HANDSHAKE_START 0x10
#define GOMOSQ_SSL_CB_WRITE_ALERT 0x4008
#define GOMOSQ_SSL_ALERT_FATAL 2
#define GOMOSQ_TLS1_2 0x0303
#define GOMOSQ_CRYPTO_EX_INDEX_SSL_CTX 1
#define GOMOSQ_X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS 4
#define GOMOSQ_PEM_NO_START_LINE 108
#define GOMOSQ_ERR_REASON 0xfff

#define GOMOSQ_TLS_SUM 32 /* bytes of a checksum of settings */

typedef int gomosq_pem_password(char *buf, int size, int rw, void *password);
typedef void gomosq_info_callback(const void *ssl, int where, int ret);
typedef unsigned gomosq_psk_callback(void *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *psk, unsigned max_psk);
typedef void gomosq_ex_free(void *parent, void *value, void *ad, int index, long argl, void *argp);

/* The functions of OpenSSL. */
#define GOMOSQ_OPENSSL_FUNCTIONS(F) \
	F(const void *, TLS_client_method, (void)) \
	F(long, SSL_get_verify_result, (const void *ssl)) \
	F(const char *, X509_verify_cert_error_string, (long reason)) \
	F(void *, SSL_CTX_new, (const void *method)) \
	F(void, SSL_CTX_free, (void *ctx)) \
	F(long, SSL_CTX_ctrl, (void *ctx, int command, long number, void *value)) \
	F(int, SSL_CTX_set_cipher_list, (void *ctx, const char *list)) \
	F(int, SSL_CTX_load_verify_locations, (void *ctx, const char *file, const char *directory)) \
	F(void *, SSL_CTX_get_cert_store, (const void *ctx)) \
	F(void, SSL_CTX_set1_cert_store, (void *ctx, void *store)) \
	F(int, SSL_CTX_use_certificate, (void *ctx, void *cert)) \
	F(int, SSL_CTX_use_PrivateKey, (void *ctx, void *key)) \
	F(void *, SSL_CTX_get0_certificate, (const void *ctx)) \
	F(void *, SSL_CTX_get0_privatekey, (const void *ctx)) \
	F(void *, SSL_CTX_get0_param, (void *ctx)) \
	F(int, SSL_CTX_set_ex_data, (void *ctx, int index, void *value)) \
	F(void *, SSL_CTX_get_ex_data, (const void *ctx, int index)) \
	F(void, SSL_CTX_set_info_callback, (void *ctx, gomosq_info_callback *callback)) \
	F(void, SSL_CTX_set_verify, (void *ctx, int mode, void *callback)) \
	F(void *, SSL_get_SSL_CTX, (const void *ssl)) \
	F(void *, SSL_get0_param, (void *ssl)) \
	F(const char *, SSL_get_servername, (const void *ssl, int type)) \
	F(long, SSL_ctrl, (void *ssl, int command, long number, void *value)) \
	F(void, SSL_set_verify, (void *ssl, int mode, void *callback)) \
	F(int, SSL_set_cipher_list, (void *ssl, const char *list)) \
	F(int, SSL_set_alpn_protos, (void *ssl, const unsigned char *protocols, unsigned len)) \
	F(int, SSL_use_cert_and_key, (void *ssl, void *cert, void *key, void *chain, int override)) \
	F(void, SSL_set_psk_client_callback, (void *ssl, gomosq_psk_callback *callback)) \
	F(int, X509_VERIFY_PARAM_set1_host, (void *param, const char *name, size_t len)) \
	F(int, X509_VERIFY_PARAM_set1_ip_asc, (void *param, const char *address)) \
	F(void, X509_VERIFY_PARAM_set_hostflags, (void *param, unsigned flags)) \
	F(int, X509_STORE_add_cert, (void *store, void *cert)) \
	F(int, X509_STORE_up_ref, (void *store)) \
	F(void, X509_STORE_free, (void *store)) \
	F(void, X509_free, (void *cert)) \
	F(void, EVP_PKEY_free, (void *key)) \
	F(void *, BIO_new_mem_buf, (const void *data, int len)) \
	F(int, BIO_free, (void *bio)) \
	F(void *, PEM_read_bio_X509, (void *bio, void **cert, gomosq_pem_password *callback, void *password)) \
	F(void *, PEM_read_bio_X509_AUX, (void *bio, void **cert, gomosq_pem_password *callback, void *password)) \
	F(void *, PEM_read_bio_PrivateKey, (void *bio, void **key, gomosq_pem_password *callback, void *password)) \
	F(unsigned long, ERR_peek_last_error, (void)) \
	F(unsigned long, ERR_get_error, (void)) \
	F(const char *, ERR_reason_error_string, (unsigned long error)) \
	F(void, ERR_clear_error, (void)) \
	F(int, CRYPTO_get_ex_new_index, (int kind, long argl, void *argp, void *new_func, void *dup_func, gomosq_ex_free *free_func))

#ifdef GOMOSQ_LINK_OPENSSL /* for fully static programs, which have no dlsym */

#define GOMOSQ_DECLARE(result, name, arguments) extern result name arguments;
GOMOSQ_OPENSSL_FUNCTIONS(GOMOSQ_DECLARE)
#define GOMOSQ_OPENSSL(name) name

static inline bool gomosq_openssl_look_up(void) { return true; }

#else /* the functions of the OpenSSL that the library has loaded */

#define GOMOSQ_DECLARE(result, name, arguments) result (*name) arguments;
static struct { GOMOSQ_OPENSSL_FUNCTIONS(GOMOSQ_DECLARE) } gomosq_openssl; /* written once, by gomosq_openssl_look_up */
#define GOMOSQ_OPENSSL(name) gomosq_openssl.name

static inline bool gomosq_openssl_look_up(void)
{
	void *f;

#define GOMOSQ_LOOK_UP(result, name, arguments) \
	f = gomosq_openssl_symbol(#name); \
	if(f == NULL) return false; \
	memcpy(&gomosq_openssl.name, &f, sizeof(f));
	GOMOSQ_OPENSSL_FUNCTIONS(GOMOSQ_LOOK_UP)
#undef GOMOSQ_LOOK_UP
	return true;
}

#endif

/* The settings of the next connections. Clients with the same settings share them: to make
 * a context and to parse a key takes longer than all other work of SetTLS. */
struct gomosq_tls {
	int uses;            /* references; guarded by gomosq_shared_tls.mu */
	struct gomosq_tls *next; /* the next shared settings; guarded by gomosq_shared_tls.mu */
	unsigned char sum[GOMOSQ_TLS_SUM]; /* checksum of shared settings */
	void *ctx;           /* holds the trusted certificates, and the client's certificate, chain and key */
	char *server_name;   /* NULL: the host of the connect */
	char *ciphers;       /* NULL: OpenSSL's default */
	char *protocols;     /* ALPN, as in the handshake; NULL for none */
	unsigned protocols_len;
	char *psk_identity;  /* NULL: no PSK */
	char *psk;
	size_t psk_len;
	long min_version;
	bool any_name;       /* the certificate may have any name */
	bool any_cert;       /* any certificate is accepted */
};

/* The reason why OpenSSL refused a setting; empty if it accepted the setting. */
struct gomosq_tls_refusal { char text[256]; };

/* The index of the settings in the extra data of an SSL_CTX, or -1 without OpenSSL.
 * Written once. */
static int gomosq_tls_place = -1;

/* The settings that a new client may share. */
static struct {
	pthread_mutex_t mu;
	struct gomosq_tls *first;
} gomosq_shared_tls = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* Returns the shared settings with a checksum, or NULL. The caller must free them. */
static inline struct gomosq_tls *gomosq_tls_find(const void *sum)
{
	struct gomosq_tls *t;

	pthread_mutex_lock(&gomosq_shared_tls.mu);
	for(t = gomosq_shared_tls.first; t && memcmp(t->sum, sum, GOMOSQ_TLS_SUM); t = t->next);
	if(t) t->uses++;
	pthread_mutex_unlock(&gomosq_shared_tls.mu);
	return t;
}

/* Shares complete settings. */
static inline void gomosq_tls_share(struct gomosq_tls *t, const void *sum)
{
	memcpy(t->sum, sum, GOMOSQ_TLS_SUM);
	pthread_mutex_lock(&gomosq_shared_tls.mu);
	t->next = gomosq_shared_tls.first;
	gomosq_shared_tls.first = t;
	pthread_mutex_unlock(&gomosq_shared_tls.mu);
}

/* Reports whether the caller was the last to use the settings. Nobody can find them then. */
static inline bool gomosq_tls_last_use(struct gomosq_tls *t)
{
	struct gomosq_tls **link;
	bool last;

	pthread_mutex_lock(&gomosq_shared_tls.mu);
	last = --t->uses == 0;
	for(link = &gomosq_shared_tls.first; last && *link; link = &(*link)->next){
		if(*link != t) continue;
		*link = t->next;
		break;
	}
	pthread_mutex_unlock(&gomosq_shared_tls.mu);
	return last;
}

static inline void gomosq_tls_free(struct gomosq_tls *t)
{
	if(t == NULL || !gomosq_tls_last_use(t)) return;
	GOMOSQ_OPENSSL(SSL_CTX_free)(t->ctx);
	free(t->server_name);
	free(t->ciphers);
	free(t->protocols);
	free(t->psk_identity);
	free(t->psk);
	free(t);
}

/* OpenSSL calls this function when it frees the context of a client. */
static inline void gomosq_tls_place_free(void *parent, void *value, void *ad, int index, long argl, void *argp)
{
	(void)parent; (void)ad; (void)index; (void)argl; (void)argp;
	gomosq_tls_free(value);
}

static inline void gomosq_tls_init(void)
{
	if(!gomosq_openssl_look_up()) return;
	gomosq_tls_place = GOMOSQ_OPENSSL(CRYPTO_get_ex_new_index)(GOMOSQ_CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, gomosq_tls_place_free);
}

static inline bool gomosq_tls_ready(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, gomosq_tls_init);
	return gomosq_tls_place >= 0;
}

/* Makes settings without trusted certificates. Returns NULL without OpenSSL or memory. */
static inline struct gomosq_tls *gomosq_tls_new(long min_version, bool any_name, bool any_cert)
{
	struct gomosq_tls *t;

	if(!gomosq_tls_ready()) return NULL;
	t = calloc(1, sizeof(*t));
	if(t == NULL) return NULL;
	GOMOSQ_OPENSSL(ERR_clear_error)();
	t->ctx = GOMOSQ_OPENSSL(SSL_CTX_new)(GOMOSQ_OPENSSL(TLS_client_method)());
	GOMOSQ_OPENSSL(ERR_clear_error)();
	if(t->ctx == NULL){
		free(t);
		return NULL;
	}
	t->uses = 1;
	t->min_version = min_version;
	t->any_name = any_name;
	t->any_cert = any_cert;
	return t;
}

/* Ends the reading of a setting. It must empty OpenSSL's error queue, because the library
 * would report the remaining errors as its own. */
static inline struct gomosq_tls_refusal gomosq_tls_done(bool accepted, const char *otherwise)
{
	struct gomosq_tls_refusal r = {""};
	const char *reason = NULL;

	if(!accepted){
		if(otherwise == NULL) reason = GOMOSQ_OPENSSL(ERR_reason_error_string)(GOMOSQ_OPENSSL(ERR_get_error)());
		snprintf(r.text, sizeof(r.text), "%s", otherwise ? otherwise : reason ? reason : "refused by OpenSSL");
	}
	GOMOSQ_OPENSSL(ERR_clear_error)();
	return r;
}

static inline bool gomosq_tls_end_of_pem(void)
{
	return (GOMOSQ_OPENSSL(ERR_peek_last_error)() & GOMOSQ_ERR_REASON) == GOMOSQ_PEM_NO_START_LINE;
}

/* Trusts the certificates in a PEM text. */
static inline struct gomosq_tls_refusal gomosq_tls_trust(struct gomosq_tls *t, const void *pem, int len)
{
	void *bio = GOMOSQ_OPENSSL(BIO_new_mem_buf)(pem, len);
	void *cert;
	int count = 0;
	bool good = bio != NULL;

	while(good && (cert = GOMOSQ_OPENSSL(PEM_read_bio_X509_AUX)(bio, NULL, NULL, NULL)) != NULL){
		good = GOMOSQ_OPENSSL(X509_STORE_add_cert)(GOMOSQ_OPENSSL(SSL_CTX_get_cert_store)(t->ctx), cert) == 1;
		GOMOSQ_OPENSSL(X509_free)(cert);
		count++;
	}
	good = good && gomosq_tls_end_of_pem();
	GOMOSQ_OPENSSL(BIO_free)(bio);
	return gomosq_tls_done(good && count > 0, good ? "no certificate in PEM form" : NULL);
}

/* Returns the store of the trusted certificates, or NULL. The caller must free it with
 * gomosq_tls_store_free. */
static inline void *gomosq_tls_store(const struct gomosq_tls *t)
{
	void *store = GOMOSQ_OPENSSL(SSL_CTX_get_cert_store)(t->ctx);

	return GOMOSQ_OPENSSL(X509_STORE_up_ref)(store) == 1 ? store : NULL;
}

/* Trusts the certificates in a store, which other settings use too. */
static inline void gomosq_tls_trust_store(struct gomosq_tls *t, void *store) { GOMOSQ_OPENSSL(SSL_CTX_set1_cert_store)(t->ctx, store); }

static inline void gomosq_tls_store_free(void *store) { GOMOSQ_OPENSSL(X509_STORE_free)(store); }

/* Trusts the certificates in a directory that "openssl rehash" has prepared. */
static inline struct gomosq_tls_refusal gomosq_tls_trust_directory(struct gomosq_tls *t, const char *path)
{
	return gomosq_tls_done(GOMOSQ_OPENSSL(SSL_CTX_load_verify_locations)(t->ctx, NULL, path) == 1, NULL);
}

/* Sets the client's certificate, and the chain that follows it in the same PEM text. */
static inline struct gomosq_tls_refusal gomosq_tls_certificate(struct gomosq_tls *t, const void *pem, int len)
{
	void *bio = GOMOSQ_OPENSSL(BIO_new_mem_buf)(pem, len);
	void *cert = bio ? GOMOSQ_OPENSSL(PEM_read_bio_X509_AUX)(bio, NULL, NULL, NULL) : NULL;
	const char *otherwise = bio && cert == NULL && gomosq_tls_end_of_pem() ? "no certificate in PEM form" : NULL;
	bool good = cert != NULL && GOMOSQ_OPENSSL(SSL_CTX_use_certificate)(t->ctx, cert) == 1;

	GOMOSQ_OPENSSL(X509_free)(cert);
	while(good && (cert = GOMOSQ_OPENSSL(PEM_read_bio_X509)(bio, NULL, NULL, NULL)) != NULL){
		good = GOMOSQ_OPENSSL(SSL_CTX_ctrl)(t->ctx, GOMOSQ_SSL_CTRL_CHAIN_CERT, 0, cert) == 1; /* owns cert from now on */
		if(!good) GOMOSQ_OPENSSL(X509_free)(cert);
	}
	good = good && gomosq_tls_end_of_pem();
	GOMOSQ_OPENSSL(BIO_free)(bio);
	return gomosq_tls_done(good, otherwise);
}

/* Returns the password of a key. OpenSSL would ask on the terminal without it. */
static inline int gomosq_tls_key_password(char *buf, int size, int rw, void *password)
{
	size_t len = password ? strlen(password) : 0;

	(void)rw;
	if(len == 0 || len > (size_t)size) return 0;
	memcpy(buf, password, len);
	return (int)len;
}

/* Sets the private key for the client certificate. */
static inline struct gomosq_tls_refusal gomosq_tls_key(struct gomosq_tls *t, const void *pem, int len, char *password)
{
	void *bio = GOMOSQ_OPENSSL(BIO_new_mem_buf)(pem, len);
	void *key = bio ? GOMOSQ_OPENSSL(PEM_read_bio_PrivateKey)(bio, NULL, gomosq_tls_key_password, password) : NULL;
	bool good = key != NULL && GOMOSQ_OPENSSL(SSL_CTX_use_PrivateKey)(t->ctx, key) == 1;

	GOMOSQ_OPENSSL(EVP_PKEY_free)(key);
	GOMOSQ_OPENSSL(BIO_free)(bio);
	return gomosq_tls_done(good, NULL);
}

static inline struct gomosq_tls_refusal gomosq_tls_ciphers(struct gomosq_tls *t, const char *list)
{
	t->ciphers = strdup(list);
	return gomosq_tls_done(t->ciphers && GOMOSQ_OPENSSL(SSL_CTX_set_cipher_list)(t->ctx, list) == 1, NULL);
}

static inline char *gomosq_tls_copy(const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	if(copy){
		memcpy(copy, data, len);
		copy[len] = 0;
	}
	return copy;
}

/* Sets the texts that OpenSSL need not check. Returns false without memory. */
static inline bool gomosq_tls_names(struct gomosq_tls *t, const char *server_name, const void *protocols, size_t protocols_len)
{
	if(server_name) t->server_name = strdup(server_name);
	if(protocols_len) t->protocols = gomosq_tls_copy(protocols, protocols_len);
	t->protocols_len = (unsigned)protocols_len;
	return (!server_name || t->server_name) && (!protocols_len || t->protocols);
}

static inline bool gomosq_tls_psk(struct gomosq_tls *t, const char *identity, const void *psk, size_t len)
{
	t->psk_identity = strdup(identity);
	t->psk = gomosq_tls_copy(psk, len);
	t->psk_len = len;
	return t->psk_identity && t->psk;
}

/* OpenSSL calls this function during a handshake with a PSK. */
static inline unsigned gomosq_tls_send_psk(void *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *psk, unsigned max_psk)
{
	struct gomosq_tls *t = GOMOSQ_OPENSSL(SSL_CTX_get_ex_data)(GOMOSQ_OPENSSL(SSL_get_SSL_CTX)(ssl), gomosq_tls_place);

	(void)hint;
	if(t == NULL || t->psk == NULL || t->psk_len > max_psk || strlen(t->psk_identity) >= max_identity) return 0;
	strcpy(identity, t->psk_identity);
	memcpy(psk, t->psk, t->psk_len);
	return (unsigned)t->psk_len;
}

/* Makes OpenSSL check the name in the broker's certificate, and asks for the server name
 * in place of the host that the library has asked for. */
static inline void gomosq_tls_expect(void *ssl, const struct gomosq_tls *t)
{
	void *param = GOMOSQ_OPENSSL(SSL_get0_param)(ssl);
	const char *name = t->server_name ? t->server_name : GOMOSQ_OPENSSL(SSL_get_servername)(ssl, 0);
	unsigned char address[16];

	if(t->any_name || t->any_cert){
		GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set1_host)(param, NULL, 0);
		return;
	}
	if(name == NULL) return; /* the name that the context demands has no certificate */
	if(inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1){
		if(GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set1_ip_asc)(param, name) == 1) GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set1_host)(param, NULL, 0);
		return;
	}
	GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set_hostflags)(param, GOMOSQ_X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set1_host)(param, name, 0);
	if(t->server_name) GOMOSQ_OPENSSL(SSL_ctrl)(ssl, GOMOSQ_SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, t->server_name);
}

/* Applies the settings to a connection. */
static inline void gomosq_tls_apply(void *ssl, const struct gomosq_tls *t)
{
	void *cert, *chain = NULL;

	gomosq_tls_expect(ssl, t);
	GOMOSQ_OPENSSL(SSL_set_verify)(ssl, t->any_cert ? GOMOSQ_SSL_VERIFY_NONE : GOMOSQ_SSL_VERIFY_PEER, NULL);
	GOMOSQ_OPENSSL(SSL_ctrl)(ssl, GOMOSQ_SSL_CTRL_SET_MIN_PROTO_VERSION, t->min_version, NULL);
	if(t->ciphers) GOMOSQ_OPENSSL(SSL_set_cipher_list)(ssl, t->ciphers);
	if(t->protocols) GOMOSQ_OPENSSL(SSL_set_alpn_protos)(ssl, (unsigned char *)t->protocols, t->protocols_len);
	if(t->psk){
		GOMOSQ_OPENSSL(SSL_ctrl)(ssl, GOMOSQ_SSL_CTRL_SET_MAX_PROTO_VERSION, GOMOSQ_TLS1_2, NULL);
		GOMOSQ_OPENSSL(SSL_set_psk_client_callback)(ssl, gomosq_tls_send_psk);
	}
	cert = GOMOSQ_OPENSSL(SSL_CTX_get0_certificate)(t->ctx);
	if(cert){
		GOMOSQ_OPENSSL(SSL_CTX_ctrl)(t->ctx, GOMOSQ_SSL_CTRL_GET_CHAIN_CERTS, 0, &chain);
		GOMOSQ_OPENSSL(SSL_use_cert_and_key)(ssl, cert, GOMOSQ_OPENSSL(SSL_CTX_get0_privatekey)(t->ctx), chain, 1);
	}
}

/* OpenSSL calls this function when a handshake starts, and when it sends an alert. Without
 * settings the context trusts no certificate. */
static inline void gomosq_tls_info(const void *connection, int where, int value)
{
	void *ssl = (void *)connection;
	struct gomosq_tls *t = GOMOSQ_OPENSSL(SSL_CTX_get_ex_data)(GOMOSQ_OPENSSL(SSL_get_SSL_CTX)(ssl), gomosq_tls_place);

	if(t == NULL) return;
	if(where & GOMOSQ_SSL_CB_HANDSHAKE_START){
		gomosq_thread.refused = 0;
		gomosq_tls_apply(ssl, t);
	}
	if(where == GOMOSQ_SSL_CB_WRITE_ALERT && value >> 8 == GOMOSQ_SSL_ALERT_FATAL && !t->any_cert){
		gomosq_thread.refused = (int)GOMOSQ_OPENSSL(SSL_get_verify_result)(ssl);
	}
}

/* Returns the text of a reason in struct gomosq_thread. */
static inline const char *gomosq_tls_refusal_text(int reason) { return GOMOSQ_OPENSSL(X509_verify_cert_error_string)(reason); }

/* Makes the context of a client. It accepts no certificate, because it demands a name that
 * no certificate has. */
static inline void *gomosq_tls_context(void)
{
	void *ctx = GOMOSQ_OPENSSL(SSL_CTX_new)(GOMOSQ_OPENSSL(TLS_client_method)());

	if(ctx == NULL) return NULL;
	if(GOMOSQ_OPENSSL(X509_VERIFY_PARAM_set1_host)(GOMOSQ_OPENSSL(SSL_CTX_get0_param)(ctx), "no-settings.invalid", 0) != 1){
		GOMOSQ_OPENSSL(SSL_CTX_free)(ctx);
		return NULL;
	}
	GOMOSQ_OPENSSL(SSL_CTX_set_verify)(ctx, GOMOSQ_SSL_VERIFY_PEER, NULL);
	GOMOSQ_OPENSSL(SSL_CTX_ctrl)(ctx, GOMOSQ_SSL_CTRL_MODE, GOMOSQ_SSL_MODE_RELEASE_BUFFERS, NULL);
	GOMOSQ_OPENSSL(SSL_CTX_set_info_callback)(ctx, gomosq_tls_info);
	return ctx;
}

/* Replaces the settings of a client's context, and owns them if it returns true. The
 * library verifies OCSP answers with the context's own store. */
static inline bool gomosq_tls_replace(void *ctx, struct gomosq_tls *t)
{
	struct gomosq_tls *old = GOMOSQ_OPENSSL(SSL_CTX_get_ex_data)(ctx, gomosq_tls_place);

	if(GOMOSQ_OPENSSL(SSL_CTX_set_ex_data)(ctx, gomosq_tls_place, t) != 1) return false;
	GOMOSQ_OPENSSL(SSL_CTX_set1_cert_store)(ctx, t ? GOMOSQ_OPENSSL(SSL_CTX_get_cert_store)(t->ctx) : NULL);
	gomosq_tls_free(old);
	return true;
}

#endif
