package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"tritflow/gguf/atomicfile"
	"tritflow/stages"
)

// statsEvery is how often the statistics are written while an engine works.
const statsEvery = time.Second

// statsFlag asks for a file that tells what an engine does.
type statsFlag struct{ path string }

func (f *statsFlag) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.path, "stats-file", "", "keep stages, queues and memory in this file while working: JSON, or Prometheus text if it ends in .prom")
}

// watch writes the engine's statistics now and every second. The returned
// function writes them a last time and tells the first failure. Call it before
// the engine is closed.
func (f *statsFlag) watch(e *stages.Engine) (stop func() error, err error) {
	if f.path == "" {
		return func() error { return nil }, nil
	}
	// Now, so that a place that cannot be written is known before the work.
	if err := f.write(e); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	var writer sync.WaitGroup
	var failed error
	writer.Go(func() {
		tick := time.NewTicker(statsEvery)
		defer tick.Stop()
		for failed == nil {
			select {
			case <-tick.C:
				failed = f.write(e)
			case <-done:
				return
			}
		}
	})
	return func() error {
		close(done)
		writer.Wait()
		return errors.Join(failed, f.write(e))
	}, nil
}

func (f *statsFlag) write(e *stages.Engine) error {
	s := e.Snapshot()
	var text bytes.Buffer
	if strings.HasSuffix(f.path, ".prom") {
		if err := s.WritePrometheus(&text); err != nil {
			return fmt.Errorf("statistics: %w", err)
		}
	} else if err := json.NewEncoder(&text).Encode(s); err != nil {
		return fmt.Errorf("statistics: %w", err)
	}
	file, err := atomicfile.Create(f.path, atomicfile.Options{Special: true})
	if err != nil {
		return err
	}
	if _, err := file.Write(text.Bytes()); err != nil {
		return errors.Join(err, file.Abort())
	}
	return file.Commit()
}
