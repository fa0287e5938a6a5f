package log

// Closing reports whether Close has told compaction to stop.
func (l *Log) Closing() bool { return l.closing.Err() != nil }
