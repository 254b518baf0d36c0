package parquet

import (
	"hash/crc32"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// chunkReader hands out the pages of one column chunk, reading the file in windows so that a page costs no request of
// its own.
type chunkReader struct {
	file   io.ReaderAt
	leaf   *node
	meta   *format.ColumnMetaData
	at     int64 // file offset of the next byte to parse
	end    int64 // first byte that cannot belong to the chunk
	window []byte
	start  int64 // file offset of window[0]
	size   int   // of a window
	slots  int64 // still to come
	limits *ReadOptions
	expand *expander
	buf    []byte // of the expanded data page
}

// pageHeaderMax bounds a page header: it may hold two bounds of long strings, in foreign files uncut.
const pageHeaderMax = 16 << 20

func (c *chunkReader) corrupt(at int64, text string, args ...any) error {
	return fault.At(fault.New(fault.Corrupt, text, args...), fault.Place{Offset: at, Path: c.leaf.path})
}

// bytes returns n bytes at the current offset without consuming them; fewer at the end of the chunk.
func (c *chunkReader) bytes(n int) ([]byte, error) {
	if left := c.end - c.at; int64(n) > left {
		n = int(left)
	}
	skip := c.at - c.start
	if skip >= 0 && skip+int64(n) <= int64(len(c.window)) {
		return c.window[skip : skip+int64(n)], nil
	}
	size := int(min(int64(max(c.size, n)), c.end-c.at))
	if cap(c.window) < size {
		c.window = make([]byte, size)
	}
	c.window = c.window[:size]
	c.start = c.at
	if got, err := c.file.ReadAt(c.window, c.at); got < size {
		c.window = c.window[:0]
		if err == io.EOF || err == nil {
			return nil, c.corrupt(c.at, "file ends inside of a column chunk")
		}
		return nil, fault.At(err, fault.Place{Offset: c.at})
	}
	return c.window[:n], nil
}

// next reads the next page: its header and its body as it lies in the file.
func (c *chunkReader) next() (h header, body []byte, err error) {
	at := c.at
	n, ok := 0, false
	for size := 256; !ok; size *= 8 {
		p, err := c.bytes(size)
		if err != nil {
			return h, nil, err
		}
		if h, n, ok = parseHeader(p); !ok && (len(p) < size || size >= pageHeaderMax) {
			return h, nil, c.corrupt(at, "page header makes no sense")
		}
	}
	c.at += int64(n)
	if h.packed < 0 || h.raw < 0 || h.values < 0 || h.packed > c.end-c.at || h.packed > int64(c.limits.PageBytesMax) {
		return h, nil, c.corrupt(at, "page says %d bytes where %d are left", h.packed, c.end-c.at)
	}
	if h.raw > int64(c.limits.PageBytesMax) {
		return h, nil, c.corrupt(at, "page says it expands to %d bytes, the limit is %d", h.raw, c.limits.PageBytesMax)
	}
	if body, err = c.bytes(int(h.packed)); err != nil {
		return h, nil, err
	}
	c.at += h.packed
	if h.hasCRC && crc32.ChecksumIEEE(body) != h.crc {
		return h, nil, c.corrupt(at, "page checksum is %08x, its header says %08x", crc32.ChecksumIEEE(body), h.crc)
	}
	if !h.whole() {
		return h, nil, c.corrupt(at, "page of kind %d is unknown or lacks fields", h.kind)
	}
	return h, body, nil
}

// expanded decompresses a whole page body into c.buf or, with keep, into a slice of its own.
func (c *chunkReader) expanded(at int64, body []byte, raw int64, keep bool) ([]byte, error) {
	buf := c.buf
	if keep {
		buf = nil
	}
	out, err := c.expand.expand(buf, c.meta.Codec, body, int(raw))
	if err != nil {
		return nil, fault.At(err, fault.Place{Offset: at, Path: c.leaf.path})
	}
	if c.meta.Codec == format.Uncompressed {
		out = append(grown(buf, len(out)), out...) // the window will be overwritten
	}
	if !keep {
		c.buf = out
	}
	return out, nil
}
