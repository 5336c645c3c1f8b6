//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// server is an address that Dial was called with.
type server struct {
	name     string // for logs and errors: without credentials
	host     string // host, or the path of a unix socket
	port     int    // 0 for a unix socket
	tls      bool
	path     string // path of a websocket
	ws       bool
	user     string
	password string
}

// scheme is the meaning of a URL's scheme.
type scheme struct {
	port    int
	tls, ws bool
}

var schemes = map[string]scheme{
	"mqtt": {port: 1883}, "tcp": {port: 1883},
	"mqtts": {port: 8883, tls: true}, "ssl": {port: 8883, tls: true}, "tls": {port: 8883, tls: true},
	"tcps": {port: 8883, tls: true}, "mqtt+ssl": {port: 8883, tls: true},
	"ws": {port: 80, ws: true}, "wss": {port: 443, tls: true, ws: true},
}

// allSchemes are the keys of schemes, and unix, in the order of the documentation.
const allSchemes = "mqtt, tcp, mqtts, ssl, tls, tcps, mqtt+ssl, ws, wss, unix"

// parseServers parses the addresses that Dial was called with.
func parseServers(texts []string) ([]server, error) {
	if len(texts) == 0 {
		return nil, badArgument("servers", "none")
	}
	var all []server
	for i, text := range texts {
		s, err := parseServer(text)
		if err != nil {
			return nil, fmt.Errorf("mqtt: servers[%d]: %w", i, err)
		}
		if i > 0 && s.tls != all[0].tls {
			return nil, badArgument(fmt.Sprintf("servers[%d]", i), "TLS is for all servers or for none")
		}
		all = append(all, s)
	}
	return all, nil
}

func parseServer(text string) (server, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" || strings.IndexByte(path, 0) >= 0 {
			return server{}, fmt.Errorf("not the path of a unix socket: %w", mosquitto.ErrInval)
		}
		return server{name: "unix:" + path, host: path}, nil
	}
	if !strings.Contains(text, "://") {
		text = "mqtt://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return server{}, fmt.Errorf("not a URL: %w", mosquitto.ErrInval) // err contains the text, which may contain a password
	}
	kind, ok := schemes[strings.ToLower(u.Scheme)]
	switch {
	case !ok:
		return server{}, fmt.Errorf("scheme %q is none of %s: %w", u.Scheme, allSchemes, mosquitto.ErrInval)
	case u.Hostname() == "":
		return server{}, fmt.Errorf("no host: %w", mosquitto.ErrInval)
	case u.RawQuery != "" || u.Fragment != "":
		return server{}, fmt.Errorf("a query or a fragment is not supported: %w", mosquitto.ErrInval)
	case strings.Contains(u.Path, "@"): // an unescaped / in a password would be logged as part of the path
		return server{}, fmt.Errorf("a path with @: write / in credentials as %%2F: %w", mosquitto.ErrInval)
	case !kind.ws && strings.Trim(u.Path, "/") != "":
		return server{}, fmt.Errorf("only websockets have a path: %w", mosquitto.ErrInval)
	case kind.ws && !websockets():
		return server{}, fmt.Errorf("websockets need libmosquitto 2.1, or WithDialer with module mqtt/websocket: %w", mosquitto.ErrNotSupported)
	}
	s := server{host: u.Hostname(), port: kind.port, tls: kind.tls, ws: kind.ws}
	if s.ws {
		s.path = u.Path
	}
	if p := u.Port(); p != "" {
		if s.port, err = strconv.Atoi(p); err != nil || s.port < 1 || s.port > 65535 {
			return server{}, fmt.Errorf("port %s is not between 1 and 65535: %w", p, mosquitto.ErrInval)
		}
	}
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	s.name = strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(s.host, strconv.Itoa(s.port)) + s.path
	return s, nil
}

// websockets reports whether the installed library supports websockets.
func websockets() bool { return isLibrary21() }

// isLiteral reports whether the server is an IP address or a unix socket: no name to
// resolve.
func (s *server) isLiteral() bool {
	if s.port == 0 {
		return true
	}
	_, err := netip.ParseAddr(s.host)
	return err == nil
}

// refersTo returns the server that a broker has named in a server reference: the first
// host or host:port of a list. Everything else is as for s.
func (s *server) refersTo(reference string) (server, error) {
	host, _, _ := strings.Cut(strings.TrimSpace(reference), " ")
	scheme, _, _ := strings.Cut(s.name, "://")
	to, err := parseServer(scheme + "://" + host + s.path)
	to.user, to.password = s.user, s.password
	return to, err
}

// address is an address of a server.
type address struct {
	host string
	bind string // local address
}

// addresses resolves a server's name. With TLS or a websocket the library needs the name
// itself, and it connects to only one address of the name. In this case the local
// address selects IPv6 or IPv4.
func (c *Client) addresses(s *server) (all []address, err error) {
	ctx, cancel := context.WithTimeout(&c.connectCtx, c.opts.connectTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.host)
	if err != nil {
		return nil, err
	}
	if !s.tls && !s.ws {
		for _, ip := range found {
			all = append(all, address{ip.Unmap().String(), c.opts.bind})
		}
		return all, nil
	}
	is4 := func(ip netip.Addr) bool { return ip.Unmap().Is4() }
	is6 := func(ip netip.Addr) bool { return !is4(ip) }
	if c.opts.bind != "" || !slices.ContainsFunc(found, is4) || !slices.ContainsFunc(found, is6) {
		return []address{{s.host, c.opts.bind}}, nil
	}
	all = []address{{s.host, "::"}, {s.host, "0.0.0.0"}}
	if is4(found[0]) { // the system prefers IPv4
		slices.Reverse(all)
	}
	return all, nil
}
