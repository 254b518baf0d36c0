package cli

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// writeOrders makes the demo's data: orders in DynamoDB JSON with all ten types, numbers that no double holds, and a
// shape that differs here and there, as real tables do. The same count gives the same orders.
func writeOrders(name string, count int) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range count {
		at := start.Add(time.Duration(float64(i) / float64(count) * float64(365*24*time.Hour)))
		fmt.Fprintf(w, `{"Item":{"customer":{"S":"c-%05d"},"order_id":{"S":"o-%08d"},"created_at":{"S":"%s"},"status":{"S":"%s"},`,
			r.IntN(max(count/8, 1)), i, at.Format(time.RFC3339), []string{"new", "paid", "sent", "returned"}[r.IntN(4)])
		fmt.Fprintf(w, `"total":{"N":"%d.%02d"},"exact":{"N":"0.%018d%019d"},"paid":{"BOOL":%t},"coupon":%s,`,
			r.IntN(1000), r.IntN(100), r.Int64N(1e18), 1+r.Int64N(9e18), r.IntN(2) == 0, []string{`{"NULL":true}`, `{"S":"WELCOME"}`}[r.IntN(2)])
		fmt.Fprintf(w, `"tags":{"SS":["%s","gift"]},"sizes":{"NS":["%d","7.5"]},"proofs":{"BS":["%s"]},"photo":{"B":"%s"},`,
			[]string{"new", "vip", "bulk"}[r.IntN(3)], 30+r.IntN(12), bytes64(r, 6), bytes64(r, 12))
		fmt.Fprintf(w, `"address":{"M":{"city":{"S":"%s"},"zip":{"S":"%05d"}}},"lines":{"L":[`, []string{"Zürich", "São Paulo", "東京", "Oslo"}[r.IntN(4)], r.IntN(1e5))
		for n := range 1 + r.IntN(3) {
			if n > 0 {
				w.WriteByte(',')
			}
			fmt.Fprintf(w, `{"M":{"sku":{"S":"sku-%04d"},"price":{"N":"%d.%d"},"quantity":{"N":"%d"}}}`, r.IntN(5000), 1+r.IntN(90), r.IntN(10), 1+r.IntN(5))
		}
		w.WriteString(`]}`)
		switch { // what a sample would not have shown
		case i%997 == 0:
			w.WriteString(`,"note":{"S":"only one in a thousand has this"}`)
		case i%1499 == 0:
			w.WriteString(`,"status_code":{"N":"12"},"legacy":{"L":[{"N":"1"},{"S":"mixed"},{"NULL":true}]}`)
		}
		w.WriteString("}}\n")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func bytes64(r *rand.Rand, n int) string {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return base64.StdEncoding.EncodeToString(data)
}
