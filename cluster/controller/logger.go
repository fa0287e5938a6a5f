package controller

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
)

// expected are warnings of the library that belong to every start of a group, and the one about each
// follower that a leader need not hear of all the time: that a broker is gone is said once for all groups.
var expected = []string{
	"failed to contact",
	"heartbeat timeout reached, starting election",
	"found temporary snapshot",
	"no known peers, aborting election",
	"not part of stable configuration, aborting election",
}

// newRaftLogger passes what the library logs of the controller's group to logger.
func newRaftLogger(logger *slog.Logger) hclog.Logger { return RaftLogger(logger, "controller", nil) }

// RaftLogger passes what the library logs of a group at warn and above to logger, and the
// expected warnings at debug, each message within limit. name begins each message.
func RaftLogger(logger *slog.Logger, name string, limit *LogLimit) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	l.RegisterSink(&slogSink{logger: logger, name: name, limit: limit})
	return l
}

type slogSink struct {
	logger *slog.Logger
	name   string
	limit  *LogLimit
}

// Accept implements hclog.SinkAdapter.
func (s *slogSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelWarn
	switch {
	case level < hclog.Warn:
		return
	case level >= hclog.Error:
		to = slog.LevelError
	case slices.Contains(expected, msg):
		to = slog.LevelDebug
	}
	ctx := context.Background()
	if !s.logger.Enabled(ctx, to) {
		return
	}
	dropped, ok := s.limit.pass(msg)
	if !ok {
		return
	}
	if dropped > 0 {
		args = append(args, "dropped", dropped) // lines like this one
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.logger.Log(ctx, to, s.name+": "+msg, args...)
}
