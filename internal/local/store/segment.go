package store

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

const (
	segmentHeaderLen     = 64
	segmentVersion       = 1
	segmentMagic         = "DYNFLOG\n"
	segmentBytes         = 64 << 20
	segmentBytesMemory   = 4 << 20
	segmentMax           = 1 << 30 // of a frame, so that offsets fit 32 bits with room to spare
	segmentFlagUnsynced  = 1 << 0  // written without syncs: frames behind a hole prove nothing
	segmentHeaderCrcFrom = 60
)

// position is a place in the log.
type position struct {
	segment uint32
	offset  int64
}

// segment is one file of the log. Fields below the blank line belong to the goroutine that appends until it is sealed.
type segment struct {
	number   uint32
	name     string // full path
	salt     uint64
	unsynced bool
	file     vfs.File
	refs     int // views that hold it, under changeLog.mu

	end      int64 // behind the last frame, the seal included
	size     int64 // of the file
	sealed   bool
	lastSeq  uint64
	lastTime int64
	tables   []TableID // that it holds records of items of, ascending; 0 among them: perhaps of any
}

// holds notes that the segment has a record of a table's item.
func (s *segment) holds(table TableID) {
	if i, found := slices.BinarySearch(s.tables, table); !found {
		s.tables = slices.Insert(s.tables, i, table)
	}
}

// mayHold tells whether the segment can have records of a table's items.
func (s *segment) mayHold(table TableID) bool {
	_, found := slices.BinarySearch(s.tables, table)
	return found || len(s.tables) > 0 && s.tables[0] == 0
}

func segmentName(number uint32) string { return fmt.Sprintf("%08d.log", number) }

// parseSegmentName is the reverse of segmentName.
func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok || len(digits) < 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && segmentName(uint32(n)) == name
}

func (s *segment) header() []byte {
	h := make([]byte, segmentHeaderLen)
	copy(h, segmentMagic)
	binary.LittleEndian.PutUint32(h[8:], segmentVersion)
	binary.LittleEndian.PutUint32(h[12:], s.number)
	binary.LittleEndian.PutUint64(h[16:], s.salt)
	if s.unsynced {
		binary.LittleEndian.PutUint32(h[24:], segmentFlagUnsynced)
	}
	binary.LittleEndian.PutUint32(h[segmentHeaderCrcFrom:], checksum(h[:segmentHeaderCrcFrom]))
	return h
}

// openSegment reads and checks the header of a segment that bears its final name: it was synced before it got it, so
// nothing but a good one is tolerated.
func openSegment(fs vfs.FS, name string, number uint32) (*segment, error) {
	file, err := fs.OpenReadWrite(name)
	if err != nil {
		return nil, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
	}
	s := &segment{number: number, name: name, file: file}
	if err := s.readHeader(); err != nil {
		file.Close()
		return nil, fault.At(err, fault.Place{File: name})
	}
	return s, nil
}

func (s *segment) readHeader() error {
	info, err := s.file.Stat()
	if err != nil {
		return fault.As(fault.Unavailable, err)
	}
	s.size = info.Size()
	h := make([]byte, segmentHeaderLen)
	if _, err := s.file.ReadAt(h, 0); err != nil && err != io.EOF {
		return fault.As(fault.Unavailable, err)
	}
	if string(h[:8]) != segmentMagic {
		return fault.New(fault.Corrupt, "not a log segment: it begins with %q", h[:8])
	}
	if v := binary.LittleEndian.Uint32(h[8:]); v > segmentVersion {
		err := fault.New(fault.Unsupported, "log segment of version %d, this program knows up to %d", v, segmentVersion)
		return fault.Hint(err, "open the folder with the newer dynaferry that wrote it")
	}
	if checksum(h[:segmentHeaderCrcFrom]) != binary.LittleEndian.Uint32(h[segmentHeaderCrcFrom:]) {
		return fault.New(fault.Corrupt, "checksum of the log segment's header differs")
	}
	if n := binary.LittleEndian.Uint32(h[12:]); n != s.number {
		return fault.New(fault.Corrupt, "header says segment %d, the name %d", n, s.number)
	}
	s.salt = binary.LittleEndian.Uint64(h[16:])
	s.unsynced = binary.LittleEndian.Uint32(h[24:])&segmentFlagUnsynced != 0
	return nil
}

func (s *segment) frames(from int64) *frameReader {
	return &frameReader{r: s.file, salt: s.salt, at: from}
}

// value reads the bytes p points at into dst, which has their length, and checks them.
func (s *segment) value(dst []byte, p *pointer) error {
	if err := s.readAt(dst, p); err != nil {
		return err
	}
	return s.check(dst, p)
}

// readAt reads without checking. A file that ends early leaves zeros, which check finds.
func (s *segment) readAt(dst []byte, p *pointer) error {
	n, err := s.file.ReadAt(dst, int64(p.offset))
	if err != nil && err != io.EOF {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: s.name, Offset: int64(p.offset)})
	}
	clear(dst[n:])
	return nil
}

func (s *segment) check(value []byte, p *pointer) error {
	if checksum(value) == p.crc {
		return nil
	}
	return fault.At(fault.New(fault.Corrupt, "checksum of a value of %d bytes differs", p.length),
		fault.Place{File: s.name, Offset: int64(p.offset)})
}
