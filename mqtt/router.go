//go:build cgo

package mqtt

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// target is one receiver of a subscription's messages: a handler, an iterator's queue or
// the client itself.
type target struct {
	handler Handler
	inbox   *inbox
	direct  func(Message) // called on the loop
	ended   atomic.Bool   // no more messages are delivered
}

// end stops the delivery. An iterator ends with the error why.
func (t *target) end(why error) {
	t.ended.Store(true)
	if t.inbox != nil {
		t.inbox.fail(why)
	}
}

// router finds the targets of a message. It is a trie of topic levels. Owned by the
// loop.
type router struct {
	version uint64 // number of changes
	root    node
	byID    map[uint32]*route // by subscription identifier
}

// node is a level of the trie.
type node struct {
	children      map[string]*node // by level, except wildcards
	single, multi *node            // of the wildcards "+" and "#"
	routes        []*route
}

// route is a filter and its targets.
type route struct {
	filter  string // as subscribed
	id      uint32 // subscription identifier
	targets []*target
}

// levelsOf returns the part of a filter that topics are compared with. Shared
// subscriptions have the form $share/group/filter, with some brokers $queue/filter.
// $exclusive/filter is a subscription for one client. Topics of messages do not contain
// these prefixes.
func levelsOf(filter string) string {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return rest
	}
	for _, prefix := range []string{"$queue/", "$exclusive/"} {
		if rest, ok := strings.CutPrefix(filter, prefix); ok && rest != "" {
			return rest
		}
	}
	return filter
}

// set sets the targets of a filter. Without targets it removes the filter.
func (r *router) set(filter string, id uint32, targets []*target) {
	r.version++
	if len(targets) == 0 {
		r.root.remove(levelsOf(filter), filter)
		if old := r.byID[id]; old != nil && old.filter == filter {
			delete(r.byID, id)
		}
		return
	}
	n := r.root.find(levelsOf(filter))
	i := slices.IndexFunc(n.routes, func(o *route) bool { return o.filter == filter })
	if i < 0 {
		i = len(n.routes)
		n.routes = append(n.routes, &route{filter: filter, id: id})
	}
	n.routes[i].targets = targets
	if r.byID == nil {
		r.byID = map[uint32]*route{}
	}
	r.byID[id] = n.routes[i]
}

// child returns the child for a level, or nil.
func (n *node) child(level string) *node {
	switch level {
	case "+":
		return n.single
	case "#":
		return n.multi
	}
	return n.children[level]
}

func (n *node) setChild(level string, child *node) {
	switch {
	case level == "+":
		n.single = child
	case level == "#":
		n.multi = child
	case child == nil:
		delete(n.children, level)
	default:
		if n.children == nil {
			n.children = map[string]*node{}
		}
		n.children[strings.Clone(level)] = child
	}
}

func (n *node) empty() bool {
	return len(n.children) == 0 && n.single == nil && n.multi == nil && len(n.routes) == 0
}

// find returns the node of a filter. It makes missing nodes.
func (n *node) find(filter string) *node {
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		child := n.child(level)
		if child == nil {
			child = &node{}
			n.setChild(level, child)
		}
		n = child
	}
	return n
}

// remove removes a filter, and the nodes that are then empty.
func (n *node) remove(rest, filter string) {
	level, rest, more := strings.Cut(rest, "/")
	child := n.child(level)
	if child == nil {
		return
	}
	if more {
		child.remove(rest, filter)
	} else {
		child.routes = slices.DeleteFunc(child.routes, func(o *route) bool { return o.filter == filter })
	}
	if child.empty() {
		n.setChild(level, nil)
	}
}

// match appends the targets of a message to found. If the broker sends subscription
// identifiers, they determine the targets, because the broker sends one copy for each
// overlapping subscription. Unknown identifiers are possible: a kept session may hold
// subscriptions of an earlier process. Then the topic determines the targets.
func (r *router) match(topic string, props Properties, found []*target) []*target {
	if named, ok := r.named(topic, props, found); ok {
		return named
	}
	return r.root.match(topic, true, found)
}

// named appends the targets of the message's subscription identifiers. ok reports
// whether there are identifiers and all of them are known.
func (r *router) named(topic string, props Properties, found []*target) (all []*target, ok bool) {
	for _, p := range props {
		if p.ID != mosquitto.PropSubscriptionIdentifier {
			continue
		}
		known := r.byID[p.Number]
		if known == nil || !matches(levelsOf(known.filter), topic) {
			return nil, false
		}
		found, ok = append(found, known.targets...), true
	}
	return found, ok
}

func (n *node) match(topic string, first bool, found []*target) []*target {
	level, rest, more := strings.Cut(topic, "/")
	wild := !first || !strings.HasPrefix(level, "$") // wildcards do not match topics of the broker itself
	if n.multi != nil && wild {
		found = n.multi.collect(found)
	}
	if child := n.children[level]; child != nil {
		found = child.next(rest, more, found)
	}
	if n.single != nil && wild {
		found = n.single.next(rest, more, found)
	}
	return found
}

// next matches the levels below a level that matched.
func (n *node) next(rest string, more bool, found []*target) []*target {
	if more {
		return n.match(rest, false, found)
	}
	if n.multi != nil { // "a/#" also matches "a"
		found = n.multi.collect(found)
	}
	return n.collect(found)
}

func (n *node) collect(found []*target) []*target {
	for _, r := range n.routes {
		found = append(found, r.targets...)
	}
	return found
}

// matches reports whether a topic matches a filter without $share.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	for {
		want, restOfFilter, moreFilter := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		level, restOfTopic, moreTopic := strings.Cut(topic, "/")
		if want != "+" && want != level {
			return false
		}
		if !moreTopic {
			return !moreFilter || restOfFilter == "#"
		}
		if !moreFilter {
			return false
		}
		filter, topic = restOfFilter, restOfTopic
	}
}
