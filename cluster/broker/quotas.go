package broker

// Clients are held to their quotas in two ways at a time (KIP-219): the answer says for how long to wait, and for so long the
// connection is not read. While a client has quotas its requests are read one by one, as Kafka reads all, so that those read
// ahead do not get round them. Other brokers have a port of their own, without any.

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cluster/quota"
	"weir/protocol"
	"weir/protocol/wire"
)

// quotas are the limits that are in force, and what clients have left of them.
type quotas struct {
	limits   atomic.Pointer[quota.Limits]
	renewing sync.Mutex // of limits: one is enough
	buckets  *quota.Buckets
	// threadTime is how long processors have worked for the calling thread.
	threadTime func() time.Duration
	// measured has a place for each request that has a thread to itself.
	measured chan struct{}
}

// maxMeasured is for how many requests at a time it is measured what they take: each has a thread, and a process may not
// have many thousands. Requests beyond, and while they wait in a fetch, are not measured.
const maxMeasured = 512

func (q *quotas) start(cfg *config.Network) {
	q.buckets = quota.NewBuckets(quota.Config{Windows: cfg.QuotaWindows, Window: cfg.QuotaWindow})
	q.threadTime, q.measured = threadTime, make(chan struct{}, maxMeasured)
}

// Quotas are what clients have left of their quotas.
func (b *Broker) Quotas() *quota.Buckets { return b.quotas.buckets }

// limitsOf is what limits a client by the quotas of now, nil for nothing.
func (b *Broker) limitsOf(user, clientID string) *quota.Client {
	set := b.node.Image().Quotas()
	if len(set.Clients) == 0 {
		return nil
	}
	limits := b.quotas.limits.Load()
	if limits == nil || limits.Index() != set.Index {
		limits = b.renewLimits()
	}
	return limits.Client(user, clientID)
}

func (b *Broker) renewLimits() *quota.Limits {
	b.quotas.renewing.Lock()
	defer b.quotas.renewing.Unlock()
	set := b.node.Image().Quotas()
	if limits := b.quotas.limits.Load(); limits != nil && limits.Index() == set.Index {
		return limits
	}
	limits := quota.NewLimits(set)
	b.quotas.limits.Store(limits)
	return limits
}

// meter is what a request of a client with quotas has taken.
type meter struct {
	client     *quota.Client
	threadTime func() time.Duration
	measured   chan struct{} // of quotas
	working    bool          // a thread is measured
	began      time.Duration // by the thread, since which it works on the request
	spent      time.Duration // before that
	wait       time.Duration // for what was fetched
}

// metered runs a handler, and what it leaves for later, by the client's quotas.
func (c *call) metered(h handler) wire.Reply {
	client := c.broker.limitsOf(c.client.Principal.Name, c.Header.ClientID)
	c.Conn.OneByOne(client != nil)
	if client == nil {
		return h(c)
	}
	c.meter = &meter{client: client, threadTime: c.broker.quotas.threadTime, measured: c.broker.quotas.measured}
	c.meter.work()
	defer c.meter.rest()
	reply := h(c)
	if prompt, ok := reply.(wire.PromptReply); ok && prompt.IsReady() {
		return reply
	}
	return lazy(func(ctx context.Context) (wire.Response, error) {
		c.meter.work()
		defer c.meter.rest()
		return reply.Await(ctx)
	})
}

// work measures until rest, which the same goroutine calls. What the goroutine waits for does not count, nor what others
// do for it.
func (m *meter) work() {
	if m == nil || !m.client.Limited(quota.Request) {
		return
	}
	select {
	case m.measured <- struct{}{}:
	default:
		return
	}
	runtime.LockOSThread()
	m.began, m.working = m.threadTime(), true
}

// rest ends work, where that has begun.
func (m *meter) rest() {
	if m == nil || !m.working {
		return
	}
	m.lap()
	m.working = false
	runtime.UnlockOSThread()
	<-m.measured
}

// lap is what was spent until now.
func (m *meter) lap() time.Duration {
	if !m.working {
		return m.spent
	}
	now := m.threadTime()
	m.spent += now - m.began
	m.began = now
	return m.spent
}

// settle takes what the request took out of the client's quotas, just before the answer is encoded, and mutes the connection for as
// long as the client has to wait.
func (c *call) settle() time.Duration {
	m := c.meter
	if m == nil {
		return 0
	}
	wait, buckets, now := m.wait, c.broker.quotas.buckets, c.broker.now()
	if c.Header.Key == protocol.KeyProduce {
		wait = max(wait, buckets.Take(m.client, quota.Produce, float64(c.SizeBytes()), now))
	}
	if m.client.Limited(quota.Request) {
		wait = max(wait, buckets.Take(m.client, quota.Request, m.lap().Seconds(), now))
	}
	if wait > 0 {
		c.Conn.Mute(wait)
	}
	return wait
}

// tell settles, and says in the answer how long to wait.
func (c *call) tell(resp kmsg.Response) {
	if wait := c.settle(); wait > 0 {
		if throttled, ok := resp.(kmsg.SetThrottleResponse); ok {
			throttled.SetThrottle(int32(wait.Milliseconds()))
		}
	}
}

// fetchable is how much of most bytes the client may fetch at once: what it may be above its quota, since the wait for more
// would be long. There is always room for one batch (KIP-74).
func (c *call) fetchable(most int) int {
	if c.meter == nil {
		return most
	}
	return int(min(float64(most), c.broker.quotas.buckets.Most(c.meter.client, quota.Fetch)))
}

// takeFetched takes bytes out of the client's quota, or says that it is used up.
func (c *call) takeFetched(bytes int) (ok bool) {
	if c.meter == nil || bytes == 0 {
		return true
	}
	c.meter.wait, ok = c.broker.quotas.buckets.TryTake(c.meter.client, quota.Fetch, float64(bytes), c.broker.now())
	return ok
}
