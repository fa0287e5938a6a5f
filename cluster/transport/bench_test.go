package transport

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkAppendEntries is one follower's replication, one request at a time, as raft makes them.
func BenchmarkAppendEntries(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			n := newNetwork(b)
			from, to := n.open(1), n.open(2)
			g := openGroup(b, from, groupA)
			consume(b, openGroup(b, to, groupA), accept)
			request := entries(from, make([]byte, size))
			mustAppend(b, g, to, request)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, g, to, request)
			}
		})
	}
}

// BenchmarkAppendEntriesGroups is sixteen groups at once.
func BenchmarkAppendEntriesGroups(b *testing.B) {
	const groups, size = 16, 64 << 10
	n := newNetwork(b)
	from, to := n.open(1), n.open(2)
	handles := make([]*Group, groups)
	for i := range handles {
		id := PartitionGroup([16]byte{1}, int32(i))
		handles[i] = openGroup(b, from, id)
		consume(b, openGroup(b, to, id), accept)
	}
	request := entries(from, make([]byte, size))
	b.SetBytes(groups * size)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for _, g := range handles {
			wg.Go(func() { mustAppend(b, g, to, request) })
		}
		wg.Wait()
	}
}

// BenchmarkIdleGroups is what 1,000 idle groups cost, each led here with a follower there, raft left out but
// for its timers: a heartbeat each 150-300 ms, as HeartbeatTimeout of 1.5 s has it. Both ends are in this
// process. "timers" is the same without the transport, to be subtracted.
func BenchmarkIdleGroups(b *testing.B) {
	b.Run("timers", func(b *testing.B) { idle(b, func(int) func() { return func() {} }) })
	b.Run("heartbeats", func(b *testing.B) {
		n := newNetwork(b)
		from, to := n.open(1), n.open(2)
		idle(b, func(i int) func() {
			id := PartitionGroup([16]byte{1}, int32(i))
			g, follower := openGroup(b, from, id), openGroup(b, to, id)
			follower.SetTerm(func() uint64 { return 1 })
			consume(b, follower, accept)
			request := heartbeat(from, 1)
			return func() {
				if _, err := appendTo(g, to, request); err != nil {
					b.Error(err)
				}
			}
		})
		s := from.Stats()
		b.ReportMetric(float64(s.HeartbeatsSent)/float64(s.HeartbeatFramesSent), "heartbeats/frame")
	})
}

func idle(b *testing.B, group func(i int) (beat func())) {
	const groups = 1000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range groups {
		beat := group(i)
		wg.Go(func() {
			timer := time.NewTicker(time.Duration(150+i%150) * time.Millisecond)
			defer timer.Stop()
			for {
				select {
				case <-timer.C:
					beat()
				case <-stop:
					return
				}
			}
		})
	}
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		<-time.After(100 * time.Millisecond)
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()*100/b.Elapsed().Seconds(), "%core")
	close(stop)
	wg.Wait()
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
