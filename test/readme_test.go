package test_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The documents are compared with the code.

// documents returns the paths of the module's Markdown files.
func documents(t testing.TB) (names []string) {
	t.Helper()
	for _, name := range files(t) {
		if strings.HasSuffix(name, ".md") {
			names = append(names, name)
		}
	}
	for _, name := range []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} {
		require.Contains(t, names, name)
	}
	return names
}

// TestReadme_CodeBlocksCompile compiles each Go block of the documents in a module of
// its own, as a user would. A block that begins with "package" is a program. Any other
// block is the body of
//
//	func(ctx context.Context, client *mosquitto.Client) error
//
// If it names package mqtt, the client is a *mqtt.Client. The test imports the packages
// that the block names, and adds "return nil" at its end.
func TestReadme_CodeBlocksCompile(t *testing.T) {
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.sum"), read(t, "go.sum"))
	write(t, filepath.Join(dir, "go.mod"), "module readme\n\ngo 1.24\n\nrequire github.com/mosquitto-go/mosquitto v0.0.0\n\n"+
		"replace github.com/mosquitto-go/mosquitto => "+here+"\n")

	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	n := map[string]int{}
	for _, name := range documents(t) {
		text := read(t, name)
		for _, at := range blocks.FindAllStringSubmatchIndex(text, -1) {
			n[name]++
			block, line := text[at[2]:at[3]], 1+strings.Count(text[:at[2]], "\n")
			folder := fmt.Sprintf("%s%d", strings.TrimSuffix(filepath.Base(name), ".md"), n[name])
			write(t, filepath.Join(dir, folder, "main.go"), program(block, name, line))
			formatted(t, block, name, line)
		}
	}
	require.Greater(t, n["README.md"]+n["docs/guide.md"], 10)
	require.GreaterOrEqual(t, n["docs/migrating.md"], 5)

	build := command("go", "build", "./...")
	build.Dir = dir
	build.Env = append(build.Env, "GOFLAGS=-mod=mod -buildvcs=false")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
}

var known = []string{
	"encoding/json", "errors", "fmt", "log", "log/slog", "os", "os/signal", "slices", "strconv", "strings", "sync", "syscall", "time",
}

const module = "github.com/mosquitto-go/mosquitto"

// program makes a Go file of a block. The compiler's errors have the line numbers of
// the document. A block has a scope of its own, so it may declare another client.
func program(block, document string, line int) string {
	if strings.HasPrefix(block, "package ") {
		return block
	}
	uses := func(path string) bool {
		return regexp.MustCompile(`\b` + filepath.Base(path) + `\.[A-Z]`).MatchString(block)
	}
	imports, client := "import (\n\t\"context\"\n", "*mosquitto.Client"
	for _, path := range known {
		if uses(path) {
			imports += "\t\"" + path + "\"\n"
		}
	}
	if uses("mqtt") {
		client = "*mqtt.Client"
		imports += "\t\"" + module + "/mqtt\"\n"
	}
	if uses("mosquitto") || !uses("mqtt") {
		imports += "\t\"" + module + "\"\n"
	}
	end := "return nil\n"
	if parameter := "client, err := "; strings.HasPrefix(block, parameter) && !strings.Contains(strings.TrimPrefix(block, parameter), "client.") {
		end = "_ = client\nreturn err\n"
	} else if regexp.MustCompile(`^err := `).MatchString(block) && !strings.Contains(block, "if err") {
		end = "return err\n"
	}
	return "package readme\n\n" + imports + ")\n\n" +
		"func _(ctx context.Context, client " + client + ") error {\n" +
		fmt.Sprintf("{\n//line %s:%d\n%s", document, line, block) + end + "}\n}\n"
}

// formatted asserts that the block is formatted as by gofmt.
func formatted(t *testing.T, block, document string, line int) {
	gofmt := command("gofmt")
	gofmt.Stdin = strings.NewReader(block)
	assert.Equal(t, block, output(t, gofmt), "%s:%d: gofmt", document, line)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// Links in the documents point to files and headings that exist.
func TestLinks_PointToExistingHeadings(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
				if _, err := os.Stat(filepath.Join(root, target)); !assert.NoError(t, err, "%s: %s", name, m[1]) {
					continue
				}
			}
			if anchor != "" {
				assert.Contains(t, anchors(read(t, target)), anchor, "%s: %s", name, m[1])
			}
		}
	}
}

