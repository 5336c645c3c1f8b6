package test_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testsOfTheModule returns the names of all test functions, and the file of each.
func testsOfTheModule(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`)
	for _, name := range files(t) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(read(t, name), -1) {
				found[m[1]] = name
			}
		}
	}
	return found
}

func TestCompare_EachRowNamesExistingTests(t *testing.T) {
	var wanted []string
	for n := range 25 {
		wanted = append(wanted, fmt.Sprint(n+1))
	}
	for n := range 10 {
		wanted = append(wanted, fmt.Sprint("R", n+1))
	}
	tests := testsOfTheModule(t)
	rows := regexp.MustCompile(`(?m)^\| (R?\d+) \|(.*)\|(.*)\|(.*)\|$`).FindAllStringSubmatch(read(t, "docs/compare.md"), -1)
	require.Len(t, rows, len(wanted))
	for i, row := range rows {
		require.Equal(t, wanted[i], row[1])
		names := strings.Fields(row[4])
		assert.NotEmpty(t, names, "row %s names no test", row[1])
		for _, name := range names {
			assert.Contains(t, tests, name, "row %s", row[1])
		}
	}
}
