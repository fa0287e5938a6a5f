package partition

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// A replica that was moved away and back has forgotten what it acknowledged, and has its old
// name. So has, in part, one that caches: with write caching a replica acknowledges what is not on its disk. When its machine has
// gone down it may have lost some of that, and would vote for a leader that does not have it
// either: so these give up their vote. The vote counts again when a leader, elected without it,
// has brought the replica to where its log ended when that first wrote to it. Until then it
// counts only if every voter votes for the same candidate: then the longest log that is left
// anywhere wins, and nobody could do better. That is how a group comes back whose machines
// went down all at once.

const (
	// cachedName is a file that says that something acknowledged may not be on disk. It is
	// made before the first such answer and removed when the log is closed.
	cachedName = "cached"
	// noVoteName is a file that says that the replica has given up its vote. An operator
	// who removes it accepts the loss of what only replicas have that do not come back.
	noVoteName = "no-vote"
)

// GiveUpVote has the replica whose log is in dir, which nobody has open, begin without its vote, until a leader has
// brought it up to date: what it has acknowledged since may lie elsewhere. It is durable on return.
func GiveUpVote(fsys vfs.FS, dir string) error {
	return vfs.ReplaceFile(fsys, filepath.Join(dir, noVoteName), nil)
}

func (p *Partition) file(name string) string { return filepath.Join(p.cfg.Dir, name) }

func (p *Partition) marked(name string) (bool, error) {
	_, err := p.cfg.FS.Stat(p.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (p *Partition) mark(name string) error { return vfs.ReplaceFile(p.cfg.FS, p.file(name), nil) }

func (p *Partition) unmark(name string) error {
	if err := removed(p.cfg.FS.Remove(p.file(name))); err != nil {
		return err
	}
	return p.cfg.FS.SyncDir(p.cfg.Dir)
}

// loadVote finds out whether this replica has its vote.
func (p *Partition) loadVote() (err error) {
	if p.w.cached, err = p.marked(cachedName); err != nil {
		return err
	}
	abstains, err := p.marked(noVoteName)
	if err != nil {
		return err
	}
	if abstains || p.w.cached && p.cfg.Recovery == log.RecoverPowerLoss {
		p.logger.Warn("the machine went down with write.caching on, or the replica was moved away and back: it has no vote until a leader has brought it up to date")
		return p.giveUpVote()
	}
	return nil
}

// giveUpVote has this replica abstain, in the next process, too.
func (p *Partition) giveUpVote() error {
	if err := p.mark(noVoteName); err != nil {
		return err
	}
	p.abstains.Store(true)
	return nil
}

// noteCached says that what is acknowledged now may be in the page cache only. It runs on
// the main goroutine.
func (p *Partition) noteCached() error {
	if p.w.cached {
		return nil
	}
	err := p.mark(cachedName)
	p.w.cached = err == nil
	return err
}

// regainVote ends what loadVote has found.
func (p *Partition) regainVote() {
	if !p.abstains.Load() {
		return
	}
	if err := p.unmark(noVoteName); err != nil {
		p.logger.Error("the replica is up to date and stays without its vote", "err", err)
		return
	}
	p.abstains.Store(false)
	p.logger.Info("the replica is up to date and has its vote again")
}

// provisionalVote, in a field of an answer that the library does not use any more, marks a
// vote that counts only if all are given.
var provisionalVote = []byte("provisional")

// Consumer has the requests to a replica without its vote, or with a damaged log, pass by.
func (r replicator) Consumer() <-chan raft.RPC {
	in := r.Transport.Consumer()
	if !r.p.abstains.Load() && !r.p.damaged.Load() {
		return in
	}
	out := make(chan raft.RPC)
	r.p.background.Go(func() { r.p.overhear(in, out) })
	return out
}

// overhear passes requests on, until the partition is closed.
func (p *Partition) overhear(in <-chan raft.RPC, out chan<- raft.RPC) {
	var c catchUp
	for {
		select {
		case rpc := <-in:
			if _, stand := rpc.Command.(*raft.TimeoutNowRequest); stand && p.damaged.Load() {
				rpc.Respond(nil, errDamaged)
				continue
			}
			if p.abstains.Load() {
				rpc = p.overhearOne(rpc, &c)
			}
			select {
			case out <- rpc:
			case <-p.closing:
				return
			}
		case <-p.closing:
			return
		}
	}
}

// overhearOne has the answer to a request pass by as well.
func (p *Partition) overhearOne(rpc raft.RPC, c *catchUp) raft.RPC {
	answer, to := make(chan raft.RPCResponse, 1), rpc.RespChan
	if args, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
		c.asked(args)
	}
	command := rpc.Command
	rpc.RespChan = answer
	p.background.Go(func() {
		select {
		case a := <-answer:
			switch r := a.Response.(type) {
			case *raft.RequestVoteResponse:
				if r.Granted {
					r.Peers = provisionalVote
				}
			case *raft.AppendEntriesResponse:
				if args, ok := command.(*raft.AppendEntriesRequest); ok && r.Success && c.reached(args) {
					p.regainVote()
				}
			}
			to <- a
		case <-p.closing:
		}
	})
	return rpc
}

// catchUp is how far a leader has been heard to be, and so how far a replica has to come.
// What the replica acknowledged before it lost it, this leader, of that time still, counts
// as being here: its first append follows that. A later leader's first append follows the
// end of its log.
type catchUp struct {
	mu     sync.Mutex // guards the rest
	term   uint64
	target uint64 // raft index
}

// lastIndex is up to where an append that succeeds makes the logs the same; 0 for a
// heartbeat, which says nothing.
func lastIndex(args *raft.AppendEntriesRequest) uint64 {
	return args.PrevLogEntry + uint64(len(args.Entries))
}

func (c *catchUp) asked(args *raft.AppendEntriesRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if args.Term > c.term {
		c.term, c.target = args.Term, 0
	}
	if args.Term == c.term {
		c.target = max(c.target, lastIndex(args), args.LeaderCommitIndex)
	}
}

func (c *catchUp) reached(args *raft.AppendEntriesRequest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return args.Term == c.term && c.target > 0 && lastIndex(args) >= c.target
}

// ballot is one election in which this replica stands.
type ballot struct {
	request *raft.RequestVoteRequest // the same for all who are asked
	missing int                      // votes of others
	decided chan struct{}            // closed when none is missing, or one is refused
	refused bool
}

// ballots guards the newest one. A vote in an older one counts for nothing.
type ballots struct {
	mu  sync.Mutex
	now *ballot
}

func (b *ballots) of(request *raft.RequestVoteRequest, voters int) *ballot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil || b.now.request != request {
		b.now = &ballot{request: request, missing: voters, decided: make(chan struct{})}
	}
	return b.now
}

