package job

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/manifest"
	"dynaferry/internal/source"
)

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	daysBack  = regexp.MustCompile(`^-([0-9]+)d(.*)$`)
)

// parseMoment reads a time: RFC 3339, now, or how long ago: -90m, -2d12h. The service knows whole seconds: a time between
// two is the later, so that nothing of before is left out.
func parseMoment(text string, now time.Time) (time.Time, error) {
	bad := fault.Hint(fault.New(fault.User, "%q is no time", text), "2026-01-31T18:00:00Z, now, or how long ago: -90m, -2d12h")
	if text == "now" {
		return ceilSecond(now), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return ceilSecond(at), nil
	}
	back, days := text, 0
	if m := daysBack.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 10_000 {
			return time.Time{}, bad
		}
		days = n
		if back = "-" + m[2]; m[2] == "" {
			back = "-0s"
		}
	}
	d, err := time.ParseDuration(back)
	if err != nil || !strings.HasPrefix(back, "-") {
		return time.Time{}, bad
	}
	return ceilSecond(now.Add(d - time.Duration(days)*24*time.Hour)), nil
}

func ceilSecond(t time.Time) time.Time {
	t = t.UTC()
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// The service's bounds of a window (Developer Guide, "DynamoDB data export to Amazon S3: how it works"). The least is used
// only where a service has refused a shorter one.
const (
	windowLeast = 15 * time.Minute
	windowMost  = 24 * time.Hour
)

// windows cuts a stretch of time into windows of nearly equal length that the service takes: none longer than a day, and
// none short because it is what was left over.
func windows(from, to time.Time) []nativeTask {
	n := max(1, int((to.Sub(from)+windowMost-1)/windowMost))
	tasks := make([]nativeTask, n)
	for i := range tasks {
		tasks[i] = nativeTask{From: from, To: to}
		if i > 0 {
			tasks[i].From = tasks[i-1].To
		}
		if left := n - i; left > 1 {
			step := to.Sub(tasks[i].From) / time.Duration(left)
			tasks[i].To = tasks[i].From.Add(step).Truncate(time.Second)
		}
	}
	return tasks
}

// window is what --incremental asked for.
func (j *nativeJob) window(ctx context.Context, desc *dynamo.Table, now time.Time) ([]nativeTask, error) {
	from, err := parseMoment(j.set.From, now)
	if err != nil {
		return nil, err
	}
	b, err := j.known(ctx, desc.Name)
	if err != nil {
		return nil, err
	}
	to := ceilSecond(b.Latest)
	if j.set.To != "" {
		if to, err = parseMoment(j.set.To, now); err != nil {
			return nil, err
		}
	}
	if !from.Before(to) {
		return nil, fault.New(fault.User, "--incremental: %s is not before %s", timeText(from), timeText(to))
	}
	if !j.set.Told && to.After(now.Add(time.Second)) {
		return nil, fault.New(fault.User, "--incremental: %s has not come yet", timeText(to))
	}
	if from.Before(b.Earliest) { // nor will waiting for the window's end bring them
		end := j.set.To
		if !b.Earliest.Before(to) {
			end = ""
		}
		return nil, fault.Hint(fault.New(fault.User, "--incremental: the changes from %s on are asked for, and the service has them from %s on only", timeText(from), timeText(b.Earliest)),
			"--incremental %s..%s", timeText(b.Earliest), end)
	}
	tasks := windows(from, to)
	tasks[len(tasks)-1].Extend = j.set.Told
	return tasks, nil
}

// known is from when to when the service can tell what changed. A window that ends within a second waits for the whole of it.
func (j *nativeJob) known(ctx context.Context, table string) (*dynamo.Backups, error) {
	b, err := j.native.Backups(ctx, table)
	if err != nil {
		return nil, fmt.Errorf("look at the continuous backups of %s: %w", table, err)
	}
	if !b.Enabled || b.Latest.IsZero() {
		return nil, fault.Hint(fault.New(fault.User, "%s: the service does not tell up to when it knows the changes", table),
			"aws dynamodb describe-continuous-backups --table-name %s", table)
	}
	return b, nil
}

// link is an export at the destination: the state at To, or what changed from From to To. A scan has no single moment: what is to
// be laid over it begins at its start, which To is then, and goes on until it had ended.
type link struct {
	at       string // where it lies
	from, to time.Time
	full     bool
	scanned  time.Time // when the scan ended, zero where there was none
}

// followOn finds where the exports of the table at the destination end, and makes the windows from there, of holes first.
func (j *nativeJob) followOn(ctx context.Context, desc *dynamo.Table) ([]nativeTask, error) {
	holes, end, scanned, err := j.gathered(ctx, desc)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound { // the others name their exports
			err = fmt.Errorf("%s: %w", j.at, err)
		}
		return nil, fault.Hint(err, "begin with a full export: %s", j.anew())
	}
	b, err := j.known(ctx, desc.Name)
	if err != nil {
		return nil, err
	}
	first := end
	if len(holes) > 0 {
		first = holes[0].From
	}
	if first.Before(b.Earliest) {
		return nil, fault.Hint(fault.New(fault.Conflict, "%s: the changes from %s on are needed, and the service has them from %s on only", j.at, timeText(first), timeText(b.Earliest)),
			"begin a new chain with a full export: %s", j.anew())
	}
	var tasks []nativeTask
	for _, h := range holes {
		tasks = append(tasks, windows(h.From, h.To)...)
	}
	tail := windows(end, chainEnd(end, ceilSecond(b.Latest), scanned))
	tail[len(tail)-1].Extend = true
	return append(tasks, tail...), nil
}

