package test_test

import (
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxFirstSentence is the number of words of a first sentence.
const maxFirstSentence = 25

// packageDocs returns the documentation of the exported symbols of a folder's package.
// It ignores build constraints, except that it leaves out the files for builds without cgo.
func packageDocs(t testing.TB, folder string) *doc.Package {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "nocgo.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "example.com/"+folder)
	require.NoError(t, err)
	return p
}

// docCheck checks the doc comments of one package.
type docCheck struct {
	t testing.TB
	p *doc.Package
	n int // symbols checked
}

// sentence checks that text begins with a sentence about name: "Name sends …". The methods
// Error and String need no comment.
func (c *docCheck) sentence(where, name, text string) {
	c.n++
	if text == "" && (name == "Error" || name == "String") {
		return
	}
	first := c.p.Synopsis(text)
	subject, _, _ := strings.Cut(first, " ")
	if !assert.Equal(c.t, name, subject, "%s %s: want a comment that begins with the name: %q", c.p.Name, where, first) {
		return
	}
	c.ends(where, first)
}

// ends checks the length and the end of a first sentence.
func (c *docCheck) ends(where, first string) {
	assert.LessOrEqual(c.t, len(strings.Fields(first)), maxFirstSentence, "%s %s: the first sentence is too long: %q", c.p.Name, where, first)
	assert.True(c.t, strings.HasSuffix(first, "."), "%s %s: the first sentence has no period: %q", c.p.Name, where, first)
}

// value checks the comments of a group of constants or variables: each has its own comment, or
// the group's.
func (c *docCheck) value(v *doc.Value) {
	for _, spec := range v.Decl.Specs {
		s := spec.(*ast.ValueSpec)
		if !s.Names[0].IsExported() {
			continue
		}
		name := s.Names[0].Name
		own := s.Doc.Text()
		switch {
		case len(v.Decl.Specs) == 1 && v.Doc != "":
			c.sentence(name, name, v.Doc)
		case own != "":
			c.n++
			c.ends(name, c.p.Synopsis(own))
		default:
			c.n++
			assert.NotEmpty(c.t, v.Doc+s.Comment.Text(), "%s %s: no comment", c.p.Name, name)
		}
	}
}

// members checks the exported fields of a struct and the methods of an interface.
func (c *docCheck) members(typ *doc.Type) {
	spec := typ.Decl.Specs[0].(*ast.TypeSpec)
	switch s := spec.Type.(type) {
	case *ast.StructType:
		for _, f := range s.Fields.List {
			if len(f.Names) == 0 || !f.Names[0].IsExported() {
				continue
			}
			c.n++
			where := typ.Name + "." + f.Names[0].Name
			if f.Doc.Text() != "" {
				c.ends(where, c.p.Synopsis(f.Doc.Text()))
			} else {
				assert.NotEmpty(c.t, f.Comment.Text(), "%s %s: no comment", c.p.Name, where)
			}
		}
	case *ast.InterfaceType:
		for _, m := range s.Methods.List {
			if len(m.Names) == 1 && m.Names[0].IsExported() {
				c.sentence(typ.Name+"."+m.Names[0].Name, m.Names[0].Name, m.Doc.Text()+m.Comment.Text())
			}
		}
	}
}

func (c *docCheck) funcs(list []*doc.Func) {
	for _, f := range list {
		where := f.Name
		if f.Recv != "" {
			where = f.Recv + "." + f.Name
		}
		c.sentence(where, f.Name, f.Doc)
	}
}

func (c *docCheck) values(list []*doc.Value) {
	for _, v := range list {
		c.value(v)
	}
}

// The documentation of each package can be read without the other documents: an overview with
// headings, and for each exported symbol a first sentence that is complete.
func TestGodoc_PackagesAreDocumented(t *testing.T) {
	for folder, symbols := range map[string]int{
		".": 400, "mqtt": 300, "mqtttest": 30, "paho": 200, "paho/packets": 100, "mqtt/websocket": 6, "mqtt/boltoutbox": 12, "mqtt/otelmqtt": 6, "mqtt/prommqtt": 9,
	} {
		c := &docCheck{t: t, p: packageDocs(t, folder)}
		first := c.p.Synopsis(c.p.Doc)
		assert.True(t, strings.HasPrefix(first, "Package "+c.p.Name+" "), "%s: %q", folder, first)
		c.ends("package", first)
		headings := 0
		for _, block := range c.p.Parser().Parse(c.p.Doc).Content {
			if _, ok := block.(*comment.Heading); ok {
				headings++
			}
		}
		assert.GreaterOrEqual(t, headings, 2, "%s: the package comment needs headings", folder)

		c.values(c.p.Consts)
		c.values(c.p.Vars)
		c.funcs(c.p.Funcs)
		for _, typ := range c.p.Types {
			c.sentence(typ.Name, typ.Name, typ.Doc)
			c.members(typ)
			c.values(typ.Consts)
			c.values(typ.Vars)
			c.funcs(typ.Funcs)
			c.funcs(typ.Methods)
		}
		assert.GreaterOrEqual(t, c.n, symbols, folder)
	}
}
