//go:build cgo

package mqtt_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The tests of this file use a broker of MQTT 3.1.1, and a broker of MQTT 5 without
// subscription identifiers: with identifiers each filter has its own SUBSCRIBE.

// closesOverFilters returns a script that closes the connection when a SUBSCRIBE has more than
// limit filters. AWS IoT Core does so with more than 8.
func closesOverFilters(limit int) script {
	return closesForSubscribe(func(p packet) bool { return len(p.filters()) > limit })
}

// closesForFilter returns a script that closes the connection when a SUBSCRIBE has this filter.
func closesForFilter(filter string) script {
	return closesForSubscribe(func(p packet) bool { return slices.Contains(p.names(), filter) })
}

// closesForSubscribe returns a script that closes the connection for each SUBSCRIBE for which
// the function refuses returns true.
func closesForSubscribe(refuses func(packet) bool) script {
	return func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT && c.version == fakebroker.V5:
			c.write(c.version.Connack(false, 0, fakebroker.SubscriptionIDAvailable(0)))
			return true
		case p.Type() == fakebroker.SUBSCRIBE && refuses(p):
			c.Close()
			return true
		}
		return false
	}
}

// eachProtocol runs a test with both versions.
func eachProtocol(t *testing.T, test func(t *testing.T, version mqtt.Option)) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			test(t, mqtt.WithProtocol(version))
		})
	}
}

// subscribeInitially lists options that subscribe to filters at the first connection.
func subscribeInitially(h mqtt.Handler, filters ...string) (options []mqtt.Option) {
	for _, filter := range filters {
		options = append(options, mqtt.WithSubscription(filter, 1, h))
	}
	return options
}

// manyFilters lists n filters.
func manyFilters(n int) (filters []string) {
	for i := range n {
		filters = append(filters, fmt.Sprint("filters/", i))
	}
	return filters
}

// largestSubscribe returns, for each connection, the highest number of filters in a SUBSCRIBE.
func largestSubscribe(b *fakeBroker) (sizes map[int]int) {
	sizes = map[int]int{}
	for _, p := range b.received(fakebroker.SUBSCRIBE) {
		sizes[p.connection] = max(sizes[p.connection], len(p.filters()))
	}
	return sizes
}

// requireReceives requires that a message on each filter reaches the handler.
func requireReceives(t *testing.T, b *fakeBroker, got <-chan mqtt.Message, filters ...string) {
	t.Helper()
	for _, filter := range filters {
		wait.Until(t, "a SUBSCRIBE for "+filter, func() bool { return subscribedOn(b, b.connections(), filter) })
		b.conn().publish(0, filter, 0, "x")
		require.Equal(t, filter, wait.For(t, got, "a message on "+filter).Topic)
	}
}

// requireReconnects ends the connection and waits for the next one.
func requireReconnects(t *testing.T, b *fakeBroker, c *mqtt.Client) {
	t.Helper()
	before := b.connections()
	b.conn().Close()
	wait.Until(t, "the next connection", func() bool { return b.connections() > before })
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
}

func TestFiltersPerSubscribe_EightByDefault(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		b := startFakeBroker(t, closesOverFilters(8))
		h, got := collect()
		initial, later := manyFilters(20), []string{}
		c := dial(t, b.port, append(subscribeInitially(h, initial...), version)...)
		var subscriptions []mqtt.Subscription
		for n := range 20 {
			later = append(later, fmt.Sprint("later/", n))
			subscriptions = append(subscriptions, mqtt.Subscription{Filter: later[n], QoS: 1, Handler: h})
		}
		require.NoError(t, c.SubscribeMultiple(wait.Soon(t), subscriptions...))
		requireReceives(t, b, got, append(initial, later...)...)
		require.Equal(t, map[int]int{1: 8}, largestSubscribe(b))
		requireReconnects(t, b, c)
		requireReceives(t, b, got, append(initial, later...)...)
		require.Equal(t, map[int]int{1: 8, 2: 8}, largestSubscribe(b))
		require.EqualValues(t, 2, c.Stats().Connects)
	})
}

func TestFiltersPerSubscribe_OptionSetsTheLimit(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		for _, limit := range []int{1, 3, 20} {
			b := startFakeBroker(t, closesOverFilters(limit))
			h, got := collect()
			filters := manyFilters(25)
			c := dial(t, b.port, append(subscribeInitially(h, filters...), version, mqtt.WithFiltersPerSubscribe(limit))...)
			requireReceives(t, b, got, filters...)
			requireReconnects(t, b, c)
			requireReceives(t, b, got, filters...)
			require.Equal(t, map[int]int{1: limit, 2: limit}, largestSubscribe(b))
		}
	})
}

