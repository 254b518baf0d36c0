package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// batchOf parses DynamoDB JSON items, one a line.
func batchOf(t testing.TB, items ...string) *item.Batch {
	t.Helper()
	b := &item.Batch{FirstLine: 1}
	for _, text := range items {
		b.Src = append(b.Src, text+"\n"...)
	}
	if _, err := ddbjson.ParseLines(b, ddbjson.Bare, true, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func lines(b *item.Batch) []string {
	var out []string
	for i := range b.Rows {
		out = append(out, string(b.Item(i).Raw()))
	}
	return out
}

var testEnv = Env{
	Plan: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
	Now:  func() time.Time { return time.Date(2026, 11, 26, 0, 0, 1, 5e6, time.UTC) },
	Getenv: func(name string) (string, bool) {
		return map[string]string{"KEY": "0123456789abcdef", "SHORT": "secret"}[name], name == "KEY" || name == "SHORT"
	},
}

func parse(t testing.TB, steps ...string) *Chain {
	t.Helper()
	c, err := Parse(steps)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func start(t testing.TB, steps ...string) *Runner {
	t.Helper()
	r, err := parse(t, steps...).Start(context.Background(), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestSteps says of each kind what it makes of an item: the item behind =>, nothing where it is dropped, or the reason of
// its refusal behind !.
func TestSteps(t *testing.T) {
	long := "12345678901234567890123456789012345678"
	for _, c := range []struct{ steps, in, want string }{
		{"rename a=b", `{"a":{"S":"x"},"c":{"N":"1"}}`, `{"b":{"S":"x"},"c":{"N":"1"}}`},
		{"rename a=b b=a", `{"a":{"S":"x"},"b":{"N":"1"}}`, `{"b":{"S":"x"},"a":{"N":"1"}}`},
		{"rename a=b", `{"c":{"N":"1.0"}}`, `{"c":{"N":"1.0"}}`},
		{"rename a=b", `{"a":{"S":"x"},"b":{"N":"1"}}`, `! step 1 (rename a=b): a cannot become b: the item has both`},
		{`rename "a b"='c=d'`, `{"a b":{"S":"x"}}`, `{"c=d":{"S":"x"}}`},
		{"drop a", `{"a":{"S":"x"},"b":{"L":[{"S":"y"}]}}`, `{"b":{"L":[{"S":"y"}]}}`},
		{"drop m.x l[].y 'd.t'", `{"m":{"M":{"x":{"N":"1"},"z":{"N":"2"}}},"l":{"L":[{"M":{"y":{"S":"q"}}},{"N":"3"}]},"d.t":{"NULL":true}}`,
			`{"m":{"M":{"z":{"N":"2"}}},"l":{"L":[{"M":{}},{"N":"3"}]}}`},
		{"keep a m.x l[].y", `{"a":{"S":"x"},"b":{"N":"1"},"m":{"M":{"x":{"N":"1"},"z":{"N":"2"}}},"l":{"L":[{"M":{"y":{"S":"q"},"u":{"N":"0"}}}]}}`,
			`{"a":{"S":"x"},"m":{"M":{"x":{"N":"1"}}},"l":{"L":[{"M":{"y":{"S":"q"}}}]}}`},
		{"add src='or ders'", `{"a":{"S":"x"}}`, `{"a":{"S":"x"},"src":{"S":"or ders"}}`},
		{"add a=1.50", `{"a":{"S":"x"},"b":{"BOOL":true}}`, `{"a":{"N":"1.5"},"b":{"BOOL":true}}`},
		{"add a=true ;; add b=null", `{}`, `{"a":{"BOOL":true},"b":{"NULL":true}}`},
		{"add at=now() ;; add day=plantime(date) ;; add e=plantime(epoch)", `{}`,
			`{"at":{"S":"2026-11-26T00:00:01.005Z"},"day":{"S":"2026-11-25"},"e":{"N":"1795608000"}}`},
		{"add h=sha256(id)", `{"id":{"S":"o-1"}}`, `{"id":{"S":"o-1"},"h":{"S":"5cbdcb742069a5823a0c64b49ce721b0bca5af9b2517aa95ada5427685fc3383"}}`},
		{"add u=uuid5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', host)", `{"host":{"S":"www.example.com"}}`,
			`{"host":{"S":"www.example.com"},"u":{"S":"2ed6657d-e927-568b-95e1-2665a8aea6a2"}}`}, // RFC 9562, appendix A.4
		{"add u=sha256(a, b)", `{"a":{"S":"x"}}`, `! step 1 (add u=sha256(a, b)): the item has no b`},
		{"add t=changetime()", `{}`, `! step 1 (add t=changetime()): an item that is copied has no time of a change`},
		{"mask card last=4", `{"card":{"S":"4111111111111234"}}`, `{"card":{"S":"************1234"}}`},
		{"mask card last=4", `{"card":{"S":"1234"}}`, `{"card":{"S":"****"}}`},
		{"mask a.b last=1 with=# ;; mask n l", `{"a":{"M":{"b":{"S":"grüß"}}},"n":{"N":"42"},"l":{"L":[{"S":"x"}]}}`, `{"a":{"M":{"b":{"S":"###ß"}}},"n":{"S":"**"},"l":{"S":"*"}}`},
		{"mask a fixed=''", `{"a":{"N":"1"}}`, `{"a":{"S":""}}`},
		{"hash a", `{"a":{"S":"abc"}}`, `{"a":{"S":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}`},
		{"hash a key=env:KEY as=base64", `{"a":{"S":"abc"},"b":{"N":"1"}}`, `{"a":{"S":"vKqShDJHvCWAgNKCS93rpK-xvWG0aIymX2CiFOHZdZ4"},"b":{"N":"1"}}`},
		{"cast n=number s=string", `{"n":{"S":"1e3"},"s":{"N":"1.50"}}`, `{"n":{"N":"1000"},"s":{"S":"1.5"}}`},
		{"cast n=number", `{"n":{"S":"abc"}}`, `! step 1 (cast n=number): attribute n: {"S":"abc"} is no number`},
		{"cast n=number else=null", `{"n":{"S":"abc"}}`, `{"n":{"NULL":true}}`},
		{"cast n=number else=keep", `{"n":{"S":"abc"}}`, `{"n":{"S":"abc"}}`},
		{"cast m.n=number x=bool else=drop", `{"m":{"M":{"n":{"S":"abc"},"o":{"N":"1"}}},"x":{"S":"TRUE"}}`, `{"m":{"M":{"o":{"N":"1"}}},"x":{"BOOL":true}}`},
		{"cast s=list l=set d=ddbjson", `{"s":{"SS":["a","b"]},"l":{"L":[{"N":"1"},{"N":"2"}]},"d":{"M":{"x":{"N":"1.0"}}}}`,
			`{"s":{"L":[{"S":"a"},{"S":"b"}]},"l":{"NS":["1","2"]},"d":{"S":"{\"M\":{\"x\":{\"N\":\"1\"}}}"}}`},
		{"cast l=SS", `{"l":{"L":[{"S":"a"},{"S":"a"}]}}`, `! step 1 (cast l=SS): attribute l: {"L":[{"S":"a"},{"S":"a"}]} is no set of strings`},
		{"cast e=iso m=iso-ms i=epoch", `{"e":{"N":"0.5"},"m":{"N":"1764028800001"},"i":{"S":"2026-11-26T01:00:00.25+01:00"}}`,
			`{"e":{"S":"1970-01-01T00:00:00.5Z"},"m":{"S":"2025-11-25T00:00:00.001Z"},"i":{"N":"1795651200.25"}}`},
		{"cast e=iso", `{"e":{"N":"1E+20"}}`, `! step 1 (cast e=iso): attribute e: {"N":"1E+20"} is no time`},
		{"flatten *", `{"a":{"M":{"b":{"N":"1"},"c":{"M":{"d":{"S":"x"},"e":{"M":{}}}}}},"z":{"L":[{"M":{"q":{"N":"1"}}}]}}`,
			`{"a.b":{"N":"1"},"a.c.d":{"S":"x"},"a.c.e":{"M":{}},"z":{"L":[{"M":{"q":{"N":"1"}}}]}}`},
		{"flatten a sep=_ depth=1", `{"a":{"M":{"b":{"M":{"c":{"N":"1"}}}}},"k":{"M":{"x":{"N":"1"}}}}`, `{"a_b":{"M":{"c":{"N":"1"}}},"k":{"M":{"x":{"N":"1"}}}}`},
		{"flatten *", `{"a":{"M":{"b":{"N":"1"}}},"a.b":{"N":"2"}}`, `! step 1 (flatten *): two attributes would be a.b`},
		{"filter a > 1", `{"a":{"N":"1.0000000000000000000000000000000000001"}}`, `{"a":{"N":"1.0000000000000000000000000000000000001"}}`},
		{"filter a == " + long, `{"a":{"N":"` + long + `"}}`, `{"a":{"N":"` + long + `"}}`},
		{"filter a == " + long, `{"a":{"N":"12345678901234567890123456789012345679"}}`, ``},
		{"filter a + 0 == " + long, `{"a":{"N":"12345678901234567890123456789012345679"}}`, ``},
		{"filter a * 3 == 0.9", `{"a":{"N":"0.3"}}`, `{"a":{"N":"0.3"}}`},
		{"filter a > 1", `{"a":{"S":"2"}}`, `! step 1 (filter a > 1): S and N have no order; look at the type first: type(x) == "N" and x > 1`},
		{"filter a > 1", `{"b":{"S":"2"}}`, ``},
		{"filter not (a > 1)", `{"b":{"S":"2"}}`, `{"b":{"S":"2"}}`},
		{`filter region in ["eu", "us"] and not (price < 10)`, `{"region":{"S":"eu"},"price":{"N":"10"}}`, `{"region":{"S":"eu"},"price":{"N":"10"}}`},
		{`filter item["a b"].c[0] == "x"`, `{"a b":{"M":{"c":{"L":[{"S":"x"}]}}}}`, `{"a b":{"M":{"c":{"L":[{"S":"x"}]}}}}`},
		{`filter any(lines, .qty > 2) and "x" in tags`, `{"lines":{"L":[{"M":{"qty":{"N":"3"}}}]},"tags":{"SS":["x"]}}`, `{"lines":{"L":[{"M":{"qty":{"N":"3"}}}]},"tags":{"SS":["x"]}}`},
		{"filter a + 1", `{"a":{"N":"1"}}`, `! step 1 (filter a + 1): the expression comes to N, not to true or false`},
		{"map t=price * qty", `{"price":{"N":"0.1"},"qty":{"N":"3"}}`, `{"price":{"N":"0.1"},"qty":{"N":"3"},"t":{"N":"0.3"}}`},
		{"map t=a / 3", `{"a":{"N":"1"}}`, `! step 1 (map t=a / 3): 1 / 3 has no end; say how many decimals: div(a, b, 2)`},
		{"map t=div(a, 3, 2) ;; map a=nil", `{"a":{"N":"2"}}`, `{"t":{"N":"0.67"}}`},
		{`map a=lower(a) + "-" + string(n)`, `{"a":{"S":"Ab"},"n":{"N":"5"}}`, `{"a":{"S":"ab-5"},"n":{"N":"5"}}`},
		{`map a={"x": [1, null], "y": tags}`, `{"tags":{"NS":["1","2"]}}`, `{"tags":{"NS":["1","2"]},"a":{"M":{"x":{"L":[{"N":"1"},{"NULL":true}]},"y":{"NS":["1","2"]}}}}`},
		{`map n=sum2`, `{"sum2":{"N":"1"}}`, `{"sum2":{"N":"1"},"n":{"N":"1"}}`},
		{"map big=9999999999999999999999999999999999999 * 1000 + 1", `{}`, `! step 1 (map big=9999999999999999999999999999999999999 * 1000 + 1): the result is no number that DynamoDB holds exactly: Attempting to store more than 38 significant digits in a Number`},
		{`map x=a[0:1]`, `{"a":{"S":"\u00fc"}}`, `! step 1 (map x=a[0:1]): the expression comes to a text that is no UTF-8`},
		{"drop b ;; rename a=b ;; add c=1", `{"a":{"S":"x"},"b":{"N":"1"}}`, `{"b":{"S":"x"},"c":{"N":"1"}}`},
	} {
		name := c.steps + " of " + c.in
		r := start(t, strings.Split(c.steps, " ;; ")...)
		b := batchOf(t, c.in)
		got := ""
		if err := r.Items(context.Background(), b, func(f Refusal) error {
			got = "! " + f.Reason.Error()
			if string(f.Item.Raw()) != c.in {
				t.Errorf("%s: refused as %s", name, f.Item.Raw())
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b.Len() > 0 {
			got = lines(b)[0]
			if again := batchOf(t, got); string(item.AppendCanonical(nil, again.Item(0))) != string(item.AppendCanonical(nil, b.Item(0))) {
				t.Errorf("%s: bytes and tape differ", name)
			}
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// TestSettings says of settings that are none what is wrong, and where.
func TestSettings(t *testing.T) {
	for setting, want := range map[string]string{
		"":                         "no kind of step",
		"sift a":                   "no kind of step \"sift\": it is one of add, cast, drop, filter,",
		"drop":                     "at column 5: drop of what?",
		"rename a":                 "at column 8: it is OLD=NEW",
		"rename a=":                "at column 10: an attribute without name",
		"rename a=b c=b":           "at column 12: two names for one attribute, or one for two",
		"drop 'a":                  "at column 6: a quote that is not closed",
		"drop a.b a":               "at column 10: a twice",
		"drop a a.b":               "at column 8: a.b is inside of another attribute that the step names",
		"drop a[0]":                "at column 7: a path is names with dots between",
		"add a=b":                  "at column 7: \"b\" is no number; text stands in quotes: 'b'",
		"add a=later()":            "at column 7: no function later",
		"add a=now(x)":             "now() takes nothing, date or epoch",
		"mask a last=x":            "at column 13: last=x: it is a number of characters",
		"mask a last=1 fixed=x":    "fixed= or last=, not both",
		"hash a key=0123456789":    "a key is named by where it is found, env:NAME or file:PATH, and never written here",
		"cast a=float":             "at column 8: no type \"float\"",
		"filter a >":               "at column 10: unexpected token EOF",
		"filter foo(a)":            "at column 8: no function foo; there are abs, all,",
		"filter now() > 1":         "no function now",
		"filter sum(a) > 1":        "no function sum",
		"filter $env == 1":         "attributes are named one by one",
		"filter _eq(a, 1)":         "no function _eq",
		"filter a.b()":             "values have no methods",
		"filter a == 1e200":        "Number overflow",
		"map a":                    "it is NAME=EXPRESSION",
		"map a b=1":                "a name with spaces stands in quotes",
		"flatten a depth=0":        "depth=0: it is 1 to 32",
		"lookup x.csv take=a":      "on= is missing",
		"run timeout=1h ./x":       "timeout=1h: it is a duration up to 5m0s",
		"run timeout=1s":           "run which program?",
		"http http://example.com/": "example.com: items leave this machine by https alone",
		"http ftp://example.com/":  "is no http URL",
	} {
		_, err := Parse([]string{"drop x", setting})
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.User || Number(err) != 2 {
			t.Errorf("%q: %v\nwant %s", setting, err, want)
		}
	}
}

// TestSecrets: a key that is not there, or too short, stops the start; no text tells it.
func TestSecrets(t *testing.T) {
	for setting, want := range map[string]string{
		"hash a key=env:NONE":  "the environment has no NONE",
		"hash a key=env:SHORT": "the key at env:SHORT has 6 bytes; the least is 16",
		"hash a key=file:/no":  "read the key: ",
	} {
		_, err := parse(t, setting).Start(context.Background(), testEnv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// TestKeys follows keys through chains.
func TestKeys(t *testing.T) {
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}, Range: item.KeyAttr{Name: "sk", Type: item.N}}
	for _, c := range []struct{ steps, want string }{
		{"drop a", "pk:S sk:N true"},
		{"rename pk=id", "id:S sk:N true"},
		{"rename pk=sk sk=pk", "sk:S pk:N true"},
		{"hash sk", "pk:S sk:S true"},
		{"cast sk=string", "pk:S sk:S false"},
		{"map pk=lower(pk)", "pk:S sk:N false"},
		{"add pk=1", "pk:N sk:N false"},
		{"keep pk sk a", "pk:S sk:N true"},
		{"keep pk", `step 1 (keep pk): does not keep sk, which is of the key`},
		{"rename pk=id ;; drop id", `step 2 (drop id): takes away id, which is of the key`},
		{"rename a=pk", `step 1 (rename a=pk): puts another attribute in the place of pk, which is of the key`},
		{"run cat", "pk:S sk:N false"},
	} {
		out, unique, err := parse(t, strings.Split(c.steps, " ;; ")...).Keys(keys)
		got := fmt.Sprintf("%s:%s %s:%s %t", out.Hash.Name, out.Hash.Type, out.Range.Name, out.Range.Type, unique)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.steps, got, c.want)
		}
	}
	for steps, want := range map[string]string{
		"drop a":                      "",
		"drop pk":                     "step 1 (drop pk): takes away the key pk",
		"drop pk ;; add pk='x'":       "",
		"keep a ;; map pk=a":          "step 1 (keep a): does not keep the key sk",
		"rename pk=id":                "step 1 (rename pk=id): takes away the key pk",
		"cast sk=string":              "the steps make the key sk of type S; it is N",
		"drop pk ;; run cat":          "",
		"keep pk x ;; rename x=sk":    "",
		"keep pk x ;; rename x=other": "step 1 (keep pk x): does not keep the key sk",
	} {
		got := ""
		if err := parse(t, strings.Split(steps, " ;; ")...).KeepsKeys(keys); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", steps, got, want)
		}
	}
}

// TestPure: what depends on more than the item says so.
func TestPure(t *testing.T) {
	for steps, want := range map[string]bool{"drop a ;; hash b key=env:KEY ;; add p=plantime() ;; filter x > 1": true, "add n=now()": false,
		"lookup a.csv on=a take=b": false, "run cat": false, "http https://a.example/": false} {
		if got := parse(t, strings.Split(steps, " ;; ")...).Pure(); got != want {
			t.Errorf("%s: pure %t", steps, got)
		}
	}
}

// TestNothingIsCopied: items that no step touches stay in the bytes that they came in.
func TestNothingIsCopied(t *testing.T) {
	b := batchOf(t, `{"a":{"N":"1.0"},"b":{"S":"x"}}`, `{"a":{"N":"2"}}`)
	src := &b.Src[0]
	r := start(t, "drop zz", "rename zz=yy", "keep a b", "cast a.x=number", "filter a > 1", "mask q")
	if err := r.Items(context.Background(), b, nil); err != nil {
		t.Fatal(err)
	}
	if &b.Src[0] != src || b.Len() != 1 || string(b.Item(0).Raw()) != `{"a":{"N":"2"}}` || r.Dropped != 1 {
		t.Errorf("%q, %d dropped", lines(b), r.Dropped)
	}
}

// TestChanges: a filter judges a change once, everything else works on key and both images alike; a key gains nothing.
func TestChanges(t *testing.T) {
	images := []string{`{"id":{"S":"A"}}`, `{"id":{"S":"A"},"n":{"N":"2"},"c":{"S":"x"}}`, `{"id":{"S":"A"},"n":{"N":"1"}}`,
		`{"id":{"S":"B"}}`, `{"id":{"S":"B"},"n":{"N":"5"}}`}
	for _, c := range []struct{ steps, want string }{
		{"rename id=key ;; drop c ;; add at=changetime(epoch)", `MODIFY {"key":{"S":"A"}} {"key":{"S":"A"},"n":{"N":"2"},"at":{"N":"7"}} {"key":{"S":"A"},"n":{"N":"1"},"at":{"N":"7"}}; REMOVE {"key":{"S":"B"}} - {"key":{"S":"B"},"n":{"N":"5"},"at":{"N":"8"}}`},
		{"map id=lower(id) + string(n)", `MODIFY {"id":{"S":"a2"}} {"id":{"S":"a2"},"n":{"N":"2"},"c":{"S":"x"}} {"id":{"S":"a1"},"n":{"N":"1"}}; REMOVE {"id":{"S":"b5"}} - {"id":{"S":"b5"},"n":{"N":"5"}}`},
		{`filter op == "MODIFY" and new.n > old.n ;; keep id n`, `MODIFY {"id":{"S":"A"}} {"id":{"S":"A"},"n":{"N":"2"}} {"id":{"S":"A"},"n":{"N":"1"}}`},
		{"filter ttl and time == 8.5 ;; keep id", `REMOVE {"id":{"S":"B"}} - {"id":{"S":"B"}}`},
		{"filter n == 5 ;; drop n", `REMOVE {"id":{"S":"B"}} - {"id":{"S":"B"}}`},
	} {
		b := batchOf(t, images...)
		list := []Change{{0, 1, 2, Facts{Op: Modify, Micros: 7e6}}, {3, item.NoImage, 4, Facts{Op: Remove, Micros: 85e5, TTL: true}}}
		src := string(b.Src)
		kept, err := start(t, strings.Split(c.steps, " ;; ")...).Changes(context.Background(), b, list, nil)
		if err != nil {
			t.Errorf("%s: %v", c.steps, err)
			continue
		}
		var got []string
		for _, k := range kept {
			text := string(k.Op)
			for _, row := range []int32{k.Keys, k.New, k.Old} {
				if row == item.NoImage {
					text += " -"
				} else {
					text += " " + string(b.Item(int(row)).Raw())
				}
			}
			got = append(got, text)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.steps, strings.Join(got, "; "), c.want)
		}
		if !strings.HasPrefix(string(b.Src), src) {
			t.Errorf("%s: the images of before moved", c.steps)
		}
	}
}

// TestStates: a table that takes what is left of changes holds what it would hold of items: a put that does not pass is a deletion, and
// of deletions no filter knows better. Keys and what was before follow the other steps.
func TestStates(t *testing.T) {
	images := []string{`{"id":{"S":"A"}}`, `{"id":{"S":"A"},"n":{"N":"2"},"c":{"S":"x"}}`, `{"id":{"S":"B"}}`, `{"id":{"S":"B"},"n":{"N":"5"}}`}
	for _, c := range []struct{ steps, want string }{
		{"rename id=key ;; drop c", `{"key":{"S":"A"}} {"key":{"S":"A"},"n":{"N":"2"}} -; {"key":{"S":"B"}} - {"key":{"S":"B"},"n":{"N":"5"}}`},
		{"filter n == 2 ;; rename id=key", `{"key":{"S":"A"}} {"key":{"S":"A"},"n":{"N":"2"},"c":{"S":"x"}} -; {"key":{"S":"B"}} - {"key":{"S":"B"},"n":{"N":"5"}}`},
		{"drop c ;; filter n > 2 ;; rename id=key ;; filter false", `{"key":{"S":"A"}} - {"key":{"S":"A"},"n":{"N":"2"}}; {"key":{"S":"B"}} - {"key":{"S":"B"},"n":{"N":"5"}}`},
		{"cast c=number", `! {"id":{"S":"A"},"n":{"N":"2"},"c":{"S":"x"}}; {"id":{"S":"B"}} - {"id":{"S":"B"},"n":{"N":"5"}}`},
		{"filter n == 5 ;; cast c=number", `! {"id":{"S":"A"},"n":{"N":"2"},"c":{"S":"x"}}; {"id":{"S":"B"}} - {"id":{"S":"B"},"n":{"N":"5"}}`},
	} {
		b := batchOf(t, images...)
		r := start(t, strings.Split(c.steps, " ;; ")...)
		var got []string
		kept, err := r.States(context.Background(), b, []Change{{Keys: 0, New: 1, Old: item.NoImage}, {Keys: 2, New: item.NoImage, Old: 3}},
			func(f Refusal) error { got = append(got, fmt.Sprintf("! %s", f.Item.Raw())); return nil })
		if err != nil {
			t.Fatalf("%s: %v", c.steps, err)
		}
		for _, k := range kept {
			var parts []string
			for _, row := range []int32{k.Keys, k.New, k.Old} {
				part := "-"
				if row != item.NoImage {
					part = string(b.Item(int(row)).Raw())
				}
				parts = append(parts, part)
			}
			got = append(got, strings.Join(parts, " "))
		}
		if strings.Join(got, "; ") != c.want || r.Dropped != 0 {
			t.Errorf("%s\n got %s, %d dropped\nwant %s", c.steps, strings.Join(got, "; "), r.Dropped, c.want)
		}
	}
}

// TestNoPlan: where there is no plan, its time is refused, not the year 1.
func TestNoPlan(t *testing.T) {
	r, err := parse(t, "add p=plantime()").Start(context.Background(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Items(context.Background(), batchOf(t, `{}`), nil); err == nil || !strings.Contains(err.Error(), "has no plan") {
		t.Errorf("%v", err)
	}
}

// TestRefusalStops: without anybody who takes refusals the first is the error; with one that fails, that is.
func TestRefusalStops(t *testing.T) {
	r := start(t, "cast a=number")
	if err := r.Items(context.Background(), batchOf(t, `{"a":{"S":"x"}}`), nil); Number(err) != 1 {
		t.Errorf("%v", err)
	}
	full := errors.New("disk full")
	if err := r.Items(context.Background(), batchOf(t, `{"a":{"S":"x"}}`), func(Refusal) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestLines(t *testing.T) {
	texts, at, err := Lines([]byte("\n# what\n drop a \r\nfilter a == \"#\"\n"))
	if fmt.Sprint(texts, at, err) != `[drop a filter a == "#"] [3 4] <nil>` {
		t.Error(texts, at, err)
	}
	if texts, _, err = Lines([]byte(` ["drop a", "keep b"]`)); fmt.Sprint(texts, err) != "[drop a keep b] <nil>" {
		t.Error(texts, err)
	}
	if _, _, err = Lines([]byte(`["drop a"`)); err == nil {
		t.Error("half a list passed")
	}
}
