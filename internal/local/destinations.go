package local

import (
	"fmt"

	"dynaferry/internal/local/kinesis"
)

// destination is a table's Kinesis stream, part of its definition; it stays there, DISABLED, when it is fed no more.
type destination struct {
	Stream    string  `json:"stream"` // its name
	Region    string  `json:"region"` // of the request that enabled it: records tell it
	Status    string  `json:"status"` // ACTIVE, DISABLED or ENABLE_FAILED
	Precision string  `json:"precision"`
	Changes   []int64 `json:"changes,omitempty"` // when the precision changed, in Unix ms, at most the last three
}

const (
	destinationActive   = "ACTIVE"
	destinationDisabled = "DISABLED"

	precisionMilli = "MILLISECOND"
	precisionMicro = "MICROSECOND"
)

// fed tells whether changes of the table go to Kinesis.
func (d *definition) fed() bool { return d.Kinesis != nil && d.Kinesis.Status == destinationActive }

// destinationCall is what the operations on destinations share.
type destinationCall struct {
	table, stream string // names
	precision     string // "": not given
}

// readDestination reads TableName, StreamArn and, under the given parameter, the configuration.
func (c *call) readDestination(configuration string) (d destinationCall, err error) {
	if d.table, err = c.tableName(); err != nil {
		return d, err
	}
	v := &constraints{}
	arn, err := c.checked(v, "StreamArn", true, 37, 1024)
	if err != nil {
		return d, err
	}
	members, _, err := c.args.object(configuration, classStructure)
	if err != nil {
		return d, err
	}
	if d.precision, _, err = members.text("ApproximateCreationDateTimePrecision"); err != nil {
		return d, err
	}
	v.oneOf(d.precision, "approximateCreationDateTimePrecision", precisionMilli, precisionMicro)
	if err := v.err(); err != nil {
		return d, err
	}
	var ok bool
	if d.stream, ok = kinesis.StreamOfARN(arn); !ok {
		return d, invalid("Invalid StreamArn: Invalid ResourceArn provided as input %s", arn)
	}
	return d, nil
}

// replyDestination writes the reply; configuration is the member that tells the precision, "" for none.
func (c *call) replyDestination(d destinationCall, status, configuration string) error {
	out := map[string]any{"TableName": d.table, "StreamArn": kinesis.ARN(c.region, d.stream), "DestinationStatus": status}
	if configuration != "" {
		out[configuration] = map[string]string{"ApproximateCreationDateTimePrecision": d.precision}
	}
	return c.replyWhole(out)
}

// fedTable finds the table of a request that changes its destination. db.change is held.
func (c *call) fedTable(name string) (*table, error) {
	t, err := c.table(name)
	if err != nil {
		return nil, notFound("Requested resource not found: Table: %s not found", name)
	}
	return t, nil
}

