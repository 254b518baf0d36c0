package job

import (
	"fmt"
	"strings"

	"dynaferry/internal/item"
)

// What the service takes of a condition (Developer Guide, "Service, account, and table quotas": 4 KB of expression, 300
// operators and functions).
const (
	conditionBytesMax     = 4096
	conditionOperatorsMax = 300
)

// condition is one of a conditional write.
type condition struct {
	text   string
	names  map[string]string
	values map[string]item.Value
}

// exactly is the condition that every attribute of an item has its value, and that none of some other names is there. The service
// has none for "and nothing else". ok is false when it would not take the condition.
func exactly(it item.Item, absent []string) (c condition, ok bool) {
	c = condition{names: map[string]string{}, values: map[string]item.Value{}}
	var text strings.Builder
	and := func() string {
		if text.Len() > 0 {
			text.WriteString(" AND ")
		}
		return fmt.Sprintf("#%x", len(c.names))
	}
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		name := and()
		value := ":" + name[1:]
		c.names[name], c.values[value] = string(it.Text(at)), it.Value(at+1)
		text.WriteString(name + " = " + value)
	}
	for _, other := range absent {
		name := and()
		c.names[name] = other
		text.WriteString("attribute_not_exists(" + name + ")")
	}
	c.text = text.String()
	return c, len(c.text) <= conditionBytesMax && 2*len(c.names)-1 <= conditionOperatorsMax
}

// versioned is the condition that one attribute of an item has its value; ok is false of an item without it.
func versioned(it item.Item, version string) (c condition, ok bool) {
	at, ok := it.Get(version)
	if !ok {
		return c, false
	}
	return condition{"#v = :v", map[string]string{"#v": version}, map[string]item.Value{":v": it.Value(at)}}, true
}

// missing is the condition that no item is there.
func missing(keys item.KeySchema) condition {
	return condition{"attribute_not_exists(#k)", map[string]string{"#k": keys.Hash.Name}, nil}
}

// namesBeside are the attributes of a that b does not have.
func namesBeside(a, b item.Item) (names []string) {
	for at := 1; at < len(a.Tape); at += 1 + int(a.Tape[at+1].Skip) {
		if name := string(a.Text(at)); b.Tape == nil {
			names = append(names, name)
		} else if _, has := b.Get(name); !has {
			names = append(names, name)
		}
	}
	return names
}