// chainEnd is up to when a chain is to go on: to what the service knows, a second at least, and beyond the end of a scan that it
// begins with, for of what was written before the scan looked there the base knows nothing.
func chainEnd(end, latest, scanned time.Time) time.Time {
	to := latest
	if !end.Before(to) {
		to = ceilSecond(end.Add(time.Second))
	}
	if scanned = ceilSecond(scanned); to.Before(scanned) {
		to = scanned
	}
	return to
}

// gathered tells what the exports at the destination, and their base, leave open: the holes among them, the time after them, and the
// end of the scan that the base is, if it is one.
func (j *nativeJob) gathered(ctx context.Context, desc *dynamo.Table) (holes []nativeTask, end, scanned time.Time, err error) {
	if j.catalogue != nil {
		stretches, end, ok := j.catalogue.Open(tableIDOf(desc))
		if !ok {
			return nil, end, scanned, fault.New(fault.NotFound, "no base of this table to follow on")
		}
		for _, s := range stretches {
			holes = append(holes, nativeTask{From: s[0], To: s[1]})
		}
		return holes, end, scanned, nil
	}
	links, err := j.links(ctx, desc)
	if err != nil {
		return nil, end, scanned, err
	}
	if j.set.Base != "" {
		base, err := j.base(ctx, desc)
		if err != nil {
			return nil, end, scanned, err
		}
		links = append(links, base)
	}
	return chain(links)
}

// anew is the command that begins a chain.
func (j *nativeJob) anew() string {
	if j.catalogue != nil {
		return fmt.Sprintf("dynaferry backup %s %s --chain --new-base", j.table.Address, j.at)
	}
	return fmt.Sprintf("dynaferry export %s %s --native --format %s", j.table.Address, j.at, j.set.Form)
}

