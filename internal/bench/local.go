package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"dynaferry/internal/aws"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/sample"
)

// What the rows of the local DynamoDB are measured under, besides a sync before every reply.
const (
	localConnections = 32
	localSeconds     = 4 // of each measurement
	localTable       = "orders"
	localCreate      = `{"TableName":"orders","AttributeDefinitions":[{"AttributeName":"orderId","AttributeType":"S"}],` +
		`"KeySchema":[{"AttributeName":"orderId","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"%s}`
	localStream = `,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}`
	localPast   = `{"TableName":"orders","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`
)

// served is a DynamoDB that is measured, in a process of its own.
type served struct {
	name    string
	address string
	dial    dial
	cmd     *exec.Cmd
	items   int  // that are in the table
	stream  bool // NEW_AND_OLD_IMAGES is on
	starts  []float64

	store       string   // its S3 half's endpoint
	environment []string // that sets programs to it
}

// local: the local DynamoDB as its users meet it, in its own process on the cores that the clients use too, and DynamoDB
// Local beside it.
func (b *bench) local(ctx context.Context) (err error) {
	s, err := b.serveLocal(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := b.prepareLocal(ctx, s); err != nil {
		return err
	}
	peers, err := b.localPeers(ctx)
	if err != nil {
		return err
	}
	if s, err = b.startLocal(ctx, s); err != nil {
		return err
	}
	load, err := newLoad(s)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		name       string
		must, aim  float64
		key, label string
		measure    func(context.Context) (float64, error)
	}{
		{"puts by a raw client", 12_000, 15_800, "put", "puts/s", s.rawPuts},
		{"puts by the Go SDK", 5_000, 6_000, "sdkPut", "puts/s", func(ctx context.Context) (float64, error) { return s.sdkPuts(ctx, load) }},
		{"batch writes of new items by the Go SDK", 40_000, 52_000, "sdkBatch", "items/s", func(ctx context.Context) (float64, error) { return s.sdkBatches(ctx, load) }},
		{"a scan by a raw client", 150_000, 300_000, "scan", "items/s", func(ctx context.Context) (float64, error) { return s.scan(ctx, s.items) }},
	} {
		r, err := b.localRow(ctx, s, row.name, row.label, row.must, row.aim, row.measure)
		if err != nil {
			return err
		}
		for _, p := range peers {
			r.Notes[p.name] = p.rates[row.key]
		}
		b.add(r)
	}
	return b.localMemory(s)
}

// localRow takes the best of the runs. Beside it stands what a thing costs, server and client apart, and how many cores
// both got: on a machine that does something else, too, that tells more than the rate.
func (b *bench) localRow(ctx context.Context, s *served, name, unit string, must, aim float64, measure func(context.Context) (float64, error)) (Row, error) {
	var best Row
	spread := [2]float64{math.Inf(1), 0}
	for range b.o.Runs {
		start, server, client := time.Now(), s.cpuSeconds(), cpuSeconds()
		rate, err := measure(ctx)
		if err != nil {
			return best, err
		}
		wall := time.Since(start).Seconds()
		server, client = s.cpuSeconds()-server, cpuSeconds()-client
		spread = [2]float64{min(spread[0], rate), max(spread[1], rate)}
		if rate < spread[1] {
			continue
		}
		best = s.row(name, unit, rate, must, aim, false)
		best.Notes["serverCPUus"], best.Notes["clientCPUus"] = 1e6*server/(rate*wall), 1e6*client/(rate*wall)
		best.Notes["cores"] = (server + client) / wall
	}
	best.Spread = spread
	return best, nil
}

// cpuSeconds is what the server's process has used so far; 0 where there is no /proc.
func (s *served) cpuSeconds() float64 { return cpuOf(s.cmd.Process.Pid) }

// row is a row of ours; its notes tell whether the stream was on, without which it does not stand for what it should.
func (s *served) row(name, unit string, value, must, aim float64, atMost bool) Row {
	r := plain("local: "+name, unit, value, must, aim, atMost)
	r.Notes = map[string]float64{"stream": 0, "connections": localConnections, "items": float64(s.items)}
	if s.stream {
		r.Notes["stream"] = 1
	}
	return r
}

// serveLocal starts the program's own local world over a folder and waits for the first answer.
func (b *bench) serveLocal(ctx context.Context) (*served, error) {
	start := time.Now()
	s, err := b.serveWorld(ctx, "local")
	if err == nil {
		s.starts = []float64{float64(time.Since(start).Microseconds()) / 1000}
	}
	return s, err
}

