/* An SSL_CTX for a broker whose certificate has another name than the host of the
 * connect. It looks up the functions of the OpenSSL that the library has loaded, and
 * needs no OpenSSL header. Included by mosquitto_cgo.go only. */
#ifndef GOMOSQ_TLSCTX_H
#define GOMOSQ_TLSCTX_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values of OpenSSL's, which its ABI keeps. */
#define GOMOSQ_SSL_FILETYPE_PEM 1
#define GOMOSQ_SSL_VERIFY_PEER 1
#define GOMOSQ_SSL_CTRL_SET_TLSEXT_HOSTNAME 55
#define GOMOSQ_SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define GOMOSQ_SSL_CB_HANDSHAKE_START 0x10
#define GOMOSQ_CRYPTO_EX_INDEX_SSL_CTX 1
#define GOMOSQ_X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS 4

/* The settings of a context. Texts are NULL if not set. */
struct gomosq_tls {
	const char *server_name, *ca_file, *ca_path, *cert_file, *key_file, *key_password, *ciphers, *alpn;
	long min_version;
};

struct gomosq_tls_made {
	void *ctx;        /* NULL if a part was refused */
	const char *part; /* its name */
	char text[256];   /* the reason */
};

/* Finds a function of OpenSSL's; p is the address of a pointer to it. */
static inline bool gomosq_openssl(const char *name, void *p)
{
	void *f = dlsym(RTLD_DEFAULT, name);

	memcpy(p, &f, sizeof(f));
	return f != NULL;
}

static inline void gomosq_name_free(void *parent, void *name, void *ad, int index, long argl, void *argp)
{
	(void)parent; (void)ad; (void)index; (void)argl; (void)argp;
	free(name);
}

static int gomosq_name_place = -1; /* written once, by gomosq_name_place_find */

static inline void gomosq_name_place_find(void)
{
	int (*new_index)(int, long, void *, void *, void *, void (*)(void *, void *, void *, int, long, void *));

	if(!gomosq_openssl("CRYPTO_get_ex_new_index", &new_index)) return;
	gomosq_name_place = new_index(GOMOSQ_CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, gomosq_name_free);
}

/* The index of the server name in the extra data of a context, which frees the name. -1
 * without OpenSSL. Contexts may be made and used on several threads. */
static inline int gomosq_name_index(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, gomosq_name_place_find);
	return gomosq_name_place;
}

/* Asks for the server name at the start of a handshake, in place of the host that
 * the library has asked for. */
static inline void gomosq_ask_name(const void *ssl, int where, int ret)
{
	void *(*get_ctx)(const void *);
	void *(*get_data)(const void *, int);
	long (*ctrl)(const void *, int, long, void *);
	void *name;

	(void)ret;
	if(!(where & GOMOSQ_SSL_CB_HANDSHAKE_START)) return;
	if(!gomosq_openssl("SSL_get_SSL_CTX", &get_ctx) || !gomosq_openssl("SSL_CTX_get_ex_data", &get_data)
			|| !gomosq_openssl("SSL_ctrl", &ctrl)) return;
	name = get_data(get_ctx(ssl), gomosq_name_index());
	if(name) ctrl(ssl, GOMOSQ_SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, name);
}

/* Never asks on the terminal. */
static inline int gomosq_key_password(char *buf, int size, int rw, void *password)
{
	size_t len = password ? strlen(password) : 0;

	(void)rw;
	if(len == 0 || len > (size_t)size) return 0;
	memcpy(buf, password, len);
	return (int)len;
}

