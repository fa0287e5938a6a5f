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

// BenchmarkIdleGroups is what 1,000 idle groups cost, each led here with a follower there: one heartbeat each
// 150-300 ms, as with a HeartbeatTimeout of 1.5 s... both ends in this process, raft left out.
func BenchmarkIdleGroups(b *testing.B) {
	const groups = 1000
	n := newNetwork(b)
	from, to := n.open(1), n.open(2)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range groups {
		id := PartitionGroup([16]byte{1}, int32(i))
		g, follower := openGroup(b, from, id), openGroup(b, to, id)
		follower.SetTerm(func() uint64 { return 1 })
		consume(b, follower, accept)
		wg.Go(func() {
			timer := time.NewTicker(time.Duration(150+i%150) * time.Millisecond)
			defer timer.Stop()
			request := heartbeat(from, 1)
			for {
				select {
				case <-timer.C:
					if _, err := appendTo(g, to, request); err != nil {
						b.Error(err)
					}
				case <-stop:
					return
				}
			}
		})
	}
	before, frames, sent := cpuTime(b), from.Stats().HeartbeatFramesSent, from.Stats().HeartbeatsSent
	b.ResetTimer()
	for b.Loop() {
		<-time.After(100 * time.Millisecond)
	}
	elapsed := b.Elapsed().Seconds()
	b.ReportMetric((cpuTime(b)-before).Seconds()*100/elapsed, "%core")
	b.ReportMetric(float64(from.Stats().HeartbeatsSent-sent)/elapsed, "heartbeats/s")
	b.ReportMetric(float64(from.Stats().HeartbeatFramesSent-frames)/elapsed, "frames/s")
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
