//go:build cgo

package mqtttest

import "github.com/mosquitto-go/mosquitto/mqtt"

// Token returns a token that has ended with err, as after an acknowledgement if err is
// nil. A fake [mqtt.Publisher] can return it from PublishAsync. It is the same as
// [mqtt.EndedToken].
func Token(err error) *mqtt.Token { return mqtt.EndedToken(err) }
