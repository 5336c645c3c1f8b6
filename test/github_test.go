package test_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// github returns the paths of the YAML files for GitHub. They are valid YAML.
func github(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range files(t) {
		if within(name, ".github") && filepath.Ext(name) == ".yml" {
			text := read(t, name)
			require.YAMLEq(t, text, text+"\n", "the file is not valid YAML") // the only parser without a new dependency
			names = append(names, name)
		}
	}
	return names
}

func TestGitHub_FilesAreValidYAML(t *testing.T) {
	require.ElementsMatch(t, []string{
		".github/workflows/test.yml", ".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/question.yml", ".github/ISSUE_TEMPLATE/config.yml",
	}, github(t))
}

// The workflow runs the parts of .ci/run as jobs of their own: the installed library and
// the releases that .ci/versions tests.
func TestGitHub_WorkflowRunsAllPartsOfTheTests(t *testing.T) {
	workflow := read(t, ".github/workflows/test.yml")
	suites := regexp.MustCompile(`(?m)^\[ \$# -gt 0 \] \|\| set -- (.*)$`).FindStringSubmatch(read(t, ".ci/versions"))
	require.NotNil(t, suites)
	var libraries []string
	for _, m := range regexp.MustCompile(`(?m)^ +library: (\w+)$`).FindAllStringSubmatch(workflow, -1) {
		libraries = append(libraries, m[1])
	}
	require.Equal(t, append([]string{"installed"}, strings.Fields(suites[1])...), libraries)
	require.Contains(t, workflow, "run: .ci/run ${{ matrix.library }}\n")
	base := regexp.MustCompile(`(?m)^ARG BUILD_BASE=(\S+)$`).FindStringSubmatch(read(t, "Dockerfile"))
	require.NotNil(t, base)
	require.Contains(t, workflow, "image: "+base[1]+" ", "the image must be that of the Dockerfile")
}

func TestGitHub_WorkflowPinsActionsAndLimitsRights(t *testing.T) {
	workflow := read(t, ".github/workflows/test.yml")
	require.Contains(t, workflow, "\npermissions:\n  contents: read\n\n")
	require.Equal(t, 1, strings.Count(workflow, "permissions:"))
	require.Equal(t, strings.Count(workflow, "runs-on:"), strings.Count(workflow, "timeout-minutes:"), "a job without a timeout")
	actions := regexp.MustCompile(`uses: (.*)`).FindAllStringSubmatch(workflow, -1)
	require.NotEmpty(t, actions)
	for _, m := range actions {
		require.Regexp(t, `^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`, m[1])
	}
}

func TestGitHub_FormsAskForVersionsAndLog(t *testing.T) {
	for _, name := range []string{"bug", "question"} {
		form := read(t, ".github/ISSUE_TEMPLATE/"+name+".yml")
		for _, text := range []string{"mosquitto.LibVersion()", "Broker and its version", "Version of Go", "ystem", "`OnLog`"} {
			require.Contains(t, form, text, name)
		}
	}
	require.Contains(t, read(t, ".github/ISSUE_TEMPLATE/config.yml"), "/SECURITY.md#reporting\n")
	require.Contains(t, anchors(read(t, "SECURITY.md")), "reporting")
}
