package test_test

import (
	"bufio"
	"debug/elf"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tables of docs/reference.md are compared with the loaded library, the code and
// the doc comments.

// row is a row of the table of C functions.
type row struct {
	names []string // Go names: New, Client.Close, Property.ID; none for "—"
	since string   // "2.1", or "" for 2.0.11
	note  string
}

// notCalled reports whether the binding does not call the C function.
func (r row) notCalled() bool { return strings.HasPrefix(r.note, "not called: ") }

func table(t testing.TB) map[string]row {
	t.Helper()
	rows := make(map[string]row)
	line := regexp.MustCompile("(?m)^\\| `(mosquitto_\\w+)` \\| (.+?) \\| (2\\.1)? ?\\| (.*?) ?\\|$")
	for _, m := range line.FindAllStringSubmatch(read(t, "docs/reference.md"), -1) {
		_, twice := rows[m[1]]
		require.False(t, twice, "two rows for %s", m[1])
		r := row{since: m[3], note: m[4]}
		if m[2] != "—" {
			for name := range strings.SplitSeq(m[2], ", ") {
				r.names = append(r.names, strings.Trim(name, "`"))
			}
		}
		rows[m[1]] = r
	}
	require.Len(t, rows, 126, "rows of docs/reference.md that begin with \"| `mosquitto_\"")
	return rows
}

// exported returns the functions of the libmosquitto that this process has loaded.
func exported(t testing.TB) (names []string) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	require.NoError(t, err)
	defer maps.Close()
	path := ""
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); strings.Contains(fields[len(fields)-1], "/libmosquitto.so") {
			path = fields[len(fields)-1]
		}
	}
	require.NotEmpty(t, path, "no libmosquitto.so is loaded")
	library, err := elf.Open(path)
	require.NoError(t, err)
	defer library.Close()
	symbols, err := library.DynamicSymbols()
	require.NoError(t, err)
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && elf.ST_TYPE(s.Info) == elf.STT_FUNC && strings.HasPrefix(s.Name, "mosquitto_") {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func has21() bool {
	major, minor, _ := mosquitto.LibVersion()
	return major*1000+minor >= 2001
}

// The table has exactly the functions of the installed library.
func TestReferenceTable_HasTheLibrarysFunctions(t *testing.T) {
	rows := table(t)
	var listed []string
	for name, r := range rows {
		if r.since == "" || has21() {
			listed = append(listed, name)
		}
	}
	slices.Sort(listed)
	assert.Equal(t, exported(t), listed)
}

// docs returns the doc comments of the root package by name: New, Client.Close,
// Property.ID. The comment of a type has the type's name.
func docs(t testing.TB) map[string]string {
	t.Helper()
	docs := make(map[string]string)
	for _, file := range rootFiles(t) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					name = receiver(d) + "." + name
				}
				docs[name] = plain(d.Doc.Text())
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok {
						docs[s.Name.Name] = plain(d.Doc.Text() + s.Doc.Text())
						fieldDocs(docs, s)
					}
				}
			}
		}
	}
	for name := range docs {
		if !ast.IsExported(name) || !ast.IsExported(name[strings.Index(name, ".")+1:]) {
			delete(docs, name)
		}
	}
	return docs
}

func fieldDocs(docs map[string]string, s *ast.TypeSpec) {
	if structure, ok := s.Type.(*ast.StructType); ok {
		for _, field := range structure.Fields.List {
			for _, name := range field.Names {
				docs[s.Name.Name+"."+name.Name] = plain(field.Doc.Text() + field.Comment.Text())
			}
		}
	}
}

// plain returns a comment as one line.
func plain(text string) string { return strings.Join(strings.Fields(text), " ") }

var function = regexp.MustCompile(`\bmosquitto_\w+`)

// Each name in the Go column exists, and its doc comment names the C function.
func TestReferenceTable_GoNamesAreDocumented(t *testing.T) {
	docs := docs(t)
	for c, r := range table(t) {
		for _, name := range r.names {
			if text, ok := docs[name]; assert.True(t, ok, "%s: there is no %s", c, name) {
				assert.Contains(t, function.FindAllString(text, -1), c, "the comment of %s", name)
			}
		}
		assert.False(t, len(r.names) == 0 && r.note == "", "%s has no Go name and no note", c)
	}
}

// Each C function that a doc comment names is in the table.
func TestReferenceTable_HasTheFunctionsOfComments(t *testing.T) {
	rows := table(t)
	is := regexp.MustCompile(`^\w+ wraps (mosquitto_\w+)`)
	n := 0
	for name, text := range docs(t) {
		for _, c := range function.FindAllString(text, -1) {
			if c != "mosquitto_message" { // a struct
				_, ok := rows[c]
				assert.True(t, ok, "the comment of %s names %s, which is not in the table", name, c)
			}
		}
		if m := is.FindStringSubmatch(text); m != nil {
			n++
			assert.Contains(t, rows[m[1]].names, name, "the row of %s", m[1])
		}
	}
	assert.Greater(t, n, 80)
}

// The code calls every function, or the table says why it does not.
func TestReferenceTable_CodeCallsEveryFunction(t *testing.T) {
	called := make(map[string]bool)
	find := func(code string, call string) {
		code = cComment.ReplaceAllString(code, "")
		for _, m := range regexp.MustCompile(call).FindAllStringSubmatch(code, -1) {
			called[m[1]] = true
		}
	}
	find(read(t, "mosquitto_cgo.go"), `\bC\.(mosquitto_\w+)\(`)
	for _, name := range files(t) {
		if name == "callbacks.c" || within(name, "include") {
			find(read(t, name), `\b(mosquitto_\w+)\s*\(`)
		}
	}
	for c, r := range table(t) {
		assert.NotEqual(t, called[c], r.notCalled(), "%s: called %v, and the table's note says %q", c, called[c], r.note)
	}
}
