//go:build cgo

package mosquitto

// This is the only file that calls C. It has one small function per library function, in
// the order of mosquitto.h, and converts between Go types and C types. It has no policy and
// no locks, and exports nothing.

/*
#cgo pkg-config: libmosquitto
#cgo CFLAGS: -I${SRCDIR}/include -D_GNU_SOURCE -Wall -Wextra
#cgo linux LDFLAGS: -lpthread
#cgo mosquitto_portable CFLAGS: -DGOMOSQ_PORTABLE

// Only helpers without a client: any call with one may log, hence call back.
#cgo noescape gomosq_topic_matches_sub
#cgo nocallback gomosq_topic_matches_sub
#cgo noescape gomosq_topic_matches_sub2
#cgo nocallback gomosq_topic_matches_sub2
#cgo noescape mosquitto_pub_topic_check
#cgo nocallback mosquitto_pub_topic_check
#cgo noescape mosquitto_sub_topic_check
#cgo nocallback mosquitto_sub_topic_check
#cgo noescape mosquitto_pub_topic_check2
#cgo nocallback mosquitto_pub_topic_check2
#cgo noescape mosquitto_sub_topic_check2
#cgo nocallback mosquitto_sub_topic_check2
#cgo noescape mosquitto_validate_utf8
#cgo nocallback mosquitto_validate_utf8

#include "shims.h"
#include "run.h"
*/
import "C"

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	_ "github.com/mosquitto-go/mosquitto/include" // kept by go mod vendor
)

// go build does not notice edits in include/. A test compares this stamp with the
// headers, so that each edit of a header changes this file too.
// include-stamp: e91eee25d19608e1

type (
	cClient   = C.struct_gomosq_client
	cProperty = C.struct_gomosq_property
	cMessage  = C.struct_mosquitto_message
)

// result holds the results of a library call, all read in the same C call.
type result struct {
	rc       int
	errno    int // valid only if rc is cErrErrno or cErrEAI
	mid      int
	panicked int // ticket of a panic that a callback of this call raised
	refused  int // OpenSSL's reason why it does not accept the broker's certificate, 0 if there is none
}

func goResult(r C.struct_gomosq_result) result {
	return result{int(r.rc), int(r.err), int(r.mid), int(r.panicked), int(r.refused)}
}

// cRefusalText returns OpenSSL's text for the reason of a result.
func cRefusalText(reason int) string { return C.GoString(C.gomosq_tls_refusal_text(C.int(reason))) }

// cText returns s with a NUL at the end, in Go memory, for one call.
func cText(s string) *C.char {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return (*C.char)(unsafe.Pointer(&b[0]))
}

// cTextOrNull is cText, with NULL for the empty string.
func cTextOrNull(s string) *C.char {
	if s == "" {
		return nil
	}
	return cText(s)
}

func cBytes(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// cPacked joins texts, each with its NUL.
func cPacked(texts []string) *C.char {
	n := 0
	for _, s := range texts {
		n += len(s) + 1
	}
	b := make([]byte, 0, n)
	for _, s := range texts {
		b = append(append(b, s...), 0)
	}
	return (*C.char)(unsafe.Pointer(&b[0]))
}

// goText copies a text of C memory; data may be nil when n is 0.
func goText(data *C.char, n C.uint32_t) string {
	if n == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(data)), int(n)))
}

// Version and init.

func cLibVersion() (major, minor, revision int) {
	v := C.gomosq_lib_version()
	return int(v.major), int(v.minor), int(v.revision)
}

const cHeaderVersion = C.LIBMOSQUITTO_VERSION_NUMBER

func cLibInit() int    { return int(C.mosquitto_lib_init()) }
func cLibCleanup() int { return int(C.mosquitto_lib_cleanup()) }

// Create and destroy.

// cNew makes the client with its user data, trampolines and threading mode.
// errno is 0 if the library did not set it.
func cNew(id string, clean bool, handle uintptr) (c *cClient, errno int) {
	r := C.gomosq_new(cTextOrNull(id), C.bool(clean), C.uintptr_t(handle))
	return r.client, int(r.err)
}

func cDestroy(c *cClient) { C.gomosq_destroy(c) }

func cReinitialise(c *cClient, id string, clean bool) result {
	return goResult(C.gomosq_reinitialise(c, cTextOrNull(id), C.bool(clean)))
}

// pairLike lists the sockets that look like the library's socket pair before the library
// opens it.
type pairLike = C.struct_gomosq_pair_like

func cListPairLike(wide bool) pairLike { return C.gomosq_list_pair_like(C.bool(wide)) }

// cCloseOnExecPair marks the pair close-on-exec. before lists the sockets to leave alone. It
// returns how many sockets it has marked.
func cCloseOnExecPair(c *cClient, before *pairLike) int {
	return int(C.gomosq_cloexec_pair(c, before))
}

// Will.

func cWillSet(c *cClient, topic string, payload []byte, qos QoS, retain bool) result {
	return goResult(C.gomosq_will_set(c, cText(topic), C.int(len(payload)), cBytes(payload), C.int(qos), C.bool(retain)))
}

func cWillSetV5(c *cClient, topic string, payload []byte, qos QoS, retain bool, props []byte) result {
	return goResult(C.gomosq_will_set_v5(c, cText(topic), C.int(len(payload)), cBytes(payload), C.int(qos), C.bool(retain), cProps(props), C.size_t(len(props))))
}

func cWillClear(c *cClient) result { return goResult(C.gomosq_will_clear(c)) }

// Username and password, extended authentication.

func cUsernamePwSet(c *cClient, username, password string) result {
	return goResult(C.gomosq_username_pw_set(c, cTextOrNull(username), cTextOrNull(password)))
}

func cExtAuthContinue(c *cClient, method string, data, props []byte) result {
	return goResult(C.gomosq_ext_auth_continue(c, cText(method), C.uint16_t(len(data)), cBytes(data), cProps(props), C.size_t(len(props))))
}

// Connect and disconnect.

func cConnect(c *cClient, host string, port, keepalive int) result {
	return goResult(C.gomosq_connect(c, cText(host), C.int(port), C.int(keepalive)))
}

func cConnectBind(c *cClient, host string, port, keepalive int, bind string) result {
	return goResult(C.gomosq_connect_bind(c, cText(host), C.int(port), C.int(keepalive), cTextOrNull(bind)))
}

