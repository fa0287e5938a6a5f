package partition

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"weir/log"
)

// Replication says how a partition takes part in its Raft group.
type Replication struct {
	// Local is this replica: node and data directory. It is its address, too: the
	// transport knows where a replica is to be reached.
	Local raft.ServerID
	// Voters is the first membership of the group, the same on each of them. A
	// replica that is not among them, or has none, waits to be added.
	Voters []raft.ServerID
	// Returned says that this replica was a member before, and has forgotten what it acknowledged: with an
	// empty log it has no vote until a leader has brought it up to date (vote.go).
	Returned bool
	// Transport carries the messages of this group alone, and is closed with the
	// partition; nil for a group that talks to nobody.
	Transport Transport
	// Stable keeps term and vote of this group. It must not forget what it has
	// taken, and gives zero values for what it has not.
	Stable raft.StableStore
	// Eager has this replica stand for election at once rather than after a
	// timeout: of a new partition's replicas, the preferred leader.
	Eager  bool
	Timing Timing
	// Throttle, if not nil, is asked before records go to a follower that is behind.
	Throttle Throttle
	Logger   hclog.Logger // nil: none
	// OnChange, if not nil, hears that another replica leads, or this one, or none
	// is known. It must not block, nor call back into the partition.
	OnChange func()
}

// Transport is what a group needs of one. A transport without pre-votes would have
// the library leave them out silently.
type Transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// Timing is how long a group waits for its members.
type Timing struct {
	Heartbeat time.Duration // without a word from the leader, a follower stands; 0: 1 s
	Election  time.Duration // for votes; 0: as Heartbeat
	Lease     time.Duration // without a word from a majority, a leader steps down; 0: half of Heartbeat
	Commit    time.Duration // followers learn of the last commit, and failed appends are tried again; 0: 10 ms
}

func (t Timing) withDefaults() Timing {
	if t.Heartbeat <= 0 {
		t.Heartbeat = time.Second
	}
	if t.Election <= 0 {
		t.Election = t.Heartbeat
	}
	if t.Lease <= 0 {
		t.Lease = t.Heartbeat / 2
	}
	t.Lease = min(t.Lease, t.Heartbeat-2*time.Millisecond) // hasten needs room below
	if t.Commit <= 0 {
		t.Commit = 10 * time.Millisecond
	}
	return t
}

// maxAppendEntries is how many entries one message to a follower, and one append
// of the leader, may have. Their bytes are bounded by the transport. The library makes
// room for as many (8 bytes each) with every commit, which is most of what it allocates.
const maxAppendEntries = 64

// The library's key for the term.
var keyCurrentTerm = []byte("CurrentTerm")

// bootstrap gives a new replica of a new partition its first entry: who the
// members are. The entry is on disk before the term is, so that a term without a
// log means that the log is lost: a replica that forgot what it acknowledged must
// not come back under the same name.
func (p *Partition) bootstrap() error {
	rep := &p.cfg.Replication
	term, err := rep.Stable.GetUint64(keyCurrentTerm)
	if err != nil && err.Error() != "not found" {
		return err
	}
	if p.log.LastRaftIndex() == 0 {
		switch {
		case rep.Returned: // it may remember its votes: its folder was replaced
			return p.giveUpVote()
		case term > 0:
			return &LostError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Reason: "it has voted, and its log is gone"}
		case len(rep.Voters) == 0:
			return nil
		}
		if err := p.appendFirst(rep.Voters); err != nil {
			return err
		}
	}
	if last := p.log.LastEpoch(); last > 0 && term < uint64(last) {
		return rep.Stable.SetUint64(keyCurrentTerm, uint64(last))
	}
	return nil
}

func (p *Partition) appendFirst(voters []raft.ServerID) error {
	var members raft.Configuration
	for _, id := range voters {
		members.Servers = append(members.Servers, raft.Server{Suffrage: raft.Voter, ID: id, Address: raft.ServerAddress(id)})
	}
	entry := log.Entry{Kind: log.KindConfiguration, Epoch: 1, Data: raft.EncodeConfiguration(members)}
	if _, err := p.log.Append([]log.Entry{entry}); err != nil {
		return err
	}
	return p.log.Sync()
}

// startRaft joins the group. From here on the library calls store and machine.
func (p *Partition) startRaft() error {
	rep := &p.cfg.Replication
	trans := rep.Transport
	if trans == nil {
		_, trans = raft.NewInmemTransport(raft.ServerAddress(rep.Local))
	}
	conf := p.raftConfig()
	snapshots := &snapshots{p: p, start: p.state.at}
	r, err := newRaft(conf, p, snapshots, trans)
	if err != nil {
		return fmt.Errorf("partition: %s-%d: %w", p.cfg.Topic, p.cfg.Partition, err)
	}
	snapshots.running.Store(true)
	p.raft.Store(r)
	p.mu.Lock()
	p.shutdown = sync.OnceValue(r.Shutdown)
	p.mu.Unlock()
	if p.left.Load() != nil { // meanwhile
		p.shutdown()
	}
	if t, ok := trans.(interface{ SetTerm(func() uint64) }); ok {
		t.SetTerm(r.CurrentTerm)
	}
	if t, ok := trans.(interface {
		LetStand(leads func() bool, timeout, lease time.Duration)
	}); ok {
		t.LetStand(func() bool { return r.State() == raft.Leader }, conf.HeartbeatTimeout, conf.LeaderLeaseTimeout)
	}
	if t, ok := trans.(interface {
		SetMembers(func() raft.Configuration)
	}); ok {
		t.SetMembers(p.Members)
	}
	p.timeouts.begin(r, p.logger)
	if t, ok := trans.(interface {
		SetHeard(func(heard bool, at time.Time) (enough bool))
	}); ok {
		defer t.SetHeard(p.timeouts.heard) // once there is an observer
	}
	r.RegisterObserver(raft.NewObserver(nil, false, p.observe))
	if term := r.CurrentTerm(); r.State() == raft.Leader {
		p.elected(r, term) // before there was an observer
	}
	p.standEarly(r)
	return nil
}

