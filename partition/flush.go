package partition

import "time"

// flushBytes is how much write caching leaves in the page cache of a topic that
// asks for flushes at all. A roll syncs the rest of its segment with producers
// waiting, and a start after a crash reads what no sync has covered. A topic
// that asks for none (Kafka's own default) leaves it to the operating system.
const flushBytes = 16 << 20

// mayCache says whether what was just stored counts before it is on disk, and if so
// sees to its being flushed in time. It is called with mu held.
func (p *Partition) mayCache(records int64, bytes int) bool {
	p.unflushed += records
	p.unflushedBytes += bytes
	if !p.settings.WriteCaching {
		p.unflushed, p.unflushedBytes = 0, 0
		p.stopFlushTimer()
		return false
	}
	byCount, byTime := p.settings.FlushRecords > 0, p.settings.FlushInterval > 0
	switch {
	case byCount && p.unflushed >= p.settings.FlushRecords, (byCount || byTime) && p.unflushedBytes >= flushBytes:
		p.requestSync()
	case byTime && p.flushTime == nil && p.unflushed > 0:
		p.flushTime = time.AfterFunc(p.settings.FlushInterval, p.flushDue)
	}
	return true
}

func (p *Partition) flushDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushTime = nil
	if !p.closed.Load() {
		p.requestSync()
	}
}

func (p *Partition) stopFlushTimer() {
	if p.flushTime != nil {
		p.flushTime.Stop()
		p.flushTime = nil
	}
}

// requestSync has the log synced in the background once more, unless that is under
// way: then its end asks again. The syncer tells the node of a sync that fails.
func (p *Partition) requestSync() {
	p.unflushed, p.unflushedBytes = 0, 0
	p.stopFlushTimer()
	if p.syncing {
		p.syncAgain = true
		return
	}
	p.syncing = true
	p.disk.flush.Begin()
	p.cfg.Syncer.Request(p.log, p.flushed)
}

// flushed runs on a goroutine of the syncer.
func (p *Partition) flushed(_ int64, err error) {
	p.disk.flush.End()
	p.checkLog()
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.syncAgain
	p.syncing, p.syncAgain = false, false
	if again && err == nil && !p.closed.Load() {
		p.requestSync()
	}
	p.room.Broadcast() // who closes waits for it
}

// syncNow waits until what was stored is on disk. Logs of other partitions that ask
// meanwhile are synced beside. A failure is final: the kernel may have dropped the
// pages, and a retry would lie.
func (p *Partition) syncNow() error {
	p.w.inLine.Store(true)
	p.cfg.Syncer.Request(p.log, p.w.synced)
	err := <-p.w.syncDone
	p.w.inLine.Store(false)
	if err == nil {
		return nil
	}
	err = p.storageError(err)
	p.forsake(err)
	return err
}