func TestFiltersPerSubscribe_LimitBelowOneIsAnError(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, nil)
	for _, limit := range []int{0, -1} {
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithFiltersPerSubscribe(limit))
		require.ErrorContains(t, err, "WithFiltersPerSubscribe")
	}
}

// The client halves the limit until the broker accepts the packets.
func TestFiltersPerSubscribe_LimitIsHalvedWhenTheBrokerCloses(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		for _, limit := range []int{1, 3} {
			b := startFakeBroker(t, closesOverFilters(limit))
			h, got := collect()
			filters := manyFilters(16)
			dial(t, b.port, append(subscribeInitially(h, filters...), version)...)
			requireReceives(t, b, got, filters...)
			sizes := largestSubscribe(b)
			require.Equal(t, 8, sizes[1])
			require.LessOrEqual(t, sizes[b.connections()], limit)
			for n := 2; n <= b.connections(); n++ {
				require.True(t, sizes[n] == sizes[n-1] || sizes[n] == sizes[n-1]/2, "%v", sizes)
			}
		}
	})
}

// The broker closes the connection because of one filter. The error of Dial names the filter.
func TestFiltersPerSubscribe_DialNamesTheFilter(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		b := startFakeBroker(t, closesForFilter("refused"))
		filters := append(manyFilters(10), "refused", "last")
		options := append(subscribeInitially(ignore, filters...), version, fast())
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, options...)
		var refused *mqtt.SubscribeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "refused", refused.Filter)
		require.NotContains(t, err.Error(), "filters/")
	})
}

// Without a call that waits for them, the other filters of the first connection are
// granted.
func TestFiltersPerSubscribe_OtherFiltersAreGrantedAtTheFirstConnection(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		b := startFakeBroker(t, closesForFilter("refused"))
		h, got := collect()
		filters := append(manyFilters(10), "last")
		options := append(subscribeInitially(h, filters[:5]...), mqtt.WithSubscription("refused", 1, ignore))
		options = append(options, subscribeInitially(h, filters[5:]...)...)
		c := dial(t, b.port, append(options, version, mqtt.WithBackgroundConnect())...)
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		requireReceives(t, b, got, filters...)
	})
}

// A Subscribe that waits gets the refusal of its filter. The subscriptions that were
// granted before are restored.
func TestFiltersPerSubscribe_SubscribeNamesTheFilter(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		b := startFakeBroker(t, closesForFilter("refused"))
		h, got := collect()
		filters := manyFilters(12)
		c := dial(t, b.port, append(subscribeInitially(h, filters...), version)...)
		err := c.Subscribe(wait.Soon(t), "refused", 1, ignore)
		var refused *mqtt.SubscribeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "refused", refused.Filter)
		require.NoError(t, c.Subscribe(wait.Soon(t), "later", 1, h))
		requireReceives(t, b, got, append(filters, "later")...)
		requireReconnects(t, b, c)
		requireReceives(t, b, got, append(filters, "later")...)
		require.False(t, subscribedOn(b, b.connections(), "refused"))
	})
}

// After a reconnect the broker closes the connection because of a filter that it granted
// before. The client reports the filter and restores the other filters.
func TestFiltersPerSubscribe_FilterOfAReconnectIsReported(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		closes := closesForFilter("refused")
		b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
			if c.number == 1 && p.Type() == fakebroker.SUBSCRIBE {
				return false
			}
			return closes(c, p)
		})
		lost := make(chan string, 1000)
		h, got := collect()
		filters := manyFilters(12)
		options := append(subscribeInitially(h, filters...), version, mqtt.WithSubscription("refused", 1, ignore),
			mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- err.Filter }}))
		c := dial(t, b.port, options...)
		requireReconnects(t, b, c)
		require.Equal(t, "refused", wait.For(t, lost, "the report"))
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		requireReceives(t, b, got, filters...)
		for len(lost) > 0 {
			require.Equal(t, "refused", <-lost)
		}
	})
}

// The connection is lost several times while a SUBSCRIBE is in flight. No filter is refused if
// the broker grants it later.
func TestFiltersPerSubscribe_LossesInBetweenRefuseNothing(t *testing.T) {
	eachProtocol(t, func(t *testing.T, version mqtt.Option) {
		b := startFakeBroker(t, closesForSubscribe(func(p packet) bool { return p.connection == 2 }))
		h, got := collect()
		filters := manyFilters(12)
		c := dial(t, b.port, append(subscribeInitially(h, filters...), version)...)
		requireReconnects(t, b, c)
		wait.Until(t, "the third connection", func() bool { return b.connections() == 3 })
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		requireReceives(t, b, got, filters...)
	})
}
