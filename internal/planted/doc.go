// Package planted holds the switches of bugs that are planted to see whether the tests find them.
//
// It hides one decision: how a bug stands in the code without being there. A point in the code asks Is for its bug; in
// every build but one with the tag planted that is the constant false, and the compiler drops the branch. In that build
// Choose switches one bug on. A test that does not fail then proves nothing about the real code either.
//
// Every package may import it; it imports the standard library alone.
//
//	if planted.Is(planted.TextNumbers) {
//		return cmp.Compare(n, m)
//	}
package planted

// Bug is a bug that can be switched on.
type Bug string

// The bugs.
const (
	NoReadBack    Bug = "no-read-back"    // 412 against the writer's own object is taken for a lost race
	EmptyReadBack Bug = "empty-read-back" // nothing under the name is taken for a proof that the put will not land
	TextNumbers   Bug = "text-numbers"    // sequence numbers compare as text
	ChildLatest   Bug = "child-latest"    // a child is read from where it stands when it is found
	ChildEarly    Bug = "child-early"     // a child is read before its parents' end
	SilentGap     Bug = "silent-gap"      // what the service no longer has is passed over
	StaleHolder   Bug = "stale-holder"    // who lost a group goes on with it from where he stood himself
	ExpiryDoubles Bug = "expiry-doubles"  // behind an expired iterator a shard is read again from its oldest record
	LeafForgotten Bug = "leaf-forgotten"  // a closed shard without children at first is taken for the end of its lineage
	TipAtOnce     Bug = "tip-at-once"     // one empty page is taken for the open end
	EpochEarly    Bug = "epoch-early"     // the next epoch is proposed before the last one is finished
	OwnCut        Bug = "own-cut"         // who lost the race for an epoch delivers what he proposed
	ClockName     Bug = "clock-name"      // a file's name bears the time
	WallClock     Bug = "wall-clock"      // a restart goes on behind a time instead of a position
)

// Bugs lists them all.
var Bugs = []Bug{NoReadBack, EmptyReadBack, TextNumbers, ChildLatest, ChildEarly, SilentGap, StaleHolder, ExpiryDoubles,
	LeafForgotten, TipAtOnce, EpochEarly, OwnCut, ClockName, WallClock}
