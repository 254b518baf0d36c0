package parquet

import (
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// node is one element of a file's schema tree.
type node struct {
	name     string
	element  *format.SchemaElement
	children []*node
	rep      format.FieldRepetitionType
	maxDef   int // definition level at which this node is there
	maxRep   int
	first    int // index of the first leaf below
	leaves   int // number of leaves below, 1 for a leaf
	path     string
}

func (n *node) leaf() bool { return n.element.Type.Valid }

func (n *node) converted(c deprecated.ConvertedType) bool {
	return n.element.ConvertedType.Valid && n.element.ConvertedType.V == c
}

// pathDepthMax bounds schema nesting: 32 levels of DynamoDB make at most 96 nodes.
const pathDepthMax = 200

// treeOf builds the tree from the footer's flat list; leaves come in the order of the column chunks.
func treeOf(list []format.SchemaElement) (root *node, leaves []*node, err error) {
	if len(list) == 0 {
		return nil, nil, fault.New(fault.Corrupt, "file has no schema")
	}
	b := treeBuilder{list: list}
	root = b.node(nil, 0)
	if !b.bad && len(b.list) > 0 {
		b.bad, b.why = true, "elements behind the last child"
	}
	if b.bad {
		return nil, nil, fault.New(fault.Corrupt, "file schema makes no sense: %s", b.why)
	}
	return root, b.leaves, nil
}

type treeBuilder struct {
	list   []format.SchemaElement
	leaves []*node
	bad    bool
	why    string
}

func (b *treeBuilder) fail(why string) *node {
	if !b.bad {
		b.bad, b.why = true, why
	}
	return &node{element: &format.SchemaElement{}}
}

func (b *treeBuilder) node(parent *node, depth int) *node {
	if b.bad || len(b.list) == 0 || depth > pathDepthMax {
		return b.fail("too few elements or too deep")
	}
	e := &b.list[0]
	b.list = b.list[1:]
	n := &node{name: e.Name, element: e, rep: e.RepetitionType.V, first: len(b.leaves)}
	if parent != nil {
		n.maxDef, n.maxRep = parent.maxDef, parent.maxRep
		n.path = strings.TrimPrefix(parent.path+"."+e.Name, ".")
		switch n.rep {
		case format.Optional:
			n.maxDef++
		case format.Repeated:
			n.maxDef++
			n.maxRep++
		case format.Required:
		default:
			return b.fail("unknown repetition of " + n.path)
		}
	}
	if n.maxDef > 250 {
		return b.fail("too deep")
	}
	children := e.NumChildren.V
	if n.leaf() {
		if children != 0 || e.Type.V < format.Boolean || e.Type.V > format.FixedLenByteArray || parent == nil {
			return b.fail("leaf " + n.path)
		}
		if e.Type.V == format.FixedLenByteArray && (e.TypeLength.V <= 0 || e.TypeLength.V > 1<<20) {
			return b.fail("length of " + n.path)
		}
		b.leaves = append(b.leaves, n)
		n.leaves = 1
		return n
	}
	if children < 0 || int(children) > len(b.list) {
		return b.fail("children of " + n.path)
	}
	for range children {
		n.children = append(n.children, b.node(n, depth+1))
	}
	n.leaves = len(b.leaves) - n.first
	if n.leaves == 0 && parent != nil {
		return b.fail("group " + n.path + " without columns")
	}
	return n
}
