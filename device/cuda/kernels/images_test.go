package kernels

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestImagesAreRanked(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"compute_75.ptx", "compute_80.ptx", "compute_90a.ptx", "sm_80.cubin", "sm_86.cubin", "sm_90a.cubin"} {
		files["image/k."+name] = &fstest.MapFile{Data: []byte(name)}
	}
	files["image/other.compute_50.ptx"] = &fstest.MapFile{}
	for capability, want := range map[int]string{
		75:  "compute_75",
		80:  "sm_80 compute_80 compute_75",
		86:  "sm_86 sm_80 compute_80 compute_75",
		87:  "sm_86 sm_80 compute_80 compute_75",
		90:  "sm_90a compute_90a compute_80 compute_75",
		100: "compute_80 compute_75",
	} {
		list, err := images(files, "k", capability)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range list {
			got = append(got, i.Target)
			if !strings.HasPrefix(string(i.Data), i.Target) {
				t.Errorf("%s has the data of %s", i.Target, i.Data)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("capability %d: %s, want %s", capability, s, want)
		}
	}
	for _, capability := range []int{52, 70} {
		if list, err := images(files, "k", capability); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d.%d", capability/10, capability%10)) {
			t.Errorf("capability %d: %v, error %v", capability, list, err)
		}
	}
}

// What is embedded can be loaded by every card from 8.0 on, and by drivers of CUDA 12; but for
// what cards of 9.0 alone use.
func TestEmbedded(t *testing.T) {
	sources, err := files.ReadDir("image")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d images, error %v", len(sources), err)
	}
	for _, e := range sources {
		name, _, _ := strings.Cut(e.Name(), ".")
		if slices.Contains([]string{"span", "span_few", "decode_cluster", "decode_cluster_q8", "ternary_batch", "ternary_wide", "screen_stream"}, name) {
			if _, err := Images(name, 90); err != nil {
				t.Error(err)
			}
			continue
		}
		list, err := Images(name, 80)
		if err != nil {
			t.Error(err)
			continue
		}
		if last := list[len(list)-1]; !bytes.Contains(last.Data, []byte("\n.version 8.0\n")) {
			t.Errorf("%s is not marked as of ISA 8.0", e.Name())
		}
	}
}
