//go:build race

package paho_test

const raceEnabled = true
