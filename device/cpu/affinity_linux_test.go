package cpu

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const affinityChild = "TRITFLOW_TEST_AFFINITY"

// TestDefaultWorkersFollowAffinity starts this test again where only one
// processor is allowed.
func TestDefaultWorkersFollowAffinity(t *testing.T) {
	if os.Getenv(affinityChild) != "" {
		t.Logf("workers=%d", defaultWorkers())
		return
	}
	// A process inherits the affinity of the thread that starts it. The thread is
	// not given back to the runtime.
	output := make(chan string)
	go func() {
		runtime.LockOSThread()
		var all, one unix.CPUSet
		err := unix.SchedGetaffinity(0, &all)
		defer unix.SchedSetaffinity(0, &all)
		for cpu := 0; one.Count() == 0 && cpu < 64*len(all); cpu++ {
			if all.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		if err == nil {
			err = unix.SchedSetaffinity(0, &one)
		}
		if err != nil {
			output <- err.Error()
			return
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestDefaultWorkersFollowAffinity$", "-test.v")
		cmd.Env = append(os.Environ(), affinityChild+"=1", "GOMAXPROCS=64")
		text, err := cmd.CombinedOutput()
		if err != nil {
			text = append(text, err.Error()...)
		}
		output <- string(text)
	}()
	if text := <-output; !strings.Contains(text, "workers=1\n") {
		t.Errorf("on one processor: %s", text)
	}
}
