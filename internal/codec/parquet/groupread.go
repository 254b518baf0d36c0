package parquet

import (
	"io"

	"dynaferry/internal/column"
)

// groupReader reads the chunks of one row group side by side, as runs of rows that fit in memory.
type groupReader struct {
	cursors []*cursor
	left    int64 // rows still to come
	batch   int   // most rows of a run
}

func newGroupReader(r io.ReaderAt, o *ReadOptions, x *expander, leaves []*node) groupReader {
	g := groupReader{batch: o.BatchRows}
	for _, leaf := range leaves {
		c := newCursor(o, x, leaf)
		c.file = r
		c.size = max(windowMin, min(windowMax, windowBytes/len(leaves)))
		g.cursors = append(g.cursors, c)
	}
	return g
}

// next decodes the next rows: as many as the leanest leaf's budget bears. The vectors are valid until drop.
func (g *groupReader) next() (int, []column.Vector, error) {
	rows := int(min(g.left, int64(g.batch)))
	budget := max(16<<10, batchBytes/len(g.cursors))
	for _, c := range g.cursors {
		n, err := c.fill(rows, budget)
		if err != nil {
			return 0, nil, err
		}
		if n == 0 {
			return 0, nil, c.corrupt(c.at, "column ends %d rows before its row group", g.left)
		}
		rows = n
	}
	vectors := make([]column.Vector, len(g.cursors))
	for i, c := range g.cursors {
		vectors[i] = c.take(rows)
	}
	g.left -= int64(rows)
	return rows, vectors, nil
}

// drop forgets the rows of the last next.
func (g *groupReader) drop(rows int) {
	for _, c := range g.cursors {
		c.drop(rows)
	}
}

// end checks that the columns ended with their row group.
func (g *groupReader) end() error {
	for _, c := range g.cursors {
		if !c.done() || c.rows > 0 {
			return c.corrupt(c.at, "column has more rows than its row group")
		}
	}
	return nil
}
