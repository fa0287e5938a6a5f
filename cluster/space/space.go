// Package space judges how much of a disk is left: against a mark below which producers are refused, so that
// what frees it, and what a broker keeps of itself, always find room. It is pure: the figures are handed in.
package space

// Level is how much room there is.
type Level uint8

const (
	Ample    Level = iota
	Low            // producers are refused
	Critical       // and so is what groups and transactions would write; records can still be deleted
)

// The default mark is the smaller of the two.
const (
	defaultMarkBytes   = 1 << 30
	defaultMarkDivisor = 20 // 5 % of the file system
)

// Mark is how many bytes are to stay free of a file system of totalBytes. configured is
// log.dir.free.bytes.min: -1 for the default, 0 for no mark.
func Mark(configured, totalBytes int64) int64 {
	if configured >= 0 {
		return configured
	}
	return min(defaultMarkBytes, totalBytes/defaultMarkDivisor)
}

// State is what is known of one broker's disk.
type State struct {
	Level                Level
	FreeBytes, MarkBytes int64
}

// Next is the state that follows a level when a look has found so many bytes free. A disk is low below its mark
// and critical below a quarter of that. Each ends a quarter of the mark above where it began, so that a disk at
// the edge does not go to and fro.
func Next(was Level, freeBytes, markBytes int64) State {
	s := State{FreeBytes: freeBytes, MarkBytes: markBytes}
	quarter := markBytes / 4
	below := func(limit int64, l Level) bool {
		return freeBytes < limit || was >= l && freeBytes-quarter < limit
	}
	switch {
	case below(quarter, Critical):
		s.Level = Critical
	case below(markBytes, Low):
		s.Level = Low
	}
	return s
}

// Left is how many bytes may be written until the next level.
func (s State) Left() int64 {
	switch s.Level {
	case Ample:
		return s.FreeBytes - s.MarkBytes
	case Low:
		return s.FreeBytes - s.MarkBytes/4
	}
	return 0
}