// newRaft gives an entry that cannot be read as an error: the library, which looks through
// the log for configurations before it starts anything, panics with it.
func newRaft(conf *raft.Config, p *Partition, snapshots raft.SnapshotStore, trans Transport) (r *raft.Raft, err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case error:
			err = v
		default:
			panic(v)
		}
	}()
	return raft.NewRaft(conf, machine{p}, store{p}, p.cfg.Replication.Stable, snapshots, replicator{trans, p})
}

func (p *Partition) raftConfig() *raft.Config {
	rep := &p.cfg.Replication
	timing := rep.Timing.withDefaults()
	conf := raft.DefaultConfig()
	conf.LocalID = rep.Local
	conf.HeartbeatTimeout = timing.Heartbeat
	conf.ElectionTimeout = max(timing.Election, conf.HeartbeatTimeout)
	conf.LeaderLeaseTimeout = timing.Lease
	conf.CommitTimeout = timing.Commit
	conf.MaxAppendEntries = maxAppendEntries
	conf.BatchApplyCh = true
	// The library takes no snapshots, and cuts nothing off behind one: the log is
	// the data. See snapshots.
	conf.SnapshotThreshold = math.MaxUint64
	conf.SnapshotInterval = 365 * 24 * time.Hour
	conf.TrailingLogs = math.MaxUint64
	conf.NoSnapshotRestoreOnStart = true // Open has loaded the checkpoint
	conf.ShutdownOnRemove = false        // the node closes a replica that is not wanted any more
	conf.NoLegacyTelemetry = true
	conf.Logger = rep.Logger
	if conf.Logger == nil {
		conf.Logger = hclog.NewNullLogger()
	}
	return conf
}

func soleVoter(members raft.Configuration, id raft.ServerID) bool {
	voters, own := 0, false
	for _, s := range members.Servers {
		if s.Suffrage == raft.Voter {
			voters++
			own = own || s.ID == id
		}
	}
	return own && voters == 1
}

// observe runs on the library's goroutines, from within its changes of state. It
// gives nothing to the observer's channel, which does not exist.
func (p *Partition) observe(o *raft.Observation) bool {
	switch change := o.Data.(type) {
	case raft.RaftState:
		p.timeouts.changed()
		p.turned.ring()
		if change == raft.Leader {
			p.elected(o.Raft, o.Raft.CurrentTerm())
		} else {
			p.deposed()
		}
	case raft.LeaderObservation:
		p.leader.Store(&change.LeaderID)
		p.changed()
	}
	return false
}

// changed tells those who wait for a leader, those who rest as one, and the node.
func (p *Partition) changed() {
	p.waiters.wakeAll()
	p.alarm.ring()
	if p.cfg.Replication.OnChange != nil {
		p.cfg.Replication.OnChange()
	}
}

// elected proposes an entry of ours. When that is applied, so is everything that
// earlier leaders committed, and this replica may serve.
func (p *Partition) elected(r *raft.Raft, term uint64) {
	if term > math.MaxInt32 {
		p.fail(fmt.Errorf("partition: term %d does not fit a leader epoch", term))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return
	}
	p.followers.forget()
	p.sole = soleVoter(r.GetConfiguration().Configuration(), p.cfg.Replication.Local)
	first := p.enqueue(&proposal{kind: log.KindBarrier, epoch: int32(term)})
	// Not here: this is the goroutine that takes what is applied.
	p.background.Go(func() {
		p.regainVote() // all have voted, if that has been given up
		p.insist(r, first)
	})
}

// The library is asked again after firstRetry, and then less and less often.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// insist proposes an entry until it is stored, or ended. While a leadership is being
// handed over the library refuses entries, and goes on to do so for a moment after the
// transfer has ended, even if this replica leads again by then. An entry that was taken
// twice is stored once (claimAll).
func (p *Partition) insist(r *raft.Raft, x *proposal) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		r.ApplyLog(raft.Log{Extensions: x.key[:]}, 0)
		select {
		case <-time.After(wait):
		case <-p.closing:
			return
		}
		p.mu.Lock()
		waits := x.is == queued
		p.mu.Unlock()
		if !waits {
			return
		}
		if wait == lastRetry {
			p.logger.Warn("this replica leads and cannot write: its library takes no entries", "epoch", x.epoch)
		}
	}
}

// deposed ends what this replica has proposed as a leader. Of what is stored
// already nobody knows yet whether it will be committed.
func (p *Partition) deposed() {
	p.mu.Lock()
	p.epoch.Store(-1)
	p.sole = false
	p.mu.Unlock()
	p.forsake(p.notLeader())
	p.changed()
}

// Leading reports whether this replica leads and may serve as the leader; epoch is
// that of its leadership.
func (p *Partition) Leading() (epoch int32, ok bool) {
	epoch = p.epoch.Load()
	return epoch, epoch >= 0
}

// LeadingSince is when this replica's leadership began; of use while it leads.
func (p *Partition) LeadingSince() time.Time {
	if t := p.since.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Leader is the replica that leads as far as this one knows, empty for none.
func (p *Partition) Leader() raft.ServerID {
	if id := p.leader.Load(); id != nil {
		return *id
	}
	return ""
}
