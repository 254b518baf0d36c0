package expression

import (
	"maps"
	"slices"

	"dynaferry/internal/item"
)

// Projection is a checked projection expression: a set of document paths. It is immutable.
type Projection struct {
	root  *branch
	paths []Path
}

// Projection compiles a projection expression.
func (s *Scope) Projection(text string) (*Projection, error) {
	projection, err := s.projection(text)
	if err != nil {
		return nil, invalid(ProjectionKind, err)
	}
	return projection, nil
}

func (s *Scope) projection(text string) (*Projection, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	nodes, err := p.projection()
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := checkReserved(n); err != nil {
			return nil, err
		}
	}
	return s.resolvePaths(nodes)
}

// resolvePaths replaces placeholders and keeps paths apart, last path first as the service does.
func (s *Scope) resolvePaths(nodes []*node) (*Projection, error) {
	paths := make([]Path, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		if err := s.resolvePath(nodes[i]); err != nil {
			return nil, err
		}
		paths[i] = nodes[i].path
		for _, other := range paths[i+1:] {
			if err := apart(paths[i], other); err != nil {
				return nil, err
			}
		}
	}
	return &Projection{root: newBranch(paths), paths: paths}, nil
}

// Paths returns the projected paths in the order of the text.
func (p *Projection) Paths() []Path { return p.paths }

// Value returns the part of an item that the paths reach: members keep their place in maps, chosen elements of a list
// stand behind one another in the list's order. Paths that lead nowhere leave nothing. Values are shared with the item.
func (p *Projection) Value(attributes map[string]item.Value) map[string]item.Value {
	v, _ := project(item.Value{Type: item.M, Map: attributes}, p.root)
	if v.Map == nil {
		return map[string]item.Value{}
	}
	return v.Map
}

func project(v item.Value, b *branch) (item.Value, bool) {
	if b.leaf > 0 {
		return v, true
	}
	out := item.Value{Type: v.Type}
	for i, step := range b.steps {
		var child item.Value
		var ok bool
		switch {
		case step.Index < 0 && v.Type == item.M:
			child, ok = v.Map[step.Name]
		case step.Index >= 0 && v.Type == item.L && step.Index < len(v.List):
			child, ok = v.List[step.Index], true
		}
		if ok {
			child, ok = project(child, b.next[i])
		}
		switch {
		case !ok:
		case step.Index >= 0:
			out.List = append(out.List, child)
		default:
			if out.Map == nil {
				out.Map = map[string]item.Value{}
			}
			out.Map[step.Name] = child
		}
	}
	return out, out.Map != nil || out.List != nil
}

// Write appends the projected item to the builder's batch as the item of the given line; see Value. Chosen values are
// copied as they came.
func (p *Projection) Write(it item.Item, line uint32, w *item.Builder) {
	w.Begin(line)
	writeMembers(it, 0, p.root, w)
	w.Finish()
}

func writeMembers(it item.Item, at int, b *branch, w *item.Builder) {
	for i, step := range b.steps {
		child, ok := follow(it, at, step)
		if !ok || !reaches(it, child, b.next[i]) {
			continue
		}
		if step.Index < 0 {
			w.Name(step.Name)
		}
		switch {
		case b.next[i].leaf > 0:
			w.Raw(it, child)
		case it.Tape[child].Type == item.M:
			w.BeginMap()
			writeMembers(it, child, b.next[i], w)
			w.End()
		default:
			w.BeginList()
			writeMembers(it, child, b.next[i], w)
			w.End()
		}
	}
}

func follow(it item.Item, at int, step Step) (int, bool) {
	switch kind := it.Tape[at].Type; {
	case step.Index < 0 && kind == item.M:
		return it.Member(at, step.Name)
	case step.Index >= 0 && kind == item.L:
		return it.Element(at, step.Index)
	}
	return 0, false
}

// reaches tells whether any path below b leads to a value.
func reaches(it item.Item, at int, b *branch) bool {
	if b.leaf > 0 {
		return true
	}
	for i, step := range b.steps {
		if child, ok := follow(it, at, step); ok && reaches(it, child, b.next[i]) {
			return true
		}
	}
	return false
}

// TopLevel returns the distinct top-level attributes that paths begin with, sorted.
func TopLevel(paths []Path) []string {
	names := map[string]bool{}
	for _, path := range paths {
		names[path[0].Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
