package stages_test

import (
	"context"
	"errors"
	"fmt"

	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// chat writes a question in the built-in model's chat format.
func chat(question string) []vocab.Segment {
	return []vocab.Segment{
		{Text: "User: " + question}, {Text: "<|eot_id|>", Special: true}, {Text: "Assistant: "},
	}
}

// Two requests run through the pipeline at once; a third is refused.
func Example() {
	ctx, cancel := context.WithCancel(context.Background()) // ending it ends its requests
	defer cancel()
	engine, err := stages.Open(ctx, "", stages.Options{}) // "" = the built-in model
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()

	var streams []*stages.Stream
	for _, q := range []string{"What is 27 + 15?", "What is the capital of Kenya?", ""} {
		s, err := engine.Submit(ctx, stages.Request{Segments: chat(q), MaxTokens: 8 * len(q)})
		var bad *stages.RequestError
		if errors.As(err, &bad) {
			fmt.Println("refused because of", bad.Field)
			continue
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		for token, err := range s.Tokens() {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Print(token.Text)
		}
		fmt.Println(" finish:", s.Result().Finish)
	}
	// Output:
	// refused because of MaxTokens
	// 27 + 15 = 42. finish: stop
	// The capital of Kenya is Nairobi. finish: stop
}