func cConnectBindV5(c *cClient, host string, port, keepalive int, bind string, props []byte) result {
	return goResult(C.gomosq_connect_bind_v5(c, cText(host), C.int(port), C.int(keepalive), cTextOrNull(bind), cProps(props), C.size_t(len(props))))
}

func cConnectAsync(c *cClient, host string, port, keepalive int) result {
	return goResult(C.gomosq_connect_async(c, cText(host), C.int(port), C.int(keepalive)))
}

func cConnectBindAsync(c *cClient, host string, port, keepalive int, bind string) result {
	return goResult(C.gomosq_connect_bind_async(c, cText(host), C.int(port), C.int(keepalive), cTextOrNull(bind)))
}

func cConnectSRV(c *cClient, host string, keepalive int, bind string) result {
	return goResult(C.gomosq_connect_srv(c, cText(host), C.int(keepalive), cTextOrNull(bind)))
}

func cReconnect(c *cClient) result      { return goResult(C.gomosq_reconnect(c)) }
func cReconnectAsync(c *cClient) result { return goResult(C.gomosq_reconnect_async(c)) }
func cDisconnect(c *cClient) result     { return goResult(C.gomosq_disconnect(c)) }

func cDisconnectV5(c *cClient, reason int, props []byte) result {
	return goResult(C.gomosq_disconnect_v5(c, C.int(reason), cProps(props), C.size_t(len(props))))
}

// cCut ends the connection without a DISCONNECT, under a loop on another thread.
func cCut(c *cClient) { C.gomosq_cut(c) }

// Publish, subscribe, unsubscribe.

// The client goes as a number and the payload as text: pointers that cgo would
// look through at run time.
func cPublish(c *cClient, topic string, payload []byte, qos QoS, retain bool) result {
	client := C.uintptr_t(uintptr(unsafe.Pointer(c))) // memory of C
	return goResult(C.gomosq_publish(client, (*C.char)(unsafe.Pointer(unsafe.StringData(topic))), C.size_t(len(topic)), (*C.char)(cBytes(payload)), C.int(len(payload)), C.int(qos), C.bool(retain)))
}

func cPublishV5(c *cClient, topic string, payload []byte, qos QoS, retain bool, props []byte) result {
	return goResult(C.gomosq_publish_v5(c, (*C.char)(unsafe.Pointer(unsafe.StringData(topic))), C.size_t(len(topic)), cBytes(payload), C.int(len(payload)), C.int(qos), C.bool(retain), cProps(props), C.size_t(len(props))))
}

func cSubscribe(c *cClient, filter string, qos QoS) result {
	return goResult(C.gomosq_subscribe(c, cText(filter), C.int(qos)))
}

func cSubscribeV5(c *cClient, filter string, qos QoS, options int, props []byte) result {
	return goResult(C.gomosq_subscribe_v5(c, cText(filter), C.int(qos), C.int(options), cProps(props), C.size_t(len(props))))
}

func cSubscribeMultiple(c *cClient, filters []string, qos QoS, options int, props []byte) result {
	return goResult(C.gomosq_subscribe_multiple(c, cPacked(filters), C.int(len(filters)), C.int(qos), C.int(options), cProps(props), C.size_t(len(props))))
}

func cUnsubscribe(c *cClient, filter string) result {
	return goResult(C.gomosq_unsubscribe(c, cText(filter)))
}

func cUnsubscribeV5(c *cClient, filter string, props []byte) result {
	return goResult(C.gomosq_unsubscribe_v5(c, cText(filter), cProps(props), C.size_t(len(props))))
}

func cUnsubscribeMultiple(c *cClient, filters []string, props []byte) result {
	return goResult(C.gomosq_unsubscribe_multiple(c, cPacked(filters), C.int(len(filters)), cProps(props), C.size_t(len(props))))
}

// Loops.

func cLoopForever(c *cClient, ms int) result { return goResult(C.gomosq_loop_forever(c, C.int(ms))) }
func cLoopStart(c *cClient) result           { return goResult(C.gomosq_loop_start(c)) }

func cLoopStop(c *cClient, external bool) result {
	return goResult(C.gomosq_loop_stop(c, C.bool(external)))
}

// cAwaitEnd blocks until the connection has ended or the time is over,
// cAwaitFloodEnd until a flood has ended.
func cAwaitEnd(c *cClient, limit time.Duration)      { C.gomosq_await_end(c, C.int64_t(limit)) }
func cAwaitFloodEnd(c *cClient, limit time.Duration) { C.gomosq_await_flood_end(c, C.int64_t(limit)) }

func cLoop(c *cClient, ms int) result { return goResult(C.gomosq_loop(c, C.int(ms))) }
func cLoopRead(c *cClient) result     { return goResult(C.gomosq_loop_read(c)) }
func cLoopWrite(c *cClient) result    { return goResult(C.gomosq_loop_write(c)) }
func cLoopMisc(c *cClient) result     { return goResult(C.gomosq_loop_misc(c)) }
func cSocket(c *cClient) int          { return int(C.mosquitto_socket(c.mosq)) }
func cWantWrite(c *cClient) bool      { return bool(C.mosquitto_want_write(c.mosq)) }

func cThreadedSet(c *cClient, external bool) result {
	return goResult(C.gomosq_threaded_set(c, C.bool(external)))
}

// Functions for Run.

// pass is the state of a connection after a burst of reads and a write.
type pass struct {
	result
	closed    bool // the library has closed the socket
	watching  bool // Go's poller watches the socket
	more      bool // there may be more input, or a callback is due
	wantWrite bool // the library has more to write
	writable  bool // the socket is writable although the library has more to write
	read      bool // there was input
	wrote     bool // there was output
	pinged    bool // a PINGREQ was sent
	accepted  uint // number of CONNACKs that accepted the connection
}

func cPass(c *cClient, budget int, misc, leaving bool) pass {
	p := C.gomosq_pass(c, C.int(budget), C.bool(misc), C.bool(leaving))
	return pass{goResult(p.result), p.fd < 0, bool(p.watching), bool(p.more), bool(p.want_write), bool(p.writable), bool(p.read), bool(p.wrote), bool(p.pinged), uint(p.accepted)}
}

func cReady(c *cClient, blocked, acknowledge bool) bool {
	return bool(C.gomosq_ready(c, C.bool(blocked), C.bool(acknowledge)))
}

