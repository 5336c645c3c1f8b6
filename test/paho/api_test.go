package paho_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The import paths that a program exchanges.
const (
	theirs = "github.com/eclipse/paho.mqtt.golang"
	ours   = "github.com/mosquitto-go/mosquitto/paho"
)

// Packages are compared in pairs: the client, and the packets that its Store takes.
var pairs = []string{"", "/packets"}

// TestAPI_HasEveryIdentifier fails if an exported identifier of paho.mqtt.golang is
// missing in ours, or if its type or the value of a constant differs.
func TestAPI_HasEveryIdentifier(t *testing.T) {
	for _, folder := range pairs {
		t.Run(path.Base(theirs+folder), func(t *testing.T) {
			want, got := both(t, folder)
			require.NotEmpty(t, want)
			for _, line := range want {
				if !slices.Contains(got, line) {
					assert.Fail(t, "missing or different", "%s\nours: %s", line, strings.Join(sameName(got, line), "\n      "))
				}
			}
		})
	}
}

// TestAPI_AddsNothing fails if ours exports an identifier that paho.mqtt.golang does
// not have: a program that uses it could not go back.
func TestAPI_AddsNothing(t *testing.T) {
	for _, folder := range pairs {
		t.Run(path.Base(theirs+folder), func(t *testing.T) {
			want, got := both(t, folder)
			for _, line := range got {
				if len(sameName(want, line)) == 0 {
					assert.Fail(t, "only ours has it", line)
				}
			}
		})
	}
}

// TestAPI_HasTheSamePackageName fails if a program that imports the package without a
// name does not compile: it uses the name of the package clause.
func TestAPI_HasTheSamePackageName(t *testing.T) {
	for _, folder := range pairs {
		packages := exports(t, theirs+folder, ours+folder)
		want, err := packages.Import(theirs + folder)
		require.NoError(t, err)
		got, err := packages.Import(ours + folder)
		require.NoError(t, err)
		assert.Equal(t, want.Name(), got.Name(), ours+folder)
	}
}

// TestListing_TellsApart fails if the listing cannot see a difference.
func TestListing_TellsApart(t *testing.T) {
	want := listing(check(t, sample))
	require.Equal(t, strings.TrimSpace(sampleListing), strings.Join(want, "\n"))
	for _, change := range [][2]string{
		{"Run(string) error", "Run(string)"},
		{"Run(string) error", "run(string) error"},
		{"Port  int", "Port  uint"},
		{"Port  int", "port  int"},
		{"Limit unexported = 4", "Limit unexported = 5"},
		{"Err = errors", "ErrOther = errors"},
		{"(o *Options) Set", "(o Options) Set"},
		{"sync.Mutex", "sync.RWMutex"},
		{"func (embedded) Wait", "func (embedded) wait"},
		{"Hidden interface { hidden() }", "Hidden interface { }"},
		{"values ...any", "values []any"},
	} {
		other := strings.Replace(sample, change[0], change[1], 1)
		require.NotEqual(t, sample, other, change[0])
		assert.NotEqual(t, want, listing(check(t, other)), "%s and %s", change[0], change[1])
	}
	assert.Equal(t, want, listing(check(t, strings.Replace(sample, "values ...any", "others ...interface{}", 1))), "the names of parameters do not count")
}

const sample = `package sample

import ("errors"; "sync")

type unexported byte

const Limit unexported = 4

var Err = errors.New("")

type Handler func(*Options, error)

type Runner interface { Run(string) error }

type Hidden interface { hidden() }

type embedded struct{}

func (embedded) Wait() bool { return true }

type Options struct {
	sync.Mutex
	embedded
	Port  int
	Then  Handler
	order bool
}

func (o *Options) Set(values ...any) *Options { return nil }
`

const sampleListing = `
const Limit: an unexported byte = 4
field Options.Mutex: sync.Mutex (embedded)
field Options.Port: int
field Options.Then: sample.Handler
method (*Options) Lock: func()
method (*Options) Set: func(...any) *sample.Options
method (*Options) TryLock: func() bool
method (*Options) Unlock: func()
method (Hidden) with unexported methods
method (Options) Wait: func() bool
method (Runner) Run: func(string) error
type Handler: func(*sample.Options, error)
type Hidden: interface
type Options: struct
type Runner: interface
var Err: error
`

// check compiles a source.
func check(t *testing.T, source string) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "sample.go", source, 0)
	require.NoError(t, err)
	p, err := (&types.Config{Importer: exports(t, "errors", "sync")}).Check("sample", fset, []*ast.File{file}, nil)
	require.NoError(t, err)
	return p
}

// both lists a pair of packages.
func both(t *testing.T, folder string) (want, got []string) {
	t.Helper()
	packages := exports(t, theirs+folder, ours+folder)
	for path, lines := range map[string]*[]string{theirs: &want, ours: &got} {
		p, err := packages.Import(path + folder)
		require.NoError(t, err)
		*lines = listing(p)
	}
	return want, got
}

