package expression

import (
	"strconv"
	"strings"

	"dynaferry/internal/item"
)

// Step is one step of a document path: a member's name, or an element's index when Name is not in play.
type Step struct {
	Name  string
	Index int // -1 for a name
}

// Path is a document path with its placeholders replaced: a.b[2] is three steps, the first always a name.
type Path []Step

// pathStepsMax is the service's bound on nesting; items themselves nest no deeper.
const pathStepsMax = 32

// String renders the path as the service's errors do: [a, b, [2]].
func (p Path) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, step := range p {
		if i > 0 {
			b.WriteString(", ")
		}
		if step.Index >= 0 {
			b.WriteString("[" + strconv.Itoa(step.Index) + "]")
		} else {
			b.WriteString(step.Name)
		}
	}
	b.WriteByte(']')
	return b.String()
}

func (p Path) equal(q Path) bool {
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// find follows the path through a decoded item.
func (p Path) find(attributes map[string]item.Value) (item.Value, bool) {
	v, ok := attributes[p[0].Name]
	for _, step := range p[1:] {
		if !ok {
			return item.Value{}, false
		}
		switch {
		case step.Index < 0 && v.Type == item.M:
			v, ok = v.Map[step.Name]
		case step.Index >= 0 && v.Type == item.L && step.Index < len(v.List):
			v = v.List[step.Index]
		default:
			return item.Value{}, false
		}
	}
	return v, ok
}

// seek follows the path along a tape and returns the value's index.
func (p Path) seek(it item.Item) (int, bool) {
	at, ok := it.Get(p[0].Name)
	for _, step := range p[1:] {
		if !ok {
			return 0, false
		}
		switch kind := it.Tape[at].Type; {
		case step.Index < 0 && kind == item.M:
			at, ok = it.Member(at, step.Name)
		case step.Index >= 0 && kind == item.L:
			at, ok = it.Element(at, step.Index)
		default:
			return 0, false
		}
	}
	return at, ok
}

// branch is a tree of paths: a leaf where one ends, else its next steps, all names or all indexes.
type branch struct {
	leaf  int    // 1 + the number of the path that ends here, 0 for none
	steps []Step // order of first mention; indexes ascending
	next  []*branch
}

func (b *branch) child(step Step) *branch {
	for i, s := range b.steps {
		if s == step {
			return b.next[i]
		}
	}
	return nil
}

// grow adds a step, indexes in ascending order.
func (b *branch) grow(step Step) *branch {
	if child := b.child(step); child != nil {
		return child
	}
	at := len(b.steps)
	for step.Index >= 0 && at > 0 && b.steps[at-1].Index > step.Index {
		at--
	}
	child := &branch{}
	b.steps = append(b.steps, Step{})
	b.next = append(b.next, nil)
	copy(b.steps[at+1:], b.steps[at:])
	copy(b.next[at+1:], b.next[at:])
	b.steps[at], b.next[at] = step, child
	return child
}

// newBranch builds the tree of paths that are apart.
func newBranch(paths []Path) *branch {
	root := &branch{}
	for i, path := range paths {
		at := root
		for _, step := range path {
			at = at.grow(step)
		}
		at.leaf = i + 1
	}
	return root
}

// apart tells whether two paths can be used side by side: neither leads through or to the other's place, and no place
// is a map to one and a list to the other.
func apart(p, q Path) error {
	for i := range min(len(p), len(q)) {
		if p[i] == q[i] {
			continue
		}
		if (p[i].Index >= 0) != (q[i].Index >= 0) {
			return refuse("Two document paths conflict with each other; must remove or rewrite one of these paths; "+
				"path one: %s, path two: %s", p, q)
		}
		return nil
	}
	return refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; "+
		"path one: %s, path two: %s", p, q)
}
