package paho_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	theirmqtt "github.com/eclipse/paho.mqtt.golang"
	ourmqtt "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOptions_DefaultsAreTheSame compares all fields of new options, and what the getters
// return for a new client.
func TestOptions_DefaultsAreTheSame(t *testing.T) {
	their, our := theirmqtt.NewClientOptions(), ourmqtt.NewClientOptions()
	assert.Equal(t, fields(their), fields(our))
	assert.Equal(t, getters(theirmqtt.NewClient(their).OptionsReader()), getters(ourmqtt.NewClient(our).OptionsReader()))
}

// TestOptions_SettersDoTheSame calls each setter with several values, and compares all
// fields and getters after each call.
func TestOptions_SettersDoTheSame(t *testing.T) {
	calls := 0
	for i := range reflect.TypeFor[*theirmqtt.ClientOptions]().NumMethod() {
		name := reflect.TypeFor[*theirmqtt.ClientOptions]().Method(i).Name
		if name == "AddBroker" {
			continue // below
		}
		for variant := range 3 {
			calls++
			their, our := theirmqtt.NewClientOptions(), ourmqtt.NewClientOptions()
			theirResult, ourResult := set(t, their, name, variant), set(t, our, name, variant)
			assert.Same(t, their, theirResult, name)
			assert.Same(t, our, ourResult, name)
			assert.Equal(t, fields(their), fields(our), "%s, variant %d", name, variant)
			if _, ok := reflect.TypeFor[*theirmqtt.ClientOptionsReader]().MethodByName(strings.TrimPrefix(name, "Set")); ok {
				assert.Equal(t, getters(theirmqtt.NewClient(their).OptionsReader()), getters(ourmqtt.NewClient(our).OptionsReader()), "%s, variant %d", name, variant)
			}
		}
	}
	assert.Greater(t, calls, 100)
}

// TestOptions_BrokersAreTheSame compares how the URL of a broker is read.
func TestOptions_BrokersAreTheSame(t *testing.T) {
	for _, server := range []string{
		"tcp://example.com:1883", "mqtt://example.com:1883", "mqtts://example.com:8883", "ssl://example.com:8883",
		"ws://example.com/mqtt", "wss://example.com:443/mqtt?token=1", "unix:///run/mosquitto.sock",
		"example.com:1883", "127.0.0.1:1883", ":1883", "example.com", "localhost", "[::1]:1883", "tcp://[::1]:1883",
		"tcp://user:secret@example.com:1883", "tcp://user@example.com:1883", "user:secret@example.com:1883",
		"", "tcp://", "://", "tcp://%zz:1883", "tcp://example.com:port", "tcp://exa mple.com:1883",
		"tcp://example.com:1883 ", " tcp://example.com:1883", "TCP://Example.com:1883",
	} {
		their, our := theirmqtt.NewClientOptions().AddBroker(server), ourmqtt.NewClientOptions().AddBroker(server)
		assert.Equal(t, fields(their), fields(our), "%q", server)
	}
}

// set calls a setter with values of its parameters' types.
func set(t *testing.T, options any, name string, variant int) any {
	t.Helper()
	method := reflect.ValueOf(options).MethodByName(name)
	require.True(t, method.IsValid(), name)
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		args = append(args, argument(t, method.Type().In(i), variant))
	}
	return method.Call(args)[0].Interface()
}

// argument returns a value of a type: the zero value for variant 0.
func argument(t *testing.T, of reflect.Type, variant int) reflect.Value {
	t.Helper()
	v := reflect.New(of).Elem()
	if variant == 0 {
		return v
	}
	switch of.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", variant))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint:
		v.SetUint(uint64(2 + variant))
	case reflect.Int:
		v.SetInt(int64(10 * variant))
	case reflect.Int64: // a duration
		v.SetInt(int64(7*time.Second) + int64(variant-1)*int64(500*time.Millisecond))
	case reflect.Slice:
		v.SetBytes([]byte{0, 1, byte(variant)})
	case reflect.Func:
		v.Set(reflect.MakeFunc(of, func([]reflect.Value) []reflect.Value { panic("not called") }))
	case reflect.Map:
		v.Set(reflect.ValueOf(http.Header{"Name": {"value"}}))
	case reflect.Pointer:
		v.Set(reflect.New(of.Elem()))
	case reflect.Interface:
		if store := reflect.ValueOf(ourmqtt.NewMemoryStore()); store.Type().Implements(of) {
			v.Set(store)
		} else {
			v.Set(reflect.ValueOf(theirmqtt.NewMemoryStore()))
		}
	default:
		require.FailNow(t, "no argument", "%v", of)
	}
	return v
}

// fields are the exported fields of options, as text.
func fields(options any) map[string]string {
	values := map[string]string{}
	v := reflect.ValueOf(options).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			values[f.Name] = text(v.Field(i))
		}
	}
	return values
}

// getters returns the results of the methods of a reader, as text.
func getters(reader any) map[string]string {
	values := map[string]string{}
	pointer := reflect.New(reflect.TypeOf(reader))
	pointer.Elem().Set(reflect.ValueOf(reader))
	for i := range pointer.NumMethod() {
		values[pointer.Type().Method(i).Name] = text(pointer.Method(i).Call(nil)[0])
	}
	return values
}

// text writes a value in the same way for both sides.
func text(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case *url.URL:
		return value.String()
	case []*url.URL:
		return fmt.Sprint(value) // each has a String method
	case *net.Dialer:
		if value != nil {
			return fmt.Sprintf("%+v", *value)
		}
	case *tls.Config:
		return fmt.Sprint(value == nil)
	}
	switch v.Kind() {
	case reflect.Func:
		return fmt.Sprintf("nil %v", v.IsNil())
	case reflect.Interface:
		if !v.IsNil() {
			return v.Elem().Type().Elem().Name()
		}
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return text(v.Elem())
	case reflect.Struct:
		return fmt.Sprintf("%+v", v.Interface())
	}
	return fmt.Sprintf("%#v", v.Interface())
}
