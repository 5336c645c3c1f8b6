package test_test

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goMod is the part of "go mod edit -json" that these tests need.
type goMod struct {
	Module  struct{ Path string }
	Require []struct{ Path, Version string }
	Replace []struct{ Old, New struct{ Path string } }
}

// nestedModules returns the go.mod files of the folders that the variables of
// .ci/modules.sh list.
func nestedModules(t *testing.T, variables ...string) map[string]goMod {
	t.Helper()
	modules := map[string]goMod{}
	for _, variable := range variables {
		list := regexp.MustCompile(`(?m)^` + variable + `='?([^'\n]*)'?$`).FindStringSubmatch(read(t, ".ci/modules.sh"))
		require.NotNil(t, list, variable)
		for folder := range strings.FieldsSeq(list[1]) {
			var mod goMod
			edit := command("go", "mod", "edit", "-json", filepath.Join(folder, "go.mod"))
			require.NoError(t, json.Unmarshal([]byte(output(t, edit)), &mod))
			modules[folder] = mod
		}
	}
	return modules
}

// A module that is missing in the list would be neither tested nor released.
func TestModules_AllAreListed(t *testing.T) {
	listed := nestedModules(t, "released", "unreleased", "benchmark")
	for _, name := range files(t) {
		folder := path.Dir(name)
		if path.Base(name) == "go.mod" && folder != "." && folder != ".ci/tools" && !strings.Contains(name, "testdata") {
			require.Contains(t, listed, folder)
			delete(listed, folder)
		}
	}
	require.Empty(t, listed, "these modules do not exist")
}

// The nested modules require one version of the project's modules, as in a release. In
// this repository each requirement is replaced by the source tree.
func TestModules_RequireOneVersionOfTheProject(t *testing.T) {
	versions := map[string]bool{}
	for folder, mod := range nestedModules(t, "released", "unreleased", "benchmark") {
		require.Equal(t, module+"/"+folder, mod.Module.Path)
		replaced := map[string]string{}
		for _, r := range mod.Replace {
			replaced[r.Old.Path] = path.Clean(path.Join(folder, r.New.Path))
		}
		for _, r := range mod.Require {
			if r.Path == module || strings.HasPrefix(r.Path, module+"/") {
				versions[r.Version] = true
				require.Equal(t, path.Join("/", strings.TrimPrefix(r.Path, module)), path.Join("/", replaced[r.Path]), "%s: the replacement of %s", folder, r.Path)
				delete(replaced, r.Path)
			}
		}
		require.Empty(t, replaced, "%s replaces modules that are not of this project, which other projects ignore", folder)
	}
	require.Len(t, versions, 1, versions)
}

// A released module cannot require a module without a tag.
func TestModules_ReleasedRequireOnlyReleased(t *testing.T) {
	released := nestedModules(t, "released")
	for folder, mod := range released {
		for _, r := range mod.Require {
			if nested, ok := strings.CutPrefix(r.Path, module+"/"); ok {
				require.Contains(t, released, nested, folder)
			}
		}
	}
}
