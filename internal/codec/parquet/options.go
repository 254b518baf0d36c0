package parquet

import (
	"runtime/debug"

	"dynaferry/internal/fault"
)

// Compression names a page compression, in the words of the --compression flag.
type Compression string

// The compressions that are written; more are read.
const (
	Zstd   Compression = "zstd" // the default
	Snappy Compression = "snappy"
	Gzip   Compression = "gzip"
	None   Compression = "none"
)

// Bounds and defaults of the writer.
const (
	// PageBytesDefault is the size of a page before compression: small enough for the page index to skip with, large
	// enough for zstd (256 KB measured best, see docs/formats/parquet.md).
	PageBytesDefault = 256 << 10
	// PageRowsMax bounds the rows of a page whose values encode to next to nothing, so that the page index stays useful.
	PageRowsMax = 1 << 15
	// RowGroupBytesDefault is the encoded size before compression at which a row group ends: some 10 MB in the file, whose
	// chunks are single ranged reads, in half the memory (writer and reader) and time of first touch that 128 MB take.
	RowGroupBytesDefault = 64 << 20
	// RowGroupRowsMax bounds a row group of tiny rows: readers hand out row groups as their unit of work.
	RowGroupRowsMax = 1 << 20
	// HeldBytesDefault is what a writer may hold in memory before it ends a row group early.
	HeldBytesDefault = 32 << 20
	// openBytes is shared by the pages under construction of all leaves: a thousand leaves get smaller pages.
	openBytes = 12 << 20
	// pageBytesMin keeps the pages of very wide schemas from becoming all header.
	pageBytesMin = 4 << 10
	// dictionaryMax is the number of distinct values at which a chunk's dictionary is given up: 50,000 distinct values
	// cost 0.3-0.5 s of the hot path for 1 % of size.
	dictionaryMax = 4000
	// boundBytesMax is where minima and maxima of strings are cut.
	boundBytesMax = 64
	// rowGroupsMax is the format's own bound: the ordinal has 16 bits.
	rowGroupsMax = 32767
)

// Options are what a Writer needs to know. The zero value is the default.
type Options struct {
	Compression   Compression
	Level         int      // 0 is the fastest; zstd 1-4, gzip 1-9
	PageBytes     int      // page size before compression; 0 is PageBytesDefault
	RowGroupBytes int64    // row group size before compression; 0 is RowGroupBytesDefault
	RowGroupRows  int      // 0 is RowGroupRowsMax
	HeldBytes     int64    // memory at which a row group ends early; 0 is HeldBytesDefault
	Bloom         []string // attribute names (Field.Source) of top-level columns that get a split-block bloom filter
	BloomFPP      float64  // false positive probability of a bloom filter; 0 is 0.01
}

func (o Options) filled() (Options, error) {
	if o.Compression == "" {
		o.Compression = Zstd
	}
	if _, ok := codecNumbers[o.Compression]; !ok {
		return o, fault.New(fault.User, "parquet compression %q is none of zstd, snappy, gzip, none", o.Compression)
	}
	if o.Level < 0 || o.Compression == Zstd && o.Level > 4 || o.Compression == Gzip && o.Level > 9 {
		return o, fault.New(fault.User, "parquet compression level %d is out of range for %s", o.Level, o.Compression)
	}
	if o.PageBytes <= 0 {
		o.PageBytes = PageBytesDefault
	}
	if o.RowGroupBytes <= 0 {
		o.RowGroupBytes = RowGroupBytesDefault
	}
	if o.RowGroupRows <= 0 || o.RowGroupRows > RowGroupRowsMax {
		o.RowGroupRows = RowGroupRowsMax
	}
	if o.HeldBytes <= 0 {
		o.HeldBytes = HeldBytesDefault
	}
	if o.BloomFPP <= 0 || o.BloomFPP >= 1 {
		o.BloomFPP = 0.01
	}
	return o, nil
}

// createdBy is the footer's created_by. Its form "name version x" is what parquet-java parses to find out about writers
// with known bugs.
func createdBy(version string) string {
	if version == "" {
		version = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
	}
	return "dynaferry version " + version
}
