package bench

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"weir/bench/floor"
)

// floorVerb makes the test program the floor's process.
const floorVerb = "floor-process"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floorVerb {
		if err := floor.Main(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
