package command

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	demoTopic           = "orders"
	demoRate  rateValue = 2 // a second: life, not load
)

var demoItems = []struct {
	name  string
	cents int64
}{{"tea", 450}, {"coffee", 990}, {"bread", 320}, {"honey", 780}, {"apples", 260}, {"soap", 540}}

// demoOrder is the value of a demo record.
type demoOrder struct {
	Order    int       `json:"order"`
	Customer string    `json:"customer"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	Cents    int64     `json:"cents"`
	At       time.Time `json:"at"`
}

// trickle writes orders of a few customers to the brokers at addrs until ctx ends. The key is the customer, so each
// customer's orders stay in order.
func trickle(ctx context.Context, addrs []string, rate rateValue, now func() time.Time) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("weir-demo"), kgo.AllowAutoTopicCreation(), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	pace := pacer{rate: rate}
	for n := 1; pace.wait(ctx) == nil; n++ {
		item := demoItems[rand.IntN(len(demoItems))]
		o := demoOrder{Order: n, Customer: fmt.Sprintf("u%d", 1+rand.IntN(9)), Item: item.name, Quantity: 1 + rand.IntN(3), At: now().UTC()}
		o.Cents = item.cents * int64(o.Quantity)
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		r := &kgo.Record{Topic: demoTopic, Key: []byte(o.Customer), Value: value,
			Headers: []kgo.RecordHeader{{Key: "source", Value: []byte("demo")}}}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
