// Package socks5 is a small SOCKS5 proxy (RFC 1928, RFC 1929) for tests: the
// command CONNECT, without a login or with one name and password.
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

// Config says whom the proxy serves and where names lead.
type Config struct {
	Username, Password string            // both empty: everybody, without a login
	Names              map[string]string // hosts that only the proxy knows, to their addresses
	LoginRefusal       byte              // its answer to a wrong login, 1 by default
}

// Proxy is a running proxy.
type Proxy struct {
	Port     int
	Requests chan string // what clients asked for: "domain host:port" or "address host:port"

	config Config
	l      net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  map[net.Conn]bool
}

// Start starts a proxy; it ends with the test.
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

// Close ends the proxy and its connections.
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
		if p.keep(conn) {
			p.wg.Add(1)
			go func() {
				defer p.wg.Done()
				p.serve(conn)
				p.drop(conn)
			}()
		}
	}
}

// keep notes a connection for Close; it closes it if that was before.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn.Close()
	delete(p.conns, conn)
}

// serve runs one client's connection to its end.
func (p *Proxy) serve(client net.Conn) {
	if p.greet(client) != nil {
		return
	}
	host, port, err := p.request(client)
	if err != nil {
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		answer(client, connectionRefused)
		return
	}
	if !p.keep(target) {
		return
	}
	defer p.drop(target)
	answer(client, succeeded)
	both := make(chan struct{}, 2)
	go pipe(target, client, both)
	go pipe(client, target, both)
	<-both
	<-both
}

// pipe copies until the end, and hands the end on.
func pipe(to, from net.Conn, done chan<- struct{}) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
	done <- struct{}{}
}

// Methods and replies of the protocol.
const (
	noLogin, withLogin, noneFits = 0, 2, 0xFF

	succeeded, connectionRefused, commandNotSupported = 0, 5, 7
)

// greet agrees on how to log in, and lets the client do it.
func (p *Proxy) greet(client net.Conn) error {
	offer, err := read(client, 2)
	if err != nil {
		return err
	}
	methods, err := read(client, int(offer[1]))
	if err != nil {
		return err
	}
	wanted := byte(noLogin)
	if p.config.Username != "" {
		wanted = withLogin
	}
	if slices.Contains(methods, wanted) {
		_, _ = client.Write([]byte{5, wanted})
		return p.login(client, wanted)
	}
	_, _ = client.Write([]byte{5, noneFits})
	return errors.New("no common method")
}

func (p *Proxy) login(client net.Conn, method byte) error {
	if method == noLogin {
		return nil
	}
	var texts [2]string
	if _, err := read(client, 1); err != nil { // the login's own version
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
		return errors.New("wrong login")
	}
	_, err := client.Write([]byte{1, 0})
	return err
}

// request reads where the client wants to go.
func (p *Proxy) request(client net.Conn) (host string, port uint16, err error) {
	head, err := read(client, 4)
	if err != nil {
		return "", 0, err
	}
	if head[1] != 1 { // CONNECT
		answer(client, commandNotSupported)
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
	where, err := read(client, length+2)
	if err != nil {
		return "", 0, err
	}
	port = binary.BigEndian.Uint16(where[length:])
	if kind == "domain" {
		host = string(where[:length])
	} else {
		host = net.IP(where[:length]).String()
	}
	p.Requests <- fmt.Sprintf("%s %s:%d", kind, host, port)
	if address, ok := p.config.Names[host]; ok {
		host = address
	}
	return host, port, nil
}

func answer(client net.Conn, reply byte) {
	_, _ = client.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
}

func read(from io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(from, b)
	return b, err
}
