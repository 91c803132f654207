package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/device"
)

// narrow is a CPU that has less memory, of which its copies take most.
type narrow struct{ device.Device }

const narrowMemory = 64 << 20

func (n narrow) Info() device.Info {
	i := n.Device.Info()
	i.Name, i.Memory, i.Pool = "narrow:0", narrowMemory, ""
	return i
}

func (n narrow) Estimate(device.Part, device.Sizes) (device.Footprint, error) {
	return device.Footprint{Copies: narrowMemory / 2}, nil
}

// TestBatchTakesFewerRequests: the usual number of requests at once becomes smaller
// where the cache fits the memory, but not beside copies and activations.
func TestBatchTakesFewerRequests(t *testing.T) {
	device.Register("narrow", func(device.Spec, int) (device.Device, error) {
		devs, err := device.OpenList("cpu:1")
		if err != nil {
			return nil, err
		}
		return narrow{devs[0]}, nil
	})
	dir := t.TempDir()
	in, out, sum := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl"), filepath.Join(dir, "sum.json")
	lines := batchLines(4)
	if err := os.WriteFile(in, []byte(strings.Join(lines[:2], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"batch", "-q", "-i", in, "-o", out, "--summary", sum, "--devices", "narrow"}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	raw, err := os.ReadFile(sum)
	if err != nil {
		t.Fatal(err)
	}
	var told struct {
		MaxInflight int `json:"max_inflight"`
	}
	if err := json.Unmarshal(raw, &told); err != nil || told.MaxInflight != 16 {
		t.Errorf("%d requests at once, %v; want 16", told.MaxInflight, err)
	}
}
