//go:build cgo

package mqtt

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// target is one receiver of a subscription's messages: a handler, an iterator's queue,
// or the client itself.
type target struct {
	handler Handler
	inbox   *inbox
	direct  func(Message) // on the loop
	ended   atomic.Bool   // nothing is delivered any more
}

// end stops the delivery. An iterator ends with why.
func (t *target) end(why error) {
	t.ended.Store(true)
	if t.inbox != nil {
		t.inbox.fail(why)
	}
}

// router finds the targets of a message: a trie of topic levels. Owned by the loop.
type router struct {
	version uint64 // counts the changes
	root    node
	byID    map[uint32]*route
}

// node is a level of the trie.
type node struct {
	children      map[string]*node // by level, but the wildcards
	single, multi *node            // of "+" and of "#"
	routes        []*route
}

// route is a filter with its targets.
type route struct {
	filter  string // as subscribed
	id      uint32 // its subscription identifier
	targets []*target
}

func newRouter() *router { return &router{byID: map[uint32]*route{}} }

// levelsOf is the filter that topics are compared with. Shared subscriptions are
// $share/group/filter, and with some brokers $queue/filter; $exclusive/filter is for one
// client. Their messages come under the topic alone.
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

// set makes targets the receivers of a filter; none removes it.
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
	r.byID[id] = n.routes[i]
}

// child is where the node of a level hangs, nil if nowhere yet.
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

// find returns the node of a filter, which it makes if need be.
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

// remove takes a filter away, and the nodes that it leaves empty.
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

// match appends the targets of a message to found. Where the broker names the
// subscriptions that a message is for, these are taken: it sends a copy for each
// of those that overlap. They are checked, since a session may remember those of
// an earlier process.
func (r *router) match(topic string, props Properties, found []*target) []*target {
	if named, ok := r.named(topic, props, found); ok {
		return named
	}
	return r.root.match(topic, true, found)
}

// named appends the targets of the subscriptions that the message names. ok says
// that it names some, and that all are known.
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
	wild := !first || !strings.HasPrefix(level, "$") // wildcards do not match the broker's own topics
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

// next goes on below a level that matched.
func (n *node) next(rest string, more bool, found []*target) []*target {
	if more {
		return n.match(rest, false, found)
	}
	if n.multi != nil { // "a/#" is for "a" too
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

// matches tells whether a topic is one for a filter without $share.
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
