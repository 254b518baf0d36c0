package local

import (
	"slices"
)

// indexDescription is the service's description of an index, members in its order. Local indexes have no status and
// throughput.
type indexDescription struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            projectionDescription
	IndexStatus           string                 `json:",omitempty"`
	Backfilling           *bool                  `json:",omitempty"`
	ProvisionedThroughput *throughputDescription `json:",omitempty"`
	IndexSizeBytes        int64
	ItemCount             int64
	IndexArn              string
	OnDemandThroughput    *onDemandDescription `json:",omitempty"`
}

type projectionDescription struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

func elementsOf(k indexKeys) (list []keyElement) {
	for n, part := range k.parts() {
		for _, attr := range part {
			list = append(list, keyElement{attr.Name, []string{"HASH", "RANGE"}[n]})
		}
	}
	return list
}

func (t throughputTimes) describe(read, write, now int64) throughputDescription {
	return throughputDescription{
		LastIncreaseDateTime: maybeSeconds(t.IncreaseMs), LastDecreaseDateTime: maybeSeconds(t.DecreaseMs),
		NumberOfDecreasesToday: t.decreasesToday(now), ReadCapacityUnits: read, WriteCapacityUnits: write,
	}
}

// describeIndex describes an index; it is CREATING with its table, or while it is filled.
func (c *call) describeIndex(t *table, ix *servedIndex, creating bool, now int64) (indexDescription, error) {
	counts, err := c.db.counted(t, ix)
	out := indexDescription{
		IndexName: ix.Name, KeySchema: elementsOf(ix.Keys), Projection: projectionDescription{ix.Projection, ix.NonKey},
		IndexSizeBytes: counts.Bytes, ItemCount: counts.Items, IndexArn: c.arn(t.def.Name) + "/index/" + ix.Name,
	}
	if ix.Local || err != nil {
		return out, err
	}
	out.IndexStatus = "ACTIVE"
	if creating || ix.Filling {
		out.IndexStatus = "CREATING"
	}
	if ix.Filling {
		out.Backfilling = &ix.Filling
	}
	units := ix.Changes.describe(ix.ReadUnits, ix.WriteUnits, now)
	out.ProvisionedThroughput = &units
	if ix.OnDemand != nil {
		out.OnDemandThroughput = &onDemandDescription{ix.OnDemand.Read, ix.OnDemand.Write}
	}
	return out, nil
}

// without describes the table's indexes that a new definition no longer has, as those that are going.
func (t *table) without(def *definition) (gone []indexDescription) {
	for _, ix := range t.indexes {
		if !slices.ContainsFunc(def.Indexes, func(other index) bool { return other.ID == ix.ID }) {
			gone = append(gone, indexDescription{IndexName: ix.Name, KeySchema: elementsOf(ix.Keys),
				Projection: projectionDescription{ix.Projection, ix.NonKey}, IndexStatus: "DELETING",
				ProvisionedThroughput: &throughputDescription{ReadCapacityUnits: ix.ReadUnits, WriteCapacityUnits: ix.WriteUnits}})
		}
	}
	return gone
}