// serveWorld starts a local world over a folder of that name.
func (b *bench) serveWorld(ctx context.Context, dir string) (*served, error) {
	var world struct {
		DynamoDB, S3 string
		Environment  []string
	}
	s, err := b.serve(ctx, &world, "local", "--dir", b.dir(dir), "--json")
	if err != nil {
		return nil, err
	}
	s.address, s.store, s.environment = strings.TrimPrefix(world.DynamoDB, "http://"), world.S3, world.Environment
	if _, err = s.once(ctx, "ListTables", "{}"); err != nil {
		return nil, errors.Join(fmt.Errorf("first call of dynaferry local: %w", err), s.stop())
	}
	return s, nil
}

// serve starts a command of this program that serves until it is told to end, and reads the line that it announces.
func (b *bench) serve(ctx context.Context, announced any, args ...string) (*served, error) {
	cmd := exec.CommandContext(ctx, b.o.Exe, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var problems bytes.Buffer
	cmd.Stderr = &problems
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &served{name: "dynaferry " + args[0], cmd: cmd, dial: (&net.Dialer{}).DialContext}
	line, err := bufio.NewReader(pipe).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, announced)
	}
	if err != nil {
		stopped := s.stop() // before what it said is read
		return nil, errors.Join(fmt.Errorf("start of %s: %w\n%s", s.name, err, problems.Bytes()), stopped)
	}
	return s, nil
}

// startLocal restarts a server a few times over what it holds, and adds the row of how long that takes.
func (b *bench) startLocal(ctx context.Context, s *served) (*served, error) {
	var values []float64
	for range max(3, b.o.Runs) {
		if err := s.stop(); err != nil {
			return s, err
		}
		next, err := b.serveLocal(ctx)
		if err != nil {
			return s, err
		}
		next.items, next.stream = s.items, s.stream
		s, values = next, append(values, next.starts...)
	}
	r := s.row("start to the first answer, both halves", "ms", slices.Min(values), 200, 100, true)
	r.Spread = [2]float64{slices.Min(values), slices.Max(values)}
	b.add(r)
	return s, nil
}

// stop ends the server as Ctrl-C would.
func (s *served) stop() error {
	if s.cmd == nil || s.cmd.ProcessState != nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // it was told to end; by which number is its own affair
	}
	return err
}

// prepareLocal makes the table, with its stream and continuous backups, and fills it.
func (b *bench) prepareLocal(ctx context.Context, s *served) error {
	if _, err := s.once(ctx, "CreateTable", fmt.Sprintf(localCreate, localStream)); err == nil {
		s.stream = true
	} else {
		b.say("the table has no stream: %v", err)
		if _, err := s.once(ctx, "CreateTable", fmt.Sprintf(localCreate, "")); err != nil {
			return err
		}
	}
	if _, err := s.once(ctx, "UpdateContinuousBackups", localPast); err != nil {
		return err
	}
	rate, err := s.fill(ctx, b.o.Items)
	if err != nil {
		return err
	}
	b.say("%d items were put by batches of 25 at %.0f items/s", b.o.Items, rate)
	return nil
}

// fill puts items 0 to n by batches.
func (s *served) fill(ctx context.Context, n int) (float64, error) {
	const size = 25
	s.items = n
	head := s.head("BatchWriteItem")
	return s.together(ctx, localConnections, (n+size-1)/size, time.Hour, func(c *rawConn, call int) (int, error) {
		return s.batch(c, head, 1, call*size, min(n, (call+1)*size))
	})
}

func (s *served) batch(c *rawConn, head []byte, seed uint64, from, to int) (int, error) {
	body := append(make([]byte, 0, 32<<10), `{"RequestItems":{"orders":[`...)
	for i := from; i < to; i++ {
		if i > from {
			body = append(body, ',')
		}
		body = append(sample.AppendOrder(append(body, `{"PutRequest":{"Item":`...), seed, uint64(i)), "}}"...)
	}
	reply, err := c.post(head, append(body, "]}}"...))
	if err == nil && !bytes.Contains(reply, []byte(`"UnprocessedItems":{}`)) {
		err = fmt.Errorf("items came back: %.200s", reply)
	}
	return to - from, err
}

