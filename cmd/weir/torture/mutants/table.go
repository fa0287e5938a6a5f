package mutants

// lost is what a history says, or a consumer, when something that was acknowledged or read is not there any
// more: most often something else has its offset by then.
const lost = `(lost|unread|changed|stale|rewind): partition|lost records; the client`

// All is every planted bug. Those that a test of whole processes can see have one
// named, since that is what users have, and a quick one inside a package beside
// it; a comment says why where there is none.
var All = []Mutant{
	{
		Name: "M1", Bug: "acks=all is answered when the leader has stored the batch",
		Edits: []Edit{{"partition/append.go",
			`		if a.acks == AcksAll {
			rest = append(rest, a)`,
			`		if false {
			rest = append(rest, a)`,
		}},
		// What an isolated leader takes until its lease ends is cut off again.
		Caught: []Harness{
			attack("^TestClusterNetwork$/^isolate-a-leader$", lost, "WEIR_TORTURE_CLUSTER_CYCLES=3"),
			inside("partition", "^TestMinorityRefuses$", `a minority acknowledged`),
		},
	},
	{
		Name: "M2", Bug: "acks=all is answered before the sync, which comes with the next roll",
		Edits: []Edit{{"partition/store.go",
			`	if err := p.syncNow(); err != nil {
		return err
	}
	p.mu.Lock()`,
			`	p.mu.Lock()`,
		}},
		// The death of a process takes nothing out of the page cache: only power losses see it.
		Caught: []Harness{
			attack("^TestPowerLoss$", lost),
			attack("^TestClusterPowerLoss$", lost),
			inside("partition", "^TestPowerLossEverywhere$", `was acknowledged`),
		},
	},
	{
		Name: "M3", Bug: "a new leader serves before its first entry is applied",
		Edits: []Edit{{"partition/raft.go",
			`	first := p.enqueue(&proposal{kind: log.KindBarrier, epoch: int32(term)})
`,
			`	first := p.enqueue(&proposal{kind: log.KindBarrier, epoch: int32(term)})
	p.serve(int32(term))
`,
		}},
		Caught: []Harness{
			attack("^TestClusterNetwork$/^kill-a-leader-over-slow-links$", `duplicate: partition`),
			inside("partition", "^TestRetryAcrossLeaders$", `the retry lies at`),
		},
	},
	{
		Name: "M4", Bug: "a retry of a batch that is stored and not committed is acknowledged at once",
		Edits: []Edit{{"partition/append.go",
			`			return nil, false, original.wait(p, &Append{retry: true}, acks)`,
			`			return nil, false, original.wait(p, &Append{retry: true}, AcksLeader)`,
		}},
		// The hasty producer sends again within the lease of a leader that is cut off.
		Caught: []Harness{attack("^TestClusterNetwork$/^isolate-a-leader$", lost, "WEIR_TORTURE_CLUSTER_CYCLES=3")},
	},
	{
		Name: "M5", Bug: "recovery cuts the log at a bad frame that whole ones follow, rather than to refuse it",
		Edits: []Edit{{"segment/recover.go",
			`	if r.mode == RecoverPowerLoss {
		return nil
	}`,
			`	if r.mode != RecoverPowerLoss || r.mode == RecoverPowerLoss {
		return nil
	}`,
		}},
		Caught: []Harness{
			attack("^TestFlippedBits$/^past_the_recovery_point$", `the file has been cut`),
			inside("segment", "^TestRecoverVerdicts$", `want a refusal at position`),
		},
	},
	{
		Name: "M6", Bug: "a sync that fails is taken for one that succeeds",
		Edits: []Edit{{"segment/errors.go",
			`	if err := f.Sync(); err != nil {
		return &SyncError{Path: f.Name(), Err: err}
	}
	return nil`,
			`	_ = f.Sync()
	return nil`,
		}},
		Caught: []Harness{
			attack("^TestFailedSync$", lost, "WEIR_TORTURE_FAILED_SYNCS=6"),
			inside("partition", "^TestFailedSyncAnywhere$", `open: corrupt: .*, in a sealed segment`),
		},
	},
	{
		Name: "M7", Bug: "heartbeats pass the library's main loop by (hashicorp/raft issue 695)",
		Edits: []Edit{
			{"cluster/transport/group.go",
				`	leads    atomic.Pointer[func() bool] // see LetStand
`,
				`	leads    atomic.Pointer[func() bool] // see LetStand
	fast     atomic.Pointer[func(raft.RPC)]
`,
			},
			{"cluster/transport/group.go",
				`func (g *Group) SetHeartbeatHandler(func(raft.RPC)) {}`,
				`func (g *Group) SetHeartbeatHandler(f func(raft.RPC)) { g.fast.Store(&f) }`,
			},
			{"cluster/transport/heartbeat.go",
				`	if g.confirm(term, version, leader, now, nil) {`,
				`	if f := g.fast.Load(); f != nil && *f != nil {
		response = newRPCAnswer(g)
		(*f)(raft.RPC{Command: heartbeatRequest(term, version, leader), RespChan: response.ch})
		return false, response, nil
	}
	if g.confirm(term, version, leader, now, nil) {`,
			},
		},
		// The next leader's heartbeat has to reach the old one while it leads by its lease, has heard of
		// nothing else, and is about to take a command: milliseconds, in one of many partitions' cuts.
		Caught: []Harness{inside("cluster/transport", "^TestHeartbeatOfTheNextLeader$", `equal logs|differs`)},
	},
	{
		Name: "M8", Bug: "offsets are one further after each entry of the library's own",
		Edits: []Edit{{"log/append.go",
			`			f.Bytes = segment.RaftFrameBytes + int64(len(e.Data))
`,
			`			f.Bytes = segment.RaftFrameBytes + int64(len(e.Data))
			f.NextOffset++
`,
		}},
		Caught: []Harness{
			attack("^TestTornTail$", `is offline.*offset 1, want 0`),
			inside("log", "^TestModel$", `append gives .*, want offset`),
		},
	},
	{
		Name: "M9", Bug: "the last stable offset leaves an open transaction out",
		Edits: []Edit{{"partition/producers.go",
			`	if first := t.open.Front(); first != nil {`,
			`	if first := t.open.Back(); first != nil {`,
		}},
		Caught: []Harness{
			inside("partition", "^TestTransactions$", `last stable offset 2 below`),
			inside("partition", "^TestTransactionsModel$", `last stable offset \d+, seen \d+`),
			inside("cluster/broker", "^TestTransactionInThePartition$", `latest: 1 for read_committed`),
		},
	},
	{
		Name: "M10", Bug: "the folder is not synced when a segment begins",
		Edits: []Edit{{"log/append.go",
			`	if err := l.syncDir(); err != nil {
		_ = s.Close() // the log has failed
		return err
	}
`,
			``,
		}},
		// ext4 has a new file's name on disk when the file is synced; the file system in
		// memory does what POSIX lets one do.
		Caught: []Harness{inside("log", "^TestCrashEnumeration$/^roll$", `everything is out but create /data/log/\d+\.log`)},
	},
	{
		Name: "M11", Bug: "the library takes snapshots of its own, and cuts the log behind them",
		Edits: []Edit{
			{"partition/raft.go", `	conf.SnapshotThreshold = math.MaxUint64
`, `	conf.SnapshotThreshold = 64
`},
			{"partition/raft.go", `	conf.SnapshotInterval = 365 * 24 * time.Hour
`, `	conf.SnapshotInterval = 100 * time.Millisecond
`},
			{"partition/raft.go", `	conf.TrailingLogs = math.MaxUint64
`, `	conf.TrailingLogs = 16
`},
			{"partition/machine.go",
				`func (machine) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }
`,
				`func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	return encodedState(m.p.state.encode()), nil
}

type encodedState []byte

func (s encodedState) Persist(to raft.SnapshotSink) error {
	_, err := to.Write(s)
	return errors.Join(err, to.Close())
}

func (encodedState) Release() {}
`,
			},
			{"partition/store.go",
				`	if max < p.log.LastRaftIndex() {
		return nil
	}
`,
				`	if max < p.log.LastRaftIndex() {
		head, err := p.log.EntryHead(max)
		if err == nil {
			p.advanceStart(head.NextOffset)
		}
		return err
	}
`,
			},
		},
		Caught: []Harness{
			attack("^TestKill$", `lost: partition.*the log starts at`),
			inside("partition", "^TestLibrarySettings$", `the machine gives snapshots`),
		},
	},
	{
		Name: "M12", Bug: "the coordinator of a group goes on answering when it has lost its leadership",
		Edits: []Edit{{"cluster/broker/ledger.go",
			`	p, err := t.Partition(l.index)
	var elsewhere`,
			`	if l.epoch != notLoaded {
		return nil, nil
	}
	p, err := t.Partition(l.index)
	var elsewhere`,
		}},
		// Consumers that hear of another coordinator ask that one: who asks the old one shows it.
		Caught: []Harness{inside("cluster/broker", "^TestFormerCoordinator$", `the former coordinator answers`)},
	},
	{
		Name: "M13", Bug: "the term of a vote is stored before its candidate (hashicorp/raft issue 661)",
		Edits: []Edit{
			{"cluster/votes/group.go",
				`		g.pendingTerm, g.pending = value, true
		return g.store.failed()`,
				`		g.pendingTerm, g.pending = value, true
		vote := g.values[keyVote]
		return g.write(keyVote, append(binary.BigEndian.AppendUint64(nil, value), vote[min(termBytes, len(vote)):]...))`,
			},
			{"cluster/controller/stable.go",
				`		s.pendingTerm, s.pending = value, true
		return s.fault.get()`,
				`		s.pendingTerm, s.pending = value, true
		vote, err := s.vote()
		if err != nil {
			vote = nil // there was none
		}
		return s.write(keyVote, append(binary.BigEndian.AppendUint64(nil, value), vote[min(8, len(vote)):]...))`,
			},
		},
		// The two writes are less than a millisecond apart, and what comes of it takes a lagging
		// candidate at that moment: a test at the store cuts between them each time.
		Caught: []Harness{
			inside("cluster/votes", "^TestCrashAmidVote$", `term \d+, vote in \d+ for`),
			inside("cluster/controller", "^TestVoteIsOneRecord$", `vote is \d+ for`),
		},
	},
	{
		Name: "M14", Bug: "the first entry kept goes to a replica without its records",
		Edits: []Edit{{"partition/peers.go",
			`	b = append(b, byte(entry.Kind))
`,
			`	if entry.Kind == log.KindBatch {
		entry.Kind, entry.Data = log.KindRemoved, nil
	}
	b = append(b, byte(entry.Kind))
`,
		}},
		// No test of processes makes a replica anew.
		Caught: []Harness{inside("partition", "^TestFirstEntryIsRead$", `the new replica has \d+ bytes`)},
	},
	{
		Name: "M15", Bug: "a follower stamps batches again rather than to compare their offsets",
		Edits: []Edit{
			{"log/append.go",
				`		if h.BaseOffset != f.Offset || h.PartitionLeaderEpoch != e.Epoch {`,
				`		if h.PartitionLeaderEpoch != e.Epoch {`,
			},
			{"log/append.go",
				`			if !stamped {
				recordbatch.SetBaseOffset(e.Data, f.Offset)`,
				`			if stamped {
				recordbatch.SetBaseOffset(e.Data, f.Offset)
			} else {
				recordbatch.SetBaseOffset(e.Data, f.Offset)`,
			},
		},
		// It hides other bugs, and does nothing by itself: something has to make the logs differ.
		Caught: []Harness{
			inside("partition", "^TestFollowerCompares$", `it took a batch with another offset`),
			inside("log", "^TestAppendStampedRefuses$", `got <nil>`),
		},
	},
	{
		Name: "M16", Bug: "a start believes a checkpoint that lies above the end of the log",
		Edits: []Edit{
			{"partition/checkpoint_files.go",
				`	if err := sweepCheckpoints(fsys, dir, p.log.LastRaftIndex()); err != nil {`,
				`	if err := sweepCheckpoints(fsys, dir, ^uint64(0)); err != nil {`,
			},
			{"partition/checkpoint_files.go",
				`	e, err := p.log.EntryHead(at.raftIndex)
	return err == nil`,
				`	e, err := p.log.EntryHead(at.raftIndex)
	return at.raftIndex > p.log.LastRaftIndex() || err == nil`,
			},
		},
		// A log that ends below its checkpoint takes a disk that loses what it has synced, or write caching
		// and a power loss right after a checkpoint.
		Caught: []Harness{inside("partition", "^TestCheckpointAboveTheEnd$", `the start goes on from entry`)},
	},
	{
		Name: "M17", Bug: "a coordinator that takes over aborts what was to be committed",
		Edits: []Edit{{"cluster/broker/transactions.go",
			`	s.parts += len(is.Partitions)
	s.ids[id] =`,
			`	if is.State == txn.PrepareCommit {
		is.State = txn.PrepareAbort
	}
	s.parts += len(is.Partitions)
	s.ids[id] =`,
		}},
		Caught: []Harness{
			attack("^TestCoordinatorKilledInEveryState$", `is answered .*INVALID_TXN_STATE|was committed, and is read 0 times`, "WEIR_TORTURE_TXN_COORDINATORS=1"),
			inside("cluster/broker", "^TestCoordinatorDies$", `it ended in CompleteAbort, want CompleteCommit`),
		},
	},
	{
		Name: "M18", Bug: "a producer that is fenced may end the transaction of its successor",
		Edits: []Edit{{"cluster/txn/transaction.go",
			`case s.Producer.Epoch != p.Epoch || p.Epoch > lastEpoch:`,
			`case s.Producer.Epoch < p.Epoch || p.Epoch > lastEpoch:`,
		}},
		Caught: []Harness{
			attack("^TestCoordinatorKilledInEveryState$", `a zombie of .* tries to (commit|abort|add), and is answered: <nil>|what was late of the transaction before has ended`, "WEIR_TORTURE_TXN_COORDINATORS=1"),
			inside("cluster/txn", "^TestScripts$", `want there is a newer producer`),
		},
	},
	{
		Name: "M19", Bug: "readers of what is committed are not told which transactions were aborted",
		Edits: []Edit{{"cluster/broker/fetch_response.go",
			`len(res.aborted)) // null is for the other level
		for i, t := range res.aborted {`,
			`0) // null is for the other level
		for i, t := range res.aborted[:0] {`,
		}},
		Caught: []Harness{
			attack("^TestCoordinatorKilledInEveryState$", `was not committed, and is read`, "WEIR_TORTURE_TXN_COORDINATORS=1"),
			inside("cluster/broker", "^TestTransactions$", `records, want|was aborted, and is read`),
		},
	},
	{
		Name: "M20", Bug: "only the first partition of a transaction gets its marker",
		Edits: []Edit{{"cluster/broker/markers.go",
			`m.writeOnce(ctx, d, partitions, current)`,
			`m.writeOnce(ctx, d, partitions[:min(1, len(partitions))], current)`,
		}},
		Caught: []Harness{
			attack("^TestCoordinatorKilledInEveryState$", `the last stable offset is|UNSTABLE_OFFSET_COMMIT|commit decided, \d is in state CompleteCommit, want PrepareCommit`, "WEIR_TORTURE_TXN_COORDINATORS=1"),
		},
	},
	{
		Name: "M21", Bug: "offsets that a transaction has committed count though it is aborted",
		Edits: []Edit{{"cluster/broker/txn_offset_commit.go",
			`		if commit {
			s.offsets.Set(`,
			`		if commit || !commit {
			s.offsets.Set(`,
		}},
		Caught: []Harness{
			attack("^TestCoordinatorKilledInEveryState$", `the group of .* is at`, "WEIR_TORTURE_TXN_COORDINATORS=1"),
			inside("cluster/broker", "^TestTxnOffsetCommit$", `has offset \d+ with`),
		},
	},
}
