package test_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/require"
)

// The table in SECURITY.md lists exactly the modules that the go.mod files require,
// with version and licence.
func TestSecurity_DependenciesAreListed(t *testing.T) {
	var needed []string
	for _, name := range files(t) {
		folder := filepath.ToSlash(filepath.Dir(name))
		if filepath.Base(name) != "go.mod" || folder == ".ci/tools" || within(name, "mqtt/boltoutbox/testdata", "test/testdata") {
			continue // no package depends on the tools
		}
		out, err := subprocess.Command("go", "mod", "edit", "-json", filepath.Join(root, name)).Output()
		require.NoError(t, err)
		var mod struct {
			Require []struct{ Path, Version string }
		}
		require.NoError(t, json.Unmarshal(out, &mod))
		for _, m := range mod.Require {
			if !strings.HasPrefix(m.Path, module) {
				needed = append(needed, m.Path+" "+m.Version+" "+folder)
			}
		}
	}
	require.Greater(t, len(needed), 10)

	_, dependencies, found := strings.Cut(read(t, "SECURITY.md"), "## Dependencies")
	require.True(t, found)
	var listed []string
	for line := range strings.Lines(dependencies) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.HasPrefix(cells[1], " v") || cells[1] == " version " {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		require.NotEmpty(t, cells[2], "the licence of %s", cells[0])
		for folder := range strings.SplitSeq(cells[3], ", ") {
			listed = append(listed, cells[0]+" "+cells[1]+" "+strings.Trim(folder, "`"))
		}
	}
	slices.Sort(needed)
	slices.Sort(listed)
	require.Equal(t, needed, listed)
}
