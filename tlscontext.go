//go:build cgo

package mosquitto

// TLSContext holds TLS settings for a broker whose certificate has another name than
// the host of the connect. [Client.TLSSet] cannot express that.
type TLSContext struct {
	ServerName        string // that the certificate must be for, and is asked for (SNI); "" checks no name
	CAFile, CAPath    string // whom to trust, PEM; one at least
	CertFile, KeyFile string // the client's own, PEM, both or none
	KeyPassword       string // of an encrypted key
	MinVersion        string // "tlsv1.2" (default) or "tlsv1.3"
	Ciphers           string // an OpenSSL list, for TLS 1.2; "" is the default
	ALPN              string // the protocol to ask for
}

var tlsVersions = map[string]int{"": 0x0303, "tlsv1.2": 0x0303, "tlsv1.3": 0x0304} // numbers of the protocol

// TLSContextSet wraps mosquitto_void_option with [OptSSLCtx] and a context that is
// made of t. What [Client.TLSSet], TLSOptsSet, TLSPSKSet, TLSInsecureSet and the
// options about TLS say does not hold then. The files are read here, once. Set it
// before connecting. It wraps [ErrTLS], with OpenSSL's text, for files that
// OpenSSL does not take.
func (c *Client) TLSContextSet(t TLSContext) error {
	const op = "void_option"
	if err := t.check(op); err != nil {
		return err
	}
	ctx, part, reason := cTLSContext(t, tlsVersions[t.MinVersion])
	if ctx == nil {
		return badArgument(op, ErrTLS, "%s", t.fault(part, reason))
	}
	defer cTLSContextFree(ctx) // the library has a reference of its own
	if err := c.IntOption(OptSSLCtxWithDefaults, 0); err != nil {
		return err
	}
	return c.VoidOption(OptSSLCtx, ctx)
}

// fault is the text for a part of t that OpenSSL has refused, with its reason.
func (t *TLSContext) fault(part, reason string) string {
	files := map[string]fileArgument{
		"CAFile, CAPath": {"CAFile", t.CAFile}, "CertFile": {"CertFile", t.CertFile}, "KeyFile": {"KeyFile", t.KeyFile},
	}
	f, isFile := files[part]
	if !isFile {
		return part + ": " + sentence(reason)
	}
	if f.argument == "CAFile" && f.file == "" {
		f = fileArgument{"CAPath", t.CAPath}
	}
	if fault := f.fault(); fault != "" {
		return fault
	}
	return f.String() + ": " + sentence(reason)
}

func (t *TLSContext) check(op string) error {
	for argument, text := range map[string]string{
		"ServerName": t.ServerName, "CAFile": t.CAFile, "CAPath": t.CAPath, "CertFile": t.CertFile,
		"KeyFile": t.KeyFile, "KeyPassword": t.KeyPassword, "Ciphers": t.Ciphers, "ALPN": t.ALPN,
	} {
		if err := checkText(op, argument, text); err != nil {
			return err
		}
	}
	switch {
	case t.CAFile == "" && t.CAPath == "":
		return badArgument(op, ErrInval, "CAFile, CAPath: both empty")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return badArgument(op, ErrInval, "CertFile, KeyFile: one without the other")
	case tlsVersions[t.MinVersion] == 0:
		return badArgument(op, ErrInval, "MinVersion: %q is none of tlsv1.2, tlsv1.3", t.MinVersion)
	case len(t.ALPN) > 254:
		return badArgument(op, ErrInval, "ALPN: %d bytes, more than 254", len(t.ALPN))
	}
	return nil
}
