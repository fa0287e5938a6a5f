package seek

import (
	"fmt"
	"time"
)

// Bounds are the readable offsets of one partition: Start is the log start offset, End the high
// watermark (exclusive), or the last stable offset for a reader of committed records.
type Bounds struct{ Start, End int64 }

// Lookup answers what Bounds do not hold. Either function may be nil when the point does not need it.
type Lookup struct {
	// AtTime returns the offset of the first record whose timestamp is at or after t, false when
	// there is none.
	AtTime func(t time.Time) (offset int64, ok bool, err error)
	// Committed returns the group's committed offset, false when it has none.
	Committed func(group string) (offset int64, ok bool, err error)
}

// NoOffsetError says that a group has committed nothing for the partition asked about.
type NoOffsetError struct{ Group string }

func (e *NoOffsetError) Error() string {
	return fmt.Sprintf("group %q has committed no offset", e.Group)
}

// Resolve returns the offset that p means in a partition with bounds b, kept within b. moved is true
// when an exact or committed offset lay outside b and was brought to the nearer bound. A time after the
// last record is the end.
func (p Point) Resolve(b Bounds, look Lookup) (offset int64, moved bool, err error) {
	switch p.Kind {
	case Start:
		return b.Start, false, nil
	case End:
		return b.End, false, nil
	case AfterStart:
		if p.Offset > b.End-b.Start {
			return b.End, false, nil
		}
		return b.Start + p.Offset, false, nil
	case BeforeEnd:
		return max(b.Start, b.End-p.Offset), false, nil
	case Exact:
		offset = p.Offset
	case Time:
		at, ok, err := look.AtTime(p.Time)
		if err != nil {
			return 0, false, err
		}
		if !ok {
			return b.End, false, nil
		}
		return clamp(at, b), false, nil
	case Group:
		at, ok, err := look.Committed(p.Name)
		if err != nil {
			return 0, false, err
		}
		if !ok {
			return 0, false, &NoOffsetError{Group: p.Name}
		}
		offset = at
	default:
		panic("seek: Resolve of a zero Point")
	}
	kept := clamp(offset, b)
	return kept, kept != offset, nil
}

func clamp(offset int64, b Bounds) int64 { return min(max(offset, b.Start), b.End) }
