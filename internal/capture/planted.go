package capture

import (
	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// plantedSkips is a planted bug: a child is read from where it stands when it is found; or time takes the place of
// positions.
func plantedSkips(s *shard, b *buffer, i int) bool {
	return planted.Is(planted.ChildLatest) && len(s.Parents) > 0 && s.end.IsZero() && i < len(b.Records)-1 ||
		planted.Is(planted.WallClock) && s.restored && b.Records[i].Micros <= s.time
}

// plantedExpiry is a planted bug: behind an expired iterator a shard is read again from its oldest record.
func plantedExpiry(s *shard) {
	if planted.Is(planted.ExpiryDoubles) {
		s.end = feed.Position{}
	}
}
