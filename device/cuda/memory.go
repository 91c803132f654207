//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"sync"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// memory is device memory of one use, as the ledger counts it. All calls are made on the
// GPU's queue.
type memory struct {
	g     *gpu
	ptr   driver.Ptr
	bytes int64
	use   device.Use
}

// grain is what the driver rounds small allocations to; the ledger counts whole ones.
const allocGrain = 512

func grains(bytes int64) int64 {
	return max(allocGrain, (bytes+allocGrain-1)/allocGrain*allocGrain)
}

// take allocates; what is for whom is named by what, for errors.
func (g *gpu) take(use device.Use, what string, bytes int64) (*memory, error) {
	bytes = grains(bytes)
	p, err := g.ctx.Alloc(bytes)
	if err != nil {
		return nil, asMemory(g.ctx, g.info.Name, what, bytes, err)
	}
	g.ledger.Add(use, bytes)
	return &memory{g, p, bytes, use}, nil
}

// give frees it; nil and twice do no harm. Memory goes back only when the stream has
// nothing left that uses it, so callers wait for the stream first.
func (m *memory) give() {
	if m == nil || m.ptr == 0 {
		return
	}
	if err := m.g.ctx.Free(m.ptr); err != nil {
		m.g.fail("freeing memory", err) //nolint:errcheck // remembered
	}
	m.g.ledger.Add(m.use, -m.bytes)
	m.ptr = 0
}

// buffers keeps activation buffers for reuse. All work of a GPU is in one stream, so a
// buffer that is given back may be handed out again at once: whatever uses it next comes
// later in the stream.
type buffers struct {
	mu   sync.Mutex
	free map[int64][]*memory
	all  []*memory
}

// leastBuffer is the smallest size of a buffer in bytes.
const leastBuffer = 64 << 10

func sizeClass(bytes int64) int64 {
	size := int64(leastBuffer)
	for size < bytes {
		size += size / 2 / allocGrain * allocGrain
	}
	return size
}

// get gives a buffer. On the queue.
func (b *buffers) get(g *gpu, bytes int64) (*memory, error) {
	size := sizeClass(bytes)
	if m := b.reuse(size); m != nil {
		return m, nil
	}
	m, err := g.take(device.Activations, "activations", size)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, m)
	return m, nil
}

func (b *buffers) reuse(size int64) *memory {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.free[size]
	if len(list) == 0 {
		return nil
	}
	m := list[len(list)-1]
	b.free[size] = list[:len(list)-1]
	return m
}

// put may be called from anywhere.
func (b *buffers) put(m *memory) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free == nil {
		b.free = map[int64][]*memory{}
	}
	b.free[m.bytes] = append(b.free[m.bytes], m)
}

// drop frees all, on the queue.
func (b *buffers) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.all {
		m.give()
	}
	b.all, b.free = nil, nil
}

// arena is scratch memory that grows to what the largest step needs and stays.
type arena struct {
	g       *gpu
	what    string
	m       *memory
	weights bool // counts as such
}

// need makes sure of so many bytes.
func (a *arena) need(bytes int64) (driver.Ptr, error) {
	if a.m != nil && a.m.bytes >= bytes {
		return a.m.ptr, nil
	}
	// What is in the stream may still use the old memory.
	if err := a.g.stream.Synchronize(); err != nil {
		return 0, a.g.fail("waiting for the stream", err)
	}
	a.m.give()
	a.m = nil
	use := device.Activations
	if a.weights {
		use = device.Weights
	}
	m, err := a.g.take(use, a.what, bytes)
	if err != nil {
		return 0, err
	}
	a.m = m
	a.g.moved++
	return m.ptr, nil
}

// sized is a piece of an arena.
type sized struct {
	to    *driver.Ptr
	bytes int
}

// place lays pieces side by side, each aligned for every kernel.
func (a *arena) place(parts []sized) error {
	var bytes int64
	for _, p := range parts {
		*p.to = driver.Ptr(bytes)
		bytes += (int64(p.bytes) + 255) &^ 255
	}
	base, err := a.need(bytes)
	for _, p := range parts {
		*p.to += base
	}
	return err
}

func (a *arena) drop() {
	a.m.give()
	a.m = nil
}

// hostRoom makes sure that a pinned buffer has so many bytes.
func (g *gpu) hostRoom(b **driver.HostBuffer, bytes int) error {
	if *b != nil {
		if len((*b).Bytes()) >= bytes {
			return nil
		}
		if err := (*b).Free(); err != nil {
			return g.fail("freeing pinned memory", err)
		}
		*b = nil
	}
	h, err := g.ctx.AllocHost(max(64<<10, 2*bytes))
	*b = h
	return g.fail("taking pinned memory", err)
}

// fail remembers an error after which the GPU cannot be used and returns what to tell. Not only allocations
// lack memory: a kernel is brought to the GPU when it is launched first, and pinned memory is not the GPU's.
func (g *gpu) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = asLost(g.info.Name, doing, err)
	if driver.Lost(err) {
		g.fault.CompareAndSwap(nil, &err)
		return err
	}
	if _, told := errors.AsType[*device.MemoryError](err); !told && errors.Is(err, driver.ErrOutOfMemory) {
		return fmt.Errorf("cuda: %w (%v)", asMemory(g.ctx, g.info.Name, doing, 0, err), err)
	}
	return fmt.Errorf("cuda: %s: %s: %w", g.info.Name, doing, err)
}
