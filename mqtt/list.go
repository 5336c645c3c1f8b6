//go:build cgo

package mqtt

// list is a doubly linked list of tokens. The links are stored in the tokens, so the
// list allocates nothing. The owner of the list guards it.
type list struct {
	first, last *Token
	index       int // index of this list's link in Token.links
}

type link struct{ before, after *Token }

func (l *list) next(t *Token) *Token { return t.links[l.index].after }

func (l *list) pushBack(t *Token) {
	t.links[l.index] = link{before: l.last}
	if l.last == nil {
		l.first = t
	} else {
		l.last.links[l.index].after = t
	}
	l.last = t
}

func (l *list) pushFront(t *Token) {
	t.links[l.index] = link{after: l.first}
	if l.first == nil {
		l.last = t
	} else {
		l.first.links[l.index].before = t
	}
	l.first = t
}

func (l *list) remove(t *Token) {
	at := t.links[l.index]
	if at.before == nil {
		l.first = at.after
	} else {
		at.before.links[l.index].after = at.after
	}
	if at.after == nil {
		l.last = at.before
	} else {
		at.after.links[l.index].before = at.before
	}
	t.links[l.index] = link{}
}