// base is what the chain follows where that lies elsewhere: a full export, or a data set made from one or from a table.
func (j *nativeJob) base(ctx context.Context, desc *dynamo.Table) (link, error) {
	src, err := source.Open(ctx, j.env.World, source.Spec{Address: j.set.Base})
	if err != nil {
		return link{}, err
	}
	shows := src.Info().Shows
	switch {
	case shows == nil:
		return link{}, fault.New(fault.User, "%s does not tell which moment its items show, so that no chain can begin there: a base is a full export, or a "+
			"data set made from one or from a table, whole and in one version", src.Address())
	case shows.ID != "" && shows.ID != desc.ID:
		return link{}, fault.New(fault.User, "%s is of another table: %s", src.Address(), shows.TableIdentity)
	}
	l := link{at: src.Info().URL, to: shows.Start, full: true}
	if shows.Start.Before(shows.End) {
		l.to, l.scanned = shows.Start.Truncate(time.Second), shows.End
	}
	return l, nil
}

// links reads the summaries of the exports of the table at the destination.
func (j *nativeJob) links(ctx context.Context, desc *dynamo.Table) ([]link, error) {
	dirs, _, err := manifest.Find(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return nil, err
	}
	var links []link
	for _, dir := range dirs {
		s, err := manifest.ReadSummary(ctx, j.dest.Bucket, dir)
		if err != nil {
			return nil, err
		}
		if s.TableID != desc.ID { // of another table, or of an earlier one of this name
			continue
		}
		l, err := linkOf(dir, s)
		if err != nil {
			return nil, err
		}
		l.at = strings.TrimSuffix(j.dest.Bucket.URL(), "/") + "/" + dir
		if s.Scan != nil {
			if l.scanned, err = time.Parse(time.RFC3339, s.Scan.End); err != nil {
				return nil, fault.At(fault.New(fault.Corrupt, "manifest-summary.json: %w", err), fault.Place{File: dir})
			}
			l.to = l.to.Truncate(time.Second)
		}
		links = append(links, l)
	}
	return links, nil
}

// linkOf reads the times of an export.
func linkOf(dir string, s manifest.Summary) (link, error) {
	l := link{at: dir, full: !s.Incremental()}
	times := map[string]*time.Time{s.ExportTime: &l.to}
	if !l.full {
		times = map[string]*time.Time{s.ExportFromTime: &l.from, s.ExportToTime: &l.to}
	}
	for text, to := range times {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return l, fault.At(fault.New(fault.Corrupt, "manifest-summary.json: %w", err), fault.Place{File: dir})
		}
		*to = at
	}
	return l, nil
}

// chain tells up to when the exports cover every change, the holes on the way there, and when the scan ended that it begins
// with, if it does. It begins with the newest full export that no window has in its middle: over such a one the window cannot be
// laid (source.WithinError). Holes before it are of no account.
func chain(links []link) (holes []nativeTask, end, scanned time.Time, err error) {
	slices.SortFunc(links, func(a, b link) int { return a.to.Compare(b.to) })
	err = fault.New(fault.NotFound, "no full export of this table to follow on")
	for i, base := range slices.Backward(links) {
		if !base.full {
			continue
		}
		within := base.within(links)
		if within == nil {
			holes, end = behind(base.to, links[i+1:])
			return holes, end, base.scanned, nil
		}
		if fault.KindOf(err) == fault.NotFound { // what is wrong with the newest is told
			err = fault.As(fault.Conflict, within)
		}
	}
	return nil, end, scanned, err
}

// within finds a window that has a full export in its middle; nil when there is none. A scan has no single moment that could be.
func (l link) within(links []link) *source.WithinError {
	for _, w := range links {
		if !w.full && l.scanned.IsZero() && w.from.Before(l.to) && l.to.Before(w.to) {
			return &source.WithinError{Base: l.at, Window: w.at, At: l.to, From: w.from, To: w.to}
		}
	}
	return nil
}

// behind follows windows, sorted by their ends, from a time on.
func behind(end time.Time, links []link) (holes []nativeTask, _ time.Time) {
	for _, w := range links {
		if w.full || !w.to.After(end) {
			continue
		}
		if w.from.After(end) {
			holes = append(holes, nativeTask{From: end, To: w.from})
		}
		end = w.to
	}
	return holes, end
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
