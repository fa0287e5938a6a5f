package broker

// ListTransactions (key 66), versions 0-2 (KIP-664): the transactional ids that this broker coordinates and the client
// may describe.
//
// Added by version: 1 those open for longer than so long (KIP-994), 2 those that match a regular expression (KIP-1152);
// INVALID_REGULAR_EXPRESSION for one that does not compile, or is too large.
// States that there are not are named in the answer.

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/txn"
)

func (b *Broker) listTransactions(_ context.Context, c *call, req *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	for _, s := range req.StateFilters {
		if !slices.ContainsFunc(allTransactionStates, func(known string) bool { return strings.EqualFold(known, s) }) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, s)
		}
	}
	if pattern := orEmpty(req.TransactionalIDPattern); pattern != "" {
		if err := checkPattern(pattern); err != nil {
			resp.ErrorCode = int16(errorCode(err))
			return resp, nil
		}
	}
	match, err := regexp.Compile("^(?:" + orEmpty(req.TransactionalIDPattern) + ")$")
	if err != nil {
		return nil, err // it has been compiled before
	}
	now := b.now()
	err = b.transactions.each(func(s *txnShard) {
		for id, t := range s.ids {
			if is := t.Snapshot(); listed(req, match, id, &is, now) && c.allowed(acl.Describe, acl.TransactionalID(id)) {
				out := kmsg.NewListTransactionsResponseTransactionState()
				out.TransactionalID, out.ProducerID, out.TransactionState = id, is.Producer.ID, is.State.String()
				resp.TransactionStates = append(resp.TransactionStates, out)
			}
		}
	})
	if err != nil {
		resp.TransactionStates, resp.ErrorCode = nil, int16(errorCode(err))
	}
	slices.SortFunc(resp.TransactionStates, func(a, b kmsg.ListTransactionsResponseTransactionState) int {
		return strings.Compare(a.TransactionalID, b.TransactionalID)
	})
	return resp, nil
}

// allTransactionStates are the names that filters may have.
var allTransactionStates = func() (names []string) {
	for s := txn.Empty; s <= txn.PrepareEpochFence; s++ {
		names = append(names, s.String())
	}
	return names
}()

// listed says whether a transactional id passes the filters.
func listed(req *kmsg.ListTransactionsRequest, match *regexp.Regexp, id string, is *txn.Snapshot, now time.Time) bool {
	switch {
	case is.Producer == txn.NoProducer: // it is only about to be
		return false
	case !wanted(req.StateFilters, is.State.String()):
		return false
	case len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, is.Producer.ID):
		return false
	case req.DurationFilterMillis >= 0 && (is.Started < 0 || now.UnixMilli()-is.Started <= req.DurationFilterMillis):
		return false
	}
	return orEmpty(req.TransactionalIDPattern) == "" || match.MatchString(id)
}
