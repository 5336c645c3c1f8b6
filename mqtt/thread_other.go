//go:build cgo && !linux

package mqtt

// threadID cannot tell threads apart here: any goroutine counts as a consumer's
// while one is at work.
func threadID() int { return 1 }
