package manifest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// The versions of a summary: of full and of incremental exports.
const (
	FullVersion        = "2020-06-30"
	IncrementalVersion = "2023-08-01"
)

// TimeLayout is ISO-8601 in UTC with milliseconds, the form of every time in a summary.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Summary is manifest-summary.json. Pointers are members that may be null.
type Summary struct {
	Version            string  `json:"version"`
	ExportARN          string  `json:"exportArn"`
	StartTime          string  `json:"startTime"`
	EndTime            string  `json:"endTime"`
	TableARN           string  `json:"tableArn"`
	TableID            string  `json:"tableId"`
	ExportTime         string  `json:"exportTime,omitempty"`
	ExportFromTime     string  `json:"exportFromTime,omitempty"`
	ExportToTime       string  `json:"exportToTime,omitempty"`
	S3Bucket           string  `json:"s3Bucket"`
	S3Prefix           *string `json:"s3Prefix"`
	S3SseAlgorithm     string  `json:"s3SseAlgorithm"`
	S3SseKmsKeyID      *string `json:"s3SseKmsKeyId"`
	ManifestFilesS3Key string  `json:"manifestFilesS3Key"`
	BilledSizeBytes    int64   `json:"billedSizeBytes"`
	ItemCount          int64   `json:"itemCount"`
	OutputFormat       string  `json:"outputFormat"`
	OutputView         string  `json:"outputView,omitempty"`
	ExportType         string  `json:"exportType,omitempty"`

	// Scan is ours: present when the export was made by a parallel scan, which has no single point in time. The state of
	// each item is of some moment between the two.
	Scan *ScanTimes `json:"dynaferryScan,omitempty"`
}

// ScanTimes bound the moments that a scan-made export shows.
type ScanTimes struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// Incremental tells whether the export holds changes and not items.
func (s Summary) Incremental() bool {
	return s.ExportType == "INCREMENTAL_EXPORT" || s.Version == IncrementalVersion || s.ExportFromTime != ""
}

// File is one line of manifest-files.json. MD5 is of the object as stored; ETag is the store's, without quotes.
type File struct {
	ItemCount int64  `json:"itemCount"`
	MD5       string `json:"md5Checksum"`
	ETag      string `json:"etag"`
	Key       string `json:"dataFileS3Key"`
}

// MD5 returns the base64 of the MD5 of data, the form of every checksum in and beside a manifest.
func MD5(data []byte) string {
	sum := md5.Sum(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// ExportID makes an export's id from its start and 8 hex digits.
func ExportID(start time.Time, hex8 string) string {
	return fmt.Sprintf("%014d-%s", start.UnixMilli(), hex8)
}

// AppendFiles renders the lines of manifest-files.json.
func AppendFiles(dst []byte, files []File) ([]byte, error) {
	for _, f := range files {
		line, err := json.Marshal(f)
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, line...), '\n')
	}
	return dst, nil
}

// Folder is the part of every export's path that never changes.
const Folder = "AWSDynamoDB"

// rebase turns a data file's key, counted from the bucket root the export was written to, into a name in the bucket we
// read. dir is the folder that the manifests were found in, madeAs the id under which they were made: what lay in the
// data folder of the export lies in that of dir, however dir is called now. The data folder that incremental exports
// share lies beside them, where dir still is …/AWSDynamoDB/<id>. A key that would lead elsewhere is refused.
func rebase(key, dir, madeAs string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fault.New(fault.Corrupt, "data file key %q %s", key, why)
	}
	if key == "" || strings.HasPrefix(key, "/") || strings.Contains(key, "\\") || strings.ContainsRune(key, 0) || strings.Contains(key, "://") {
		return bad("is no key of a data file")
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == ".." || segment == "." || segment == "" {
			return bad("would leave the export's folder")
		}
	}
	_, below, found := cutLast(key, Folder+"/")
	if !found {
		return bad("is not below " + Folder + "/")
	}
	for _, id := range []string{madeAs, path.Base(dir)} {
		if own, ok := strings.CutPrefix(below, id+"/data/"); ok {
			return path.Join(dir, "data", own), nil
		}
	}
	if root, _, inPlace := cutLast(dir, Folder+"/"); inPlace && strings.HasPrefix(below, "data/") {
		return root + Folder + "/" + below, nil
	}
	return bad("is not in the data folder of export " + madeAs)
}

// cutLast is strings.Cut at the last occurrence at a segment's start.
func cutLast(s, sep string) (before, after string, found bool) {
	for from := len(s); ; {
		i := strings.LastIndex(s[:from], sep)
		if i < 0 {
			return s, "", false
		}
		if i == 0 || s[i-1] == '/' {
			return s[:i], s[i+len(sep):], true
		}
		from = i + len(sep) - 1
	}
}
