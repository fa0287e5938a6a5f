package bench

import (
	"fmt"
	"os"
)

// watch follows the brokers and this process over a run.
type watch struct {
	brokers []watched
	self    ProcessSample
}

// watched is a broker's process as it was when the run began.
type watched struct {
	pid    int
	before ProcessSample
}

func startWatch(brokerPIDs []int) (*watch, error) {
	w := &watch{}
	for _, pid := range brokerPIDs {
		before, err := SampleProcess(pid)
		if err != nil {
			return nil, fmt.Errorf("broker process: %w", err)
		}
		w.brokers = append(w.brokers, watched{pid, before})
	}
	// Where there is no /proc the run goes on without the client's share.
	w.self, _ = SampleProcess(os.Getpid())
	return w, nil
}

func (w *watch) fill(r *Result) error {
	if self, err := SampleProcess(os.Getpid()); err == nil {
		if r.Client, err = Use(os.Getpid(), w.self, self, r.Bytes); err != nil {
			return err
		}
	}
	for _, b := range w.brokers {
		after, err := SampleProcess(b.pid)
		if err != nil {
			return fmt.Errorf("broker process: %w", err)
		}
		use, err := Use(b.pid, b.before, after, r.Bytes)
		if err != nil {
			return err
		}
		if r.Broker != nil {
			use = r.Broker.plus(use, r.Bytes)
		}
		r.Broker = &use
	}
	return nil
}
