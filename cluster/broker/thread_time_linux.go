package broker

import (
	"syscall"
	"time"
)

const hasThreadTime = true

// rusageThread is RUSAGE_THREAD of getrusage(2).
const rusageThread = 1

// threadTime is how long processors have worked for this thread, to which the goroutine has to be locked.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
