package test_test

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAPI_MatchesTheListing compares the exported names of the packages, with their
// types, with test/testdata/api. So every change of the API is visible in a diff. To
// update the listing:
//
//	go test ./test -run TestAPI -update
func TestAPI_MatchesTheListing(t *testing.T) {
	for name, folder := range map[string]string{"mosquitto": ".", "mqtt": "mqtt", "mqtttest": "mqtttest"} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", "api", name+".txt")
			listing := strings.Join(api(t, folder), "\n") + "\n"
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(listing), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), listing, "the API has changed; if this is intended, run: go test ./test -run TestAPI -update")
		})
	}
}

// api returns the exported declarations of a package, one a line, sorted.
func api(t *testing.T, folder string) (lines []string) {
	t.Helper()
	fset := token.NewFileSet()
	entries, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	require.NoError(t, err)
	var parsed []*ast.File
	for _, path := range entries {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_nocgo.go") || strings.HasSuffix(path, "_other.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		require.NoError(t, err)
		parsed = append(parsed, f)
	}
	p, err := doc.NewFromFiles(fset, parsed, folder)
	require.NoError(t, err)
	add := func(node ast.Node) { lines = append(lines, declared(t, fset, node)...) }
	values := func(all []*doc.Value) {
		for _, v := range all {
			add(v.Decl)
		}
	}
	funcs := func(all []*doc.Func) {
		for _, f := range all {
			add(f.Decl)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		add(typ.Decl)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	slices.Sort(lines)
	return lines
}

// declared returns the lines for a declaration. Each constant, variable and field has a
// line of its own, with the name of its type.
func declared(t *testing.T, fset *token.FileSet, node ast.Node) (lines []string) {
	t.Helper()
	text := func(n any) string {
		var b bytes.Buffer
		require.NoError(t, printer.Fprint(&b, fset, n))
		return strings.Join(strings.Fields(b.String()), " ")
	}
	switch d := node.(type) {
	case *ast.FuncDecl:
		return []string{text(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type})}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						lines = append(lines, strings.TrimSpace(d.Tok.String()+" "+name.Name+" "+typeText(s, text)))
					}
				}
			case *ast.TypeSpec:
				lines = append(lines, fields(s, text)...)
			}
		}
	}
	return lines
}

func typeText(s *ast.ValueSpec, text func(any) string) string {
	if s.Type == nil {
		return ""
	}
	return text(s.Type)
}

// fields returns the lines for a type: the type, and each exported field of a struct.
func fields(s *ast.TypeSpec, text func(any) string) (lines []string) {
	structure, ok := s.Type.(*ast.StructType)
	if !ok {
		return []string{"type " + text(s)}
	}
	lines = append(lines, "type "+s.Name.Name+" struct")
	for _, f := range structure.Fields.List {
		for _, name := range f.Names {
			if name.IsExported() {
				lines = append(lines, "type "+s.Name.Name+" struct, "+name.Name+" "+text(f.Type))
			}
		}
		if len(f.Names) == 0 {
			lines = append(lines, "type "+s.Name.Name+" struct, "+text(f.Type))
		}
	}
	return lines
}
