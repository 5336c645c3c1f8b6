package mqtt

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// route is a filter and its callback.
type route struct {
	filter   string
	callback MessageHandler
}

// router finds the callbacks of a message. Its methods are safe for concurrent use.
type router struct {
	fallback MessageHandler // of messages that match no route; nil for none
	version  atomic.Uint64  // number of changes

	mu     sync.RWMutex
	routes []route // in the order in which they were added
}

// add adds a route. The callback replaces that of an earlier route with the same filter.
func (r *router) add(filter string, callback MessageHandler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version.Add(1)
	if i := r.index(filter); i >= 0 {
		r.routes[i].callback = callback
		return
	}
	r.routes = append(r.routes, route{filter, callback})
}

// remove removes a route.
func (r *router) remove(filter string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version.Add(1)
	if i := r.index(filter); i >= 0 {
		r.routes = slices.Delete(r.routes, i, i+1)
	}
}

// index returns the position of a route, or -1. The caller must hold mu.
func (r *router) index(filter string) int {
	return slices.IndexFunc(r.routes, func(o route) bool { return o.filter == filter })
}

// match returns the callbacks of all routes that match a topic, or the default callback.
func (r *router) match(topic string) (found []MessageHandler) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range r.routes {
		if matches(r.routes[i].filter, topic) {
			found = append(found, r.routes[i].callback)
		}
	}
	if len(found) == 0 && r.fallback != nil {
		found = append(found, r.fallback)
	}
	return found
}

// routeFilter returns the filter of a subscription without the prefix of shared
// subscriptions: topics of messages do not contain it.
func routeFilter(filter string) string {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		if _, rest, ok = strings.Cut(rest, "/"); ok {
			return rest
		}
	}
	return strings.TrimPrefix(filter, "$queue/")
}

// matches reports whether a filter matches a topic.
func matches(filter, topic string) bool {
	if filter == topic {
		return true
	}
	filter = routeFilter(filter)
	for {
		want, filterRest, moreFilter := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		level, topicRest, moreTopic := strings.Cut(topic, "/")
		switch {
		case want != "+" && want != level:
			return false
		case !moreTopic:
			return !moreFilter || filterRest == "#"
		case !moreFilter:
			return false
		}
		filter, topic = filterRest, topicRest
	}
}

// checkFilter returns an error for an invalid filter or QoS.
func checkFilter(filter string, qos byte) error {
	multi := strings.Index(filter, "#/")
	switch {
	case filter == "":
		return ErrInvalidTopicEmptyString
	case multi == 0, multi > 0 && filter[multi-1] == '/':
		return ErrInvalidTopicMultilevel
	case qos > 2:
		return ErrInvalidQos
	}
	return nil
}
