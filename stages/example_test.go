package stages_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// chat writes a question in the built-in model's chat format.
func chat(question string) []vocab.Segment {
	return []vocab.Segment{
		{Text: "User: " + question}, {Text: "<|eot_id|>", Special: true}, {Text: "Assistant: "},
	}
}

// Two requests run through the pipeline at once; each is read by its own goroutine.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := stages.Open(ctx, "", stages.Options{}) // "" = the built-in model
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()

	questions := []string{"What is 27 + 15?", "What is the capital of Kenya?"}
	answers := make([]strings.Builder, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			for token, err := range engine.Generate(ctx, stages.Request{Segments: chat(q), MaxTokens: 40}) {
				if err != nil {
					fmt.Println(err)
					return
				}
				answers[i].WriteString(token.Text)
			}
		})
	}
	wg.Wait()
	for i := range answers {
		fmt.Println(answers[i].String())
	}

	_, err = engine.Submit(ctx, stages.Request{Prompt: "Hello"})
	var bad *stages.RequestError
	fmt.Println(errors.As(err, &bad), bad.Field)
	// Output:
	// 27 + 15 = 42.
	// The capital of Kenya is Nairobi.
	// true MaxTokens
}