func cWritable(fd uintptr) bool        { return bool(C.gomosq_writable(C.int(fd))) }
func cWatch(c *cClient) int            { return int(C.gomosq_watch(c)) }
func cUnwatch(c *cClient, fd int)      { C.gomosq_unwatch(c, C.int(fd)) }
func cDeliverEvents(c *cClient) result { return goResult(C.gomosq_end_deliveries(c)) }
func cConnectState(fd int) int         { return int(C.gomosq_connect_state(C.int(fd))) }
func cWasConnected(c *cClient) bool    { return bool(C.gomosq_was_connected(c)) }
func cAbandon(c *cClient)              { C.gomosq_abandon(c) }
func cAbandonFailed(c *cClient)        { C.gomosq_abandon_failed(c) }
func cCutOwn(c *cClient)               { C.gomosq_cut_own(c) }
func cReadSilently(c *cClient) int     { return int(C.gomosq_read_silently(c)) }

// Most of the next functions read or write flags that Go and C share, without a cgo call.

func cFlooded(c *cClient) bool {
	return atomic.LoadInt32((*int32)(unsafe.Pointer(&c.published.flooded))) != 0
}

// postedFlag is set while functions that Post queued wait for the loop. A burst of
// reads in C checks the flag.
func postedFlag(c *cClient) *int32 { return (*int32)(unsafe.Pointer(&c.published.posted)) }

func cPosted(c *cClient) bool { return atomic.LoadInt32(postedFlag(c)) != 0 }

func cPostedSet(c *cClient, posted bool) { atomic.StoreInt32(postedFlag(c), number(posted)) }

