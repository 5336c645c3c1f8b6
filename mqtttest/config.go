package mqtttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeFiles writes the files that mosquitto.conf names. Their texts do not depend on the port.
func (b *Broker) writeFiles() (err error) {
	if b.settings.passwords != nil {
		text, err := passwordFile(b.settings.passwords)
		if err != nil {
			return err
		}
		if err := b.write("passwords", text); err != nil {
			return err
		}
	}
	if b.settings.acl != "" {
		if err := b.write("acl", b.settings.acl+"\n"); err != nil {
			return err
		}
	}
	if b.settings.tls {
		if b.authority, err = newAuthority(b.dir); err != nil {
			return err
		}
		b.certFile, b.keyFile, err = b.authority.issueServer()
	}
	return err
}

// config returns the text of mosquitto.conf.
func (b *Broker) config() string {
	lines := append(b.globalLines(), b.listenerLines()...)
	return strings.Join(append(lines, b.settings.config...), "\n") + "\n"
}

func (b *Broker) globalLines() []string {
	lines := []string{
		"log_dest stderr",
		"log_type all",
		"log_timestamp_format %H:%M:%S",
		"set_tcp_nodelay true",
		fmt.Sprintf("allow_anonymous %t", b.settings.passwords == nil),
	}
	if os.Getuid() == 0 { // otherwise mosquitto changes to a user who cannot read the files
		lines = append(lines, "user root")
	}
	if b.settings.passwords != nil {
		lines = append(lines, "password_file "+b.file("passwords"))
	}
	if b.settings.acl != "" {
		lines = append(lines, "acl_file "+b.file("acl"))
	}
	if b.settings.persistence {
		lines = append(lines, "persistence true", "persistence_location "+b.dir+"/")
	}
	return lines
}

func (b *Broker) listenerLines() []string {
	lines := []string{b.program.listener(b.port)}
	if b.settings.tls {
		lines = append(lines, "certfile "+b.certFile, "keyfile "+b.keyFile)
	}
	if b.settings.clientCertificates {
		lines = append(lines, "cafile "+b.authority.file(), "require_certificate true")
		if b.settings.passwords == nil {
			lines = append(lines, "use_identity_as_username true")
		}
	}
	if b.settings.protocols != nil {
		lines = append(lines, protocolsOption+" "+strings.Join(b.settings.protocols, ", "))
	}
	return lines
}

// protocolsOption is an option of mosquitto 2.1 and later.
const protocolsOption = "accept_protocol_versions"

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b *Broker) write(name, text string) error {
	return os.WriteFile(b.file(name), []byte(text), 0o600)
}
