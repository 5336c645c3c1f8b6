// Command programs has small programs for paho.mqtt.golang. The tests compile it twice: as it
// is, and with the import path of package paho. Its arguments are the name of a program and
// the address of the server.
package main

import "os"

var programs = map[string]func(){
	"again":       again,
	"invalid":     invalid,
	"noreconnect": noreconnect,
	"notify":      notify,
	"oldversion":  oldversion,
	"plain":       plain,
	"publish":     publish,
	"reconnect":   reconnect,
	"refused":     refused,
	"resend":      resend,
	"retry":       retry,
	"routes":      routes,
	"secure":      secure,
	"websockets":  websockets,
	"session":     session,
	"stop":        stop,
	"subscribe":   subscribe,
	"unordered":   unordered,
	"will":        will,
	"consumer":    consumer,
	"exporter":    exporter,
	"home":        home,
	"load":        load,
	"opener":      opener,
	"credentials": credentials,
	"order":       order,
	"store":       store,
}

func main() { programs[os.Args[1]]() }
