package capture

import (
	"sync"

	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// plantedSkips is a planted bug: a child is read from where it stands when it is found; or time takes the place of
// positions.
func plantedSkips(s *shard, b *buffer, i int) bool {
	return planted.Is(planted.ChildLatest) && len(s.Parents) > 0 && s.end.IsZero() && i < len(b.Records)-1 ||
		planted.Is(planted.WallClock) && s.restored && b.Records[i].Micros <= s.time
}

// plantedStale is a planted bug: who lost a group goes on with it, from where he stood himself instead of the chain.
func plantedStale(writer string, s *shard) {
	if !planted.Is(planted.StaleHolder) {
		return
	}
	if end, has := staleEnds.Load(writer + s.ID); has && end.(feed.Position).Compare(s.end) > 0 {
		s.end = end.(feed.Position)
	}
}

func plantedKeep(writer string, shards map[string]*shard) {
	if planted.Is(planted.StaleHolder) {
		for id, s := range shards {
			staleEnds.Store(writer+id, s.end)
		}
	}
}

var staleEnds sync.Map

// plantedExpiry is a planted bug: behind an expired iterator a shard is read again from its oldest record.
func plantedExpiry(s *shard) {
	if planted.Is(planted.ExpiryDoubles) {
		s.end = feed.Position{}
	}
}
