package sample

import (
	"encoding/base64"
	"strconv"
	"time"
)

// AppendOrder appends the i-th order of a seed as DynamoDB JSON: about 700 bytes, 25 attributes, of them a map and
// a list of maps; every order has the same shape, and (orderId) is unique. It is what the uniform benchmarks use.
func AppendOrder(dst []byte, seed, i uint64) []byte {
	r := NewRandom(seed, i)
	dst = append(dst, `{"orderId":{"S":"o-`...)
	dst = appendPadded(dst, i, 10)
	dst = append(dst, `"},"customerId":{"S":"c-`...)
	dst = appendPadded(dst, uint64(r.Below(500_000)), 7)
	created := time.UnixMilli(1_700_000_000_000 + int64(i)*1_371).UTC()
	dst = append(dst, `"},"createdAt":{"S":"`...)
	dst = created.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `"},"updatedAt":{"N":"`...)
	dst = strconv.AppendInt(dst, created.UnixMilli()+int64(r.Below(86_400_000)), 10)
	dst = append(dst, `"},"status":{"S":"`...)
	dst = append(dst, r.One("PLACED", "PAID", "PACKED", "SHIPPED", "DELIVERED", "RETURNED")...)
	dst = append(dst, `"},"region":{"S":"`...)
	dst = append(dst, r.One("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1")...)
	dst = append(dst, `"},"total":{"N":"`...)
	dst = appendCents(dst, 100+r.Below(90_000))
	dst = append(dst, `"},"express":{"BOOL":`...)
	dst = strconv.AppendBool(dst, r.Below(4) == 0)
	dst = append(dst, `},"address":{"M":{"street":{"S":"`...)
	dst = append(dst, r.One("Long Road ", "High Street ", "Station Lane ", "Mill Way ")...)
	dst = strconv.AppendInt(dst, int64(1+r.Below(200)), 10)
	dst = append(dst, `"},"zip":{"S":"`...)
	dst = appendPadded(dst, uint64(r.Below(100_000)), 5)
	dst = append(dst, `"},"city":{"S":"`...)
	dst = append(dst, r.One("Utrecht", "Bergen", "Porto", "Graz", "Lyon", "Tartu", "Cork")...)
	dst = append(dst, `"}}},"lines":{"L":[`...)
	for n := range 2 + r.Below(2) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"M":{"sku":{"S":"SKU-`...)
		dst = appendPadded(dst, uint64(r.Below(20_000)), 6)
		dst = append(dst, `"},"qty":{"N":"`...)
		dst = strconv.AppendInt(dst, int64(1+r.Below(9)), 10)
		dst = append(dst, `"},"price":{"N":"`...)
		dst = appendCents(dst, 50+r.Below(20_000))
		dst = append(dst, `"}}}`...)
	}
	dst = append(dst, `]},"tags":{"SS":["web","`...)
	dst = append(dst, r.One("gift", "b2b", "promo", "repeat")...)
	dst = append(dst, `"]},"note":{"S":"`...)
	for n := range 12 + r.Below(12) {
		if n > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, r.One("please", "leave", "it", "with", "the", "neighbour", "ring", "twice", "thank", "you")...)
	}
	dst = append(dst, `"},"version":{"N":"`...)
	dst = strconv.AppendInt(dst, int64(1+r.Below(12)), 10)
	return append(dst, `"}}`...)
}

