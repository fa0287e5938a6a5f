//go:build !linux

package broker

import "time"

// hasThreadTime: request_percentage is refused where it is false.
const hasThreadTime = false

func threadTime() time.Duration { return 0 }
