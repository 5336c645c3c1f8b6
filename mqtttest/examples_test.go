//go:build cgo

package mqtttest_test

import "testing"

func TestExample_TestsPass(t *testing.T) {
	t.Run("ReportArrives", ReportArrives)
	t.Run("ReportWaitsForReconnect", ReportWaitsForReconnect)
	t.Run("ReportReturnsError", ReportReturnsError)
}
