package mqtttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is how the broker runs: the installed mosquitto, or a container. It is immutable.
type program struct {
	path  string // of mosquitto or of docker
	image string // "" for the installed mosquitto
	name  string // of the container
}

// directories are searched after those of PATH, which often lacks them.
var directories = []string{"/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"}

const defaultImage = "eclipse-mosquitto:2"

var errMissing = errors.New("mosquitto is not installed: install the package mosquitto" +
	" (Debian, Ubuntu, Fedora, Alpine, Arch, Homebrew), or docker for the image " + defaultImage)

// findProgram returns the program for the image, or the installed mosquitto for "".
func findProgram(image string) (program, error) {
	if image != "" {
		return dockerProgram(image)
	}
	if path, ok := find("mosquitto"); ok {
		return program{path: path}, nil
	}
	p, err := dockerProgram(defaultImage)
	if err != nil {
		return p, errMissing
	}
	return p, nil
}

func find(name string) (path string, ok bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	for _, directory := range directories {
		if path, err := exec.LookPath(filepath.Join(directory, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

func dockerProgram(image string) (program, error) {
	path, ok := find("docker")
	if !ok {
		return program{}, fmt.Errorf("the image %s needs the docker command: install docker", image)
	}
	return program{path: path, image: image, name: "mqtttest-" + strings.ToLower(rand.Text())}, nil
}

// listener returns the line of mosquitto.conf. In a container, docker forwards only
// loopback connections to the port.
func (p program) listener(port int) string {
	if p.image != "" {
		return fmt.Sprintf("listener %d", port)
	}
	return fmt.Sprintf("listener %d 127.0.0.1", port)
}

// command returns the command that runs the broker until it receives a signal. The
// container sees dir, with mosquitto.conf and all other files, under the same path.
func (p program) command(dir string, port int) *exec.Cmd {
	arguments := []string{"-c", filepath.Join(dir, "mosquitto.conf")}
	if p.image == "" {
		return exec.Command(p.path, arguments...)
	}
	run := []string{
		"run", "--rm", "--name", p.name,
		"--publish", fmt.Sprintf("%s:%d", loopback(port), port),
		"--volume", dir + ":" + dir,
		"--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		p.image, "mosquitto",
	}
	return exec.Command(p.path, append(run, arguments...)...)
}

// lastSignal is the signal for the command when this process ends. The docker command
// forwards SIGTERM to the container.
func (p program) lastSignal() syscall.Signal {
	if p.image == "" {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}

// startTimeout is how long the broker may take to listen. Docker may download the image.
func (p program) startTimeout() time.Duration {
	if p.image != "" {
		return 5 * time.Minute
	}
	return 10 * time.Second
}

// signal sends a signal to the broker.
func (p program) signal(running *process, signal syscall.Signal) {
	if p.image == "" {
		running.signal(signal)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kill := exec.CommandContext(ctx, p.path, "kill", "--signal", fmt.Sprint(int(signal)), p.name)
	_ = kill.Run() // the caller retries
}
