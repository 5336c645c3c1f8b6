// Package race reports whether the race detector is enabled. It slows programs down, and it
// makes a sync.Pool forget values.
package race

import (
	"runtime/debug"
	"slices"
)

// Enabled reports whether this program was built with -race.
func Enabled() bool { return builtWith("-race") }

// Instrumented reports whether this program was built with -race or -asan. Its stacks are
// larger.
func Instrumented() bool { return Enabled() || builtWith("-asan") }

func builtWith(flag string) bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: flag, Value: "true"})
}
