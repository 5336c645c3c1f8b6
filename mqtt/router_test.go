//go:build cgo

package mqtt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/stretchr/testify/require"
)

// filtersFor lists the filters whose targets the router finds for a message.
func filtersFor(r *router, all map[*target]string, m *Message) []string {
	var filters []string
	for _, t := range r.match(m.Topic, m.Properties, nil) {
		filters = append(filters, all[t])
	}
	slices.Sort(filters)
	return filters
}

// The router and the library agree about all filters and topics of up to four levels from a
// small alphabet.
func TestRouter_MatchesLikeTheLibrary(t *testing.T) {
	filters := paths([]string{"", "a", "b", "+", "$x"}, 3)
	for _, f := range filters {
		filters = append(filters, f+"/#")
	}
	filters = append(filters, "#")
	filters = slices.DeleteFunc(filters, func(f string) bool { return mosquitto.SubTopicCheck(f) != nil })
	r, all := &router{}, map[*target]string{}
	for _, f := range filters {
		to := &target{}
		all[to] = f
		r.set(f, identifier(f), []*target{to})
	}
	for _, topic := range paths([]string{"", "a", "b", "$x"}, 4) {
		if topic == "" {
			continue
		}
		var want []string
		for _, f := range filters {
			match, err := mosquitto.TopicMatchesSub(f, topic)
			require.NoError(t, err, "%q %q", f, topic)
			if match {
				want = append(want, f)
			}
			require.Equal(t, match, matches(f, topic), "filter %q, topic %q", f, topic)
		}
		slices.Sort(want)
		require.Equal(t, want, filtersFor(r, all, &Message{Topic: topic}), "topic %q", topic)
	}
	for _, f := range filters {
		r.set(f, identifier(f), nil)
	}
	require.True(t, r.root.empty(), "the router must free the nodes of removed filters")
	require.Empty(t, r.byID)
}

// paths lists all topics of up to n of these levels.
func paths(levels []string, n int) []string {
	all := slices.Clone(levels)
	for from := 0; n > 1; n-- {
		to := len(all)
		for _, head := range all[from:to] {
			for _, level := range levels {
				all = append(all, head+"/"+level)
			}
		}
		from = to
	}
	return all
}

func TestRouter_IgnoresThePrefixOfSharedSubscriptions(t *testing.T) {
	r, all := &router{}, map[*target]string{}
	for _, f := range []string{"a/b", "$share/g/a/b", "$share/h/a/+", "$share/g//a", "/a"} {
		to := &target{}
		all[to] = f
		r.set(f, identifier(f), []*target{to})
	}
	require.Equal(t, []string{"$share/g/a/b", "$share/h/a/+", "a/b"}, filtersFor(r, all, &Message{Topic: "a/b"}))
	require.Equal(t, []string{"$share/g//a", "/a"}, filtersFor(r, all, &Message{Topic: "/a"}))
	r.set("$share/g/a/b", identifier("$share/g/a/b"), nil)
	require.Equal(t, []string{"$share/h/a/+", "a/b"}, filtersFor(r, all, &Message{Topic: "a/b"}))
}

// If a message has subscription identifiers, only their filters get it: the broker sends a copy
// for each of the other subscriptions.
func TestRouter_SelectsTargetsByIdentifier(t *testing.T) {
	r, all := &router{}, map[*target]string{}
	for _, f := range []string{"a/#", "a/b", "#"} {
		to := &target{}
		all[to] = f
		r.set(f, identifier(f), []*target{to})
	}
	named := func(ids ...uint32) *Message {
		m := &Message{Topic: "a/b"}
		for _, id := range ids {
			m.Properties = append(m.Properties, mosquitto.Property{ID: mosquitto.PropSubscriptionIdentifier, Number: id})
		}
		return m
	}
	require.Equal(t, []string{"a/b"}, filtersFor(r, all, named(identifier("a/b"))))
	require.Equal(t, []string{"#", "a/#"}, filtersFor(r, all, named(identifier("a/#"), identifier("#"))))
	every := []string{"#", "a/#", "a/b"}
	require.Equal(t, every, filtersFor(r, all, named()))
	require.Equal(t, every, filtersFor(r, all, named(identifier("a/b"), 4711)), "an identifier of another process")
	r.set("x", 4712, []*target{{}})
	require.Equal(t, every, filtersFor(r, all, named(4712)), "an identifier of a filter that does not match")
}

func TestIdentifier_IsInRangeAndStable(t *testing.T) {
	require.Equal(t, uint32(0xa8e75c5), identifier("a/b"), "kept sessions contain this identifier, so it must not change")
	for range 1000 {
		id := identifier(fmt.Sprint(rand.Uint64()))
		require.True(t, id >= 1 && id <= 268_435_455)
	}
}

func TestRouter_MatchAllocatesNothing(t *testing.T) {
	r := &router{}
	for i := range 1000 {
		r.set(fmt.Sprintf("a/%d/+", i), uint32(i+1), []*target{{}})
	}
	m := &Message{Topic: "a/500/x"}
	found := make([]*target, 0, 8)
	require.Zero(t, testing.AllocsPerRun(100, func() { found = r.match(m.Topic, nil, found[:0]) }))
	require.Len(t, found, 1)
}

func FuzzRouter(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("#", "$SYS/x")
	f.Add("$share/g/+", "/")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if strings.HasPrefix(filter, "$share/") || mosquitto.SubTopicCheck(filter) != nil || mosquitto.PubTopicCheck(topic) != nil {
			return
		}
		want, err := mosquitto.TopicMatchesSub(filter, topic)
		if err != nil {
			return
		}
		r := &router{}
		r.set(filter, 1, []*target{{}})
		if got := len(r.match(topic, nil, nil)) == 1; got != want {
			t.Fatalf("filter %q, topic %q: %v, the library says %v", filter, topic, got, want)
		}
		r.set(filter, 1, nil)
		if !r.root.empty() {
			t.Fatal("nodes are left")
		}
	})
}
