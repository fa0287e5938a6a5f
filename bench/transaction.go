package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction is what one producer has open, in a load with Transaction. It is used by the feeding goroutine only.
type transaction struct {
	client  *kgo.Client
	length  time.Duration
	began   time.Time
	records int64 // handed over since
}

// transactionalID names a producer of a run, so that no two fence each other.
func transactionalID(run64 uint64, index int) string {
	return fmt.Sprintf("weir-bench-%016x-%d", run64, index)
}

func (t *transaction) begin() error {
	t.began, t.records = time.Now(), 0
	return t.client.BeginTransaction()
}

// next ends a transaction that has lasted its time, once its records are acknowledged, and begins another.
// failed is how many records are not committed because of err.
func (t *transaction) next(ctx context.Context) (failed int64, err error) {
	if time.Since(t.began) < t.length {
		return 0, nil
	}
	if failed, err := t.end(ctx); err != nil {
		return failed, err
	}
	return 0, t.begin()
}

// end commits, or else aborts.
func (t *transaction) end(ctx context.Context) (failed int64, err error) {
	if err = t.client.Flush(ctx); err == nil {
		err = t.client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err != nil {
		abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_ = t.client.AbortBufferedRecords(abort) // the first error counts
		_ = t.client.EndTransaction(abort, kgo.TryAbort)
		return t.records, fmt.Errorf("commit: %w", err)
	}
	return 0, nil
}
