package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"weir/cmd/weir/output"
)

// sizeValue is a pflag.Value for a number of bytes: 1024, 64KiB, 64k, 4GiB. All units are binary.
type sizeValue int64

func (v *sizeValue) Type() string   { return "SIZE" }
func (v *sizeValue) String() string { return strings.ReplaceAll(output.Bytes(int64(*v)), " ", "") }

func (v *sizeValue) Set(s string) error {
	digits := strings.TrimRight(s, "BbiKkMmGgTt")
	shift, ok := map[string]int{"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20,
		"g": 30, "gb": 30, "gib": 30, "t": 40, "tb": 40, "tib": 40}[strings.ToLower(s[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	if n *= float64(int64(1) << shift); !ok || err != nil || n != math.Trunc(n) || n < 0 || n >= 1<<62 {
		return fmt.Errorf("%q is not a size: write 1024, 64KiB, 1.5MiB or 4GiB", s)
	}
	*v = sizeValue(n)
	return nil
}
