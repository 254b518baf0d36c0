package ion

import (
	"bytes"
	"io"

	"dynaferry/internal/fault"
)

// headBytesMax is the most that a descriptor and its length take.
const headBytesMax = 1 + 10

// binaryStep reads one record, marker, table or padding.
func (r *Reader) binaryStep() error {
	if r.drop > 0 {
		return r.dropBytes()
	}
	if r.list && r.left == 0 {
		r.list = false
	}
	err := r.atLeast(headBytesMax)
	if err != nil && err != io.EOF {
		return err
	}
	data := r.win.Bytes()
	if len(data) == 0 {
		if r.list {
			return r.damaged(0, corrupt("the input ends within a list"))
		}
		return io.EOF
	}
	if data[0] == versionMarker[0] {
		return r.binaryMarker(data)
	}
	c := &r.binary
	c.begin(data[:min(len(data), headBytesMax)])
	head, size, err := topLevel(c)
	if err != nil {
		return r.damaged(0, err)
	}
	total := int64(head) + size
	if r.list {
		if total > r.left {
			return r.damaged(0, corrupt("an element of %d bytes where the list has %d left", total, r.left))
		}
		r.left -= total
	} else if data[0]>>4 == 0xB && data[0] != 0xBF {
		r.list, r.left = true, size
		r.win.Advance(head)
		return nil
	}
	if isPad(data[0]) {
		r.drop = total
		return nil
	}
	return r.binaryValue(total)
}

// topLevel reads a value's descriptor: its length is held against nothing yet.
func topLevel(c *binaryCursor) (head int, size int64, err error) {
	d := c.src[0]
	c.p = 1
	length := uint64(d & 15)
	switch {
	case d>>4 == 0xF:
		return 0, 0, corrupt("invalid type descriptor %#02x", d)
	case d>>4 == 1 || length == 15:
		length = 0
	case length == 14 || d == 0xD1:
		if length, err = c.varUint(len(c.src)); err != nil {
			return 0, 0, err
		}
	}
	return c.p, int64(length), nil
}

func (r *Reader) binaryMarker(data []byte) error {
	switch {
	case r.list:
		return r.damaged(0, corrupt("a version marker within a list"))
	case bytes.HasPrefix(data, versionMarker):
		r.symbols.reset()
		r.win.Advance(len(versionMarker))
		return nil
	case len(data) >= 4 && data[3] == versionMarker[3]:
		return r.placed(fault.New(fault.Unsupported, "ion: the version %d.%d; this program reads 1.0", data[1], data[2]), r.line)
	}
	return r.damaged(0, corrupt("a broken version marker"))
}

// binaryValue reads the value of so many bytes at the window's beginning.
func (r *Reader) binaryValue(total int64) error {
	if total > int64(r.opts.RecordBytesMax) {
		err := fault.New(fault.Limit, "ion: a record of %d bytes; at most %d", total, r.opts.RecordBytesMax)
		if err := r.reject(r.win.Bytes(), r.placed(err, r.line)); err != nil {
			return err
		}
		r.line++
		r.drop = total
		return nil
	}
	if err := r.atLeast(int(total)); err == io.EOF {
		return r.damaged(len(r.win.Bytes()), corrupt("the input ends within a value of %d bytes", total))
	} else if err != nil {
		return err
	}
	raw := r.win.Bytes()[:total]
	c, v := &r.binary, &r.mapper.v
	c.begin(raw)
	_, err := c.next(v)
	switch {
	case err != nil:
		err = fault.At(err, fault.Place{Offset: int64(c.where())})
	case !r.list && v.kind == kindSymbol && v.notes == 0 && string(v.text.b) == "$ion_1_0": // no marker, means nothing
	case !r.list && isTable(v):
		if err = r.symbols.read(c, v); err != nil {
			err = fault.At(err, fault.Place{Offset: int64(c.where())})
		}
	default:
		if err = r.append(c, v, r.line); err == nil {
			r.line++
		}
	}
	if err != nil {
		if err := r.reject(raw, r.placed(err, r.line)); err != nil {
			return err
		}
		r.line++
	}
	r.win.Advance(int(total))
	return nil
}

// dropBytes passes over what nobody wants to see.
func (r *Reader) dropBytes() error {
	n := min(int64(len(r.win.Bytes())), r.drop)
	r.win.Advance(int(n))
	if r.drop -= n; r.drop == 0 {
		return nil
	}
	err := r.win.More()
	if err == io.EOF {
		return r.damaged(0, corrupt("the input ends within a value"))
	}
	return err
}
