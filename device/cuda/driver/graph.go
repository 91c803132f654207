//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Graph is work that was recorded from streams instead of being done.
type Graph struct {
	c *Context
	g C.CUgraph
}

// Node is one piece of work of a graph.
type Node struct{ n C.CUgraphNode }

// BeginCapture lets the stream, and those that wait for its events, record what is put
// into them until EndCapture. Calls that the recording cannot hold (Alloc, Synchronize)
// fail on this thread meanwhile.
func (s Stream) BeginCapture() error {
	return s.failed("cuStreamBeginCapture_v2", C.cuStreamBeginCapture(s.handle(), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
}

// EndCapture ends the recording. It must be called also when a call within failed, whose
// error is the one to tell.
func (s Stream) EndCapture() (Graph, error) {
	g := Graph{c: s.c}
	err := s.failed("cuStreamEndCapture", C.cuStreamEndCapture(s.handle(), &g.g))
	return g, err
}

// Captured is the node that was recorded last in the stream, so that its parameters can
// be changed later; false where the stream waits for several or records nothing.
// Needs CUDA 12.3.
func (s Stream) Captured() (Node, bool, error) {
	var n Node
	err := s.failed("cuStreamGetCaptureInfo_v3", C.tf_captured(s.handle(), &n.n))
	return n, n.n != nil, err
}

// Nodes lists the graph's nodes in the order in which they were recorded.
func (g Graph) Nodes() ([]Node, error) {
	var n C.size_t
	if err := g.c.failed("cuGraphGetNodes", C.cuGraphGetNodes(g.g, nil, &n)); err != nil || n == 0 {
		return nil, err
	}
	nodes := make([]Node, n)
	err := g.c.failed("cuGraphGetNodes", C.cuGraphGetNodes(g.g, (*C.CUgraphNode)(unsafe.Pointer(&nodes[0])), &n))
	return nodes[:n], err
}

// Kernel tells whether a node is a kernel.
func (g Graph) Kernel(n Node) (bool, error) {
	var t C.CUgraphNodeType
	err := g.c.failed("cuGraphNodeGetType", C.cuGraphNodeGetType(n.n, &t))
	return t == C.CU_GRAPH_NODE_TYPE_KERNEL, err
}

// Instantiate makes the graph ready to run. The graph may be destroyed after it, but
// nodes whose parameters are to be changed live as long as the graph.
func (g Graph) Instantiate() (Exec, error) {
	e := Exec{c: g.c}
	err := g.c.failed("cuGraphInstantiateWithFlags", C.cuGraphInstantiate(&e.e, g.g, 0))
	return e, err
}

// Destroy frees the graph.
func (g *Graph) Destroy() error {
	if g.g == nil {
		return nil
	}
	err := g.c.failed("cuGraphDestroy", C.cuGraphDestroy(g.g))
	*g = Graph{}
	return err
}

// Exec is a graph that can run: one call, however many kernels it has.
type Exec struct {
	c *Context
	e C.CUgraphExec
}

// Launch puts the graph into a stream.
func (e Exec) Launch(s Stream) error {
	if r := C.cuGraphLaunch(e.e, s.handle()); r != C.CUDA_SUCCESS {
		return e.c.failed("cuGraphLaunch", r)
	}
	return nil
}

// Upload brings the graph to the device ahead of its first launch.
func (e Exec) Upload(s Stream) error {
	return e.c.failed("cuGraphUpload", C.cuGraphUpload(e.e, s.handle()))
}

// SetKernel gives a kernel node new parameters and a new shape for the launches that
// follow. Cluster, Dependent and Cooperative stay as they were recorded.
func (e Exec) SetKernel(n Node, l *Launch) error {
	if r := C.tf_set_kernel_node(e.e, n.n, l.Function.handle(), &l.config, l.Args.c()); r != C.CUDA_SUCCESS {
		return e.c.failed("cuGraphExecKernelNodeSetParams_v2 ("+l.Function.name+")", r)
	}
	return nil
}

// Update takes over all parameters of a graph with the same nodes and edges; false, with
// the executable graph unchanged, where it differs too much.
func (e Exec) Update(g Graph) (bool, error) {
	var why C.int
	err := e.c.failed("cuGraphExecUpdate_v2", C.tf_update(e.e, g.g, &why))
	if errors.Is(err, ErrUpdateFailed) {
		return false, nil
	}
	return err == nil, err
}

// Destroy frees the executable graph; a launch under way still ends.
func (e *Exec) Destroy() error {
	if e.e == nil {
		return nil
	}
	err := e.c.failed("cuGraphExecDestroy", C.cuGraphExecDestroy(e.e))
	*e = Exec{}
	return err
}