func number(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func cPosting(c *cClient)     { C.gomosq_posting(c) }
func cPostingDone(c *cClient) { C.gomosq_posting_done(c) }

func cPaused(c *cClient) bool {
	return atomic.LoadInt32((*int32)(unsafe.Pointer(&c.published.paused))) != 0
}

func cPausedSet(c *cClient, paused bool) {
	atomic.StoreInt32((*int32)(unsafe.Pointer(&c.published.paused)), number(paused))
}

// cHoldsMessages is gomosq_holds_messages. Only the loop calls it.
func cHoldsMessages(c *cClient) bool {
	if !cPaused(c) || atomic.LoadInt32((*int32)(unsafe.Pointer(&c.leaving))) != 0 {
		return false
	}
	return !bool(c.ping_awaited) || c.read_ahead >= C.GOMOSQ_READ_AHEAD
}

// cEndBurst ends a burst of reads after the current packet.
func cEndBurst(c *cClient) {
	atomic.StoreInt32((*int32)(unsafe.Pointer(&c.pause_reading)), 1)
}

// What Go and C report to each other about pending deliveries. Only the loop
// calls these.

func cPendingSet(c *cClient, pending, event, sent bool) {
	c.pending = C.int(number(pending) + number(event)) // GOMOSQ_PENDING_...
	c.sent_pending = C.bool(sent)
}

func cUnacknowledgedSet(c *cClient, yes bool) { c.unacknowledged = C.bool(yes) }
func cSpent(c *cClient) bool                  { return bool(c.spent) }
func cSpentSet(c *cClient)                    { c.spent = true }
func cPassing(c *cClient) bool                { return bool(c.passing) }

// cReadsAhead reports whether messages of slow callbacks are read, for the
// PINGRESP behind them, and kept.
func cReadsAhead(c *cClient) bool {
	return bool((c.slow || c.spent) && c.ping_awaited) && c.read_ahead < C.GOMOSQ_READ_AHEAD
}

func cFloodOver(c *cClient) { atomic.StoreInt32((*int32)(unsafe.Pointer(&c.published.flooded)), 0) }

func written(c *cClient) *uint32 { return (*uint32)(unsafe.Pointer(&c.written.messages)) }

func cWritten(c *cClient) uint32 { return atomic.LoadUint32(written(c)) }

// cNoteWritten is gomosq_note_written.
func cNoteWritten(c *cClient) { atomic.AddUint32(written(c), 1) }

// cConnack returns the code of the last CONNACK, the number of acceptances, and the
// keepalive that the last CONNACK demanded (-1: none).
func cConnack(c *cClient) (code ConnackCode, accepted uint, keepalive int) {
	return ConnackCode(c.connack), uint(c.accepted), int(c.server_keepalive)
}

// Options.

func cOptsSet(c *cClient, option Option, value unsafe.Pointer) result {
	return goResult(C.gomosq_opts_set(c, C.int(option), value))
}

func cOptsSetInt(c *cClient, option Option, value int) result {
	return goResult(C.gomosq_opts_set_int(c, C.int(option), C.int(value)))
}

func cIntOption(c *cClient, option Option, value int) result {
	return goResult(C.gomosq_int_option(c, C.int(option), C.int(value)))
}

func cStringOption(c *cClient, option Option, value *string) result {
	var text *C.char
	if value != nil {
		text = cText(*value)
	}
	return goResult(C.gomosq_string_option(c, C.int(option), text))
}

func cVoidOption(c *cClient, option Option, value unsafe.Pointer) result {
	return goResult(C.gomosq_void_option(c, C.int(option), value))
}

func cReconnectDelaySet(c *cClient, delay, limit int, exponential bool) result {
	return goResult(C.gomosq_reconnect_delay_set(c, C.uint(delay), C.uint(limit), C.bool(exponential)))
}

func cMaxInflightMessagesSet(c *cClient, n int) result {
	return goResult(C.gomosq_max_inflight_messages_set(c, C.uint(n)))
}

func cMessageRetrySet(c *cClient, seconds int) {
	C.mosquitto_message_retry_set(c.mosq, C.uint(seconds))
}

// TLS and SOCKS5.

// tlsSettings are settings that OpenSSL has accepted, in C memory.
type tlsSettings = C.struct_gomosq_tls

// cTLSNew returns nil without OpenSSL or memory.
func cTLSNew(minVersion int, anyName, anyCert bool) *tlsSettings {
	return C.gomosq_tls_new(C.long(minVersion), C.bool(anyName), C.bool(anyCert))
}

func cTLSFree(t *tlsSettings) { C.gomosq_tls_free(t) }

// cTLSFind returns shared settings with a checksum, or nil. The caller must free them.
func cTLSFind(sum *[sha256.Size]byte) *tlsSettings { return C.gomosq_tls_find(unsafe.Pointer(sum)) }

func cTLSShare(t *tlsSettings, sum *[sha256.Size]byte) { C.gomosq_tls_share(t, unsafe.Pointer(sum)) }

// The setters of tlsSettings return why OpenSSL refuses the setting, or "".

func tlsRefusal(r C.struct_gomosq_tls_refusal) string { return C.GoString(&r.text[0]) }

func cTLSTrust(t *tlsSettings, pem []byte) string {
	return tlsRefusal(C.gomosq_tls_trust(t, cBytes(pem), C.int(len(pem))))
}

// trustStore is a store of certificates, in C memory. OpenSSL counts its references.
type trustStore = unsafe.Pointer

// cTLSStore returns a reference to the store of t, or nil.
func cTLSStore(t *tlsSettings) trustStore { return C.gomosq_tls_store(t) }

func cTLSTrustStore(t *tlsSettings, store trustStore) { C.gomosq_tls_trust_store(t, store) }

func cTLSStoreFree(store trustStore) { C.gomosq_tls_store_free(store) }

func cTLSTrustDirectory(t *tlsSettings, path string) string {
	return tlsRefusal(C.gomosq_tls_trust_directory(t, cText(path)))
}

func cTLSCertificate(t *tlsSettings, pem []byte) string {
	return tlsRefusal(C.gomosq_tls_certificate(t, cBytes(pem), C.int(len(pem))))
}

func cTLSKey(t *tlsSettings, pem []byte, password string) string {
	return tlsRefusal(C.gomosq_tls_key(t, cBytes(pem), C.int(len(pem)), cTextOrNull(password)))
}

func cTLSCiphers(t *tlsSettings, list string) string {
	return tlsRefusal(C.gomosq_tls_ciphers(t, cText(list)))
}

// cTLSNames and cTLSPSK report false without memory.
func cTLSNames(t *tlsSettings, serverName string, protocols []byte) bool {
	return bool(C.gomosq_tls_names(t, cTextOrNull(serverName), cBytes(protocols), C.size_t(len(protocols))))
}

func cTLSPSK(t *tlsSettings, identity string, psk []byte) bool {
	return bool(C.gomosq_tls_psk(t, cText(identity), cBytes(psk), C.size_t(len(psk))))
}

// cTLSInstall owns t if it succeeds.
func cTLSInstall(c *cClient, t *tlsSettings) result { return goResult(C.gomosq_tls_install(c, t)) }

func cTLSSet(c *cClient, caFile, caPath, certFile, keyFile string) result {
	return goResult(C.gomosq_tls_set(c, cTextOrNull(caFile), cTextOrNull(caPath), cTextOrNull(certFile), cTextOrNull(keyFile)))
}

func cTLSInsecureSet(c *cClient, insecure bool) result {
	return goResult(C.gomosq_tls_insecure_set(c, C.bool(insecure)))
}

func cTLSOptsSet(c *cClient, verify int, version, ciphers string) result {
	return goResult(C.gomosq_tls_opts_set(c, C.int(verify), cTextOrNull(version), cTextOrNull(ciphers)))
}

func cTLSPSKSet(c *cClient, psk, identity, ciphers string) result {
	return goResult(C.gomosq_tls_psk_set(c, cText(psk), cText(identity), cTextOrNull(ciphers)))
}

func cSSLGet(c *cClient) unsafe.Pointer { return C.mosquitto_ssl_get(c.mosq) }

func cSocks5Set(c *cClient, host string, port int, username, password string) result {
	return goResult(C.gomosq_socks5_set(c, cText(host), C.int(port), cTextOrNull(username), cTextOrNull(password)))
}

// Listeners.

func cLeavingSet(c *cClient, leaving bool) { C.gomosq_leaving_set(c, C.bool(leaving)) }

func cInterestSet(c *cClient, event uint32, on bool) {
	C.gomosq_interest_set(c, C.uint(event), C.bool(on))
}

func cLogLevelsSet(c *cClient, levels LogLevel) { C.gomosq_log_levels_set(c, C.uint(levels)) }
func cLogInstall(c *cClient, on bool)           { C.gomosq_log_install(c, C.bool(on)) }

// cInside returns the callbacks of the client that run on this thread. A goroutine
// keeps its thread while it is in a callback.
func cInside(c *cClient) uint32 { return uint32(C.gomosq_inside(c)) }

// Strings.

func cStrerror(rc int) string          { return C.GoString(C.mosquitto_strerror(C.int(rc))) }
func cConnackString(code int) string   { return C.GoString(C.mosquitto_connack_string(C.int(code))) }
func cReasonString(code int) string    { return C.GoString(C.mosquitto_reason_string(C.int(code))) }
func cAddressError(eai int) string     { return C.GoString(C.gai_strerror(C.int(eai))) }
func cStringToCommand(name string) int { return int(C.gomosq_string_to_command(cText(name))) }
func cPropertyName(id int) string {
	return C.GoString(C.mosquitto_property_identifier_to_string(C.int(id)))
}
func cPropertyType(id int) PropertyType { return PropertyType(C.gomosq_property_type_of(C.int(id))) }

func cStringToPropertyInfo(name string) (rc, id, kind int) {
	i := C.gomosq_string_to_property_info(cText(name))
	return int(i.rc), int(i.id), int(i._type)
}

// Properties.

func cPropertyCheckCommand(command Command, id PropertyID) int {
	return int(C.mosquitto_property_check_command(C.int(command), C.int(id)))
}

func cPropertyCheckAll(command Command, props []byte) int {
	return int(C.gomosq_property_check_all(C.int(command), cProps(props), C.size_t(len(props))))
}

func cProps(props []byte) *C.uint8_t { return (*C.uint8_t)(cBytes(props)) }

// cEncode appends a property in the form gomosq_properties_build reads.
func cEncode(b []byte, p Property, kind PropertyType) []byte {
	text := func(b []byte, s string) []byte {
		b = binary.NativeEndian.AppendUint32(b, uint32(len(s)))
		return append(append(b, s...), 0)
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(p.ID))
	b = binary.NativeEndian.AppendUint32(b, uint32(kind))
	switch kind {
	case TypeBinary:
		return text(b, unsafe.String(unsafe.SliceData(p.Data), len(p.Data)))
	case TypeString:
		return text(b, p.Text)
	case TypeStringPair:
		return text(text(b, p.Name), p.Text)
	default:
		return binary.NativeEndian.AppendUint32(b, p.Number)
	}
}

// goProperties copies what a trampoline flattened.
func goProperties(items *cProperty, n C.int) Properties {
	if n == 0 {
		return nil
	}
	props := make(Properties, n)
	for i, p := range unsafe.Slice(items, int(n)) {
		to := &props[i]
		to.ID = PropertyID(p.id)
		to.Number = uint32(p.number)
		to.Name = goText(p.name, p.name_len)
		if to.ID.Type() == TypeBinary {
			to.Data = C.GoBytes(unsafe.Pointer(p.value), C.int(p.value_len))
		} else {
			to.Text = goText(p.value, p.value_len)
		}
	}
	return props
}

func goReasonCodes(codes *C.int, n C.int) []ReasonCode {
	if n == 0 {
		return nil
	}
	list := make([]ReasonCode, n)
	for i, code := range unsafe.Slice(codes, int(n)) {
		list[i] = ReasonCode(code)
	}
	return list
}

// goMessage copies a message out of the library: topic and payload together in
// one allocation.
func goMessage(m *cMessage, topicLen C.size_t) Message {
	topic := unsafe.Slice((*byte)(unsafe.Pointer(m.topic)), int(topicLen))
	payload := unsafe.Slice((*byte)(m.payload), int(m.payloadlen))
	msg := Message{MID: int(m.mid), QoS: QoS(m.qos), Retain: bool(m.retain)}
	msg.setBytes(topic, payload)
	return msg
}

// chunk limits the memory that short messages of a batch share. One allocation holds
// several messages. A message that the program keeps may keep two allocations alive: its
// topic may be in the allocation of an earlier message, which is longer than a chunk if that
// message is.
const chunk = 512

// batch copies messages out of C.
type batch struct {
	c     *C.struct_gomosq_batch
	bytes []byte // a copy of consecutive messages
	start int    // where they begin in C's data
	topic string // of the last message
}

func goBatch(c *C.struct_gomosq_batch) (b batch, messages int) { return batch{c: c}, int(c.count) }

// read sets m to the i-th message. The caller reads all messages in order.
func (b *batch) read(i int, m *Message) {
	item := &b.c.items[i]
	at := int(item.offset) - b.start
	if at >= len(b.bytes) {
		b.copyFrom(i)
		at = 0
	}
	if item.topic_len > 0 {
		b.topic = unsafe.String(&b.bytes[at], int(item.topic_len))
		at += int(item.topic_len)
	}
	m.Topic, m.Payload, m.Retain = b.topic, nil, bool(item.retain)
	if item.payload_len > 0 {
		end := at + int(item.payload_len)
		m.Payload = b.bytes[at:end:end]
	}
}

// copyFrom copies the i-th message, and as many of those behind it as share a chunk.
func (b *batch) copyFrom(i int) {
	b.start = int(b.c.items[i].offset)
	end := b.start
	for ; i < int(b.c.count); i++ {
		item := &b.c.items[i]
		next := int(item.offset + item.topic_len + item.payload_len)
		if end > b.start && next-b.start > chunk {
			break
		}
		end = next
	}
	b.bytes = append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&b.c.data[b.start])), end-b.start)...)
}

