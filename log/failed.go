package log

// Failed is the *FailedError that every write gets since a sync failed, nil
// while none has. It costs one atomic load.
func (l *Log) Failed() error {
	if f := l.failure.Load(); f != nil {
		return f
	}
	return nil
}
