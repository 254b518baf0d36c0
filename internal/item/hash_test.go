package item_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

func hash(it item.Item) item.Hash {
	var h item.Hasher
	return h.Item(it)
}

// Two items hash alike exactly when their canonical JSON is alike.
func TestHashIsIdentity(t *testing.T) {
	var warm item.Hasher
	rapid.Check(t, func(t *rapid.T) {
		members := itemtest.Members().Draw(t, "members")
		one := parseRapid(t, itemtest.Spelled(members).Draw(t, "one"))
		two := parseRapid(t, itemtest.Spelled(members).Draw(t, "two"))
		if hash(one) != hash(two) || warm.Item(one) != hash(one) || hash(itemtest.Must(members)) != hash(one) {
			t.Fatalf("one item, two hashes:\n%s\n%s", one.Raw(), two.Raw())
		}
		other := itemtest.Item().Draw(t, "other")
		same := bytes.Equal(item.AppendCanonical(nil, one), item.AppendCanonical(nil, other))
		if (hash(one) == hash(other)) != same || item.Equal(one, other) != same {
			t.Fatalf("same %v:\n%s\n%s", same, one.Raw(), other.Raw())
		}
		var taken, added item.Fingerprint
		for _, it := range []item.Item{one, other, one} {
			warm.AddTo(&taken, it)
			added.Add(hash(it))
		}
		if taken != added {
			t.Fatalf("taken into a fingerprint %s, added to it %s:\n%s\n%s", taken, added, one.Raw(), other.Raw())
		}
	})
}

// Near misses: what a sum of parts might confuse.
func TestHashTellsApart(t *testing.T) {
	raws := []string{
		`{}`, `{"":{"S":""}}`, `{"a":{"S":""}}`, `{"a":{"B":""}}`, `{"a":{"NULL":true}}`, `{"a":{"BOOL":true}}`, `{"a":{"BOOL":false}}`, `{"a":{"L":[]}}`,
		`{"a":{"M":{}}}`, `{"a":{"SS":[]}}`, `{"a":{"NS":[]}}`, `{"a":{"BS":[]}}`, `{"a":{"S":"1"}}`, `{"a":{"N":"1"}}`, `{"a":{"B":"MQ=="}}`,
		`{"a":{"SS":["1"]}}`, `{"a":{"NS":["1"]}}`, `{"a":{"BS":["MQ=="]}}`, `{"a":{"L":[{"S":"1"}]}}`, `{"a":{"L":[{"N":"1"}]}}`, `{"a":{"N":"-1"}}`,
		`{"a":{"S":"x"},"b":{"S":"y"}}`, `{"a":{"S":"y"},"b":{"S":"x"}}`, `{"a":{"S":"b"},"x":{"S":"y"}}`, `{"ab":{"S":"xy"}}`, `{"a":{"S":"bxy"}}`,
		`{"a":{"L":[{"S":"x"},{"S":"y"}]}}`, `{"a":{"L":[{"S":"y"},{"S":"x"}]}}`, `{"a":{"SS":["x","y"]}}`, `{"a":{"SS":["xy"]}}`,
		`{"a":{"L":[{"L":[{"S":"x"}]},{"L":[]}]}}`, `{"a":{"L":[{"L":[]},{"L":[{"S":"x"}]}]}}`, `{"a":{"L":[{"L":[{"S":"x"},{"L":[]}]}]}}`,
		`{"a":{"L":[{"S":"x"},{"S":"x"}]}}`, `{"a":{"L":[{"S":"x"},{"S":"x"},{"S":"x"}]}}`, `{"a":{"SS":["x","x"]}}`, `{"a":{"SS":["x","x","x"]}}`,
		`{"m":{"M":{"a":{"S":"x"}}},"n":{"M":{"a":{"S":"y"}}}}`, `{"m":{"M":{"a":{"S":"y"}}},"n":{"M":{"a":{"S":"x"}}}}`,
		`{"m":{"M":{"a":{"S":"x"}}},"n":{"M":{"b":{"S":"y"}}}}`, `{"m":{"M":{"b":{"S":"y"}}},"n":{"M":{"a":{"S":"x"}}}}`,
		`{"m":{"M":{"m":{"M":{"a":{"S":"x"}}}}}}`, `{"m":{"M":{"m":{"S":"x"},"a":{"M":{}}}}}`,
		`{"l":{"L":[{"M":{"a":{"N":"1"},"b":{"N":"2"}}},{"M":{"a":{"N":"3"},"b":{"N":"4"}}}]}}`,
		`{"l":{"L":[{"M":{"a":{"N":"1"},"b":{"N":"4"}}},{"M":{"a":{"N":"3"},"b":{"N":"2"}}}]}}`,
		`{"l":{"L":[{"M":{"a":{"N":"3"},"b":{"N":"2"}}},{"M":{"a":{"N":"1"},"b":{"N":"4"}}}]}}`,
	}
	for n := 1; n < 40; n++ { // names that share their words in the cache
		raws = append(raws, `{"`+strings.Repeat("n", n)+`":{"S":"v"}}`, `{"`+strings.Repeat("n", n-1)+`m":{"S":"v"}}`)
		raws = append(raws, `{"k":{"S":"`+strings.Repeat("v", n)+`"}}`, `{"\u0000`+strings.Repeat(`\u0000`, n)+`":{"S":"v"}}`)
	}
	var warm item.Hasher
	seen := map[item.Hash]string{}
	for range 2 {
		for _, raw := range raws {
			it := parse(t, raw)
			h := warm.Item(it)
			canonical := string(item.AppendCanonical(nil, it))
			if before, ok := seen[h]; ok && before != canonical {
				t.Errorf("%s and %s have one hash", before, canonical)
			}
			seen[h] = canonical
		}
	}
}

