package kinesis

import (
	"fmt"
	"slices"
	"strings"
)

// consumer is a registered reader with its own share of a shard.
type consumer struct {
	Name      string `json:"name"`
	CreatedMs int64  `json:"createdMs"`
}

const (
	consumersMax     = 20 // of a stream
	consumersPerPage = 100
)

type consumerOut struct {
	ConsumerARN               string
	ConsumerCreationTimestamp seconds
	ConsumerName              string
	ConsumerStatus            string
	StreamARN                 string `json:",omitempty"`
}

func (c *call) describeOf(d *description, of consumer) consumerOut {
	return consumerOut{ConsumerARN: c.consumerARN(d, of), ConsumerCreationTimestamp: seconds(of.CreatedMs),
		ConsumerName: of.Name, ConsumerStatus: "ACTIVE"}
}

func (c *call) consumerARN(d *description, of consumer) string {
	return fmt.Sprintf("%s/consumer/%s:%d", ARN(c.region, d.Name), of.Name, of.CreatedMs/1000)
}

type consumerIn struct {
	StreamARN    *string
	ConsumerName *string
	ConsumerARN  *string
}

// consumer finds a consumer by its ARN, or by its stream's ARN and its name.
func (c *call) consumer(in *consumerIn) (*stream, consumer, error) {
	var none consumer
	arn, name := "", ""
	created := int64(-1)
	switch {
	case in.ConsumerARN != nil:
		var ok bool
		var rest string
		if arn, rest, ok = strings.Cut(*in.ConsumerARN, "/consumer/"); ok {
			var number string
			if name, number, ok = strings.Cut(rest, ":"); ok {
				_, err := fmt.Sscan(number, &created)
				ok = err == nil
			}
		}
		if !ok {
			return nil, none, invalidArgument("%s is not a valid ConsumerARN.", *in.ConsumerARN)
		}
	case in.StreamARN != nil && in.ConsumerName != nil:
		arn, name = *in.StreamARN, *in.ConsumerName
	default:
		return nil, none, invalidArgument("Either ConsumerARN, or StreamARN and ConsumerName, must be specified.")
	}
	s, err := c.stream(named{StreamARN: &arn})
	if err != nil {
		return nil, none, err
	}
	for _, of := range s.now().Consumers {
		if of.Name == name && (created < 0 || created == of.CreatedMs/1000) {
			return s, of, nil
		}
	}
	return nil, none, failf("ResourceNotFoundException", "Consumer %s under stream %s under account %s not found.",
		name, s.now().Name, account)
}

type registerIn struct {
	StreamARN    *string
	ConsumerName *string
}

func (c *call) registerConsumer(in *registerIn) (any, error) {
	v := &checks{}
	v.need(in.StreamARN != nil, "streamARN")
	v.need(in.ConsumerName != nil, "consumerName")
	v.name(in.ConsumerName, "consumerName", nameMax)
	s, err := c.asked(v, named{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	made := consumer{Name: *in.ConsumerName, CreatedMs: c.now().UnixMilli()}
	err = s.change(c.Engine, func(d *description) error {
		if slices.ContainsFunc(d.Consumers, func(of consumer) bool { return of.Name == made.Name }) {
			return inUse("Consumer %s under stream %s already exists for account %s.", made.Name, d.Name, account)
		}
		if len(d.Consumers) >= consumersMax {
			return failf("LimitExceededException", "Stream %s under account %s has %d consumers, the most there can be.",
				d.Name, account, consumersMax)
		}
		d.Consumers = append(d.Consumers, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := c.describeOf(s.now(), made)
	out.ConsumerStatus = "CREATING"
	return map[string]any{"Consumer": out}, nil
}

func (c *call) deregisterConsumer(in *consumerIn) (any, error) {
	s, of, err := c.consumer(in)
	if err != nil {
		return nil, err
	}
	return nil, s.change(c.Engine, func(d *description) error {
		d.Consumers = slices.DeleteFunc(d.Consumers, func(o consumer) bool { return o == of })
		return nil
	})
}

func (c *call) describeConsumer(in *consumerIn) (any, error) {
	s, of, err := c.consumer(in)
	if err != nil {
		return nil, err
	}
	out := c.describeOf(s.now(), of)
	out.StreamARN = ARN(c.region, s.now().Name)
	return map[string]any{"ConsumerDescription": out}, nil
}

type listConsumersIn struct {
	StreamARN               *string
	MaxResults              *int
	NextToken               *string
	StreamCreationTimestamp *moment
}

func (c *call) listConsumers(in *listConsumersIn) (any, error) {
	v := &checks{}
	v.need(in.StreamARN != nil, "streamARN")
	v.between(in.MaxResults, "maxResults", 1, listShardsMax)
	s, err := c.asked(v, named{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	d := s.now()
	if in.StreamCreationTimestamp != nil && in.StreamCreationTimestamp.ms()/1000 != d.CreatedMs/1000 {
		return nil, notFound(d.Name)
	}
	limit := consumersPerPage
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	consumers := slices.Clone(d.Consumers)
	slices.SortFunc(consumers, func(a, b consumer) int { return strings.Compare(a.Name, b.Name) })
	if in.NextToken != nil {
		consumers = slices.DeleteFunc(consumers, func(of consumer) bool { return of.Name <= *in.NextToken })
	}
	list, out := []consumerOut{}, map[string]any{}
	for i, of := range consumers {
		if i == limit {
			out["NextToken"] = consumers[i-1].Name
			break
		}
		list = append(list, c.describeOf(d, of))
	}
	out["Consumers"] = list
	return out, nil
}
