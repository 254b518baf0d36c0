package step

import (
	"fmt"
	"strings"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

const streamReply = `{"Records":[{"eventID":"1","eventName":"MODIFY","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},"dynamodb":{"ApproximateCreationDateTime":1.5E9,` +
	`"Keys":{"id":{"S":"anna"},"n":{"N":"7"}},"NewImage":{"id":{"S":"anna"},"n":{"N":"7.0"},"mail":{"S":"a@b.c"},"card":{"M":{"no":{"S":"4111"},"to":{"S":"2030"}}}},` +
	`"OldImage":{"id":{"S":"anna"},"n":{"N":"7"},"log":{"L":[{"M":{"mail":{"S":"a@b.c"},"at":{"N":"1"}}}]}},"SequenceNumber":"100","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"}}]}`

func pageOf(t *testing.T, reply string) *feed.Page {
	t.Helper()
	p := &feed.Page{}
	p.Items.Src = item.WithSlack([]byte(reply))
	if err := ddbjson.ParseRecords(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func redaction(t *testing.T, rules ...string) *Redaction {
	t.Helper()
	r, err := ParseRedaction(rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(testEnv); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRedact: raw record, key and images lose the same, get the same tokens, and keep everything else byte for byte.
func TestRedact(t *testing.T) {
	r := redaction(t, "drop card.no", "token id n key=env:KEY", "hash mail log[].mail key=env:KEY")
	p := pageOf(t, streamReply)
	if err := r.Record(p, &p.Records[0]); err != nil {
		t.Fatal(err)
	}
	raw := string(p.Records[0].Raw)
	for _, secret := range []string{"anna", `"7"`, "7.0", "a@b.c", "4111"} {
		if strings.Contains(raw, secret) {
			t.Errorf("%s is in %s", secret, raw)
		}
	}
	rec := p.Records[0]
	key, now, old := p.Items.Item(int(rec.Keys)), p.Items.Item(int(rec.New)), p.Items.Item(int(rec.Old))
	value := func(it item.Item, name string) string {
		i, ok := it.Get(name)
		if !ok {
			t.Fatalf("no %s in %s", name, it.Raw())
		}
		return string(item.AppendCanonicalValue(nil, it, i))
	}
	for _, name := range []string{"id", "n"} {
		if a, b, c := value(key, name), value(now, name), value(old, name); a != b || b != c {
			t.Errorf("%s is %s, %s and %s", name, a, b, c)
		}
	}
	if v := value(key, "n"); !strings.HasPrefix(v, `{"N":"`) || len(v) < 30 {
		t.Errorf("the token of a number is %s", v)
	}
	mail := value(now, "mail")
	want := fmt.Sprintf(`{"L":[{"M":{"at":{"N":"1"},"mail":%s}}]}`, mail)
	if got := value(old, "log"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := value(now, "card"); got != `{"M":{"to":{"S":"2030"}}}` {
		t.Errorf("card is %s", got)
	}
	// Read anew, the raw record is what the rows say; and what holds no attributes is as it was.
	again := pageOf(t, `{"Records":[`+raw+`]}`)
	for i, it := range []item.Item{key, now, old} {
		same := again.Records[0]
		if other := again.Items.Item(int([]int32{same.Keys, same.New, same.Old}[i])); string(other.Raw()) != string(it.Raw()) {
			t.Errorf("raw has %s, the row %s", other.Raw(), it.Raw())
		}
	}
	if before, after := streamReply[len(`{"Records":[`):strings.Index(streamReply, `"Keys"`)], raw[:strings.Index(raw, `"Keys"`)]; before != after {
		t.Errorf("%s\nbecame %s", before, after)
	}
	// Another time, the same; with another key, something else.
	other := pageOf(t, streamReply)
	if err := r.Record(other, &other.Records[0]); err != nil || string(other.Records[0].Raw) != raw {
		t.Errorf("%v: %s", err, other.Records[0].Raw)
	}
}

// TestRedactNeverOpen: what is not understood to its end is an error that tells the place, and nothing of it is left.
func TestRedactNeverOpen(t *testing.T) {
	r := redaction(t, "token id key=env:KEY")
	for change, want := range map[[2]string]string{
		{`"SizeBytes":26`, `"SizeBytes":26,"Extra":{"id":{"S":"anna"}}`}: "its member Extra is not known: it might hold attributes",
		{`"eventID":"1"`, `"eventID":"1","eventID":"1"`}:                 "duplicate",
		{`"eventID":"1"`, `"eventID":["anna"]`}:                          "its member eventID is not known",
		{`"OldImage":{"id"`, `"OldImage":{"id":{"S":"anna"},"id"`}:       "id",
		{`"OldImage":`, `"oldImage":`}:                                   "its member oldImage is not known",
		{`26,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, `26}`}:            "unexpected EOF",
	} {
		p := pageOf(t, streamReply)
		rec := &p.Records[0]
		raw := strings.Replace(string(rec.Raw), change[0], change[1], 1)
		if raw == string(rec.Raw) {
			t.Fatalf("%s is not there", change[0])
		}
		rec.Raw = []byte(raw)
		err := r.Record(p, rec)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the record at 100 cannot be redacted") || rec.Raw != nil || fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s: %v; left %s", change[1], err, rec.Raw)
		}
	}
	p := pageOf(t, streamReply)
	p.Records[0].Event = 0
	if err := r.Record(p, &p.Records[0]); err == nil || !strings.Contains(err.Error(), "it is no change of DynamoDB's") {
		t.Errorf("a foreign payload: %v", err)
	}
	p = pageOf(t, streamReply)
	if err := redaction(t, "hash n key=env:KEY").Record(p, &p.Records[0]); err == nil || !strings.Contains(err.Error(), "changes its type") {
		t.Errorf("a key of another type: %v", err)
	}
}

func TestRedactionRules(t *testing.T) {
	for rule, want := range map[string]string{
		"drop":                      "it is drop, hash or token, and the attributes",
		"hide a":                    `no rule "hide": it is drop, hash or token`,
		"hash a":                    "hash without a key: whoever tries values finds them",
		"drop a key=env:KEY":        "what is dropped needs no key",
		"token b key=env:KEY":       "b twice",
		"token b.c key=env:KEY":     "b.c is inside of another attribute",
		"hash a key=0123456789abcd": "a key is named by where it is found",
	} {
		if _, err := ParseRedaction([]string{"drop b", rule}); err == nil || !strings.Contains(err.Error(), want) || Number(err) != 2 {
			t.Errorf("%s: %v", rule, err)
		}
	}
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.N}}
	for rule, want := range map[string]string{"drop id": "id is of the key", "hash id key=env:KEY": "need not be of its type", "token id key=env:KEY": "", "drop x": ""} {
		err := redaction(t, rule).CheckKeys(keys)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
	}
	short, err := ParseRedaction([]string{"token id key=env:SHORT"})
	if err != nil {
		t.Fatal(err)
	}
	if err := short.Start(testEnv); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
