package main

import (
	"context"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"

	"tritflow/cmd/tritflow/internal/crossval/servertest"
	"tritflow/stages"
)

// serve llama.cpp|openai: a server with the numbers of the model inside the
// program, of which SERVER is the address, for the rest of the script.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	e, err := stages.Open(context.Background(), "", stages.Options{Devices: "cpu"})
	ts.Check(err)
	f := &servertest.Server{Engine: e}
	var s *httptest.Server
	switch args[0] {
	case "llama.cpp":
		s = f.Llama()
	case "openai":
		s = f.OpenAI()
	default:
		ts.Fatalf("no server is called %q", args[0])
	}
	ts.Defer(func() {
		s.Close()
		_ = e.Close()
	})
	ts.Setenv("SERVER", s.URL)
}
