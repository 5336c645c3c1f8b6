package test_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/test/spawn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The rules of the house, kept by machine. What each is good for stands in
// CONTRIBUTING.md.

// root is the module's folder, as the tests see it.
const root = ".."

var update = flag.Bool("update", false, "renew what a test compares with: the stamp of include/, the listing of the API")

// read returns a file of the module.
func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(b)
}

// files are the module's files, by their path from the root. What git does not
// keep (.gitignore) is left out.
func files(t testing.TB) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if d.IsDir() {
			if name == ".git" || name == "work" || name == "bin" {
				return filepath.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(name); ext != ".test" && ext != ".out" {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

// within tells whether the file lies in one of the folders.
func within(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
}

func parse(t testing.TB, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
	require.NoError(t, err)
	return f
}

// rootFiles are the Go files of package mosquitto, without its tests.
func rootFiles(t testing.TB) map[string]*ast.File {
	t.Helper()
	parsed := make(map[string]*ast.File)
	for _, name := range files(t) {
		if !strings.Contains(name, "/") && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			parsed[name] = parse(t, name)
		}
	}
	require.Greater(t, len(parsed), 10)
	return parsed
}

func imports(f *ast.File) (paths []string) {
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

// preamble is the comment above import "C".
func preamble(t testing.TB, name string) string {
	t.Helper()
	for _, decl := range parse(t, name).Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.IMPORT && len(d.Specs) == 1 &&
			d.Specs[0].(*ast.ImportSpec).Path.Value == `"C"` {
			require.NotNil(t, d.Doc, "%s: import \"C\" without a preamble", name)
			text := strings.TrimSuffix(strings.TrimPrefix(d.Doc.List[0].Text, "/*"), "*/")
			return text
		}
	}
	require.FailNow(t, name+" does not import C")
	return ""
}

var cComment = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)

// C is called in one file and calls back into another.
func TestImportCInTwoFiles(t *testing.T) {
	var with []string
	for _, name := range files(t) {
		if strings.HasSuffix(name, ".go") && !within(name, "test", "examples") && slices.Contains(imports(parse(t, name)), "C") {
			with = append(with, name)
		}
	}
	assert.Equal(t, []string{"callbacks_export.go", "mosquitto_cgo.go"}, with)
}

func TestCodeInCStaysInItsFiles(t *testing.T) {
	ext := regexp.MustCompile(`\.(c|h|cc|cpp|cxx|hh|hpp|m|s|S)$`)
	for _, name := range files(t) {
		if ext.MatchString(name) && !within(name, "test", "examples") {
			assert.True(t, name == "callbacks.c" || within(name, "include"), "%s: C belongs into callbacks.c and include/", name)
		}
	}
	assert.Regexp(t, `^(\s*(#cgo|#include|//)[^\n]*\n|\s*\n)*$`, preamble(t, "mosquitto_cgo.go"), "mosquitto_cgo.go: C code belongs into include/shims.h")
}

// cgo compiles the preamble of a file with exports twice.
func TestExportPreambleDeclaresOnly(t *testing.T) {
	code := cComment.ReplaceAllString(preamble(t, "callbacks_export.go"), "")
	assert.Contains(t, code, `#include "callbacks.h"`)
	assert.NotContains(t, code, "{", "a definition")
	assert.NotRegexp(t, `\bstatic\b|=`, code, "a definition")
	for _, header := range []string{"include/callbacks.h", "include/mosq.h"} { // what it includes
		assert.NotRegexp(t, `\)\s*\{`, cComment.ReplaceAllString(read(t, header), ""), "%s defines a function", header)
	}
}

// TestIncludeStamp: go build does not see edits in include/, since it looks at
// headers in the package's own folder only. Whoever edits one is made to touch
// mosquitto_cgo.go, with
//
//	go test ./test -run TestIncludeStamp -update
func TestIncludeStamp(t *testing.T) {
	headers, err := filepath.Glob(filepath.Join(root, "include", "*.h"))
	require.NoError(t, err)
	require.NotEmpty(t, headers)
	h := sha256.New()
	for _, path := range headers {
		content := read(t, filepath.Join("include", filepath.Base(path)))
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(path), len(content), content)
	}
	want := "// include-stamp: " + hex.EncodeToString(h.Sum(nil))[:16]
	line := regexp.MustCompile(`(?m)^// include-stamp: .*$`)
	source := read(t, "mosquitto_cgo.go")
	require.Len(t, line.FindAllString(source, -1), 1)
	if *update {
		source = line.ReplaceAllLiteralString(source, want)
		require.NoError(t, os.WriteFile(filepath.Join(root, "mosquitto_cgo.go"), []byte(source), 0o644))
	}
	assert.Equal(t, want, line.FindString(source), "include/ was edited; go test ./test -run TestIncludeStamp -update")
}

