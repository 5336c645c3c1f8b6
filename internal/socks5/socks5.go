// Package socks5 is a small SOCKS5 proxy (RFC 1928, RFC 1929) for tests. It supports
// the command CONNECT, without authentication or with one username and password.
package socks5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// Config holds the proxy's settings.
type Config struct {
	Username, Password string            // both empty: no authentication
	Names              map[string]string // from host names that only the proxy can resolve to addresses
	LoginRefusal       byte              // status byte for a wrong username or password; 0 means 1
}

// Proxy is a running proxy.
type Proxy struct {
	Port     int
	Requests chan string // the requested targets: "domain host:port" or "address host:port"

	config Config
	l      net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  map[net.Conn]bool
}

// Start starts a proxy. It is closed when the test ends.
func Start(tb testing.TB, config Config) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if config.LoginRefusal == 0 {
		config.LoginRefusal = 1
	}
	p := &Proxy{
		Port: l.Addr().(*net.TCPAddr).Port, Requests: make(chan string, 1000),
		config: config, l: l, conns: make(map[net.Conn]bool),
	}
	p.wg.Add(1)
	go p.accept()
	tb.Cleanup(p.Close)
	return p
}

// Close stops the proxy and closes its connections.
func (p *Proxy) Close() {
	p.l.Close()
	p.mu.Lock()
	for conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		conn, err := p.l.Accept()
		if err != nil {
			return
		}
		if p.add(conn) {
			p.wg.Add(1)
			go func() {
				defer p.wg.Done()
				p.serve(conn)
				p.remove(conn)
			}()
		}
	}
}

// add records a connection, so that Close can close it. After Close it closes the
// connection itself and returns false.
func (p *Proxy) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) remove(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn.Close()
	delete(p.conns, conn)
}

// serve handles one client's connection until it ends.
func (p *Proxy) serve(client net.Conn) {
	if p.negotiate(client) != nil {
		return
	}
	host, port, err := p.request(client)
	if err != nil {
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		reply(client, connectionRefused)
		return
	}
	if !p.add(target) {
		return
	}
	defer p.remove(target)
	reply(client, succeeded)
	both := make(chan struct{}, 2)
	go pipe(target, client, both)
	go pipe(client, target, both)
	<-both
	<-both
}

// pipe copies one direction until its end, and then closes that direction.
func pipe(to, from net.Conn, done chan<- struct{}) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
	done <- struct{}{}
}

// Authentication methods and reply codes of RFC 1928.
const (
	noAuthentication, usernamePassword, noAcceptableMethod = 0, 2, 0xFF

	succeeded, connectionRefused, commandNotSupported = 0, 5, 7
)

// negotiate selects the authentication method and authenticates the client.
func (p *Proxy) negotiate(client net.Conn) error {
	offer, err := read(client, 2)
	if err != nil {
		return err
	}
	methods, err := read(client, int(offer[1]))
	if err != nil {
		return err
	}
	method := byte(noAuthentication)
	if p.config.Username != "" {
		method = usernamePassword
	}
	if slices.Contains(methods, method) {
		_, _ = client.Write([]byte{5, method})
		return p.authenticate(client, method)
	}
	_, _ = client.Write([]byte{5, noAcceptableMethod})
	return errors.New("no common method")
}

func (p *Proxy) authenticate(client net.Conn, method byte) error {
	if method == noAuthentication {
		return nil
	}
	var texts [2]string
	if _, err := read(client, 1); err != nil { // version of the authentication
		return err
	}
	for i := range texts {
		n, err := read(client, 1)
		if err != nil {
			return err
		}
		text, err := read(client, int(n[0]))
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	if texts != [2]string{p.config.Username, p.config.Password} {
		_, _ = client.Write([]byte{1, p.config.LoginRefusal})
		return errors.New("wrong username or password")
	}
	_, err := client.Write([]byte{1, 0})
	return err
}

// request reads the client's CONNECT request. It returns the address of the target.
func (p *Proxy) request(client net.Conn) (host string, port uint16, err error) {
	head, err := read(client, 4)
	if err != nil {
		return "", 0, err
	}
	if head[1] != 1 { // CONNECT
		reply(client, commandNotSupported)
		return "", 0, errors.New("not CONNECT")
	}
	length, kind := net.IPv4len, "address"
	switch head[3] {
	case 3:
		n, err := read(client, 1)
		if err != nil {
			return "", 0, err
		}
		length, kind = int(n[0]), "domain"
	case 4:
		length = net.IPv6len
	}
	target, err := read(client, length+2)
	if err != nil {
		return "", 0, err
	}
	port = binary.BigEndian.Uint16(target[length:])
	if kind == "domain" {
		host = string(target[:length])
	} else {
		host = net.IP(target[:length]).String()
	}
	p.Requests <- fmt.Sprintf("%s %s:%d", kind, host, port)
	if address, ok := p.config.Names[host]; ok {
		host = address
	}
	return host, port, nil
}

func reply(client net.Conn, code byte) {
	_, _ = client.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
}

func read(from io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(from, b)
	return b, err
}
