//go:build cgo && !linux && !darwin && !freebsd

package mqtt

// isOwnConnection cannot identify the process here. The directory of the socket admits
// only this user.
func isOwnConnection(int) bool { return true }