// rawPuts overwrites items all over the table, so that each change has an old image.
func (s *served) rawPuts(ctx context.Context) (float64, error) {
	head, seed := s.head("PutItem"), uint64(time.Now().UnixNano())
	return s.together(ctx, localConnections, 0, localSeconds*time.Second, func(c *rawConn, call int) (int, error) {
		body := append(make([]byte, 0, 1024), `{"TableName":"orders","Item":`...)
		body = append(sample.AppendOrder(body, seed, uint64(s.spread(call))), '}')
		_, err := c.post(head, body)
		return 1, err
	})
}

// spread visits the table's items in no order; the factor is prime.
func (s *served) spread(call int) int { return call * 7_919 % s.items }

// newLoad is the SDK with a few thousand items to put.
func newLoad(s *served) (*aws.SDKWriter, error) {
	const n = 2_000
	var batch item.Batch
	for i := range uint64(n) {
		from := len(batch.Src)
		batch.Src = item.WithSlack(sample.AppendOrder(batch.Src, 7, i))
		if err := ddbjson.Parse(&batch, from); err != nil {
			return nil, err
		}
	}
	items := make([]item.Item, n)
	for i := range items {
		items[i] = batch.Item(i)
	}
	return aws.NewSDKWriter("http://"+s.address, localTable, localConnections, s.dial, items), nil
}

func orderKey(i int) string { return fmt.Sprintf("o-%010d", i) }

func (s *served) sdkPuts(ctx context.Context, load *aws.SDKWriter) (float64, error) {
	return s.together(ctx, localConnections, 0, localSeconds*time.Second, func(_ *rawConn, call int) (int, error) {
		return 1, load.Put(ctx, "orderId", orderKey(s.spread(call)), call)
	})
}

// sdkBatches adds items to the table, as a load does.
func (s *served) sdkBatches(ctx context.Context, load *aws.SDKWriter) (float64, error) {
	const size = 25
	var added atomic.Int64
	rate, err := s.together(ctx, localConnections, 0, localSeconds*time.Second, func(_ *rawConn, call int) (int, error) {
		keys := make([]string, size)
		from := s.items + int(added.Add(size)) - size
		for i := range keys {
			keys[i] = orderKey(from + i)
		}
		return size, load.Batch(ctx, "orderId", keys, call*size)
	})
	s.items += int(added.Load())
	return rate, err
}

// scan reads the whole table once, in segments, and counts; want is -1 when nobody knows.
func (s *served) scan(ctx context.Context, want int) (float64, error) {
	const segments = 4
	head := s.head("Scan")
	total := make([]int, segments)
	rate, err := s.together(ctx, segments, segments, time.Hour, func(c *rawConn, segment int) (int, error) {
		start := ""
		for {
			reply, err := c.post(head, fmt.Appendf(nil, `{"TableName":"orders","Segment":%d,"TotalSegments":%d%s}`, segment, segments, start))
			if err != nil {
				return 0, err
			}
			n, next, err := scanned(reply)
			if err != nil {
				return 0, err
			}
			total[segment] += n
			if next == nil {
				return total[segment], nil
			}
			start = `,"ExclusiveStartKey":` + string(next)
		}
	})
	sum := 0
	for _, n := range total {
		sum += n
	}
	if err == nil && want >= 0 && sum != want {
		err = fmt.Errorf("a scan of %s found %d items of %d", s.name, sum, want)
	}
	return rate, err
}

// scanned finds a page's count and where the next begins, without looking at the items. Orders hold neither name.
func scanned(reply []byte) (n int, next []byte, err error) {
	_, count, found := bytes.Cut(reply, []byte(`"Count":`))
	if !found {
		return 0, nil, fmt.Errorf("a page without a count: %.200s", reply)
	}
	end := bytes.IndexAny(count, ",}")
	if n, err = strconv.Atoi(string(count[:max(end, 0)])); err != nil {
		return 0, nil, err
	}
	if at := bytes.LastIndex(reply, []byte(`"LastEvaluatedKey":`)); at >= 0 {
		var key json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(reply[at+len(`"LastEvaluatedKey":`):])).Decode(&key); err != nil {
			return 0, nil, err
		}
		next = key
	}
	return n, next, nil
}

// localMemory: what the process of the tables holds after all that; the S3 half is another one.
func (b *bench) localMemory(s *served) error {
	resident, peak := memoryOf(s.cmd.Process.Pid)
	if peak == 0 {
		b.say("memory is not measured here")
		return nil
	}
	r := s.row("resident after all this", "MB", resident, 150, 120, true)
	r.Notes["peak"] = peak
	b.add(r)
	return nil
}
