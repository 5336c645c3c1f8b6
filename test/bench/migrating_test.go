package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// docs/migrating.md against the client that it is about, which this module
// requires.
const migrating = "../../docs/migrating.md"

// Every call of paho's is named in a table.
func TestMigratingIsComplete(t *testing.T) {
	text, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(text), -1) {
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(code, -1) {
			named[word] = true
		}
	}
	for _, kind := range []reflect.Type{
		reflect.TypeFor[paho.Client](), reflect.TypeFor[*paho.ClientOptions](), reflect.TypeFor[*paho.ClientOptionsReader](),
		reflect.TypeFor[paho.Token](), reflect.TypeFor[paho.Message](), reflect.TypeFor[*paho.ConnectToken](),
		reflect.TypeFor[*paho.PublishToken](), reflect.TypeFor[*paho.SubscribeToken](),
	} {
		for i := range kind.NumMethod() {
			if name := kind.Method(i).Name; !named[name] {
				t.Errorf("%v: %s is not in docs/migrating.md", kind, name)
			}
		}
	}
}

// What stands there as paho's names exists: the setters and options at least.
func TestMigratingNamesNothingElse(t *testing.T) {
	text, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	options := reflect.TypeFor[*paho.ClientOptions]()
	for _, name := range regexp.MustCompile(`\b(?:Uns|S)et[A-Z]\w+`).FindAllString(string(text), -1) {
		if _, ok := options.MethodByName(name); !ok {
			t.Errorf("%s is no option of paho's", name)
		}
	}
}

// The programs with paho compile.
func TestMigratingBefore(t *testing.T) {
	text, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go paho\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("no program with paho")
	}
	for _, block := range blocks {
		program := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(program, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command("go", "vet", program).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, said)
		}
		if said, err := exec.Command("gofmt", "-l", program).Output(); err != nil || strings.TrimSpace(string(said)) != "" {
			t.Errorf("gofmt: %v %s", err, said)
		}
	}
}
