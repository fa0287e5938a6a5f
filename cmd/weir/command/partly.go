package command

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/fault"
)

// A list of what all brokers have is put together of their answers. Where some have answered and others have not, it is
// shown, and said to lack the others'.

// partlyListed says that some brokers have answered, and others have not.
func partlyListed(err error) bool {
	var shards *kadm.ShardErrors
	return errors.As(err, &shards) && !shards.AllFailed
}

// partly is the outcome of a list that was shown, from which what is named is missing if missing is an error.
func partly(shown error, what string, missing error) error {
	if shown != nil || missing == nil {
		return shown
	}
	return &fault.Error{What: "the " + what + " of a broker that does not answer are missing", Why: missing.Error(), Exit: fault.PartlyDone, Err: missing}
}
