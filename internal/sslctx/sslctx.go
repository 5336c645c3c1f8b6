// Package sslctx calls OpenSSL for tests. It creates an SSL_CTX, reads a connection's
// SSL object, and creates directories with hashed CA names and OCSP responses.
package sslctx

/*
#cgo pkg-config: openssl
#include <stdlib.h>
#include <time.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

static SSL_CTX *new_context(const char *cafile)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if(ctx == NULL) return NULL;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if(SSL_CTX_load_verify_locations(ctx, cafile, NULL) != 1){
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static X509 *read_cert(const char *file)
{
	BIO *bio = BIO_new_file(file, "r");
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

static EVP_PKEY *read_key(const char *file)
{
	BIO *bio = BIO_new_file(file, "r");
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static unsigned long name_hash(const char *file)
{
	X509 *cert = read_cert(file);
	unsigned long hash = cert ? X509_subject_name_hash(cert) : 0;

	X509_free(cert);
	return hash;
}

// ocsp_response encodes an OCSP response for a certificate, signed by its CA. It
// returns the length, or 0 on failure.
static int ocsp_response(const char *cafile, const char *cakey, const char *certfile, int status, unsigned char **out)
{
	X509 *ca = read_cert(cafile), *cert = read_cert(certfile);
	EVP_PKEY *key = read_key(cakey);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0), *later = X509_gmtime_adj(NULL, 3600);
	OCSP_CERTID *id = NULL;
	OCSP_RESPONSE *response = NULL;
	int len = 0;

	*out = NULL;
	if(ca && cert && key && basic && now && later) id = OCSP_cert_to_id(EVP_sha1(), cert, ca);
	if(id && OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_NOSTATUS, now, now, later)
			&& OCSP_basic_sign(basic, ca, key, EVP_sha256(), NULL, 0)){

		response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	}
	if(response) len = i2d_OCSP_RESPONSE(response, out);
	OCSP_RESPONSE_free(response);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(now);
	ASN1_TIME_free(later);
	EVP_PKEY_free(key);
	X509_free(cert);
	X509_free(ca);
	return len > 0 ? len : 0;
}

static void free_der(unsigned char *der) { OPENSSL_free(der); }
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

// New creates an SSL_CTX that trusts the CA in caFile. It is freed when the test
// ends.
func New(tb testing.TB, caFile string) unsafe.Pointer {
	tb.Helper()
	file := C.CString(caFile)
	defer C.free(unsafe.Pointer(file))
	ctx := C.new_context(file)
	if ctx == nil {
		tb.Fatalf("sslctx: create an SSL_CTX with the CA file %s: OpenSSL failed", caFile)
	}
	tb.Cleanup(func() { C.SSL_CTX_free(ctx) })
	return unsafe.Pointer(ctx)
}

// Version returns the protocol version of a connection, for example "TLSv1.3".
func Version(ssl unsafe.Pointer) string { return C.GoString(C.SSL_get_version((*C.SSL)(ssl))) }

// Cipher returns the name of a connection's cipher.
func Cipher(ssl unsafe.Pointer) string {
	return C.GoString(C.SSL_CIPHER_get_name(C.SSL_get_current_cipher((*C.SSL)(ssl))))
}

// HashedDir creates a directory with one CA certificate under its hashed name, as
// "openssl rehash" does.
func HashedDir(tb testing.TB, caFile string) string {
	tb.Helper()
	file := C.CString(caFile)
	defer C.free(unsafe.Pointer(file))
	text, err := os.ReadFile(caFile)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	name := fmt.Sprintf("%08x.0", uint32(C.name_hash(file)))
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// The certificate states of an OCSP response.
const (
	Good    = C.V_OCSP_CERTSTATUS_GOOD
	Revoked = C.V_OCSP_CERTSTATUS_REVOKED
)

// OCSPAnswer returns an encoded OCSP response for a certificate, as a server staples
// it. The CA signs it.
func OCSPAnswer(tb testing.TB, caFile, caKeyFile, certFile string, status int) []byte {
	tb.Helper()
	var texts [3]*C.char
	for i, file := range []string{caFile, caKeyFile, certFile} {
		texts[i] = C.CString(file)
		defer C.free(unsafe.Pointer(texts[i]))
	}
	var der *C.uchar
	n := C.ocsp_response(texts[0], texts[1], texts[2], C.int(status), &der)
	if n == 0 {
		tb.Fatalf("sslctx: create an OCSP response for %s: OpenSSL failed", certFile)
	}
	defer C.free_der(der)
	return C.GoBytes(unsafe.Pointer(der), n)
}
