package dynamo

import (
	"context"
	"encoding/json"

	"dynaferry/internal/fault"
)

// TableStream is a table's stream of changes. The zero value is none.
type TableStream struct {
	ARN     string // of the latest, which a table has for a day after it was turned off
	View    string // API StreamViewType; "" of one that is off
	Enabled bool
}

// Stream is the table's stream as it was described.
func (t *Table) Stream() TableStream {
	var said struct {
		LatestStreamArn     string
		StreamSpecification struct {
			StreamEnabled  bool
			StreamViewType string
		}
	}
	_ = json.Unmarshal(t.Raw, &said) // a table without a description has none
	s := TableStream{ARN: said.LatestStreamArn, Enabled: said.StreamSpecification.StreamEnabled}
	if s.Enabled {
		s.View = said.StreamSpecification.StreamViewType
	}
	return s
}

// EnableStream turns a table's stream on, with a view of the API's (NEW_AND_OLD_IMAGES and so on), and describes the table.
// It may be called again: a stream that is on with that view stays. With another view it is a Conflict: to change it means
// to end the stream that somebody may read. Unsupported of a client without Control.
func EnableStream(ctx context.Context, c Client, table, view string) (*Table, error) {
	t, err := Describe(ctx, c, table)
	if err != nil {
		return nil, err
	}
	switch s := t.Stream(); {
	case s.Enabled && s.View == view:
		return t, nil
	case s.Enabled:
		err := fault.New(fault.Conflict, "table %s: its stream has the view %s, not %s", table, s.View, view)
		return nil, fault.Hint(err, "when nobody reads it: aws dynamodb update-table --table-name %s --stream-specification StreamEnabled=false", table)
	}
	control, ok := Power[Control](c)
	if !ok {
		return nil, fault.New(fault.Unsupported, "table %s: its stream cannot be turned on here", table)
	}
	wanted, err := json.Marshal(map[string]any{"StreamSpecification": map[string]any{"StreamEnabled": true, "StreamViewType": view}})
	if err != nil {
		return nil, err
	}
	if err := control.Set(ctx, t, &Definition{Table: wanted}, Stream); err != nil {
		return nil, err
	}
	return Describe(ctx, c, table)
}