// setBytes gives the message copies of its topic and payload, in one allocation.
// A Builder does not clear the memory first, which is faster for long messages. No
// other code has the string, so its bytes can serve as the payload.
func (m *Message) setBytes(topic, payload []byte) {
	size := len(topic) + len(payload)
	if size <= short {
		b := append(append(make([]byte, 0, size), topic...), payload...)
		m.Topic = unsafe.String(unsafe.SliceData(b), len(topic))
		if len(payload) > 0 {
			m.Payload = b[len(topic):]
		}
		return
	}
	var b strings.Builder
	b.Grow(size)
	b.Write(topic)
	b.Write(payload)
	m.Topic = b.String()[:len(topic)]
	if len(payload) > 0 {
		m.Payload = unsafe.Slice(unsafe.StringData(b.String()[len(topic):]), len(payload))
	}
}

// short is the length up to which clearing is faster than a Builder.
const short = 512

// Topics and UTF-8.

func cPubTopicCheck(topic string) int  { return int(C.mosquitto_pub_topic_check(cText(topic))) }
func cSubTopicCheck(filter string) int { return int(C.mosquitto_sub_topic_check(cText(filter))) }

func cPubTopicCheck2(topic []byte) int {
	return int(C.mosquitto_pub_topic_check2((*C.char)(cBytes(topic)), C.size_t(len(topic))))
}

func cSubTopicCheck2(filter []byte) int {
	return int(C.mosquitto_sub_topic_check2((*C.char)(cBytes(filter)), C.size_t(len(filter))))
}

func cTopicMatchesSub(sub, topic string) (rc int, yes bool) {
	var fewSub, fewTopic [128]byte // on the stack, with the directives above
	s := append(append(fewSub[:0], sub...), 0)
	t := append(append(fewTopic[:0], topic...), 0)
	m := C.gomosq_topic_matches_sub((*C.char)(unsafe.Pointer(&s[0])), (*C.char)(unsafe.Pointer(&t[0])))
	return int(m.rc), bool(m.yes)
}

func cTopicMatchesSub2(sub, topic []byte) (rc int, yes bool) {
	var fewSub, fewTopic [128]byte
	s := append(append(fewSub[:0], sub...), 0)
	t := append(append(fewTopic[:0], topic...), 0)
	m := C.gomosq_topic_matches_sub2((*C.char)(unsafe.Pointer(&s[0])), C.size_t(len(sub)), (*C.char)(unsafe.Pointer(&t[0])), C.size_t(len(topic)))
	return int(m.rc), bool(m.yes)
}

func cTopicMatchesSubWithPattern(sub, topic, clientID, username string) (rc int, yes bool) {
	m := C.gomosq_topic_matches_sub_with_pattern(cText(sub), cText(topic), cTextOrNull(clientID), cTextOrNull(username))
	return int(m.rc), bool(m.yes)
}

func cSubMatchesACL(acl, sub string) (rc int, yes bool) {
	m := C.gomosq_sub_matches_acl(cText(acl), cText(sub))
	return int(m.rc), bool(m.yes)
}

func cSubMatchesACLWithPattern(acl, sub, clientID, username string) (rc int, yes bool) {
	m := C.gomosq_sub_matches_acl_with_pattern(cText(acl), cText(sub), cTextOrNull(clientID), cTextOrNull(username))
	return int(m.rc), bool(m.yes)
}

// cSubTopicTokenise copies the levels; an empty level is NULL in C.
func cSubTopicTokenise(sub string) (rc int, levels []string) {
	t := C.gomosq_sub_topic_tokenise(cText(sub))
	if t.rc != 0 {
		return int(t.rc), nil
	}
	defer C.gomosq_sub_topic_tokens_free(t)
	levels = make([]string, 0, int(t.count))
	for _, token := range unsafe.Slice(t.tokens, int(t.count)) {
		levels = append(levels, C.GoString(token))
	}
	return 0, levels
}

