package stages

import (
	"context"
	"iter"
	"time"

	"tritflow/graph"
)

// Stream is a request under way.
type Stream struct {
	g      *generation
	prompt []int32
}

// Submit queues a request; errors of the request itself (*RequestError) come
// at once, ErrShutdown when the engine is shut down. While Options.Queue
// requests wait already, Submit waits too (see Request.NoWait). The request
// ends when ctx does. The tokens should be read, or Result called: a stream
// that nobody reads keeps its place until ctx or the engine ends.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) {
	return e.core.submit(ctx, r)
}

// Generate is Submit and Tokens in one.
func (e *Engine) Generate(ctx context.Context, r Request) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		s, err := e.Submit(ctx, r)
		if err != nil {
			yield(Token{}, err)
			return
		}
		s.Tokens()(yield)
	}
}

// core is a running pipeline together with what requests need of the model's
// vocabulary and head: an Engine without its files and devices.
type core struct {
	language
	pooling graph.Pooling // not PoolNone: the head pools
	width   int           // of a head's answer
	pipe    *pipeline
}

// speaks refuses a request for tokens where the model makes none.
func (c *core) speaks() error {
	if c.pooling == graph.PoolNone {
		return nil
	}
	return &KindError{Asked: "continue text", Makes: "embeddings"}
}

func (c *core) submit(ctx context.Context, r Request) (*Stream, error) {
	submitted := time.Now()
	if ctx == nil {
		return nil, ErrNoContext
	}
	if err := c.speaks(); err != nil {
		return nil, err
	}
	if err := c.check(&r); err != nil {
		return nil, err
	}
	ids, err := c.encode(&r, c.pipe.limits.ctx)
	if err != nil {
		return nil, err
	}
	g := c.generation(&r, ids, c.pipe.limits.ctx)
	g.submit = submitted
	g.out = newOutlet[Token](c.pipe.limits.tokens, c.pipe.poke)
	g.seq = newSequence(ctx, bounds{r.Timeout, r.Deadline, r.Priority}, c.pipe.ended)
	g.seq.begin(g, ids, len(ids)+g.limit-1)
	if err := c.pipe.submit(g.seq, !r.NoWait); err != nil {
		g.seq.release()
		return nil, err
	}
	return &Stream{g, ids[:len(ids):len(ids)]}, nil
}

// ID is the request's number, as traces show it.
func (s *Stream) ID() uint64 { return s.g.seq.id }

// Prompt gives the ids of the prompt. They must not be changed.
func (s *Stream) Prompt() []int32 { return s.prompt }

// Tokens yields the tokens as they come; the last pair may be an error: that
// of the context, of the network, or ErrShutdown. Breaking off cancels, by a panic too.
func (s *Stream) Tokens() iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		s.g.reading.Store(true)
		over := false
		defer s.g.seq.leave(&over)
		for {
			t, ok := s.g.out.next()
			if !ok {
				break
			}
			if !yield(t, nil) {
				return
			}
		}
		over = true
		if err := s.g.out.err; err != nil {
			yield(Token{}, err)
		}
	}
}

// Result waits for the end. Called before anybody ranges over Tokens, it reads
// the tokens itself and discards their texts; the ids are in the Result.
func (s *Stream) Result() Result {
	if !s.g.reading.Swap(true) {
		s.g.out.drain()
	}
	<-s.g.ended
	return s.g.result
}

// Err waits for the end like Result and returns the error the request ended with, or nil.
func (s *Stream) Err() error {
	s.Result()
	return s.g.out.err
}
