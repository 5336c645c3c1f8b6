package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// status holds figures about a process from /proc.

type status struct {
	rss     int64 // bytes
	threads int
}

func statusOf(pid int) (s status) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "VmRSS:":
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			s.rss = kib << 10
		case fields[0] == "Threads:":
			s.threads, _ = strconv.Atoi(fields[1])
		}
	}
	return s
}

// descriptorsOf returns the number of file descriptors. Since Linux 6.2 it is the size of the
// directory. To read the directory would count as CPU time of the clients.
func descriptorsOf(pid int) int {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	entries, _ := os.ReadDir(dir)
	return len(entries)
}

// tick is the unit of CPU times in /proc, the same on every Linux system that Go
// supports.
const tick = 10 * time.Millisecond

// cpuOf returns the CPU time that a process has used, user and system.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ") // the name may contain any character
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick
}
