package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/commit"
)

// counter tries package commit: several processes put values under dense names, each value once, and remember what they
// were told.
func counter() Scenario {
	c := &claims{}
	return Scenario{Name: "counter", Actor: c.count, Safe: c.check, Done: func(w *World) error {
		if err := c.check(w); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.rested == 0 {
			return errors.New("no process has put all of its values since")
		}
		return nil
	}}
}

type claims struct {
	mu     sync.Mutex
	list   []claim
	known  int // the highest name that somebody was told about: where the next process begins
	rested int // processes that were done after all was healed
}

// claim is what a process was told about a name.
type claim struct {
	name, value string
	result      commit.Result
}

func countName(n int) string { return fmt.Sprintf("count/%06d", n) }

func (c *claims) count(ctx context.Context, env *Env) error {
	c.mu.Lock()
	n := max(1, c.known-2)
	c.mu.Unlock()
	for k := range 8 {
		value, err := json.Marshal(fmt.Sprintf("%s/%d", env.Name, k))
		if err != nil {
			return err
		}
		for {
			result, err := commit.Put(ctx, env.Bucket, countName(n), value, commit.Options{})
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.list = append(c.list, claim{countName(n), string(value), result})
			c.known = max(c.known, n)
			c.mu.Unlock()
			n++
			if result.Won {
				break
			}
		}
	}
	c.mu.Lock()
	if env.Bucket.(*bucket).s.w.Healed() {
		c.rested++
	}
	c.mu.Unlock()
	return sleep(ctx, time.Minute)
}

// check: names are dense, each was decided once, a value stands under one name at most, and nobody was told anything else.
func (c *claims) check(w *World) error {
	bodies, at := map[string]string{}, map[string]string{}
	n := 0
	for _, name := range w.Store.Names() {
		if !strings.HasPrefix(name, "count/") {
			continue
		}
		if n++; name != countName(n) {
			return fmt.Errorf("%s is there, and %s is not", name, countName(n))
		}
		body, err := commit.Read(context.Background(), w.Store.Bucket(), name)
		if err != nil {
			return err
		}
		if other, twice := at[string(body)]; twice {
			return fmt.Errorf("%s stands in %s and in %s", body, other, name)
		}
		bodies[name], at[string(body)] = string(body), name
		if times := w.Store.Written(name); times != 1 {
			return fmt.Errorf("%s was written %d times", name, times)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range c.list {
		if body := bodies[claim.name]; string(claim.result.Body) != body || claim.result.Won != (body == claim.value) {
			return fmt.Errorf("%s holds %q; who put %s was told won %v, %s", claim.name, body, claim.value, claim.result.Won, claim.result.Body)
		}
	}
	return nil
}
