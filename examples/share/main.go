// Share splits a stream among worker processes by a shared subscription. One that
// was killed is started again, and gets what the broker has kept for it.
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
	workers := flag.Int("workers", 4, "how many share the messages")
	messages := flag.Int("messages", 1000, "how many there are")
	if flag.Parse(); flag.NArg() == 1 { // started by supervise
		work(*server, flag.Arg(0), fmt.Sprint("example/share/", os.Getppid()))
		return
	}
	input, ours, err := os.Pipe() // ends when we do, and with it the workers
	check(err)
	defer ours.Close()
	answers, output, err := os.Pipe()
	check(err)
	lines := bufio.NewScanner(answers)
	for i := range *workers {
		go supervise(*server, i+1, input, output)
		lines.Scan() // it is ready
	}
	publisher, err := mqtt.Dial(context.Background(), []string{*server})
	check(err)
	for i := range *messages {
		publisher.PublishAsync(context.Background(), fmt.Sprint("example/share/", os.Getpid()), fmt.Append(nil, i))
	}
	tally, done := make([]int, *workers+1), map[int]bool{}
	for worker, message := 0, 0; len(done) < *messages && lines.Scan(); {
		if n, _ := fmt.Sscan(lines.Text(), &worker, &message); n == 2 { // not ready, again
			tally[worker]++
			done[message] = true
		}
	}
	fmt.Println(len(done), "messages, of which the workers got", tally[1:])
	check(publisher.Close(context.Background()))
}

func supervise(server string, worker int, input, output *os.File) {
	for ; ; time.Sleep(time.Second) {
		cmd := exec.Command(os.Args[0], "-server", server, fmt.Sprint(worker))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = input, output, os.Stderr
		check(cmd.Start())
		fmt.Println("worker", worker, "is process", cmd.Process.Pid)
		log.Print("worker ", worker, ": ", cmd.Wait())
	}
}

// work prints what comes in. A message is acknowledged when it was printed.
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
