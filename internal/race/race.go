// Package race reports whether the race detector is enabled. It slows programs down, and it
// makes a sync.Pool forget values.
package race

import (
	"runtime/debug"
	"slices"
)

// Enabled reports whether this program was built with -race.
func Enabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
