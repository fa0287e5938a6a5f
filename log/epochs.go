package log

import "slices"

// maxEpochs bounds the leader epochs remembered; beyond it the oldest are
// forgotten, and questions about them are answered as for epochs that ended
// before the log began.
const maxEpochs = 1500

// epochStart is where a leader epoch began.
type epochStart struct {
	epoch     int32
	offset    int64 // log end offset when the first entry of the epoch came
	raftIndex uint64
}

// epochList is the epochs in order. A list is never changed once published:
// every method returns a new one, or the same if nothing changes. Epochs may
// share an offset when some hold raft frames only.
type epochList []epochStart

// add notes an entry of epoch.
func (l epochList) add(e epochStart) epochList {
	if n := len(l); n > 0 && l[n-1].epoch >= e.epoch {
		return l
	}
	l = append(slices.Clone(l), e)
	return l[max(0, len(l)-maxEpochs):]
}

// below keeps the epochs that began below a raft index.
func (l epochList) below(raftIndex uint64) epochList {
	n := len(l)
	for n > 0 && l[n-1].raftIndex >= raftIndex {
		n--
	}
	return slices.Clip(l[:n])
}

// from forgets the epochs that ended at or below start, and has the one that
// holds start begin there.
func (l epochList) from(start int64) epochList {
	i := l.floor(start)
	if i < 0 || i == 0 && l[0].offset == start {
		return l
	}
	l = slices.Clone(l[i:])
	l[0].offset = start
	return l
}

// endingIn sees to it that the last epoch is that of the last entry. It can be
// missing when it ended at the log start, was forgotten for that, and what came
// after it has been cut off.
func (l epochList) endingIn(epoch int32, logStart int64, nextRaftIndex uint64) epochList {
	if epoch < 0 {
		return l
	}
	return l.add(epochStart{epoch: epoch, offset: logStart, raftIndex: nextRaftIndex - 1})
}

// floor is the last epoch that began at or below offset, -1 for none.
func (l epochList) floor(offset int64) int {
	i := len(l) - 1
	for i >= 0 && l[i].offset > offset {
		i--
	}
	return i
}

// at is the epoch of the record at offset, -1 when it is not known.
func (l epochList) at(offset int64) int32 {
	if i := l.floor(offset); i >= 0 {
		return l[i].epoch
	}
	return -1
}

// endOffset answers OffsetForLeaderEpoch as Kafka does (KIP-101, KIP-279): the
// last epoch at or below the one asked for that holds records, and where it
// ends; (-1, -1) for an epoch that is yet to come.
func (l epochList) endOffset(epoch int32, logEnd int64) (int32, int64) {
	n := len(l)
	if n == 0 || epoch > l[n-1].epoch {
		return -1, -1
	}
	if epoch == l[n-1].epoch {
		return epoch, logEnd
	}
	i := n - 1
	for i >= 0 && l[i].epoch > epoch {
		i--
	}
	if i < 0 {
		return epoch, l[0].offset
	}
	end := l[i+1].offset
	for i > 0 && l[i].offset == end {
		i-- // holds no record
	}
	return l[i].epoch, end
}
