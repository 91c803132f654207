package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "tritflow/device/cpu" // registers the kind "cpu"
)

func main() {
	// A reader that went away shall be an error of the write, so that files
	// under way are finished or removed, and not the death of the process.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(args []string) int {
	a := newApp()
	err := newRoot(a, args).ExecuteContext(context.Background())
	if err == nil {
		err = a.out.failed // help is printed by cobra, which does not tell
	}
	if err != nil && !a.started && !is[*outputError](err) {
		err = &usageError{err}
	}
	return a.finish(err)
}
