# Every recipe is a plain command; nothing here is needed to use `go` directly.

lint_version := "v2.15.0"

# list the recipes
default:
    @just --list

# build the program into bin/
build:
    CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/tritflow

# the program with CUDA, one binary for machines with and without a GPU
cuda:
    env=$(.ci/cuda-env) && eval "$env" && go build -tags cuda -trimpath -o bin/tritflow-cuda ./cmd/tritflow

# everything that `go test` covers
test *args:
    go test {{args}} ./...

# race detector on the packages that start goroutines
race:
    go test -race -short ./stages/... ./device/... ./cmd/...

# formatting, vet and the pinned linter
lint:
    test -z "$(gofmt -l .)"
    go vet ./...
    go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@{{lint_version}} run

# every fuzz target, `seconds` in all
fuzz seconds="180":
    .ci/fuzz {{seconds}}

# regenerate what is generated
generate:
    cd quantkern/_gen && go generate ./...
    go generate ./device/cuda/...

# end-to-end benchmarks on the built-in model
bench *args:
    go test -run '^$' -bench . {{args}} ./bench/...

# a real model that no one here made (98 MB, Apache-2.0) into models/
fetch-models:
    .ci/fetch-models models

# static binaries for the other platforms into dist/
cross:
    .ci/cross dist

# what a merge must pass
ci:
    .ci/run

# train the built-in model again into builtin-work/ (Python; two cores: over an hour); goes on where it was stopped
train-builtin *args:
    test -d builtin-work/venv || python3.12 -m venv builtin-work/venv
    builtin-work/venv/bin/pip install --quiet -r gguf/builtin/train/requirements.txt
    PYTHONPATH=gguf/builtin/train builtin-work/venv/bin/python -m tritrain all --work builtin-work {{args}}

# put what train-builtin made into the repository
publish-builtin:
    PYTHONPATH=gguf/builtin/train builtin-work/venv/bin/python -m tritrain publish --work builtin-work