// cValidateUTF8 passes a NUL behind the text: before 2.1 the library reads on
// in a sequence that is cut off at the end.
func cValidateUTF8(text []byte) int {
	b := append(append(make([]byte, 0, len(text)+4), text...), 0, 0, 0, 0)
	return int(C.mosquitto_validate_utf8((*C.char)(unsafe.Pointer(&b[0])), C.int(len(text))))
}

// Numbers of the header.

const (
	cErrQuotaExceeded               = C.MOSQ_ERR_QUOTA_EXCEEDED
	cErrAuthDelayed                 = C.MOSQ_ERR_AUTH_DELAYED
	cErrAuthContinue                = C.MOSQ_ERR_AUTH_CONTINUE
	cErrNoSubscribers               = C.MOSQ_ERR_NO_SUBSCRIBERS
	cErrSubExists                   = C.MOSQ_ERR_SUB_EXISTS
	cErrConnPending                 = C.MOSQ_ERR_CONN_PENDING
	cSuccess                        = C.MOSQ_ERR_SUCCESS
	cErrNoMem                       = C.MOSQ_ERR_NOMEM
	cErrProtocol                    = C.MOSQ_ERR_PROTOCOL
	cErrInval                       = C.MOSQ_ERR_INVAL
	cErrNoConn                      = C.MOSQ_ERR_NO_CONN
	cErrConnRefused                 = C.MOSQ_ERR_CONN_REFUSED
	cErrNotFound                    = C.MOSQ_ERR_NOT_FOUND
	cErrConnLost                    = C.MOSQ_ERR_CONN_LOST
	cErrTLS                         = C.MOSQ_ERR_TLS
	cErrPayloadSize                 = C.MOSQ_ERR_PAYLOAD_SIZE
	cErrNotSupported                = C.MOSQ_ERR_NOT_SUPPORTED
	cErrAuth                        = C.MOSQ_ERR_AUTH
	cErrACLDenied                   = C.MOSQ_ERR_ACL_DENIED
	cErrUnknown                     = C.MOSQ_ERR_UNKNOWN
	cErrErrno                       = C.MOSQ_ERR_ERRNO
	cErrEAI                         = C.MOSQ_ERR_EAI
	cErrProxy                       = C.MOSQ_ERR_PROXY
	cErrPluginDefer                 = C.MOSQ_ERR_PLUGIN_DEFER
	cErrMalformedUTF8               = C.MOSQ_ERR_MALFORMED_UTF8
	cErrKeepalive                   = C.MOSQ_ERR_KEEPALIVE
	cErrLookup                      = C.MOSQ_ERR_LOOKUP
	cErrMalformedPacket             = C.MOSQ_ERR_MALFORMED_PACKET
	cErrDuplicateProperty           = C.MOSQ_ERR_DUPLICATE_PROPERTY
	cErrTLSHandshake                = C.MOSQ_ERR_TLS_HANDSHAKE
	cErrQoSNotSupported             = C.MOSQ_ERR_QOS_NOT_SUPPORTED
	cErrOversizePacket              = C.MOSQ_ERR_OVERSIZE_PACKET
	cErrOCSP                        = C.MOSQ_ERR_OCSP
	cErrTimeout                     = C.MOSQ_ERR_TIMEOUT
	cErrRetainNotSupported          = C.MOSQ_ERR_RETAIN_NOT_SUPPORTED
	cErrTopicAliasInvalid           = C.MOSQ_ERR_TOPIC_ALIAS_INVALID
	cErrAdministrativeAction        = C.MOSQ_ERR_ADMINISTRATIVE_ACTION
	cErrAlreadyExists               = C.MOSQ_ERR_ALREADY_EXISTS
	cErrPluginIgnore                = C.MOSQ_ERR_PLUGIN_IGNORE
	cErrHTTPBadOrigin               = C.MOSQ_ERR_HTTP_BAD_ORIGIN
	cErrUnspecified                 = C.MOSQ_ERR_UNSPECIFIED
	cErrImplementationSpecific      = C.MOSQ_ERR_IMPLEMENTATION_SPECIFIC
	cErrUnsupportedProtocolVersion  = C.MOSQ_ERR_UNSUPPORTED_PROTOCOL_VERSION
	cErrClientIdentifierNotValid    = C.MOSQ_ERR_CLIENT_IDENTIFIER_NOT_VALID
	cErrBadUsernameOrPassword       = C.MOSQ_ERR_BAD_USERNAME_OR_PASSWORD
	cErrServerUnavailable           = C.MOSQ_ERR_SERVER_UNAVAILABLE
	cErrServerBusy                  = C.MOSQ_ERR_SERVER_BUSY
	cErrBanned                      = C.MOSQ_ERR_BANNED
	cErrServerShuttingDown          = C.MOSQ_ERR_SERVER_SHUTTING_DOWN
	cErrBadAuthenticationMethod     = C.MOSQ_ERR_BAD_AUTHENTICATION_METHOD
	cErrSessionTakenOver            = C.MOSQ_ERR_SESSION_TAKEN_OVER
	cErrTopicFilterInvalid          = C.MOSQ_ERR_TOPIC_FILTER_INVALID
	cErrTopicNameInvalid            = C.MOSQ_ERR_TOPIC_NAME_INVALID
	cErrPacketIDInUse               = C.MOSQ_ERR_PACKET_ID_IN_USE
	cErrPacketIDNotFound            = C.MOSQ_ERR_PACKET_ID_NOT_FOUND
	cErrReceiveMaximumExceeded      = C.MOSQ_ERR_RECEIVE_MAXIMUM_EXCEEDED
	cErrMessageRateTooHigh          = C.MOSQ_ERR_MESSAGE_RATE_TOO_HIGH
	cErrPayloadFormatInvalid        = C.MOSQ_ERR_PAYLOAD_FORMAT_INVALID
	cErrUseAnotherServer            = C.MOSQ_ERR_USE_ANOTHER_SERVER
	cErrServerMoved                 = C.MOSQ_ERR_SERVER_MOVED
	cErrSharedSubsNotSupported      = C.MOSQ_ERR_SHARED_SUBS_NOT_SUPPORTED
	cErrConnectionRateExceeded      = C.MOSQ_ERR_CONNECTION_RATE_EXCEEDED
	cErrMaximumConnectTime          = C.MOSQ_ERR_MAXIMUM_CONNECT_TIME
	cErrSubscriptionIDsNotSupported = C.MOSQ_ERR_SUBSCRIPTION_IDS_NOT_SUPPORTED
	cErrWildcardSubsNotSupported    = C.MOSQ_ERR_WILDCARD_SUBS_NOT_SUPPORTED

	cRCSuccess                     = C.MQTT_RC_SUCCESS
	cRCGrantedQoS1                 = C.MQTT_RC_GRANTED_QOS1
	cRCGrantedQoS2                 = C.MQTT_RC_GRANTED_QOS2
	cRCDisconnectWithWillMsg       = C.MQTT_RC_DISCONNECT_WITH_WILL_MSG
	cRCNoMatchingSubscribers       = C.MQTT_RC_NO_MATCHING_SUBSCRIBERS
	cRCNoSubscriptionExisted       = C.MQTT_RC_NO_SUBSCRIPTION_EXISTED
	cRCContinueAuthentication      = C.MQTT_RC_CONTINUE_AUTHENTICATION
	cRCReauthenticate              = C.MQTT_RC_REAUTHENTICATE
	cRCUnspecified                 = C.MQTT_RC_UNSPECIFIED
	cRCMalformedPacket             = C.MQTT_RC_MALFORMED_PACKET
	cRCProtocolError               = C.MQTT_RC_PROTOCOL_ERROR
	cRCImplementationSpecific      = C.MQTT_RC_IMPLEMENTATION_SPECIFIC
	cRCUnsupportedProtocolVersion  = C.MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION
	cRCClientIDNotValid            = C.MQTT_RC_CLIENTID_NOT_VALID
	cRCBadUsernameOrPassword       = C.MQTT_RC_BAD_USERNAME_OR_PASSWORD
	cRCNotAuthorized               = C.MQTT_RC_NOT_AUTHORIZED
	cRCServerUnavailable           = C.MQTT_RC_SERVER_UNAVAILABLE
	cRCServerBusy                  = C.MQTT_RC_SERVER_BUSY
	cRCBanned                      = C.MQTT_RC_BANNED
	cRCServerShuttingDown          = C.MQTT_RC_SERVER_SHUTTING_DOWN
	cRCBadAuthenticationMethod     = C.MQTT_RC_BAD_AUTHENTICATION_METHOD
	cRCKeepAliveTimeout            = C.MQTT_RC_KEEP_ALIVE_TIMEOUT
	cRCSessionTakenOver            = C.MQTT_RC_SESSION_TAKEN_OVER
	cRCTopicFilterInvalid          = C.MQTT_RC_TOPIC_FILTER_INVALID
	cRCTopicNameInvalid            = C.MQTT_RC_TOPIC_NAME_INVALID
	cRCPacketIDInUse               = C.MQTT_RC_PACKET_ID_IN_USE
	cRCPacketIDNotFound            = C.MQTT_RC_PACKET_ID_NOT_FOUND
	cRCReceiveMaximumExceeded      = C.MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED
	cRCTopicAliasInvalid           = C.MQTT_RC_TOPIC_ALIAS_INVALID
	cRCPacketTooLarge              = C.MQTT_RC_PACKET_TOO_LARGE
	cRCMessageRateTooHigh          = C.MQTT_RC_MESSAGE_RATE_TOO_HIGH
	cRCQuotaExceeded               = C.MQTT_RC_QUOTA_EXCEEDED
	cRCAdministrativeAction        = C.MQTT_RC_ADMINISTRATIVE_ACTION
	cRCPayloadFormatInvalid        = C.MQTT_RC_PAYLOAD_FORMAT_INVALID
	cRCRetainNotSupported          = C.MQTT_RC_RETAIN_NOT_SUPPORTED
	cRCQoSNotSupported             = C.MQTT_RC_QOS_NOT_SUPPORTED
	cRCUseAnotherServer            = C.MQTT_RC_USE_ANOTHER_SERVER
	cRCServerMoved                 = C.MQTT_RC_SERVER_MOVED
	cRCSharedSubsNotSupported      = C.MQTT_RC_SHARED_SUBS_NOT_SUPPORTED
	cRCConnectionRateExceeded      = C.MQTT_RC_CONNECTION_RATE_EXCEEDED
	cRCMaximumConnectTime          = C.MQTT_RC_MAXIMUM_CONNECT_TIME
	cRCSubscriptionIDsNotSupported = C.MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED
	cRCWildcardSubsNotSupported    = C.MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED

	cOptProtocolVersion    = C.MOSQ_OPT_PROTOCOL_VERSION
	cOptSSLCtx             = C.MOSQ_OPT_SSL_CTX
	cOptSSLCtxWithDefaults = C.MOSQ_OPT_SSL_CTX_WITH_DEFAULTS
	cOptReceiveMaximum     = C.MOSQ_OPT_RECEIVE_MAXIMUM
	cOptSendMaximum        = C.MOSQ_OPT_SEND_MAXIMUM
	cOptTLSKeyform         = C.MOSQ_OPT_TLS_KEYFORM
	cOptTLSEngine          = C.MOSQ_OPT_TLS_ENGINE
	cOptTLSEngineKpassSHA1 = C.MOSQ_OPT_TLS_ENGINE_KPASS_SHA1
	cOptTLSOCSPRequired    = C.MOSQ_OPT_TLS_OCSP_REQUIRED
	cOptTLSALPN            = C.MOSQ_OPT_TLS_ALPN
	cOptTCPNodelay         = C.MOSQ_OPT_TCP_NODELAY
	cOptBindAddress        = C.MOSQ_OPT_BIND_ADDRESS
	cOptTLSUseOSCerts      = C.MOSQ_OPT_TLS_USE_OS_CERTS
	cOptDisableSocketpair  = C.MOSQ_OPT_DISABLE_SOCKETPAIR
	cOptTransport          = C.MOSQ_OPT_TRANSPORT
	cOptHTTPPath           = C.MOSQ_OPT_HTTP_PATH
	cOptHTTPHeaderSize     = C.MOSQ_OPT_HTTP_HEADER_SIZE

	cTransportTCP        = C.MOSQ_T_TCP
	cTransportWebsockets = C.MOSQ_T_WEBSOCKETS

	cProtocolV31  = C.MQTT_PROTOCOL_V31
	cProtocolV311 = C.MQTT_PROTOCOL_V311
	cProtocolV5   = C.MQTT_PROTOCOL_V5

	cSubNoLocal           = C.MQTT_SUB_OPT_NO_LOCAL
	cSubRetainAsPublished = C.MQTT_SUB_OPT_RETAIN_AS_PUBLISHED
	cSubSendRetainNew     = C.MQTT_SUB_OPT_SEND_RETAIN_NEW
	cSubSendRetainNever   = C.MQTT_SUB_OPT_SEND_RETAIN_NEVER

	cMaxPayload = C.MQTT_MAX_PAYLOAD
	cIDMaxV31   = C.MOSQ_MQTT_ID_MAX_LENGTH

	cLogInfo        = C.MOSQ_LOG_INFO
	cLogNotice      = C.MOSQ_LOG_NOTICE
	cLogWarning     = C.MOSQ_LOG_WARNING
	cLogErr         = C.MOSQ_LOG_ERR
	cLogDebug       = C.MOSQ_LOG_DEBUG
	cLogSubscribe   = C.MOSQ_LOG_SUBSCRIBE
	cLogUnsubscribe = C.MOSQ_LOG_UNSUBSCRIBE
	cLogWebsockets  = C.MOSQ_LOG_WEBSOCKETS
	cLogInternal    = C.MOSQ_LOG_INTERNAL
	cLogAll         = C.MOSQ_LOG_ALL

	cCmdConnect     = C.CMD_CONNECT
	cCmdConnack     = C.CMD_CONNACK
	cCmdPublish     = C.CMD_PUBLISH
	cCmdPuback      = C.CMD_PUBACK
	cCmdPubrec      = C.CMD_PUBREC
	cCmdPubrel      = C.CMD_PUBREL
	cCmdPubcomp     = C.CMD_PUBCOMP
	cCmdSubscribe   = C.CMD_SUBSCRIBE
	cCmdSuback      = C.CMD_SUBACK
	cCmdUnsubscribe = C.CMD_UNSUBSCRIBE
	cCmdUnsuback    = C.CMD_UNSUBACK
	cCmdPingreq     = C.CMD_PINGREQ
	cCmdPingresp    = C.CMD_PINGRESP
	cCmdDisconnect  = C.CMD_DISCONNECT
	cCmdAuth        = C.CMD_AUTH
	cCmdWill        = C.CMD_WILL

	cPropPayloadFormatIndicator     = C.MQTT_PROP_PAYLOAD_FORMAT_INDICATOR
	cPropMessageExpiryInterval      = C.MQTT_PROP_MESSAGE_EXPIRY_INTERVAL
	cPropContentType                = C.MQTT_PROP_CONTENT_TYPE
	cPropResponseTopic              = C.MQTT_PROP_RESPONSE_TOPIC
	cPropCorrelationData            = C.MQTT_PROP_CORRELATION_DATA
	cPropSubscriptionIdentifier     = C.MQTT_PROP_SUBSCRIPTION_IDENTIFIER
	cPropSessionExpiryInterval      = C.MQTT_PROP_SESSION_EXPIRY_INTERVAL
	cPropAssignedClientIdentifier   = C.MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER
	cPropServerKeepAlive            = C.MQTT_PROP_SERVER_KEEP_ALIVE
	cPropAuthenticationMethod       = C.MQTT_PROP_AUTHENTICATION_METHOD
	cPropAuthenticationData         = C.MQTT_PROP_AUTHENTICATION_DATA
	cPropRequestProblemInformation  = C.MQTT_PROP_REQUEST_PROBLEM_INFORMATION
	cPropWillDelayInterval          = C.MQTT_PROP_WILL_DELAY_INTERVAL
	cPropRequestResponseInformation = C.MQTT_PROP_REQUEST_RESPONSE_INFORMATION
	cPropResponseInformation        = C.MQTT_PROP_RESPONSE_INFORMATION
	cPropServerReference            = C.MQTT_PROP_SERVER_REFERENCE
	cPropReasonString               = C.MQTT_PROP_REASON_STRING
	cPropReceiveMaximum             = C.MQTT_PROP_RECEIVE_MAXIMUM
	cPropTopicAliasMaximum          = C.MQTT_PROP_TOPIC_ALIAS_MAXIMUM
	cPropTopicAlias                 = C.MQTT_PROP_TOPIC_ALIAS
	cPropMaximumQoS                 = C.MQTT_PROP_MAXIMUM_QOS
	cPropRetainAvailable            = C.MQTT_PROP_RETAIN_AVAILABLE
	cPropUserProperty               = C.MQTT_PROP_USER_PROPERTY
	cPropMaximumPacketSize          = C.MQTT_PROP_MAXIMUM_PACKET_SIZE
	cPropWildcardSubAvailable       = C.MQTT_PROP_WILDCARD_SUB_AVAILABLE
	cPropSubscriptionIDAvailable    = C.MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE
	cPropSharedSubAvailable         = C.MQTT_PROP_SHARED_SUB_AVAILABLE

	cTypeByte       = C.MQTT_PROP_TYPE_BYTE
	cTypeInt16      = C.MQTT_PROP_TYPE_INT16
	cTypeInt32      = C.MQTT_PROP_TYPE_INT32
	cTypeVarint     = C.MQTT_PROP_TYPE_VARINT
	cTypeBinary     = C.MQTT_PROP_TYPE_BINARY
	cTypeString     = C.MQTT_PROP_TYPE_STRING
	cTypeStringPair = C.MQTT_PROP_TYPE_STRING_PAIR

	evConnect     = C.GOMOSQ_CONNECT
	evDisconnect  = C.GOMOSQ_DISCONNECT
	evPublish     = C.GOMOSQ_PUBLISH
	evMessage     = C.GOMOSQ_MESSAGE
	evSubscribe   = C.GOMOSQ_SUBSCRIBE
	evUnsubscribe = C.GOMOSQ_UNSUBSCRIBE
	evLog         = C.GOMOSQ_LOG
	evPreConnect  = C.GOMOSQ_PRE_CONNECT
	evExtAuth     = C.GOMOSQ_EXT_AUTH
	evPassword    = C.GOMOSQ_PASSWORD
	evAcknowledge = C.GOMOSQ_ACKNOWLEDGE
	evPosted      = C.GOMOSQ_POSTED
)

// has21 reports whether the package was compiled with the header of 2.1.
const has21 = C.GOMOSQ_21 != 0
