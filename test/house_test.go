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

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests check the rules of the repository. CONTRIBUTING.md gives the reasons.

// root is the folder of the module, relative to the tests.
const root = ".."

var update = flag.Bool("update", false, "update the stamp of include/ and the listing of the API")

// read returns a file of the module.
func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(b)
}

// files returns the paths of the module's files, relative to the root, without files
// that git ignores.
func files(t testing.TB) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if name == ".git" && !d.IsDir() { // in a worktree it is a file
			return nil
		}
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

// within reports whether the file is in a folder of the list.
func within(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
}

func parse(t testing.TB, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
	require.NoError(t, err)
	return f
}

// rootFiles returns the Go files of package mosquitto, without tests.
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

// preamble returns the comment above import "C".
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

// One file calls C, another has the functions that C calls.
func TestHouse_TwoFilesImportC(t *testing.T) {
	var with []string
	for _, name := range files(t) {
		if strings.HasSuffix(name, ".go") && !within(name, "test", "internal", "examples") && slices.Contains(imports(parse(t, name)), "C") {
			with = append(with, name)
		}
	}
	assert.Equal(t, []string{"callbacks_export.go", "mosquitto_cgo.go"}, with)
}

func TestHouse_CCodeStaysInItsFiles(t *testing.T) {
	ext := regexp.MustCompile(`\.(c|h|cc|cpp|cxx|hh|hpp|m|s|S)$`)
	for _, name := range files(t) {
		if ext.MatchString(name) && !within(name, "test", "internal", "examples") {
			assert.True(t, name == "callbacks.c" || within(name, "include"), "%s: C code belongs in callbacks.c and include/", name)
		}
	}
	assert.Regexp(t, `^(\s*(#cgo|#include|//)[^\n]*\n|\s*\n)*$`, preamble(t, "mosquitto_cgo.go"), "mosquitto_cgo.go: C code belongs in include/shims.h")
}

// include/platform.h has a second path for what only Linux has.
func TestHouse_CallsOfLinuxAreInOneHeader(t *testing.T) {
	linux := regexp.MustCompile(`\b(POLLRDHUP|SOCK_CLOEXEC|SOCK_NONBLOCK|dup3|pipe2|accept4|TCP_CORK|TCP_INFO|MSG_TRUNC|SO_COOKIE|RTLD_DEFAULT|` +
		`pthread_condattr_setclock|pthread_cond_timedwait|eventfd|epoll\w*|gettid|__linux__)\b`)
	for _, name := range files(t) {
		if ext := filepath.Ext(name); name == "callbacks.c" || within(name, "include") && ext == ".h" && name != "include/platform.h" {
			assert.Empty(t, linux.FindAllString(cComment.ReplaceAllString(read(t, name), ""), -1), name)
		}
	}
}

// cgo compiles the preamble of a file with exports twice, so it must not define
// anything.
func TestHouse_ExportPreambleOnlyDeclares(t *testing.T) {
	code := cComment.ReplaceAllString(preamble(t, "callbacks_export.go"), "")
	assert.Contains(t, code, `#include "callbacks.h"`)
	assert.NotContains(t, code, "{", "a definition")
	assert.NotRegexp(t, `\bstatic\b|=`, code, "a definition")
	for _, header := range []string{"include/callbacks.h", "include/mosq.h"} { // included by the preamble
		assert.NotRegexp(t, `\)\s*\{`, cComment.ReplaceAllString(read(t, header), ""), "%s defines a function", header)
	}
}

// go build sees changes of headers only in the package's own folder. So an edit in
// include/ must also change the stamp in mosquitto_cgo.go:
//
//	go test ./test -run TestIncludeStamp -update
func TestIncludeStamp_MatchesTheHeaders(t *testing.T) {
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
	assert.Equal(t, want, line.FindString(source), "include/ was edited; run: go test ./test -run TestIncludeStamp -update")
}

