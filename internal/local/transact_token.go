package local

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// tokenLife is how long a ClientRequestToken makes a transaction one that is done at most once (API reference).
const tokenLife = 10 * time.Minute

// tokenSweepMax is how many old tokens a transaction takes away with its own commit: more than one, so that they do not pile up.
const tokenSweepMax = 4

// hiddenPrefix begins the names of the store's tables that are ours and not the user's: no table can be named so.
const hiddenPrefix = "/"

func hidden(name string) bool { return strings.HasPrefix(name, hiddenPrefix) }

// tokensName is the hidden table of tokens: its key is the token, its value a tokenRecord.
const tokensName = hiddenPrefix + "transactions"

// tokenRecord says when a transaction was done, and which. It is written in the transaction's own commit, so that a
// crash leaves both or none.
type tokenRecord struct {
	Version int    `json:"version"`
	Token   string `json:"token"`
	Ms      int64  `json:"ms"`
	Sum     string `json:"sum"` // SHA-256 of TransactItems in canonical JSON
}

const tokenVersion = 1

// tokenTable knows the tokens by age, oldest first. The zero value opens its table when the first comes.
type tokenTable struct {
	mu   sync.Mutex
	open bool
	id   store.TableID
	ages []agedToken
}

type agedToken struct {
	token string
	ms    int64
}

var errTokenSeen = errors.New("the token was used before")

// tokenMark is a transaction's token on its way into the table.
type tokenMark struct {
	token   string
	ms      int64
	writes  []store.Write
	swept   []agedToken
	seen    bool // an earlier transaction had the token
	differs bool // and was another one
}

// markToken makes the writes that remember the token, and those that forget tokens that are too old.
func (c *call) markToken(token string) (*tokenMark, error) {
	t := &c.db.tokens
	if err := t.ready(c.db.store); err != nil {
		return nil, err
	}
	m := &tokenMark{token: token, ms: millis(c.db.now())}
	record := tokenRecord{Version: tokenVersion, Token: token, Ms: m.ms, Sum: fingerprint(c.args.get("TransactItems"))}
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("write a transaction's token: %w", err)
	}
	m.writes = append(m.writes, store.Write{Table: t.id, Key: tokenKey(token),
		Decide: func(old []byte) (store.Op, []byte, error) {
			before, err := readToken(old)
			if err != nil {
				return store.OpNone, nil, err
			}
			if old != nil && before.Ms+tokenLife.Milliseconds() > m.ms {
				m.seen, m.differs = true, before.Sum != record.Sum
				return store.OpNone, nil, errTokenSeen
			}
			return store.OpPut, raw, nil
		}})
	m.swept = t.old(m.ms - tokenLife.Milliseconds())
	for _, aged := range m.swept {
		if aged.token == token {
			continue // written above
		}
		m.writes = append(m.writes, store.Write{Table: t.id, Key: tokenKey(aged.token),
			Decide: func(old []byte) (store.Op, []byte, error) {
				if before, err := readToken(old); err != nil || before.Ms != aged.ms {
					return store.OpNone, nil, err // used again since
				}
				return store.OpDelete, nil, nil
			}})
	}
	return m, nil
}

func tokenKey(token string) store.Key { return store.Key{Hash: store.EncodeString(nil, []byte(token))} }

// fingerprint is equal for equal parameters, in whatever order their members were written.
func fingerprint(raw []byte) string {
	v := jsontext.Value(append([]byte(nil), raw...))
	_ = v.Canonicalize(jsontext.AllowDuplicateNames(true)) // it was read before; what cannot be brought in order stays as it is
	sum := sha256.Sum256(v)
	return hex.EncodeToString(sum[:])
}

func readToken(raw []byte) (r tokenRecord, err error) {
	if raw == nil {
		return r, nil
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fault.New(fault.Corrupt, "a transaction's token: %w", err)
	}
	if r.Version != tokenVersion {
		return r, fault.New(fault.Unsupported, "a transaction's token has version %d, this program knows %d", r.Version, tokenVersion)
	}
	return r, nil
}

// ready opens the table, or makes it.
func (t *tokenTable) ready(s *store.Store) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open {
		return nil
	}
	for _, entry := range s.Tables() {
		if entry.Name == tokensName {
			t.id, t.open = entry.ID, true
			return t.load(s)
		}
	}
	var err error
	if t.id, err = s.CreateTable([]byte("{}"), tokensName, store.Settings{}); err != nil {
		return err
	}
	t.open = true
	return nil
}

// load takes up the tokens of an earlier process.
func (t *tokenTable) load(s *store.Store) error {
	it := s.Scan(t.id, store.ScanOptions{})
	for it.Next() {
		r, err := readToken(it.Raw())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		t.ages = append(t.ages, agedToken{r.Token, r.Ms})
	}
	slices.SortFunc(t.ages, func(a, b agedToken) int { return cmp.Compare(a.ms, b.ms) })
	return it.Close()
}

// old returns up to tokenSweepMax of the oldest tokens, of those that were used before ms.
func (t *tokenTable) old(ms int64) []agedToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < min(tokenSweepMax, len(t.ages)) && t.ages[n].ms < ms {
		n++
	}
	return slices.Clone(t.ages[:n])
}

// done adds the token of a transaction that was done, and forgets those swept with it.
func (t *tokenTable) done(m *tokenMark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ages) > 0 && slices.Contains(m.swept, t.ages[0]) {
		t.ages = t.ages[1:]
	}
	t.ages = append(t.ages, agedToken{m.token, m.ms})
}
