// Command weir is the broker and its command line in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"weir/cmd/weir/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks, the second kills
	os.Exit(command.Main(ctx, os.Args[1:], command.System()))
}
