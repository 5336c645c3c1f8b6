package mqtttest

import "testing"

// SearchOnlyPATH leaves only the directories of PATH in the search for programs, until
// the test ends.
func SearchOnlyPATH(t *testing.T) {
	all := directories
	directories = nil
	t.Cleanup(func() { directories = all })
}