func appendPadded(dst []byte, v uint64, width int) []byte {
	text := strconv.FormatUint(v, 10)
	for n := len(text); n < width; n++ {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// appendCents appends cents/100 in normal form.
func appendCents(dst []byte, cents int) []byte {
	dst = strconv.AppendInt(dst, int64(cents/100), 10)
	switch rest := cents % 100; {
	case rest == 0:
		return dst
	case rest%10 == 0:
		return append(dst, '.', byte('0'+rest/10))
	default:
		return append(dst, '.', byte('0'+rest/10), byte('0'+rest%10))
	}
}

// AppendMixed appends the i-th item of a seed of a table that holds four kinds of item side by side, as
// single-table designs do: attributes differ by kind, some are optional, "value" and "ref" have different types in
// different items (8 in 1,000 against the majority), every 5,000th item or so has an attribute of its own, and
// keys (pk, sk) are unique.
func AppendMixed(dst []byte, seed, i uint64) []byte {
	r := NewRandom(seed^0xabcdef, i)
	switch r.Below(4) {
	case 0:
		dst = appendUser(dst, &r, i)
	case 1:
		dst = appendEvent(dst, &r, i)
	case 2:
		dst = appendReading(dst, &r, i)
	default:
		order := len(dst) + 1
		dst = AppendOrder(dst, seed, i)
		head := append([]byte(nil), dst[order:]...)
		dst = append(dst[:order], `"pk":{"S":"ORDER#`...)
		dst = appendPadded(dst, i, 10)
		dst = append(dst, `"},"sk":{"S":"ORDER"},"kind":{"S":"order"},`...)
		dst = append(dst, head...)
	}
	if r.Below(5_000) == 0 {
		dst = append(dst[:len(dst)-1], `,"rare`...)
		dst = strconv.AppendInt(dst, int64(r.Below(400)), 10)
		dst = append(dst, `":{"S":"seldom"}}`...)
	}
	return dst
}

func appendKeys(dst []byte, kind string, i uint64, sort string) []byte {
	dst = append(dst, `{"pk":{"S":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '#')
	dst = appendPadded(dst, i, 10)
	dst = append(dst, `"},"sk":{"S":"`...)
	dst = append(dst, sort...)
	dst = append(dst, `"},"kind":{"S":"`...)
	dst = append(dst, kind...)
	return append(dst, '"', '}')
}

func appendUser(dst []byte, r *Random, i uint64) []byte {
	dst = appendKeys(dst, "user", i, "PROFILE")
	dst = append(dst, `,"name":{"S":"`...)
	dst = append(dst, r.One("Ana", "Björn", "Chloé", "Dmitri", "Eva", "Fumiko")...)
	dst = append(dst, ' ')
	dst = append(dst, r.One("Silva", "Olsen", "Müller", "Petrov", "Tanaka", "O'Neil")...)
	dst = append(dst, `"},"email":{"S":"u`...)
	dst = strconv.AppendUint(dst, i, 10)
	dst = append(dst, `@example.org"},"age":{"N":"`...)
	dst = strconv.AppendInt(dst, int64(18+r.Below(70)), 10)
	dst = append(dst, '"', '}')
	if r.Below(3) > 0 {
		dst = append(dst, `,"phone":{"S":"+31 6 `...)
		dst = appendPadded(dst, uint64(r.Below(100_000_000)), 8)
		dst = append(dst, '"', '}')
	}
	if r.Below(2) > 0 {
		dst = append(dst, `,"prefs":{"M":{"lang":{"S":"`...)
		dst = append(dst, r.One("en", "nl", "de", "pt")...)
		dst = append(dst, `"},"mail":{"BOOL":`...)
		dst = strconv.AppendBool(dst, r.Below(2) == 0)
		dst = append(dst, `}}}`...)
	}
	dst = append(dst, `,"scores":{"NS":["1","`...)
	dst = strconv.AppendInt(dst, int64(2+r.Below(100)), 10)
	dst = append(dst, `"]},"ref":`...)
	if r.Below(1_000) < 8 {
		dst = append(dst, `{"N":"`...)
		dst = strconv.AppendInt(dst, int64(r.Below(1_000_000)), 10)
		return append(dst, `"}}`...)
	}
	if r.Below(10) == 0 {
		return append(dst, `{"NULL":true}}`...)
	}
	dst = append(dst, `{"S":"r-`...)
	dst = strconv.AppendInt(dst, int64(r.Below(1_000_000)), 10)
	return append(dst, `"}}`...)
}

func appendEvent(dst []byte, r *Random, i uint64) []byte {
	dst = appendKeys(dst, "event", i, "EVENT")
	dst = append(dst, `,"at":{"N":"`...)
	dst = strconv.AppendInt(dst, 1_700_000_000+int64(i), 10)
	dst = append(dst, `"},"type":{"S":"`...)
	dst = append(dst, r.One("click", "view", "buy", "error")...)
	dst = append(dst, `"},"session":{"S":"`...)
	dst = appendHex(dst, r.Next())
	dst = appendHex(dst, r.Next())
	dst = append(dst, `"},"payload":{"M":{"page":{"S":"/shop/`...)
	dst = strconv.AppendInt(dst, int64(r.Below(5_000)), 10)
	dst = append(dst, `"},"ms":{"N":"`...)
	dst = strconv.AppendInt(dst, int64(r.Below(9_000)), 10)
	dst = append(dst, `"},"agent":{"S":"Mozilla/5.0 (X11; Linux x86_64) rv:`...)
	dst = strconv.AppendInt(dst, int64(90+r.Below(40)), 10)
	dst = append(dst, `"},"hits":{"L":[`...)
	for n := range r.Below(4) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"N":"`...)
		dst = strconv.AppendInt(dst, int64(r.Below(100)), 10)
		dst = append(dst, '"', '}')
	}
	dst = append(dst, `]}}}`...)
	if r.Below(5) == 0 {
		dst = append(dst, `,"message":{"S":"said \"no\"\nand left"}`...)
	}
	return append(dst, '}')
}

func appendReading(dst []byte, r *Random, i uint64) []byte {
	dst = appendKeys(dst, "reading", i, "SENSOR")
	dst = append(dst, `,"value":`...)
	if r.Below(1_000) < 8 {
		dst = append(dst, `{"S":"n/a"}`...)
	} else {
		dst = append(dst, `{"N":"`...)
		if r.Below(3) == 0 {
			dst = append(dst, '-')
		}
		dst = appendCents(dst, 1+r.Below(10_000))
		dst = append(dst, '"', '}')
	}
	dst = append(dst, `,"unit":{"S":"`...)
	dst = append(dst, r.One("C", "hPa", "%", "m/s")...)
	dst = append(dst, `"},"raw":{"B":"`...)
	var raw [24]byte
	for n := range raw {
		raw[n] = byte(r.Next())
	}
	dst = base64.StdEncoding.AppendEncode(dst, raw[:8+r.Below(17)])
	dst = append(dst, `"},"ok":{"BOOL":`...)
	dst = strconv.AppendBool(dst, r.Below(20) > 0)
	return append(dst, `},"cal":{"L":[{"N":"0.5"},{"N":"1.25"}]}}`...)
}

func appendHex(dst []byte, x uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[x>>shift&15])
	}
	return dst
}

// OrderLines appends n export lines, {"Item":{...}}, of the orders from first on.
func OrderLines(dst []byte, seed, first uint64, n int) []byte {
	return AppendLines(dst, AppendOrder, seed, first, n)
}

// MixedLines appends n export lines of the mixed items from first on.
func MixedLines(dst []byte, seed, first uint64, n int) []byte {
	return AppendLines(dst, AppendMixed, seed, first, n)
}

// AppendLines appends n export lines of the items that item makes, from first on.
func AppendLines(dst []byte, item func([]byte, uint64, uint64) []byte, seed, first uint64, n int) []byte {
	for i := range uint64(n) {
		dst = append(dst, `{"Item":`...)
		dst = item(dst, seed, first+i)
		dst = append(dst, '}', '\n')
	}
	return dst
}
