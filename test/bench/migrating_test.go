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

// docs/migrating.md is compared with paho.mqtt.golang, which this module requires.
const migrating = "../../docs/migrating.md"

// Every method of paho is named in a table.
func TestMigrating_NamesEveryPahoMethod(t *testing.T) {
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
				t.Errorf("docs/migrating.md does not name %s of %v", kind, name)
			}
		}
	}
}

// The setters that the document names are options of paho.
func TestMigrating_NamesOnlyPahoOptions(t *testing.T) {
	text, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	options := reflect.TypeFor[*paho.ClientOptions]()
	for _, name := range regexp.MustCompile(`\b(?:Uns|S)et[A-Z]\w+`).FindAllString(string(text), -1) {
		if _, ok := options.MethodByName(name); !ok {
			t.Errorf("paho has no option %s", name)
		}
	}
}

func TestMigrating_PahoProgramsCompile(t *testing.T) {
	text, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go paho\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("docs/migrating.md has no program with paho")
	}
	for _, block := range blocks {
		program := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(program, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := exec.Command("go", "vet", program).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
		if output, err := exec.Command("gofmt", "-l", program).Output(); err != nil || strings.TrimSpace(string(output)) != "" {
			t.Errorf("gofmt: %v %s", err, output)
		}
	}
}
