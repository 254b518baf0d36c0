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