func (b *ballots) count(x *ballot, granted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x.refused || x.missing == 0 {
		return
	}
	if granted {
		x.missing--
	}
	x.refused = !granted
	if x.refused || x.missing == 0 {
		close(x.decided)
	}
}

// RequestVote asks for a vote. One that counts only if all are given, and any for a
// candidate whose own does, it holds back until they are.
func (r replicator) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	p, abstains := r.p, r.p.abstains.Load()
	if p.standsAside() {
		resp.Term = args.Term
		return nil // as if all had refused
	}
	x := p.ballots.of(args, p.otherVoters())
	err := r.Transport.RequestVote(id, target, args, resp)
	granted := err == nil && resp.Granted
	p.ballots.count(x, granted)
	if granted && (abstains || bytes.Equal(resp.Peers, provisionalVote)) {
		resp.Granted = p.unanimous(x)
	}
	return err
}

// RequestPreVote asks whether there would be a vote.
func (r replicator) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if r.p.standsAside() {
		resp.Term = args.Term
		return nil // as if all had refused
	}
	return r.Transport.RequestPreVote(id, target, args, resp)
}

// unanimous waits for the outcome of a ballot, for as long as it may matter.
func (p *Partition) unanimous(x *ballot) bool {
	timing := p.cfg.Replication.Timing.withDefaults()
	timer := time.NewTimer(2 * max(timing.Election, timing.Heartbeat))
	defer timer.Stop()
	select {
	case <-x.decided:
		p.ballots.mu.Lock()
		defer p.ballots.mu.Unlock()
		return !x.refused
	case <-timer.C:
	case <-p.closing:
	}
	return false
}

func (p *Partition) otherVoters() (n int) {
	if p.raft.Load() == nil {
		return math.MaxInt // at a start, it is not known yet: none is unanimous
	}
	for _, s := range p.Members().Servers {
		if s.Suffrage == raft.Voter && s.ID != p.cfg.Replication.Local {
			n++
		}
	}
	return n
}