// A function that is called with noescape or nocallback must not call back,
// and whatever takes a client may log, hence call back.
func TestDirectivesOnlyWithoutClient(t *testing.T) {
	cc := command("go", "env", "CC")
	flags := command("pkg-config", "--cflags", "libmosquitto")
	args := append(strings.Fields(output(t, cc)), "-E", "-P", "-D_GNU_SOURCE", "-Iinclude")
	args = append(append(args, strings.Fields(output(t, flags))...), "include/shims.h")
	source := output(t, command(args[0], args[1:]...))

	directives := regexp.MustCompile(`(?m)^#cgo (?:noescape|nocallback) (\w+)$`).FindAllStringSubmatch(preamble(t, "mosquitto_cgo.go"), -1)
	require.NotEmpty(t, directives)
	for _, d := range directives {
		parameters := regexp.MustCompile(`\b` + d[1] + `\s*\(([^)]*)\)`).FindStringSubmatch(source)
		if assert.NotNil(t, parameters, "%s: no such function", d[1]) {
			assert.NotRegexp(t, `struct\s+(mosquitto|gomosq_client)\s*\*`, parameters[1], "%s takes a client", d[1])
		}
	}
	for name := range rootFiles(t) {
		if name != "mosquitto_cgo.go" {
			assert.NotContains(t, read(t, name), "#cgo no", name)
		}
	}
}

// Texts cross as Go memory with a NUL behind them: nothing to free.
func TestNoCString(t *testing.T) {
	for name, file := range rootFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isC(s) {
				assert.NotContains(t, []string{"CString", "CBytes", "malloc"}, s.Sel.Name, name)
			}
			return true
		})
	}
}

// A child of a test lets go of the connections of the tests beside it.
func TestChildrenOfTestsAreSpawned(t *testing.T) {
	for _, name := range files(t) {
		if filepath.Ext(name) == ".go" && within(name, "test", "mqtt") && !within(name, "test/spawn", "test/bench") && name != "test/exec_test.go" {
			assert.NotRegexp(t, `\bexec\.Command(Context)?\(`, read(t, name), name)
		}
	}
}

func isC(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "C"
}

// A Go int where C passes an int is 64 bits, half of them garbage.
func TestExportsUseCTypesOnly(t *testing.T) {
	exports := 0
	file := parse(t, "callbacks_export.go")
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Doc == nil || !strings.Contains(f.Doc.List[len(f.Doc.List)-1].Text, "//export "+f.Name.Name) {
			continue
		}
		exports++
		assert.True(t, strings.HasPrefix(f.Name.Name, "gomosqGo"), "%s: its C name is global in the user's program", f.Name.Name)
		fields := f.Type.Params.List
		if f.Type.Results != nil {
			fields = append(fields, f.Type.Results.List...)
		}
		for _, field := range fields {
			assert.True(t, isCType(field.Type), "%s: %v is no C type", f.Name.Name, field.Names)
		}
	}
	assert.Equal(t, len(regexp.MustCompile(`(?m)^(int|void) gomosqGo\w+\(`).FindAllString(read(t, "include/callbacks.h"), -1)), exports)

	ast.Inspect(file, func(n ast.Node) bool { // the Go ends call nothing of the library
		if s, ok := n.(*ast.SelectorExpr); ok && isC(s) {
			assert.NotRegexp(t, `^(gomosq_|mosquitto_)`, s.Sel.Name)
		}
		return true
	})
}

func isCType(e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && (x.Name == "C" || x.Name == "unsafe" && s.Sel.Name == "Pointer")
}

// Every exported name says what it is, and begins with its name.
func TestExportedNamesAreDocumented(t *testing.T) {
	n := 0
	for name, file := range rootFiles(t) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if !d.Name.IsExported() || !ast.IsExported(receiver(d)) && d.Recv != nil || isErrorMethod(d) {
					continue
				}
				n++
				assert.True(t, strings.HasPrefix(d.Doc.Text(), d.Name.Name+" "), "%s: %s", name, d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					n += documented(t, name, d, spec)
				}
			}
		}
	}
	assert.Greater(t, n, 150)
}

// isErrorMethod: Error of an error says nothing that its type does not.
func isErrorMethod(d *ast.FuncDecl) bool { return d.Recv != nil && d.Name.Name == "Error" }

// receiver is the name of a method's type, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	e := d.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return "generic"
}

func documented(t *testing.T, file string, d *ast.GenDecl, spec ast.Spec) int {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			text := d.Doc.Text() + s.Doc.Text()
			assert.True(t, strings.HasPrefix(text, s.Name.Name+" "), "%s: %s", file, s.Name.Name)
			return 1
		}
	case *ast.ValueSpec:
		if s.Names[0].IsExported() {
			assert.NotEmpty(t, d.Doc.Text()+s.Doc.Text()+s.Comment.Text(), "%s: %s", file, s.Names[0].Name)
			return 1
		}
	}
	return 0
}

