//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// will returns the will of an attempt, or nil for none. The function of WithWillFunc runs
// in its own goroutine. If ctx ends first, the loop does not wait for the function.
func (c *Client) will(ctx context.Context) (*Will, error) {
	f := c.opts.willFunc
	if f == nil {
		return c.opts.will, nil
	}
	w, err := valueInBackground(ctx, c, func() (Will, error) { return f(ctx) })
	if err != nil {
		return nil, wrapError("will", err)
	}
	if w.Topic == "" {
		return nil, nil
	}
	if len(w.Properties) > 0 && !slices.Contains(c.opts.protocols, V5) {
		return nil, badArgument("WithWillFunc", "properties need WithProtocol(V5)")
	}
	return &w, named("WithWillFunc", checkWill(&w))
}

// checkWill returns an error for a will that no connection can have. The error wraps
// ErrInval, which is permanent.
func checkWill(w *Will) error {
	if err := checkTopic(w.Topic); err != nil {
		return err
	}
	if err := checkQoS(w.QoS); err != nil {
		return err
	}
	if len(w.Payload) > math.MaxUint16 {
		text := fmt.Sprintf("payload: %d bytes, more than %d", len(w.Payload), math.MaxUint16)
		return &argumentError{text, errors.Join(mosquitto.ErrInval, mosquitto.ErrPayloadSize)}
	}
	if err := checkProperties(mosquitto.CmdWill, "a will", w.Properties); err != nil {
		return &argumentError{withoutPrefix(err), errors.Join(mosquitto.ErrInval, err)}
	}
	return nil
}

// setWill sets the will of the next connection. nil means none. A will that
// WithLibrarySetup has set stays, unless there is a function.
func (c *Client) setWill(m *mosquitto.Client, w *Will) error {
	switch {
	case w == nil && c.opts.willFunc == nil:
		return nil
	case w == nil:
		return m.WillClear()
	case len(w.Properties) == 0 || c.protocolNow() != V5:
		return m.WillSet(w.Topic, w.Payload, w.QoS, w.Retain)
	}
	return m.WillSetV5(w.Topic, w.Payload, w.QoS, w.Retain, w.Properties)
}
