package feed

// SortShards puts parents before their children and leaves the order as it is otherwise. Parents that are not in the list
// hold nothing back, nor do shards that are their own ancestors, which no service has.
func SortShards(shards []Shard) []Shard {
	index := make(map[string]int, len(shards))
	for i := range shards {
		index[shards[i].ID] = i
	}
	out := make([]Shard, 0, len(shards))
	seen := make([]bool, len(shards))
	type visit struct{ shard, parent int }
	var path []visit
	for i := range shards {
		if seen[i] {
			continue
		}
		seen[i] = true
		path = append(path[:0], visit{shard: i})
		for len(path) > 0 {
			top := &path[len(path)-1]
			s := &shards[top.shard]
			if top.parent == len(s.Parents) {
				out = append(out, *s)
				path = path[:len(path)-1]
				continue
			}
			at, listed := index[s.Parents[top.parent]]
			top.parent++
			if listed && !seen[at] {
				seen[at] = true
				path = append(path, visit{shard: at})
			}
		}
	}
	return out
}

// ChildrenOf picks the children of one shard.
func ChildrenOf(parent string, shards []Shard) []Shard {
	var out []Shard
	for _, s := range shards {
		for _, p := range s.Parents {
			if p == parent {
				out = append(out, s)
				break
			}
		}
	}
	return out
}
