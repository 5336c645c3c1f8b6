//go:build cgo && !linux

package mqtt

// hide does nothing: only Linux can connect to a socket without a file.
func (s *privateSocket) hide() {}
