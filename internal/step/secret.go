package step

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"os"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// secretBytesMin is the least length of a key: shorter ones are guessed.
const secretBytesMin = 16

// reference says where a key is found: env:NAME or file:PATH. The key itself is nowhere but in memory.
type reference string

func parseReference(w word) (reference, error) {
	scheme, rest, ok := strings.Cut(w.text, ":")
	if !ok || rest == "" || scheme != "env" && scheme != "file" {
		return "", place(w.at, "a key is named by where it is found, env:NAME or file:PATH, and never written here")
	}
	return reference(w.text), nil
}

// read fetches the key. What is behind its last line feed counts, so that a file made by echo serves.
func (r reference) read(env *Env) ([]byte, error) {
	scheme, name, _ := strings.Cut(string(r), ":")
	var key []byte
	switch scheme {
	case "env":
		getenv := env.Getenv
		if getenv == nil {
			getenv = os.LookupEnv
		}
		text, ok := getenv(name)
		if !ok {
			return nil, fault.Hint(fault.New(fault.User, "the environment has no %s, which is to be the key", name), "export %s=…", name)
		}
		key = []byte(text)
	default:
		var err error
		if key, err = os.ReadFile(name); err != nil {
			return nil, fault.New(fault.User, "read the key: %w", err)
		}
		key = bytes.TrimSuffix(bytes.TrimSuffix(key, []byte("\n")), []byte("\r"))
	}
	if len(key) < secretBytesMin {
		return nil, fault.Hint(fault.New(fault.User, "the key at %s has %d bytes; the least is %d", r, len(key), secretBytesMin),
			"make one: openssl rand -hex 32")
	}
	return key, nil
}

// digest turns values into tokens: SHA-256, or HMAC-SHA-256 with a key. Equal values, as DynamoDB compares them, give equal
// tokens; a string and a number never do.
type digest struct {
	h      hash.Hash
	base64 bool
	buf    []byte
	sum    []byte
}

func newDigest(key []byte, asBase64 bool) *digest {
	d := &digest{base64: asBase64, h: sha256.New()}
	if key != nil {
		d.h = hmac.New(sha256.New, key)
	}
	return d
}

// value writes the token of the value at index i. Strings are hashed as their bytes, so that others can do the same;
// all else as its canonical DynamoDB JSON.
func (d *digest) value(it item.Item, i int) []byte {
	d.buf = d.buf[:0]
	if it.Tape[i].Type == item.S {
		d.buf = it.AppendText(d.buf, i)
	} else {
		d.buf = item.AppendCanonicalValue(d.buf, it, i)
	}
	return d.bytes(d.buf)
}

// bytes is the token of bytes; valid until the next call.
func (d *digest) bytes(b []byte) []byte {
	d.h.Reset()
	d.h.Write(b)
	d.sum = d.h.Sum(d.sum[:0])
	n := len(d.sum)
	if d.base64 {
		d.sum = base64.RawURLEncoding.AppendEncode(d.sum, d.sum[:n])
	} else {
		d.sum = hex.AppendEncode(d.sum, d.sum[:n])
	}
	return d.sum[n:]
}

// hashing puts tokens in the place of values.
type hashing struct {
	tree   *tree
	paths  []path
	key    reference
	base64 bool
}

func parseHash(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, "key", "as")
	if err != nil {
		return nil, err
	}
	k := &hashing{}
	if w, ok := given["key"]; ok {
		if k.key, err = parseReference(w); err != nil {
			return nil, err
		}
	}
	if w, ok := given["as"]; ok {
		if k.base64 = w.text == "base64"; !k.base64 && w.text != "hex" {
			return nil, place(w.at, "as=%s: it is hex or base64", w.text)
		}
	}
	if len(ws) == 0 {
		return nil, place(0, "hash of which attributes?")
	}
	k.tree, k.paths, err = parseTree(ws)
	return k, err
}

func (k *hashing) pure() bool { return true } // equal under one key, which the setting names

func (k *hashing) outline(o *outline) {
	for _, p := range k.paths {
		if len(p) == 1 {
			o.alter(p[0].name, item.S, true)
		}
	}
}

func (k *hashing) start(r *Runner) (worker, error) {
	var key []byte
	if k.key != "" {
		var err error
		if key, err = k.key.read(&r.env); err != nil {
			return nil, err
		}
	}
	return &hasher{k, newDigest(key, k.base64)}, nil
}

type hasher struct {
	*hashing
	digest *digest
}

func (k *hasher) touches(it item.Item) bool { return k.tree.touches(it, 0) }

func (k *hasher) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	return true, k.tree.rewrite(w, it, 0, false, func(w *item.Builder, it item.Item, i, _ int) error {
		if it.Tape[i].Type == item.NULL {
			w.Null()
			return nil
		}
		w.PlainString(k.digest.value(it, i))
		return nil
	})
}
