package main

import (
	"os"
	"strings"
	"testing"
)

// The facade is measured with the code that measures paho. The two files differ in the
// import, the name of the type and the comment of the type.
func TestFacade_IsUsedAsPahoIs(t *testing.T) {
	code := func(file string) string {
		t.Helper()
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, text, found := strings.Cut(string(source), "\ntype ")
		if !found {
			t.Fatalf("%s has no type", file)
		}
		return text
	}
	want := strings.NewReplacer("paho struct", "facade struct", "*paho)", "*facade)").Replace(code("paho.go"))
	if got := code("facade.go"); got != want {
		t.Errorf("facade.go differs from paho.go:\n%s", got)
	}
}