/* The certificate must be for name; an address is no name to ask for. */
static inline bool gomosq_expect_name(void *ctx, const char *name)
{
	void *(*get_param)(void *);
	int (*set_host)(void *, const char *, size_t);
	int (*set_ip)(void *, const char *);
	void (*set_flags)(void *, unsigned);
	int (*set_data)(void *, int, void *);
	void (*set_callback)(void *, void (*)(const void *, int, int));
	unsigned char address[16];
	char *copy;

	if(!gomosq_openssl("SSL_CTX_get0_param", &get_param) || !gomosq_openssl("X509_VERIFY_PARAM_set1_host", &set_host)
			|| !gomosq_openssl("X509_VERIFY_PARAM_set1_ip_asc", &set_ip) || !gomosq_openssl("X509_VERIFY_PARAM_set_hostflags", &set_flags)
			|| !gomosq_openssl("SSL_CTX_set_ex_data", &set_data) || !gomosq_openssl("SSL_CTX_set_info_callback", &set_callback)
			|| gomosq_name_index() < 0) return false;
	if(inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1){
		return set_ip(get_param(ctx), name) == 1;
	}
	set_flags(get_param(ctx), GOMOSQ_X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	copy = strdup(name);
	if(copy == NULL || set_host(get_param(ctx), name, 0) != 1 || set_data(ctx, gomosq_name_index(), copy) != 1){
		free(copy);
		return false;
	}
	set_callback(ctx, gomosq_ask_name);
	return true;
}

/* Applies the settings t. Returns the name of the setting that OpenSSL refused, or NULL. */
static inline const char *gomosq_tls_apply(void *ctx, const struct gomosq_tls *t)
{
	int (*trust)(void *, const char *, const char *), (*certificate)(void *, const char *), (*key)(void *, const char *, int);
	int (*ciphers)(void *, const char *), (*alpn)(void *, const unsigned char *, unsigned);
	long (*ctrl)(void *, int, long, void *);
	void (*password)(void *, int (*)(char *, int, int, void *)), (*password_data)(void *, const void *);
	void (*verify)(void *, int, void *);
	unsigned char wire[256];

	if(!gomosq_openssl("SSL_CTX_load_verify_locations", &trust) || !gomosq_openssl("SSL_CTX_use_certificate_chain_file", &certificate)
			|| !gomosq_openssl("SSL_CTX_use_PrivateKey_file", &key) || !gomosq_openssl("SSL_CTX_set_cipher_list", &ciphers)
			|| !gomosq_openssl("SSL_CTX_set_alpn_protos", &alpn) || !gomosq_openssl("SSL_CTX_ctrl", &ctrl)
			|| !gomosq_openssl("SSL_CTX_set_default_passwd_cb", &password) || !gomosq_openssl("SSL_CTX_set_default_passwd_cb_userdata", &password_data)
			|| !gomosq_openssl("SSL_CTX_set_verify", &verify)) return "OpenSSL";
	verify(ctx, GOMOSQ_SSL_VERIFY_PEER, NULL);
	password(ctx, gomosq_key_password);
	password_data(ctx, t->key_password); /* for this call only */
	if(ctrl(ctx, GOMOSQ_SSL_CTRL_SET_MIN_PROTO_VERSION, t->min_version, NULL) != 1) return "MinVersion";
	if(trust(ctx, t->ca_file, t->ca_path) != 1) return "CAFile, CAPath";
	if(t->cert_file && certificate(ctx, t->cert_file) != 1) return "CertFile";
	if(t->key_file && key(ctx, t->key_file, GOMOSQ_SSL_FILETYPE_PEM) != 1) return "KeyFile";
	password_data(ctx, NULL);
	if(t->ciphers && ciphers(ctx, t->ciphers) != 1) return "Ciphers";
	if(t->alpn){
		wire[0] = (unsigned char)strlen(t->alpn); /* at most 254: the caller has looked */
		memcpy(wire + 1, t->alpn, wire[0]);
		if(alpn(ctx, wire, wire[0] + 1U) != 0) return "ALPN";
	}
	if(t->server_name && !gomosq_expect_name(ctx, t->server_name)) return "ServerName";
	return NULL;
}

static inline void gomosq_tls_free(void *ctx)
{
	void (*ctx_free)(void *);

	if(gomosq_openssl("SSL_CTX_free", &ctx_free)) ctx_free(ctx);
}

static inline struct gomosq_tls_made gomosq_tls_make(const char *server_name, const char *ca_file, const char *ca_path,
		const char *cert_file, const char *key_file, const char *key_password, const char *ciphers, const char *alpn, long min_version)
{
	struct gomosq_tls t = {server_name, ca_file, ca_path, cert_file, key_file, key_password, ciphers, alpn, min_version};
	struct gomosq_tls_made made = {NULL, "OpenSSL", "not loaded"};
	const void *(*method)(void);
	void *(*ctx_new)(const void *);
	unsigned long (*get_error)(void);
	const char *(*reason)(unsigned long);
	void (*clear)(void);
	const char *text;

	if(!gomosq_openssl("TLS_client_method", &method) || !gomosq_openssl("SSL_CTX_new", &ctx_new)
			|| !gomosq_openssl("ERR_get_error", &get_error) || !gomosq_openssl("ERR_reason_error_string", &reason)
			|| !gomosq_openssl("ERR_clear_error", &clear)) return made;
	clear(); /* the library takes what is left of errors for its own */
	made.ctx = ctx_new(method());
	if(made.ctx == NULL) return made;
	made.part = gomosq_tls_apply(made.ctx, &t);
	if(made.part){
		text = reason(get_error());
		snprintf(made.text, sizeof(made.text), "%s", text ? text : "refused by OpenSSL");
		gomosq_tls_free(made.ctx);
		made.ctx = NULL;
	}
	clear();
	return made;
}

#endif