// anchors returns the link names of a document's headings.
func anchors(document string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		name := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// The map of files in docs/architecture.md lists exactly the existing files.
func TestReadme_MapOfFilesIsComplete(t *testing.T) {
	_, section, found := strings.Cut(read(t, "docs/architecture.md"), "\n## Map of files\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var named []string
	for _, line := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(section, -1) {
		for path := range strings.SplitSeq(line[1], ", ") {
			path = strings.Trim(path, "`")
			named = append(named, path)
			_, err := os.Stat(filepath.Join(root, path))
			assert.NoError(t, err, "the map of files names %s", path)
		}
	}
	for name := range rootFiles(t) {
		assert.Contains(t, named, name, "the map of files")
	}
	for _, name := range files(t) {
		folder, _, inside := strings.Cut(name, "/")
		if inside {
			assert.True(t, slices.Contains(named, folder+"/"), "the map of files lacks %s/", folder)
		}
	}
}

// The make targets that documents name are in the Makefile.
func TestReadme_MakeTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)(?:`|  )").FindAllStringSubmatch(read(t, name), -1) {
			assert.Regexp(t, `(?m)^(\w+ )*`+m[1]+`( \w+)*:`, makefile, "%s: make %s", name, m[1])
		}
	}
}

// The examples that documents name exist.
func TestReadme_NamedExamplesExist(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile(`\bexamples/(\w+)`).FindAllStringSubmatch(read(t, name), -1) {
			_, err := os.Stat(filepath.Join(root, "examples", m[1], "main.go"))
			assert.NoError(t, err, name)
		}
	}
}

// The names of this module in the tables of docs/migrating.md exist. Package test/bench
// compares the names of paho.mqtt.golang, because it requires that module.
func TestReadme_NamesInMigratingExist(t *testing.T) {
	root, mqtt := namesOf(t, "."), namesOf(t, "mqtt")
	for _, field := range []string{"MID", "Topic", "Payload", "QoS", "Retain"} {
		mqtt["Message."+field] = root["Message."+field] // Message is an alias
	}
	quoted := regexp.MustCompile("`(mqtt\\.|mosquitto\\.)?([A-Z]\\w*(?:\\.[A-Z]\\w*)?)`")
	var header []string
	n := 0
	for line := range strings.SplitSeq(read(t, "docs/migrating.md"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			header = nil
			continue
		}
		if header == nil {
			header = cells
		}
		for i, cell := range cells {
			column := strings.TrimSpace(header[i])
			if !strings.HasPrefix(column, "package ") {
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				names := mqtt
				if m[1] == "mosquitto." || m[1] == "" && column == "package mosquitto" {
					names = root
				}
				n++
				assert.True(t, names[m[2]] || names["Client."+m[2]], "docs/migrating.md: %s", m[0])
			}
		}
	}
	assert.Greater(t, n, 80)
}

// namesOf returns the names that a package declares. Methods and fields are listed as
// Type.Name.
func namesOf(t testing.TB, folder string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, name := range files(t) {
		if filepath.Dir(name) != folder || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, decl := range parse(t, name).Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				names[strings.TrimPrefix(receiver(d)+"."+d.Name.Name, ".")] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addNames(names, spec)
				}
			}
		}
	}
	require.NotEmpty(t, names)
	return names
}

func addNames(names map[string]bool, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range s.Names {
			names[id.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		if fields, ok := s.Type.(*ast.StructType); ok {
			for _, field := range fields.Fields.List {
				for _, id := range field.Names {
					names[s.Name.Name+"."+id.Name] = true
				}
			}
		}
	}
}

// Each chapter of the guide ends with links to its examples. The guide names all examples of
// both packages.
func TestReadme_GuideNamesAllExamples(t *testing.T) {
	guide := read(t, "docs/guide.md")
	missing := map[string]bool{}
	for _, folder := range []string{".", "mqtt"} {
		names, err := filepath.Glob(filepath.Join(root, folder, "example*_test.go"))
		require.NoError(t, err)
		for _, name := range names {
			name, err = filepath.Rel(root, name)
			require.NoError(t, err)
			for _, function := range exampleFunctions(t, name) {
				missing[name+" "+function] = true
			}
		}
	}
	require.GreaterOrEqual(t, len(missing), 90)
	link := regexp.MustCompile(`\[([^]]+)\]\(\.\./([\w/]*example\w*_test\.go)\)`)
	for _, chapter := range strings.Split(guide, "\n### ")[1:] {
		title, _, _ := strings.Cut(chapter, "\n")
		links := link.FindAllStringSubmatch(chapter, -1)
		assert.NotEmpty(t, links, "chapter %q: no examples", title)
		for _, m := range links {
			function := exampleFunction(m[1])
			assert.Contains(t, exampleFunctions(t, m[2]), function, "chapter %q", title)
			delete(missing, m[2]+" "+function)
		}
	}
	assert.Empty(t, missing, "examples that the guide does not name")
}

// exampleFunctions returns the names of the examples in a file.
func exampleFunctions(t testing.TB, file string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^func (Example\w*)\(\)`).FindAllStringSubmatch(read(t, file), -1) {
		names = append(names, m[1])
	}
	return names
}

// exampleFunction returns the function of an example that the guide calls for example
// "Client.PublishAsync, in handler".
func exampleFunction(text string) string {
	if text == "a program" {
		return "Example"
	}
	symbol, suffix, found := strings.Cut(text, ", ")
	name := "Example" + strings.ReplaceAll(symbol, ".", "_")
	if found {
		name += "_" + regexp.MustCompile(` \w`).ReplaceAllStringFunc(suffix, func(s string) string { return strings.ToUpper(s[1:]) })
	}
	return name
}
