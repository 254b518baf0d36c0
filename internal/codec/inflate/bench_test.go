package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	kgzip "github.com/klauspost/compress/gzip"
)

// orders makes n bytes or more of export lines like those of the measurements in docs: about 700 bytes an item with a
// nested list and maps, which gzip takes to a fifth or sixth.
func orders(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("green small large copper walnut folding spare garden kitchen lamp chair table desk cable brush " +
		"filter bottle basket mirror carpet screen holder ladder hammer pencil folder jacket bucket")
	var b bytes.Buffer
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"Item":{"customerId":{"S":"C#%08d"},"orderId":{"S":"O#%s#%06d"},"createdAt":{"S":"%s"},"status":{"S":"%s"},`,
			r.IntN(200000), start.Add(time.Duration(i)*time.Minute).Format("2006-01-02"), r.IntN(1000000),
			start.Add(time.Duration(r.IntN(1e8))*time.Second).Format(time.RFC3339), []string{"SHIPPED", "OPEN", "PAID", "RETURNED"}[r.IntN(4)])
		fmt.Fprintf(&b, `"total":{"N":"%d.%02d"},"gift":{"BOOL":%v},"address":{"M":{"street":{"S":"%d %s Street"},"city":{"S":"%s"},"zip":{"S":"%05d"}}},"lines":{"L":[`,
			r.IntN(2000), r.IntN(100), r.IntN(2) == 0, r.IntN(300), words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(100000))
		for k := range 1 + r.IntN(4) {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"M":{"sku":{"S":"SKU-%05d"},"quantity":{"N":"%d"},"price":{"N":"%d.%02d"}}}`, r.IntN(5000), 1+r.IntN(9), r.IntN(300), r.IntN(100))
		}
		b.WriteString(`]},"note":{"S":"`)
		for range 4 + r.IntN(10) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		b.WriteString("\"}}}\n")
	}
	return b.Bytes()
}

var benchData = sync.OnceValues(func() (plain, packed []byte) {
	plain = orders(32 << 20)
	var b bytes.Buffer
	w, _ := stdgzip.NewWriterLevel(&b, 6)
	w.Write(plain)
	w.Close()
	return plain, b.Bytes()
})

// BenchmarkNext is the hot path of an export's reader. Bound: two dependent table loads and three shifts a symbol are
// about 5 ns for a match of 12 bytes, so 1 to 1.5 GB/s on lines like these.
func BenchmarkNext(b *testing.B) {
	plain, packed := benchData()
	z := NewReader(nil)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		z.Reset(bytes.NewReader(packed))
		for {
			_, err := z.Next(0)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(plain))/float64(len(packed)), "ratio")
}

func BenchmarkPeers(b *testing.B) {
	plain, packed := benchData()
	std, _ := stdgzip.NewReader(bytes.NewReader(packed))
	peer, _ := kgzip.NewReader(bytes.NewReader(packed))
	for _, c := range []struct {
		name string
		run  func(io.Reader) error
	}{
		{"klauspost", func(r io.Reader) error {
			peer.Reset(r)
			_, err := io.Copy(io.Discard, peer)
			return err
		}},
		{"stdlib", func(r io.Reader) error {
			std.Reset(r)
			_, err := io.Copy(io.Discard, std)
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if err := c.run(bytes.NewReader(packed)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