func (c *call) enableDestination() error {
	const configuration = "EnableKinesisStreamingConfiguration"
	d, err := c.readDestination(configuration)
	if err != nil {
		return err
	}
	if d.precision == "" {
		d.precision = precisionMilli
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.fedTable(d.table)
	if err != nil {
		return err
	}
	if t.def.fed() {
		return invalid("Table is not in a valid state to enable Kinesis Streaming Destination: " +
			"KinesisStreamingDestination must be DISABLED or ENABLE_FAILED to perform ENABLE operation.")
	}
	if !c.db.kinesis.Exists(d.stream) {
		return notFound("Requested resource not found: Stream: %s not found", kinesis.ARN(c.region, d.stream))
	}
	def := *t.def
	def.Kinesis = &destination{Stream: d.stream, Region: c.region, Status: destinationActive, Precision: d.precision}
	if def.Stream == nil {
		if err := c.db.beginStream(&def, ""); err != nil {
			return err
		}
	}
	if err := c.db.feeds.begin(&def); err != nil {
		return err
	}
	if _, err := c.db.redefine(t, &def); err != nil {
		return err
	}
	return c.replyDestination(d, "ENABLING", configuration)
}

func (c *call) disableDestination() error {
	const configuration = "EnableKinesisStreamingConfiguration"
	d, err := c.readDestination(configuration)
	if err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.fedTable(d.table)
	if err != nil {
		return err
	}
	if err := t.active(d); err != nil {
		return err
	}
	if err := c.db.feed(c.ctx, t); err != nil { // what was acknowledged goes there still
		return fmt.Errorf("feed stream %s: %w", d.stream, err)
	}
	if _, err := c.db.endFeed(t, destinationDisabled); err != nil {
		return err
	}
	d.precision = t.def.Kinesis.Precision
	return c.replyDestination(d, "DISABLING", configuration)
}

// active refuses what needs a destination that is being fed; to enable is their word for each of these.
func (t *table) active(d destinationCall) error {
	if !t.def.fed() || t.def.Kinesis.Stream != d.stream {
		return invalid("Table is not in a valid state to enable Kinesis Streaming Destination: " +
			"KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.")
	}
	return nil
}

// endFeed stops feeding; the stream of changes ends with it unless it is the user's, too. db.change is held.
func (db *DB) endFeed(t *table, status string) (*table, error) {
	def, to := *t.def, *t.def.Kinesis
	to.Status = status
	def.Kinesis = &to
	if def.Stream != nil && def.Stream.View == "" {
		def.Stream = nil
	}
	return db.redefine(t, &def)
}

// precisionChanges is how often the service lets the precision change in 24 hours; kept under strict times.
const precisionChanges = 3

func (c *call) updateDestination() error {
	const configuration = "UpdateKinesisStreamingConfiguration"
	d, err := c.readDestination(configuration)
	if err != nil {
		return err
	}
	if d.precision == "" {
		return invalid("Streaming destination cannot be updated with given parameters: " +
			"UpdateKinesisStreamingConfiguration cannot be null or contain only null values")
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.fedTable(d.table)
	if err != nil {
		return err
	}
	if !t.def.fed() || t.def.Kinesis.Stream != d.stream {
		return invalid("Table is not in a valid state to enable Kinesis Streaming Destination: Kinesis streaming is not in ACTIVE "+
			"state. Updates are only allowed in ACTIVE state. TableName: %s, kdsArn: %s", d.table, kinesis.ARN(c.region, d.stream))
	}
	if t.def.Kinesis.Precision == d.precision {
		return invalid("Invalid Request: Precision is already set to the desired value of %s for tableId: %s, kdsArn: %s",
			d.precision, t.def.ID, kinesis.ARN(c.region, d.stream))
	}
	def, to, now := *t.def, *t.def.Kinesis, millis(c.db.now())
	n := len(to.Changes)
	if c.db.opts.StrictTimes && n >= precisionChanges && now-to.Changes[n-precisionChanges] < day.Milliseconds() {
		return &apiError{400, nsDynamo + "LimitExceededException", "The precision may change 3 times in 24 hours", nil}
	}
	to.Changes = append(to.Changes[max(0, n-precisionChanges+1):n:n], now)
	to.Precision = d.precision
	def.Kinesis = &to
	if _, err := c.db.redefine(t, &def); err != nil {
		return err
	}
	return c.replyDestination(d, "UPDATING", configuration)
}

func (c *call) describeDestination() error {
	t, err := c.named()
	if err != nil {
		return err
	}
	type told struct {
		StreamArn                            string
		DestinationStatus                    string
		DestinationStatusDescription         string `json:",omitempty"`
		ApproximateCreationDateTimePrecision string
	}
	list := []told{}
	if k := t.def.Kinesis; k != nil {
		list = append(list, told{StreamArn: kinesis.ARN(c.region, k.Stream), DestinationStatus: k.Status,
			ApproximateCreationDateTimePrecision: k.Precision})
		if k.Status != destinationActive && !c.db.kinesis.Exists(k.Stream) {
			list[0].DestinationStatusDescription = "The Kinesis stream does not exist"
		}
	}
	return c.replyWhole(struct {
		TableName                     string
		KinesisDataStreamDestinations []told
	}{t.def.Name, list})
}
