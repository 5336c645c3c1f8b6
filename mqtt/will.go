//go:build cgo

package mqtt

import (
	"context"
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
	return &w, c.opts.checkWill(&w)
}

// checkWill returns an error for a will of WithWillFunc that no connection can have.
func (s *settings) checkWill(w *Will) error {
	switch {
	case checkTopic(w.Topic) != nil:
		return badArgument("WithWillFunc", "%.100q is not a valid topic", w.Topic)
	case w.QoS > 2:
		return badArgument("WithWillFunc", "QoS %d is not 0, 1 or 2", w.QoS)
	case len(w.Payload) > math.MaxUint16:
		return badArgument("WithWillFunc", "a payload of %d bytes, more than %d", len(w.Payload), math.MaxUint16)
	case len(w.Properties) > 0 && !slices.Contains(s.protocols, V5):
		return badArgument("WithWillFunc", "properties need WithProtocol(V5)")
	}
	if err := mosquitto.PropertyCheckAll(mosquitto.CmdWill, w.Properties); err != nil {
		return badArgument("WithWillFunc", "properties: %s", withoutPrefix(err))
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
