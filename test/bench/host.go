package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// host describes the machine and the software that were measured.
type host struct {
	library string // libmosquitto's version
	has21   bool
	broker  string
	golang  string
	system  string
	cpu     string
	date    string
	modules map[string]string // versions of the contenders in Go
}

func thisHost() host {
	major, minor, revision := mosquitto.LibVersion()
	h := host{
		library: fmt.Sprintf("%d.%d.%d", major, minor, revision),
		has21:   major > 2 || major == 2 && minor >= 1,
		broker:  brokerVersion(),
		golang:  strings.TrimPrefix(runtime.Version(), "go"),
		system:  system(),
		cpu:     fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel()),
		date:    time.Now().Format(time.DateOnly),
		modules: make(map[string]string),
	}
	// 2.1.0, 2.1.1 and 2.1.2 all report 2.1.0 at run time.
	if installed, err := exec.Command("pkg-config", "--modversion", "libmosquitto").Output(); err == nil {
		h.library = strings.TrimSpace(string(installed))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			h.modules[m.Path] = m.Version
		}
	}
	return h
}

func brokerVersion() string {
	program, err := brokerProgram()
	if err != nil {
		return "?"
	}
	output, _ := exec.Command(program, "-h").Output() // its exit status is not 0
	first, _, _ := strings.Cut(string(output), "\n")
	return strings.TrimPrefix(first, "mosquitto version ")
}

func system() string {
	name := runtime.GOOS
	text, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			name = strings.Trim(value, `"`)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(name + ", kernel " + strings.TrimSpace(string(kernel)))
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// facts returns the lines below the heading of the page.
func (h host) facts() []string {
	version := func(path string) string { return path + " " + h.modules[path] }
	return []string{
		"libmosquitto " + h.library + ", broker mosquitto " + h.broker + ", Go " + h.golang,
		h.cpu + ", " + h.system + ", " + h.date,
		version("github.com/eclipse/paho.mqtt.golang") + ", " + version("github.com/eclipse/paho.golang") + ", " +
			version("github.com/at-wat/mqtt-go"),
	}
}
