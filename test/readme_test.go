package test_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The documents against what they describe.

// documents are the module's Markdown files.
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

// TestReadmeCode compiles every block of README.md that is marked as Go, in a
// module of its own, as a user would. A block that begins with "package" is a
// program. Any other is the body of
//
//	func(ctx context.Context, client *mosquitto.Client) error
//
// which imports the packages it names, and returns nil at the end.
func TestReadmeCode(t *testing.T) {
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.sum"), read(t, "go.sum"))
	write(t, filepath.Join(dir, "go.mod"), "module readme\n\ngo 1.24\n\nrequire github.com/mosquitto-go/mosquitto v0.0.0\n\n"+
		"replace github.com/mosquitto-go/mosquitto => "+here+"\n")

	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	readme := read(t, "README.md")
	found := blocks.FindAllStringSubmatchIndex(readme, -1)
	require.Greater(t, len(found), 10)
	for i, at := range found {
		block, line := readme[at[2]:at[3]], 1+strings.Count(readme[:at[2]], "\n")
		write(t, filepath.Join(dir, fmt.Sprint("block", i), "main.go"), program(block, line))
		formatted(t, block, line)
	}

	build := command("go", "build", "./...")
	build.Dir = dir
	build.Env = append(build.Env, "GOFLAGS=-mod=mod -buildvcs=false")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
}

var known = []string{
	"context", "encoding/json", "errors", "fmt", "log", "os", "os/signal", "slices", "strconv", "strings", "sync", "syscall", "time",
}

// program makes a file of a block; the compiler's errors name README.md's lines.
func program(block string, line int) string {
	if strings.HasPrefix(block, "package ") {
		return block
	}
	imports := "import (\n\t\"context\"\n\n\t\"github.com/mosquitto-go/mosquitto\"\n"
	for _, path := range known[1:] {
		if regexp.MustCompile(`\b` + filepath.Base(path) + `\.[A-Z]`).MatchString(block) {
			imports += "\t\"" + path + "\"\n"
		}
	}
	return "package readme\n\n" + imports + ")\n\n" +
		"func _(ctx context.Context, client *mosquitto.Client) error {\n" +
		fmt.Sprintf("//line README.md:%d\n%s", line, block) + "return nil\n}\n"
}

// formatted: what people copy is as gofmt has it.
func formatted(t *testing.T, block string, line int) {
	gofmt := command("gofmt")
	gofmt.Stdin = strings.NewReader(block)
	assert.Equal(t, block, output(t, gofmt), "README.md:%d: gofmt", line)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// Links inside the documents lead to files and headings that exist.
func TestLinks(t *testing.T) {
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

// anchors are the names of a document's headings in links.
func anchors(document string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		name := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// The map of files has what there is, and nothing else.
func TestMapOfFiles(t *testing.T) {
	_, section, found := strings.Cut(read(t, "README.md"), "\n### Map of files\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n### ")
	var named []string
	for _, line := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(section, -1) {
		for _, path := range strings.Split(line[1], ", ") {
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

// The commands of the documents are in the Makefile.
func TestMakeTargets(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)(?:`|  )").FindAllStringSubmatch(read(t, name), -1) {
			assert.Regexp(t, `(?m)^(\w+ )*`+m[1]+`( \w+)*:`, makefile, "%s: make %s", name, m[1])
		}
	}
}

// The examples of the documents are there.
func TestExamplesNamed(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile(`\bexamples/(\w+)`).FindAllStringSubmatch(read(t, name), -1) {
			_, err := os.Stat(filepath.Join(root, "examples", m[1], "main.go"))
			assert.NoError(t, err, name)
		}
	}
}
