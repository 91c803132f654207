package stages

import (
	"context"
	"testing"
)

// TestCacheIsWhatThePlanSays: with every page written, the ledger counts the
// bytes that were planned, whatever the type of the cache.
func TestCacheIsWhatThePlanSays(t *testing.T) {
	const ctx = 2 * pageSize
	bytes := map[string]int64{}
	for kv := range kvBytes {
		e := openBuiltin(t, Options{MaxSeqs: 1, Ctx: ctx, KV: kv, Devices: "cpu:2"})
		for _, err := range e.Logits(context.Background(), make([]int32, ctx), false) {
			if err != nil {
				t.Fatal(err)
			}
		}
		var planned int64
		for _, s := range e.Plan().Stages {
			planned += int64(s.KVBytes)
		}
		bytes[kv] = e.Devices()[0].Ledger().Snapshot().Now["kv"]
		if bytes[kv] != planned || planned == 0 {
			t.Errorf("%s: the cache takes %d bytes, %d were planned", kv, bytes[kv], planned)
		}
	}
	if bytes["q8_0"]*32 != bytes["f16"]*17 || bytes["q4_0"]*34 != bytes["q8_0"]*18 || bytes["f16"]*2 != bytes["f32"] {
		t.Errorf("bytes of caches: %v", bytes)
	}
}
