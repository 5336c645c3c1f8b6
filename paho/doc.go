// Package paho has the exported API of github.com/eclipse/paho.mqtt.golang v1.5.1, on
// package mqtt. A program moves to it by changing its import paths.
package paho
