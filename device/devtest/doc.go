// Package devtest is the one suite that every device passes.
//
//	func TestConformance(t *testing.T) {
//		devtest.Run(t, func(t testing.TB) device.Device { … })
//	}
//
// It uses a device through its interface alone, so that it says the same of a
// CPU, a GPU and something behind a wire. Run checks results against logits
// that other engines computed (bitnet.cpp for a ternary model, llama.cpp for
// float32 ones), and each device against itself: no bit may depend on what
// else is in the batch; on how a prompt is cut, and on which pages hold it,
// within the tolerance that the device states (none for CPUs).
//
//	graph/testdata/*.gguf ─▶ gguf.Parse ─▶ graph.Bind ─▶ Load ─▶ []Part ─▶ Forward ─▶ Logits
//
// Load, NewBatch and Forward run a whole model synchronously, without
// pipeline, and serve other packages' tests that want logits.
package devtest
