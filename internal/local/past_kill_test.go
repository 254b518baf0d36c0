package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/blob"
)

const killEnv = "DYNAFERRY_LOCAL_KILL_DIR"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		victim(dir)
	}
	if dir := os.Getenv(feedKillEnv); dir != "" {
		feedVictim(dir)
	}
	if where := os.Getenv(relayKillEnv); where != "" {
		relayVictim(where)
	}
	os.Exit(m.Run())
}

// stuck is a bucket that never ends writing its second data file, nor reading a second object, and says when it got there.
type stuck struct {
	blob.Bucket
	written, read int
}

func (s *stuck) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	if strings.Contains(name, "/data/") {
		if s.written++; s.written == 2 {
			fmt.Println("writing")
			select {}
		}
	}
	return s.Bucket.Put(ctx, name, body, o)
}

func (s *stuck) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	if s.read++; s.read == 2 {
		fmt.Println("reading")
		select {}
	}
	return s.Bucket.Get(ctx, name, o)
}

// victim has a table of 50 items, begins to export it and to import another, changes the items meanwhile, and waits to be killed.
func victim(dir string) {
	folder := buckets{dir}
	db, err := Open(Options{Dir: filepath.Join(dir, "db"), Bucket: func(ctx context.Context, name string) (blob.Bucket, error) {
		b, err := folder.open(ctx, name)
		return &stuck{Bucket: b}, err
	}})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	say := func(op, body string) {
		if status, reply := post(db, op, body); status != 200 {
			fmt.Println("error", reply)
			os.Exit(1)
		}
	}
	say("CreateTable", createModel)
	say("UpdateContinuousBackups", `{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`)
	put := func(v string) {
		for i := range 50 {
			say("PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{"p":{"S":"%d"},"s":{"N":"0"},"v":{"S":"%s"}}}`, i, v))
		}
	}
	put("old")
	say("ExportTableToPointInTime", `{"TableArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/tab","S3Bucket":"lake"}`)
	db.settled(latest(db.now()))
	put("new")
	say("ImportTable", `{"S3BucketSource":{"S3Bucket":"lake","S3KeyPrefix":"in/"},"InputFormat":"DYNAMODB_JSON","TableCreationParameters":`+
		strings.Replace(createModel, `"tab"`, `"got"`, 1)+`}`)
	say("CreateBackup", `{"TableName":"tab","BackupName":"whole"}`)
	select {}
}

// TestKilledMeanwhile: a process killed while it exports and imports goes on with both when it is started again. The export
// still shows the state of its time, and has left no object that is not its own.
func TestKilledMeanwhile(t *testing.T) {
	dir := t.TempDir()
	folder := buckets{dir}
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o777); err != nil {
		t.Fatal(err)
	}
	lake, err := folder.open(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		line := fmt.Sprintf(`{"Item":{"p":{"S":"i%d"},"s":{"N":"1"}}}`, i)
		if _, err := lake.Put(t.Context(), fmt.Sprintf("in/%d", i), []byte(line), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	killVictim(t, dir)
	db, err := Open(Options{Dir: filepath.Join(dir, "db"), Bucket: folder.open})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.crew.done.Wait()
	body := must(t, db, "ListExports", `{}`)
	if !strings.Contains(body, statusCompleted) || strings.Contains(body, statusInProgress) {
		t.Fatal(body)
	}
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf(`{"p":{"S":"%d"},"s":{"N":"0"},"v":{"S":"old"}}`, i))
	}
	slices.Sort(want)
	id := taskIDs.FindString(body)
	if got := readExport(t, filepath.Join(dir, "lake"), "AWSDynamoDB/"+id+"/manifest-summary.json"); !slices.Equal(got, want) {
		t.Errorf("the export has\n%q", got)
	}
	objects := 0
	for _, err := range lake.List(t.Context(), "AWSDynamoDB/", "") {
		if err != nil {
			t.Fatal(err)
		}
		objects++
	}
	if objects != 5+partsMin {
		t.Errorf("%d objects of the export", objects)
	}
	if body := must(t, db, "Scan", `{"TableName":"got","Select":"COUNT"}`); !strings.Contains(body, `"Count":3`) {
		t.Error(body)
	}
	// The backup was whole or is not there.
	body = must(t, db, "ListBackups", `{}`)
	if strings.Contains(body, statusCreating) {
		t.Error(body)
	}
	if id := taskIDs.FindString(body); id != "" {
		must(t, db, "RestoreTableFromBackup", `{"TargetTableName":"again","BackupArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/tab/backup/`+id+`"}`)
		db.crew.done.Wait()
		if body := must(t, db, "Scan", `{"TableName":"again","Select":"COUNT"}`); !strings.Contains(body, `"Count":50`) {
			t.Error(body)
		}
	}
}

// killVictim runs the victim until it is in the middle of both, and kills it.
func killVictim(t *testing.T, dir string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); len(seen) < 2 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
			break
		}
		seen[lines.Text()] = true
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if len(seen) < 2 {
		t.Fatalf("the victim got as far as %v", seen)
	}
}
