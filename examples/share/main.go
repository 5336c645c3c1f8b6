// Share distributes messages to worker processes with a shared subscription. If a worker
// is killed, Share starts it again, and the broker sends it the messages that it has not
// acknowledged.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

func main() {
	server := flag.String("server", "mqtt://127.0.0.1:1883", "`address` of the broker")
	workers := flag.Int("workers", 4, "`number` of worker processes")
	messages := flag.Int("messages", 1000, "`number` of messages to publish")
	if flag.Parse(); flag.NArg() == 1 { // started by supervise
		work(*server, flag.Arg(0), fmt.Sprint("example/share/", os.Getppid()))
		return
	}
	workerInput, parent, err := os.Pipe() // the workers exit when the parent process closes its end
	check(err)
	defer parent.Close()
	results, workerOutput, err := os.Pipe()
	check(err)
	lines := bufio.NewScanner(results)
	for i := range *workers {
		go supervise(*server, i+1, workerInput, workerOutput)
		lines.Scan() // the worker is ready
	}
	publisher, err := mqtt.Dial(context.Background(), []string{*server})
	check(err)
	for i := range *messages {
		publisher.PublishAsync(context.Background(), fmt.Sprint("example/share/", os.Getpid()), fmt.Append(nil, i))
	}
	counts, done := make([]int, *workers+1), map[int]bool{}
	for worker, message := 0, 0; len(done) < *messages && lines.Scan(); {
		if n, _ := fmt.Sscan(lines.Text(), &worker, &message); n == 2 { // the line is not "ready" of a restarted worker
			counts[worker]++
			done[message] = true
		}
	}
	fmt.Println(len(done), "messages, handled by the workers:", counts[1:])
	check(publisher.Close(context.Background()))
}

// supervise runs a worker process, and starts it again when it ends.
func supervise(server string, worker int, input, output *os.File) {
	for ; ; time.Sleep(time.Second) {
		cmd := exec.Command(os.Args[0], "-server", server, fmt.Sprint(worker))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = input, output, os.Stderr
		check(cmd.Start())
		fmt.Println("worker", worker, "is process", cmd.Process.Pid)
		log.Print("worker ", worker, ": ", cmd.Wait())
	}
}

// work prints the messages that it receives. The client acknowledges a message after the
// handler has printed it. work returns when the parent process has ended.
func work(server, worker, topic string) {
	handle := func(_ context.Context, m mqtt.Message) { fmt.Println(worker, string(m.Payload)) }
	client, err := mqtt.Dial(context.Background(), []string{server}, mqtt.WithProtocol(mqtt.V5), mqtt.WithSession(time.Minute),
		mqtt.WithClientID(fmt.Sprint("share-", os.Getppid(), "-", worker)),
		mqtt.WithSubscription("$share/workers/"+topic, 1, handle))
	check(err)
	fmt.Println(worker, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	check(client.Close(context.Background()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