// A C function with noescape or nocallback must not call back into Go. Every function
// that takes a client may log, which calls back.
func TestHouse_CgoDirectivesNeedFunctionsWithoutClient(t *testing.T) {
	cc := command("go", "env", "CC")
	flags := command("pkg-config", "--cflags", "libmosquitto")
	args := append(strings.Fields(output(t, cc)), "-E", "-P", "-D_GNU_SOURCE", "-Iinclude")
	args = append(append(args, strings.Fields(output(t, flags))...), "include/shims.h")
	source := output(t, command(args[0], args[1:]...))

	directives := regexp.MustCompile(`(?m)^#cgo (?:noescape|nocallback) (\w+)$`).FindAllStringSubmatch(preamble(t, "mosquitto_cgo.go"), -1)
	require.NotEmpty(t, directives)
	for _, d := range directives {
		parameters := regexp.MustCompile(`\b` + d[1] + `\s*\(([^)]*)\)`).FindStringSubmatch(source)
		if assert.NotNil(t, parameters, "%s: shims.h does not declare it", d[1]) {
			assert.NotRegexp(t, `struct\s+(mosquitto|gomosq_client)\s*\*`, parameters[1], "%s takes a client", d[1])
		}
	}
	for name := range rootFiles(t) {
		if name != "mosquitto_cgo.go" {
			assert.NotContains(t, read(t, name), "#cgo no", name)
		}
	}
}

// Strings are passed to C as Go memory that ends with a NUL. So C memory never has to
// be freed.
func TestHouse_CStringIsNotUsed(t *testing.T) {
	for name, file := range rootFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isC(s) {
				assert.NotContains(t, []string{"CString", "CBytes", "malloc"}, s.Sel.Name, name)
			}
			return true
		})
	}
}

// Package subprocess starts children that do not inherit the sockets of parallel tests.
func TestHouse_TestsStartChildrenWithSubprocess(t *testing.T) {
	for _, name := range files(t) {
		if filepath.Ext(name) == ".go" && within(name, "test", "mqtt", "internal") && !within(name, "internal/subprocess", "test/bench") && name != "test/exec_test.go" {
			assert.NotRegexp(t, `\bexec\.Command(Context)?\(`, read(t, name), name)
		}
	}
}

func isC(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "C"
}

// A Go int has 64 bits. If C passes an int, half of them are undefined.
func TestHouse_ExportsUseOnlyCTypes(t *testing.T) {
	exports := 0
	file := parse(t, "callbacks_export.go")
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Doc == nil || !strings.Contains(f.Doc.List[len(f.Doc.List)-1].Text, "//export "+f.Name.Name) {
			continue
		}
		exports++
		assert.True(t, strings.HasPrefix(f.Name.Name, "gomosqGo"), "%s: the name is global in C, so it needs the prefix gomosqGo", f.Name.Name)
		fields := f.Type.Params.List
		if f.Type.Results != nil {
			fields = append(fields, f.Type.Results.List...)
		}
		for _, field := range fields {
			assert.True(t, isCType(field.Type), "%s: %v does not have a C type", f.Name.Name, field.Names)
		}
	}
	assert.Equal(t, len(regexp.MustCompile(`(?m)^(int|void) gomosqGo\w+\(`).FindAllString(read(t, "include/callbacks.h"), -1)), exports)

	ast.Inspect(file, func(n ast.Node) bool { // exported functions do not call the library
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

// receiver returns the type name of a method, or "" for a function.
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

// The tests of mqtt/queue.go are in mqtt/queue_test.go and in files whose names begin with
// queue_. Files that begin with helper_ hold what tests of several files share.
func TestHouse_TestFilesAreNamedAfterTheirSubject(t *testing.T) {
	testedIn := map[string]string{ // sources that the tests of another file cover
		"aliases.go": "client_test.go", "dialer_errors.go": "dialer_test.go", "list.go": "queue_test.go", "mailbox.go": "waiter_test.go",
		"options.go": "tls_func_test.go", "protocol.go": "client_test.go", "serial.go": "state_test.go",
	}
	names, err := filepath.Glob(filepath.Join(root, "mqtt", "*.go"))
	require.NoError(t, err)
	variant := regexp.MustCompile(`_(linux|darwin|freebsd|other)\.go$`) // of a file, for one system
	var sources, tests []string
	for _, name := range names {
		name = filepath.Base(name)
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, name)
		} else if name != "doc.go" && !variant.MatchString(name) {
			sources = append(sources, name)
		}
	}
	about := func(test, subject string) bool {
		return strings.HasPrefix(test, strings.TrimSuffix(subject, ".go")+"_")
	}
	for _, source := range sources {
		hasTest := slices.ContainsFunc(tests, func(test string) bool { return about(test, source) })
		other, listed := testedIn[source]
		assert.NotEqual(t, hasTest, listed, "mqtt/%s: want tests in %s_test.go", source, strings.TrimSuffix(source, ".go"))
		assert.True(t, !listed || slices.Contains(tests, other), "mqtt/%s: no file %s", source, other)
	}
	for _, test := range tests {
		subjects := append([]string{"helper", "main", "example"}, sources...)
		assert.True(t, slices.ContainsFunc(subjects, func(s string) bool { return about(test, s) }), "mqtt/%s: no subject of this name", test)
	}
}