// The cache of name hashes serves every name its own, however many there are and whatever words they share.
func TestHashOfManyNames(t *testing.T) {
	var warm item.Hasher
	for i := range 4000 {
		it := parse(t, fmt.Sprintf(`{"same--%%d%d":{"S":""},"s%d":{"S":""},"%d":{"N":"1"}}`, i, i, i))
		if warm.Item(it) != hash(it) {
			t.Fatalf("%s has another hash once others were seen", it.Raw())
		}
	}
}

// The hash is stored in manifests: it may never change.
func TestHashIsForever(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`: "69801be71f023585cfaea45959fa3996551e3ea8f0e837faa20b1df6a32c8832",
		`{"id":{"N":"1.50"},"name":{"S":"Ana \u00e9"},"tags":{"SS":["b","a"]},"raw":{"B":"AQI="},"ok":{"BOOL":true},"none":{"NULL":true},` +
			`"list":{"L":[{"N":"-1"},{"S":""}]},"a name of more than sixteen bytes":{"M":{"x":{"NS":["1"]},"y":{"BS":["AA=="]},"f":{"BOOL":false}}}}`: "bee653c8bfd3795f14299e3e2c9c4a3d2f635468db891d3e0db5200cfcba55c8",
	} {
		if got := hash(parse(t, raw)).String(); got != want {
			t.Errorf("%s\n got %s\nwant %s", raw, got, want)
		}
	}
}

// Every bit of the sum depends on every item: over many items each bit is set about half the time.
func TestHashBits(t *testing.T) {
	const n = 4000
	var set [256]int
	var h item.Hasher
	for i := range uint64(n) {
		sum := h.Item(parse(t, fmt.Sprintf(`{"id":{"N":"%d"}}`, i)))
		for bit := range set {
			set[bit] += int(sum[bit/64] >> (bit % 64) & 1)
		}
	}
	for bit, count := range set {
		if count < n/2-200 || count > n/2+200 { // six standard deviations
			t.Errorf("bit %d is set in %d of %d", bit, count, n)
		}
	}
	a, b := h.Item(parse(t, `{"id":{"N":"1"}}`)), h.Item(parse(t, `{"id":{"N":"2"}}`))
	differ := 0
	for i := range a {
		differ += bits.OnesCount64(a[i] ^ b[i])
	}
	if differ < 80 || differ > 176 {
		t.Errorf("%d bits differ", differ)
	}
}

func TestFingerprint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) item.Hash {
			limb := rapid.OneOf(rapid.Uint64(), rapid.Just(^uint64(0)))
			return item.Hash{limb.Draw(t, "0"), limb.Draw(t, "1"), limb.Draw(t, "2"), limb.Draw(t, "3")}
		}), 1, 20).Draw(t, "hashes")
		var all, shuffled, left, right item.Fingerprint
		cut := rapid.IntRange(0, len(hashes)).Draw(t, "cut")
		buckets, other := make(item.Buckets, 7), make(item.Buckets, 7)
		for i, h := range hashes {
			all.Add(h)
			if i < cut {
				left.Add(h)
				buckets.Add([]byte{byte(i)}, h)
			} else {
				right.Add(h)
				other.Add([]byte{byte(i)}, h)
			}
		}
		for _, h := range rapid.Permutation(hashes).Draw(t, "order") {
			shuffled.Add(h)
		}
		rest := all.Minus(left)
		left.Merge(right)
		if shuffled != all || left != all || rest != right {
			t.Fatal("order or parts matter")
		}
		if err := buckets.Merge(other); err != nil || buckets.Sum() != all {
			t.Fatal("buckets do not add up")
		}
		parsed, err := item.ParseFingerprint(all.String())
		if err != nil || parsed != all {
			t.Fatalf("%s became %s, %v", all, parsed, err)
		}
		again, err := item.ParseBuckets(buckets.String())
		text, _ := json.Marshal(buckets)
		var back item.Buckets
		if json.Unmarshal(text, &back) != nil || err != nil || back.String() != buckets.String() || again.String() != buckets.String() {
			t.Fatalf("%s became %s, %v", buckets, again, err)
		}
		double := all
		double.Add(hashes[0])
		double.Add(hashes[0])
		if double == all {
			t.Fatal("two equal items cancel")
		}
	})
}

func TestBuckets(t *testing.T) {
	const n = 64
	b, c := make(item.Buckets, n), make(item.Buckets, n)
	for i := range 10_000 {
		key := fmt.Appendf(nil, "key %d", i)
		at := item.BucketOf(key, n)
		if at < 0 || at >= n || at != item.BucketOf(key, n) {
			t.Fatal(at)
		}
		b.Add(key, item.Hash{uint64(i)})
		if i != 4711 {
			c.Add(key, item.Hash{uint64(i)})
		}
	}
	for _, f := range b {
		if f.Count < 90 || f.Count > 230 {
			t.Errorf("a bucket of %d", f.Count)
		}
	}
	if got := b.Differ(c); len(got) != 1 || got[0] != item.BucketOf([]byte("key 4711"), n) {
		t.Error(got)
	}
	if err := b.Merge(make(item.Buckets, 3)); err == nil {
		t.Error("buckets of different number merged")
	}
}

func TestFingerprintRefuses(t *testing.T) {
	for _, text := range []string{"", "1", "1:", "x:" + strings.Repeat("0", 64), "1:" + strings.Repeat("g", 64), "1:" + strings.Repeat("0", 63), "-1:" + strings.Repeat("0", 64)} {
		if _, err := item.ParseFingerprint(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
