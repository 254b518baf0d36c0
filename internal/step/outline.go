package step

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// outline is what is known of the top-level attributes between two steps, without an item: where the attributes of a key
// have gone, and which names are certainly absent.
type outline struct {
	at     *parsed
	keys   []keyAt
	gone   map[string]*parsed   // names that no item has, and the step that took them
	types  map[string]item.Type // names that a step gave a type
	closed *parsed              // the step that keeps named attributes alone; nil while any name is possible
	open   map[string]bool      // names that are possible nevertheless
	states bool                 // of Runner.States, which keeps programs from keys
}

// keyAt is where an attribute of a key stands.
type keyAt struct {
	item.KeyAttr
	blurred bool // two different values may have become one
	lost    error
}

func newOutline() *outline {
	return &outline{gone: map[string]*parsed{}, types: map[string]item.Type{}, open: map[string]bool{}}
}

func (o *outline) follow(keys item.KeySchema) {
	for _, attr := range keys.Attrs() {
		o.keys = append(o.keys, keyAt{KeyAttr: attr})
	}
}

// key finds the attribute of the key that has this name now.
func (o *outline) key(name string) *keyAt {
	for i := range o.keys {
		if k := &o.keys[i]; k.Name == name && k.lost == nil {
			return k
		}
	}
	return nil
}

func (o *outline) refuse(s *parsed, format string, args ...any) error {
	return fault.Hint(&Error{Number: s.number, Text: s.text, Err: fault.New(fault.User, format, args...)},
		"leave the key out of the step, or use another verb: convert needs no key")
}

// take notes that a name is absent from now on.
func (o *outline) take(name string) {
	if k := o.key(name); k != nil {
		k.lost = o.refuse(o.at, "takes away %s, which is of the key", name)
	}
	o.gone[name] = o.at
	delete(o.open, name)
	delete(o.types, name)
}

// put notes that a name gets a new value, of a type where that is known.
func (o *outline) put(name string, t item.Type) {
	if k := o.key(name); k != nil {
		k.blurred = true
		if t != 0 {
			k.Type = t
		}
	}
	o.possible(name, t)
}

func (o *outline) possible(name string, t item.Type) {
	delete(o.gone, name)
	o.open[name] = true
	if delete(o.types, name); t != 0 {
		o.types[name] = t
	}
}

// alter notes that the value of a name becomes another of a type, different ones different when distinct.
func (o *outline) alter(name string, t item.Type, distinct bool) {
	if k := o.key(name); k != nil {
		k.blurred = k.blurred || !distinct
		if t != 0 {
			k.Type = t
		}
	}
	if t != 0 {
		o.types[name] = t
	}
}

// only notes that nothing but these names is left.
func (o *outline) only(names map[string]bool) {
	for i := range o.keys {
		if k := &o.keys[i]; k.lost == nil && !names[k.Name] {
			k.lost = o.refuse(o.at, "does not keep %s, which is of the key", k.Name)
		}
	}
	open := map[string]bool{}
	for name := range names {
		if o.gone[name] == nil && (o.closed == nil || o.open[name]) {
			open[name] = true
		}
	}
	o.closed, o.open = o.at, open
}

// anything notes that a program decides: any attribute may be there, and of the key only what is checked item by item.
func (o *outline) anything() {
	for i := range o.keys {
		o.keys[i].blurred = o.keys[i].blurred || !o.states
	}
	clear(o.gone)
	clear(o.types)
	o.closed = nil
}

// has tells whether items can have the attribute.
func (o *outline) has(attr item.KeyAttr) error {
	switch s := o.gone[attr.Name]; {
	case s != nil:
		return o.refuse(s, "takes away the key %s", attr.Name)
	case o.closed != nil && !o.open[attr.Name]:
		return o.refuse(o.closed, "does not keep the key %s", attr.Name)
	}
	if t := o.types[attr.Name]; t != 0 && t != attr.Type {
		return fault.New(fault.User, "the steps make the key %s of type %s; it is %s", attr.Name, t, attr.Type)
	}
	return nil
}
