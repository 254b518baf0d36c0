package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const addOne = `{"ClientRequestToken":"%s","TransactItems":[{"Update":{"TableName":"hash","Key":{"pk":{"S":"n"}},` +
	`"UpdateExpression":"ADD n :1","ExpressionAttributeValues":{":1":{"N":"1"}}}}]}`

// A token holds over a restart, for 10 minutes, and is swept afterwards.
func TestTokensLast(t *testing.T) {
	dir, now := t.TempDir(), epoch
	opts := Options{Dir: dir, Clock: func() time.Time { return now }}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CreateTable", createHash)
	for i := range 7 {
		must(t, db, "TransactWriteItems", fmt.Sprintf(addOne, fmt.Sprint("t", i)))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = newDB(t, opts)
	count := func(want int) {
		t.Helper()
		got := must(t, db, "GetItem", `{"TableName":"hash","Key":{"pk":{"S":"n"}}}`)
		if !strings.Contains(got, fmt.Sprintf(`"n":{"N":"%d"}`, want)) {
			t.Errorf("%s, want %d", got, want)
		}
	}
	now = now.Add(tokenLife - time.Millisecond)
	must(t, db, "TransactWriteItems", fmt.Sprintf(addOne, "t0"))
	count(7)
	now = now.Add(2 * time.Millisecond)
	for _, token := range []string{"t0", "new1", "new2"} {
		must(t, db, "TransactWriteItems", fmt.Sprintf(addOne, token))
	}
	count(10)
	must(t, db, "TransactWriteItems", fmt.Sprintf(addOne, "t0"))
	count(10)
	counts, err := db.store.Counts(db.tokens.id)
	if err != nil || counts.Items != 3 || len(db.tokens.ages) != 3 {
		t.Errorf("%d tokens are kept and %d known, want the 3 of the last 10 minutes: %v", counts.Items, len(db.tokens.ages), err)
	}
}

// Transfers between accounts, read by transactions: the sum never changes, and no reader sees half a transfer.
func TestTransactionsAreAtomic(t *testing.T) {
	db := newDB(t, Options{})
	must(t, db, "CreateTable", createHash)
	const accounts, start = 4, 100
	look := `{"TransactItems":[`
	for i := range accounts {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"n":{"N":"%d"}}}`, i, start))
		look += fmt.Sprintf(`{"Get":{"TableName":"hash","Key":{"pk":{"S":"%d"}}}},`, i)
	}
	look = strings.TrimSuffix(look, ",") + "]}"
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				from, to := (w+i)%accounts, (w+i+1+i%3)%accounts
				change := func(account int, sign string) string {
					return fmt.Sprintf(`{"Update":{"TableName":"hash","Key":{"pk":{"S":"%d"}},"UpdateExpression":"SET n = n %s :a",`+
						`"ConditionExpression":"n > :a","ExpressionAttributeValues":{":a":{"N":"30"}}}}`, account, sign)
				}
				status, reply := post(db, "TransactWriteItems", `{"TransactItems":[`+change(from, "-")+","+change(to, "+")+`]}`)
				if status != 200 && !strings.Contains(reply, "ConditionalCheckFailed") {
					t.Error(status, reply)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				var got struct {
					Responses []struct {
						Item struct{ N struct{ N json.Number } }
					}
				}
				if err := json.Unmarshal([]byte(must(t, db, "TransactGetItems", look)), &got); err != nil {
					t.Error(err)
				}
				sum := int64(0)
				for _, r := range got.Responses {
					n, _ := r.Item.N.N.Int64()
					sum += n
				}
				if sum != accounts*start {
					t.Errorf("the accounts hold %d", sum)
				}
			}
		})
	}
	wg.Wait()
}

func TestTransactionsAreThrottled(t *testing.T) {
	db := newDB(t, Options{Throttle: true})
	must(t, db, "CreateTable", strings.ReplaceAll(createHash, `"BillingMode":"PAY_PER_REQUEST"`,
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}`))
	put := `{"TransactItems":[{"Put":{"TableName":"hash","Item":{"pk":{"S":"a"},"v":{"S":"` + strings.Repeat("x", 150_000) + `"}}}}]}`
	must(t, db, "TransactWriteItems", put) // 294 of 300 units
	must(t, db, "TransactWriteItems", put)
	if status, reply := post(db, "TransactWriteItems", put); status != 400 || !strings.Contains(reply, `"Code":"ProvisionedThroughputExceeded"`) {
		t.Error(status, reply)
	}
}
