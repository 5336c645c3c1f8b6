package paho_test

import (
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"testing"

	ourmqtt "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDoc_TableNamesOptionsThatExist compares the setters that the package documentation
// names with those of the options.
func TestDoc_TableNamesOptionsThatExist(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../paho/doc.go", nil, parser.ParseComments)
	require.NoError(t, err)
	names := regexp.MustCompile(`\b(?:Set|Unset|Add)[A-Z]\w+`).FindAllString(file.Doc.Text(), -1)
	require.Greater(t, len(names), 20)
	for _, name := range names {
		_, ofOptions := reflect.TypeFor[*ourmqtt.ClientOptions]().MethodByName(name)
		_, ofClient := reflect.TypeFor[ourmqtt.Client]().MethodByName(name)
		assert.True(t, ofOptions || ofClient, name)
	}
}
