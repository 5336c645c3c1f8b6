//go:build cgo

package mqtttest

import "github.com/mosquitto-go/mosquitto/mqtt"

// Token returns a completed token with the error err; nil means acknowledged. A fake
// [mqtt.Publisher] can return it from PublishAsync. It wraps [mqtt.CompletedToken].
func Token(err error) *mqtt.Token { return mqtt.CompletedToken(err) }