// Files contain no markers of unfinished work and no paths of a developer's machine.
func TestHouse_FilesHaveNoNotesAndLocalPaths(t *testing.T) {
	forbidden := []struct {
		what    string
		pattern *regexp.Regexp
		except  string
	}{
		{"marker of unfinished work", regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b`), ""},
		{"path on a developer's machine", regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(home|Users|work|share)/[\w.]`), "Dockerfile"},
		{"path on a developer's machine", regexp.MustCompile(`/tmp/(roots|mq|brief|issue|inroot)`), ""},
		{"host name of a registry", regexp.MustCompile(`\b(proxy|sum)\.golang\.org|\b(registry|index)[-\w]*\.docker\.io`), ""},
		{"document that is not in the repository", regexp.MustCompile(`\b(facts|design|peers|style)\.md\b`), ""},
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

// Package mosquitto needs only the standard library, and package mqtt also needs
// golang.org/x/sys.
func TestHouse_ModuleHasOnlyAllowedDependencies(t *testing.T) {
	const module = "github.com/mosquitto-go/mosquitto"
	allowed := map[string]bool{ // true for direct dependencies
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
		assert.Equal(t, direct, m[2] == "", "%s: direct dependency", m[1])
	}
	assert.NotRegexp(t, `(?m)^(replace|exclude|tool|toolchain)\b`, mod)
	for name, file := range rootFiles(t) {
		for _, path := range imports(file) {
			assert.False(t, strings.Contains(path, ".") && !strings.HasPrefix(path, module+"/"), "%s imports %s", name, path)
		}
	}
}

// command returns a command that runs in the root folder, without network access.
func command(name string, args ...string) *exec.Cmd {
	c := subprocess.Command(name, args...)
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

// refused runs a command that must fail, and returns its output.
func refused(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	b, err := c.CombinedOutput()
	require.Error(t, err, "%v succeeded", c.Args)
	return string(b)
}

// Without cgo the compiler prints one error, which says what to install.
func TestBuild_WithoutCgoSaysWhatToInstall(t *testing.T) {
	c := command("go", "build", ".")
	c.Env = append(c.Env, "CGO_ENABLED=0")
	lines := slices.DeleteFunc(strings.Split(refused(t, c), "\n"), func(line string) bool {
		return line == "" || strings.HasPrefix(line, "# ")
	})
	require.Len(t, lines, 1)
	const undefined = "undefined:"
	_, said, _ := strings.Cut(lines[0], undefined)
	assert.Contains(t, said, "set_CGO_ENABLED_1_and_install_gcc_and_libmosquitto_dev")
	assert.Contains(t, read(t, "docs/troubleshooting.md"), undefined+said, "docs/troubleshooting.md quotes a different error")
}

// pkg-config reports the missing library. The unknown compiler flag only keeps go build
// from using a cached package.
func TestBuild_WithoutLibraryReportsIt(t *testing.T) {
	c := command("go", "build", fmt.Sprintf("-gcflags=-never-built-%d", time.Now().UnixNano()), ".")
	c.Env = append(c.Env, "PKG_CONFIG_LIBDIR="+t.TempDir(), "PKG_CONFIG_PATH=")
	said := refused(t, c)
	assert.Contains(t, said, "Package libmosquitto was not found in the pkg-config search path")
	assert.Contains(t, read(t, "docs/troubleshooting.md"), "Package libmosquitto was not found in the pkg-config search path")
}

func TestBuild_HasNoCWarnings(t *testing.T) {
	assert.Contains(t, preamble(t, "mosquitto_cgo.go"), "-Wall -Wextra")
	c := command("go", "build", ".")
	c.Env = append(c.Env, "CGO_CFLAGS=-O2 -g -Werror")
	b, err := c.CombinedOutput()
	assert.NoError(t, err, string(b))
}
