package local

import (
	"bytes"
	"slices"
	"strconv"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// pageBytesMax is how much one page of Query or Scan evaluates: it ends with the item that reaches the bound.
const pageBytesMax = 1 << 20

// segmentsMax is the service's bound on TotalSegments.
const segmentsMax = 1_000_000

// paging are the parameters that Query and Scan share.
type paging struct {
	table      string
	consumed   consumption
	count      bool // Select is COUNT
	limit      int
	consistent bool
	start      []byte // ExclusiveStartKey, raw
	index      string
	ix         *servedIndex // of that name
	fetch      bool         // the items are fetched from the table, since more is asked for than ix projects
	request    expression.Request

	projection, filter string // what complaints call the parameters that projection and filter came in
}

func (c *call) readPaging(limitAt string, w *wording) (p paging, choice string, err error) {
	if p.table, err = c.tableName(); err != nil {
		return p, "", err
	}
	v := &constraints{}
	consumed, _, err := c.args.text("ReturnConsumedCapacity")
	if err != nil {
		return p, "", err
	}
	v.oneOf(consumed, "returnConsumedCapacity", consumedSet...)
	p.consumed = consumptions[consumed]
	if choice, _, err = c.args.text("Select"); err != nil {
		return p, "", err
	}
	v.oneOf(choice, "select", "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
	p.count = choice == "COUNT"
	index, present, err := c.args.text("IndexName")
	if err != nil {
		return p, "", err
	}
	if present {
		v.length(index, "indexName", tableNameMin, tableNameMax)
		if index != "" && !validName(index) {
			v.add("'"+index+"'", "indexName", namePattern)
		}
	}
	p.index = index
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return p, "", err
	}
	if limit != nil {
		p.limit = int(*limit)
		if *limit < 1 {
			v.found = append(v.found, limitAt)
		}
	}
	consistent, err := c.args.flag("ConsistentRead")
	if err != nil {
		return p, "", err
	}
	p.consistent = consistent != nil && *consistent
	if p.start = c.args.get("ExclusiveStartKey"); p.start != nil {
		if err := c.main.parse(&c.batch, p.start); err != nil {
			return p, "", err
		}
	}
	if p.request, err = c.expressions(c.args, w); err != nil {
		if e, ok := err.(*apiError); !ok || e.Type != nsCorval+"ValidationException" {
			return p, "", err
		}
	}
	if broken := v.err(); broken != nil {
		return p, "", broken
	}
	p.projection, p.filter = string(expression.ProjectionKind), "Filter Expression"
	if c.args.get("AttributesToGet") != nil {
		p.projection = "AttributesToGet"
	}
	if c.args.get("QueryFilter") != nil {
		p.filter = "QueryFilter"
	}
	return p, choice, err
}

// checkSelect holds Select and projection against each other.
func (p *paging) checkSelect(choice, verb string) error {
	projected := p.request.Projection != nil
	switch {
	case choice == "SPECIFIC_ATTRIBUTES" && !projected:
		return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case choice == "COUNT" && projected:
		return invalid("Cannot specify the %s when choosing to get only the Count", p.projection)
	case (choice == "ALL_ATTRIBUTES" || choice == "ALL_PROJECTED_ATTRIBUTES") && projected:
		return invalid("Cannot specify the %s when choosing to get %s", p.projection, choice)
	case choice == "ALL_PROJECTED_ATTRIBUTES" && p.index == "":
		return invalidValue("ALL_PROJECTED_ATTRIBUTES can be used only when %s using an IndexName", verb)
	}
	return nil
}

// walk evaluates one page of an iterator into the reply, whose opening brace it writes and whose end it leaves to the
// caller's answer: Items, Count, ScannedCount, LastEvaluatedKey, capacity.
func (c *call) walk(it *store.Iterator, t *table, p *paging, compiled *expression.Compiled) error {
	if !p.count {
		c.member("Items")
		c.out = append(c.out, '[')
	}
	var last []byte
	scanned, matched, total, full, fetched := 0, 0, 0, false, 0.0
	for !full && it.Next() {
		raw := c.view(p, it.Raw())
		if p.fetch {
			total += size(raw)
			raw = it.Raw()
		}
		n, keep, err := c.evaluate(raw, p, compiled)
		if err != nil {
			return err
		}
		scanned++
		matched += btoi(keep)
		if p.fetch {
			fetched += item.ReadUnits(n, p.consistent)
		} else {
			total += n
		}
		if full = scanned == p.limit || total >= pageBytesMax; full {
			if last, err = t.lastKey(&c.spare, it.Raw(), p.ix); err != nil {
				return err
			}
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if !p.count {
		c.out = append(trimComma(c.out), ']')
	}
	c.member("Count")
	c.out = strconv.AppendInt(c.out, int64(matched), 10)
	c.member("ScannedCount")
	c.out = strconv.AppendInt(c.out, int64(scanned), 10)
	if last != nil {
		c.member("LastEvaluatedKey")
		c.out = append(c.out, last...)
	}
	u := p.cost(t, total, fetched)
	c.didRead(t, u)
	c.consumed(p.consumed, t, u)
	return c.finish()
}

// evaluate appends a stored item and a comma to the reply when the filter lets it pass and items are asked for, and
// tells its size. Raw items pass through without being looked into.
func (c *call) evaluate(raw []byte, p *paging, compiled *expression.Compiled) (size int, keep bool, err error) {
	if compiled.Filter == nil && compiled.Projection == nil {
		if size, ok := sizeOf(raw); ok {
			if !p.count {
				c.out = append(append(c.out, raw...), ',')
			}
			return size, true, nil
		}
	}
	it, err := tokens(&c.spare, raw)
	if err != nil {
		return 0, false, err
	}
	size = item.Size(it)
	switch {
	case compiled.Filter != nil && !compiled.Filter.Match(it):
		return size, false, nil
	case p.count:
	case compiled.Projection != nil:
		c.out = append(c.appendProjected(c.out, it, compiled.Projection), ',')
	default:
		c.out = append(append(c.out, raw...), ',')
	}
	return size, true, nil
}

func trimComma(out []byte) []byte {
	if out[len(out)-1] == ',' {
		return out[:len(out)-1]
	}
	return out
}

const saysStart = "The provided starting key is invalid"

func (c *call) scan() error {
	p, choice, err := c.readPaging("Value '"+string(c.args.get("Limit"))+"' at 'limit' failed to satisfy constraint: "+
		"Member must have value greater than or equal to 1", &wordingScan)
	if err != nil {
		return err
	}
	options, err := c.readSegments()
	if err != nil {
		return err
	}
	if p.start != nil && c.main.err != nil {
		return invalid(saysStart+": %s", plain(c.main.err))
	}
	t, missing := c.table(p.table)
	if missing == nil {
		if err := p.useIndex(t); err != nil {
			return err
		}
		if err := p.checkConsistent(); err != nil {
			return err
		}
	}
	compiled, err := compile(p.request)
	if err != nil {
		return err
	}
	if err := p.checkSelect(choice, "Scanning"); err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	if err := p.checkFiltered(compiled.Filter); err != nil {
		return err
	}
	if err := p.checkProjected(choice, compiled); err != nil {
		return err
	}
	if p.start != nil {
		s, err := c.startKey(t, p.ix)
		if err != nil {
			return err
		}
		if options.After = s.base; p.ix != nil {
			options.After, options.AfterBase = s.entry, s.base
		}
		if options.Segments > 1 && !options.After.InSegment(options.Segment, options.Segments) {
			return invalid(saysStart+": Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "+
				"TotalSegments: %d Segment: %d", options.Segments, options.Segment)
		}
	}
	if err := c.mayRead(t, p.ix); err != nil {
		return err
	}
	options.Limit = p.limit
	if p.ix != nil {
		return c.walk(c.db.store.ScanIndex(t.id, p.ix.ID, options), t, &p, compiled)
	}
	return c.walk(c.db.store.Scan(t.id, options), t, &p, compiled)
}

func (c *call) readSegments() (o store.ScanOptions, err error) {
	segment, err := c.args.integer("Segment", "Integer")
	if err != nil {
		return o, err
	}
	total, err := c.args.integer("TotalSegments", "Integer")
	if err != nil {
		return o, err
	}
	v := &constraints{}
	v.atLeast(segment, "segment", 0)
	v.atMost(segment, "segment", segmentsMax-1)
	v.atLeast(total, "totalSegments", 1)
	v.atMost(total, "totalSegments", segmentsMax)
	if err := v.err(); err != nil {
		return o, err
	}
	switch {
	case segment == nil && total == nil:
		return o, nil
	case total == nil:
		return o, invalid("The TotalSegments parameter is required but was not present in the request " +
			"when Segment parameter is present")
	case segment == nil:
		return o, invalid("The Segment parameter is required but was not present in the request " +
			"when parameter TotalSegments is present")
	case *segment >= *total:
		return o, invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: "+
			"Segment: %d is not less than TotalSegments: %d", *segment, *total)
	}
	o.Segment, o.Segments = int(*segment), int(*total)
	return o, nil
}

func (c *call) query() error {
	p, choice, err := c.readPaging("Value at 'Limit' failed to satisfy constraint: "+
		"Member must have value greater than or equal to 1", &wordingQuery)
	if err != nil {
		return err
	}
	forward, err := c.args.flag("ScanIndexForward")
	if err != nil {
		return err
	}
	if p.start != nil && c.main.err != nil {
		return invalid(saysStart+": %s", plain(c.main.err))
	}
	if p.request.KeyCondition == nil {
		return invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	t, err := c.table(p.table)
	if err != nil {
		return c.syntaxFirst(&p, err)
	}
	if err := p.useIndex(t); err != nil {
		return err
	}
	keys := tableKeys(t.keys)
	if p.ix != nil {
		keys = p.ix.Keys
	}
	p.request.Keys = expression.Keys(keys)
	compiled, err := compile(p.request)
	if err != nil {
		return err
	}
	if err := p.checkConsistent(); err != nil {
		return err
	}
	if err := compiled.KeyCondition.Late(); err != nil {
		return invalid("%s", words(err))
	}
	hash, options, err := queryOptions(compiled.KeyCondition, keys)
	if err != nil {
		return internalError(err)
	}
	options.Descending = forward != nil && !*forward
	if p.start != nil {
		if err := c.startOfQuery(t, &p, hash, compiled.KeyCondition, &options); err != nil {
			return err
		}
	}
	if err := p.checkFilter(compiled.Filter); err != nil {
		return err
	}
	if err := p.checkFiltered(compiled.Filter); err != nil {
		return err
	}
	if err := p.checkSelect(choice, "Querying"); err != nil {
		return err
	}
	if err := p.checkProjected(choice, compiled); err != nil {
		return err
	}
	if err := c.mayRead(t, p.ix); err != nil {
		return err
	}
	options.Limit = p.limit
	if p.ix != nil {
		return c.walk(c.db.store.QueryIndex(t.id, p.ix.ID, hash, options), t, &p, compiled)
	}
	return c.walk(c.db.store.Query(t.id, hash, options), t, &p, compiled)
}

// syntaxFirst is the answer to a Query of a table that is not there: the service has looked at the expressions' syntax
// before it looks for the table, though at the keys only afterwards.
func (c *call) syntaxFirst(p *paging, missing error) error {
	scope := expression.NewScope(p.request.Names, p.request.Values)
	if _, err := scope.Condition(expression.KeyConditionKind, *p.request.KeyCondition); err != nil {
		return invalid("%s", words(err))
	}
	if p.request.Filter != nil {
		if _, err := scope.Condition(expression.Filter, *p.request.Filter); err != nil {
			return invalid("%s", words(err))
		}
	}
	return missing
}

// checkFilter refuses attributes of the key that is queried in a Query's filter.
func (p *paging) checkFilter(filter *expression.Condition) error {
	if filter == nil {
		return nil
	}
	keys := keyNames(indexKeys(p.request.Keys).attrs())
	for _, path := range filter.Paths() {
		if name := path[0].Name; slices.Contains(keys, name) {
			return invalid("%s can only contain non-primary key attributes: Primary key attribute: %s", p.filter, name)
		}
	}
	return nil
}

// startOfQuery sets where to start behind. It must lie within what the query asks for.
func (c *call) startOfQuery(t *table, p *paging, hash []byte, k *expression.KeyCondition, o *store.QueryOptions) error {
	s, err := c.startKey(t, p.ix)
	if err != nil {
		return err
	}
	at, keys := s.base, tableKeys(t.keys)
	if p.ix != nil {
		at, keys, o.AfterBase = s.entry, p.ix.Keys, s.base
	}
	if !bytes.Equal(at.Hash, hash) {
		return invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	if o.After = at.Range; len(keys.Range) == 0 {
		o.After = []byte{} // of a table: behind the one item there can be
		return nil
	}
	var sortKey []item.Value
	for _, attr := range keys.Range {
		i, _ := c.main.Get(attr.Name)
		sortKey = append(sortKey, c.main.Value(i))
	}
	if !k.Match(sortKey) {
		return invalid("The provided starting key does not match the range key predicate")
	}
	return nil
}
