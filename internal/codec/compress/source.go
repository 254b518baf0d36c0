package compress

import "io"

// source counts what is read from the reader below, lets its first bytes be seen before, and remembers its error.
type source struct {
	r     io.Reader
	head  [HeadBytes]byte
	have  int // bytes of head that were peeked
	given int // bytes of head that were given
	n     int64
	err   error
	begun bool
}

// peek returns up to HeadBytes bytes without using them up. Input that is shorter is no error.
func (s *source) peek() ([]byte, error) {
	s.have, s.err = io.ReadFull(s.r, s.head[:])
	switch s.err {
	case io.EOF, io.ErrUnexpectedEOF:
		s.err = nil // found again behind the head
	}
	return s.head[:s.have], s.err
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.given < s.have {
		n := copy(p, s.head[s.given:s.have])
		s.given += n
		s.n += int64(n)
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	s.err = err
	return n, err
}

const (
	lentBytes     = 256 << 10 // a chunk
	lentFreshMin  = 64 << 10  // how much a chunk holds at least, so that kept lines are not moved for every small read
	lentSlack     = 64        // item.Slack: codec.Chunks promises it behind a chunk
	emptyReadsMax = 100
)

// lender gives Next to the codecs that have no buffer of their own.
type lender struct {
	buf  []byte
	end  int // buf[:end] was lent last
	kept []byte
	err  error // follows the bytes that came with it
}

func (l *lender) next(read func([]byte) (int, error), keep int) ([]byte, error) {
	room := len(l.buf) - lentSlack - keep
	if room < lentFreshMin {
		grown := make([]byte, 2*keep+lentBytes+lentSlack)
		copy(grown, l.buf[l.end-keep:l.end])
		l.buf = grown
	} else {
		copy(l.buf, l.buf[l.end-keep:l.end])
	}
	l.end = keep
	limit := len(l.buf) - lentSlack
	for empty := 0; l.err == nil && l.end < keep+lentFreshMin; {
		var n int
		n, l.err = read(l.buf[l.end:limit])
		l.end += n
		if n > 0 {
			empty = 0
		} else if empty++; empty == emptyReadsMax && l.err == nil {
			l.err = io.ErrNoProgress
		}
	}
	if l.end == keep {
		return l.buf[:keep], l.err
	}
	return l.buf[:l.end], nil
}