// What must not stand in any file: notes to oneself, and the machine or the
// desk that somebody worked at.
func TestNothingOfTheDesk(t *testing.T) {
	forbidden := []struct {
		what    string
		pattern *regexp.Regexp
		except  string
	}{
		{"a note to oneself", regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b`), ""},
		{"a path of one machine", regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(home|Users|work|share)/[\w.]`), "Dockerfile"},
		{"a path of one machine", regexp.MustCompile(`/tmp/(roots|mq|brief|issue|inroot)`), ""},
		{"a registry's host", regexp.MustCompile(`\b(proxy|sum)\.golang\.org|\b(registry|index)[-\w]*\.docker\.io`), ""},
		{"a paper that is not in the repository", regexp.MustCompile(`\b(facts|design|peers|style)\.md\b`), ""},
	}
	for _, name := range files(t) {
		content := read(t, name)
		if strings.IndexByte(content, 0) >= 0 {
			continue
		}
		for i, line := range strings.Split(content, "\n") {
			for _, f := range forbidden {
				if name != f.except && f.pattern.MatchString(line) {
					assert.Fail(t, f.what, "%s:%d: %s", name, i+1, line)
				}
			}
		}
	}
}

// Users of the package get the standard library and nothing else, those of mqtt
// golang.org/x/sys.
func TestModuleNeedsLittle(t *testing.T) {
	const module = "github.com/mosquitto-go/mosquitto"
	allowed := map[string]bool{ // and whether we import it ourselves
		"github.com/stretchr/testify":   true,
		"golang.org/x/sys":              true,
		"github.com/davecgh/go-spew":    false,
		"github.com/pmezard/go-difflib": false,
		"go.yaml.in/yaml/v3":            false,
		"gopkg.in/yaml.v3":              false,
	}
	mod := read(t, "go.mod")
	assert.Contains(t, mod, "module "+module+"\n")
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(mod, -1) {
		direct, ok := allowed[m[1]]
		assert.True(t, ok, "go.mod requires %s", m[1])
		assert.Equal(t, direct, m[2] == "", "%s: direct or not", m[1])
	}
	assert.NotRegexp(t, `(?m)^(replace|exclude|tool|toolchain)\b`, mod)
	for name, file := range rootFiles(t) {
		for _, path := range imports(file) {
			assert.False(t, strings.Contains(path, ".") && !strings.HasPrefix(path, module+"/"), "%s imports %s", name, path)
		}
	}
}

// command runs in the root, with the module's own settings.
func command(name string, args ...string) *exec.Cmd {
	c := spawn.Command(name, args...)
	c.Dir = root
	c.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOPROXY=off")
	return c
}

func output(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	var errors bytes.Buffer
	c.Stderr = &errors
	b, err := c.Output()
	require.NoError(t, err, "%v: %s", c.Args, errors.String())
	return string(b)
}

// refused runs a command that must fail, and returns what it said.
func refused(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	b, err := c.CombinedOutput()
	require.Error(t, err, "%v succeeded", c.Args)
	return string(b)
}

// Without cgo the compiler's one line says what to do.
func TestBuildWithoutCgo(t *testing.T) {
	c := command("go", "build", ".")
	c.Env = append(c.Env, "CGO_ENABLED=0")
	lines := slices.DeleteFunc(strings.Split(refused(t, c), "\n"), func(line string) bool {
		return line == "" || strings.HasPrefix(line, "# ")
	})
	require.Len(t, lines, 1)
	const undefined = "undefined:"
	_, said, _ := strings.Cut(lines[0], undefined)
	assert.Contains(t, said, "set_CGO_ENABLED_1_and_install_gcc_and_libmosquitto_dev")
	assert.Contains(t, read(t, "docs/troubleshooting.md"), undefined+said, "docs/troubleshooting.md quotes another line")
}

// Without the library pkg-config says so. The flag, which no compiler gets to
// see, keeps go build from finding the package in its cache.
func TestBuildWithoutLibrary(t *testing.T) {
	c := command("go", "build", fmt.Sprintf("-gcflags=-never-built-%d", time.Now().UnixNano()), ".")
	c.Env = append(c.Env, "PKG_CONFIG_LIBDIR="+t.TempDir(), "PKG_CONFIG_PATH=")
	said := refused(t, c)
	assert.Contains(t, said, "Package libmosquitto was not found in the pkg-config search path")
	assert.Contains(t, read(t, "docs/troubleshooting.md"), "Package libmosquitto was not found in the pkg-config search path")
}

// Our C compiles without a warning under -Wall -Wextra.
func TestNoWarnings(t *testing.T) {
	assert.Contains(t, preamble(t, "mosquitto_cgo.go"), "-Wall -Wextra")
	c := command("go", "build", ".")
	c.Env = append(c.Env, "CGO_CFLAGS=-O2 -g -Werror")
	b, err := c.CombinedOutput()
	assert.NoError(t, err, string(b))
}