// exports returns an importer for packages of this module's build list and for what
// they need. It reads the export data of the compiler.
func exports(t *testing.T, paths ...string) types.Importer {
	t.Helper()
	list := subprocess.Command("go", append([]string{"list", "-deps", "-export", "-json=ImportPath,Export"}, paths...)...)
	var said bytes.Buffer
	list.Stderr = &said
	out, err := list.Output()
	require.NoError(t, err, said.String())
	files := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		files[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}

// listing lists what a package exports: one identifier a line, sorted, with its type
// and, for a constant, its value. Two types of the same name in the two packages count
// as the same type: programs use them by that name.
func listing(p *types.Package) (lines []string) {
	add := func(format string, values ...any) { lines = append(lines, fmt.Sprintf(format, values...)) }
	for _, name := range p.Scope().Names() {
		switch o := p.Scope().Lookup(name).(type) {
		case *types.Const:
			if o.Exported() {
				add("const %s: %s = %s", name, typeName(o.Type(), p), o.Val().ExactString())
			}
		case *types.Var:
			if o.Exported() {
				add("var %s: %s", name, typeName(o.Type(), p))
			}
		case *types.Func:
			if o.Exported() {
				add("func %s: %s", name, typeName(o.Type(), p))
			}
		case *types.TypeName:
			if o.Exported() {
				lines = append(lines, typeListing(o, p)...)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// typeListing lists a type with its fields and methods, the promoted ones too.
func typeListing(o *types.TypeName, p *types.Package) (lines []string) {
	add := func(format string, values ...any) { lines = append(lines, fmt.Sprintf(format, values...)) }
	switch u := o.Type().Underlying().(type) {
	case *types.Struct:
		add("type %s: struct", o.Name())
		for f := range u.Fields() {
			if f.Exported() {
				embedded := ""
				if f.Embedded() {
					embedded = " (embedded)"
				}
				add("field %s.%s: %s%s", o.Name(), f.Name(), typeName(f.Type(), p), embedded)
			}
		}
	case *types.Interface:
		add("type %s: interface", o.Name())
		for m := range u.Methods() {
			if m.Exported() {
				add("method (%s) %s: %s", o.Name(), m.Name(), typeName(m.Type(), p))
			} else {
				add("method (%s) with unexported methods", o.Name())
			}
		}
		return slices.Compact(lines)
	default:
		add("type %s: %s", o.Name(), typeName(u, p))
	}
	ofValue, ofPointer := types.NewMethodSet(o.Type()), types.NewMethodSet(types.NewPointer(o.Type()))
	for selection := range ofPointer.Methods() {
		m := selection.Obj().(*types.Func)
		if !m.Exported() {
			continue
		}
		receiver := "*" + o.Name()
		if ofValue.Lookup(nil, m.Name()) != nil {
			receiver = o.Name()
		}
		add("method (%s) %s: %s", receiver, m.Name(), typeName(m.Type(), p))
	}
	return lines
}

// typeName writes a type. The two packages have the same name in it, and parameters
// have none.
func typeName(t types.Type, p *types.Package) string {
	t = types.Unalias(t)
	switch t := t.(type) {
	case *types.Named:
		if t.Obj().Pkg() == p && !t.Obj().Exported() {
			return "an unexported " + typeName(t.Underlying(), p)
		}
	case *types.Signature:
		return "func" + withoutNames(t, p)
	case *types.Interface:
		if t.Empty() {
			return "any"
		}
	case *types.Pointer:
		return "*" + typeName(t.Elem(), p)
	case *types.Slice:
		return "[]" + typeName(t.Elem(), p)
	case *types.Map:
		return "map[" + typeName(t.Key(), p) + "]" + typeName(t.Elem(), p)
	case *types.Chan:
		return map[types.ChanDir]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + typeName(t.Elem(), p)
	}
	return types.TypeString(t, qualifier)
}

func withoutNames(s *types.Signature, p *types.Package) string {
	var parameters, results []string
	for i := range s.Params().Len() {
		of := s.Params().At(i).Type()
		if s.Variadic() && i == s.Params().Len()-1 {
			parameters = append(parameters, "..."+typeName(of.(*types.Slice).Elem(), p))
		} else {
			parameters = append(parameters, typeName(of, p))
		}
	}
	for result := range s.Results().Variables() {
		results = append(results, typeName(result.Type(), p))
	}
	text := "(" + strings.Join(parameters, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	}
	return text + " (" + strings.Join(results, ", ") + ")"
}

// qualifier names the packages of both sides alike.
func qualifier(p *types.Package) string {
	for _, folder := range pairs {
		if p.Path() == theirs+folder || p.Path() == ours+folder {
			return "paho" + folder
		}
	}
	return p.Path()
}

// sameName are the lines about the identifier of a line.
func sameName(lines []string, line string) (same []string) {
	name, _, _ := strings.Cut(line, ":")
	name = strings.NewReplacer("(*", "", "(", "", ")", "").Replace(name)
	_, name, _ = strings.Cut(name, " ")
	for _, other := range lines {
		otherName, _, _ := strings.Cut(other, ":")
		otherName = strings.NewReplacer("(*", "", "(", "", ")", "").Replace(otherName)
		if _, otherName, _ = strings.Cut(otherName, " "); otherName == name {
			same = append(same, other)
		}
	}
	return same
}
