#!/usr/bin/env bash
# tritflow and llama.cpp on the same file, one after the other, twice:
#   bench/rivals/llama.sh MODEL [THREADS]
# llama.cpp comes as the prebuilt library of the npm package node-llama-cpp, fetched
# into a folder outside the repository (LLAMA_DIR, by default one under the temporary folder).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
model=$(realpath "$1")
threads=${2:-$(nproc)}
dir=${LLAMA_DIR:-${TMPDIR:-/tmp}/tritflow-llama}

mkdir -p "$dir"
[ -d "$dir/node_modules/node-llama-cpp" ] || (cd "$dir" && npm init -y >/dev/null && npm install --silent --ignore-scripts node-llama-cpp@3.22.1)
cp "$here/llama.mjs" "$dir/"
(cd "$here/../.." && CGO_ENABLED=0 go build -o "$dir/tritflow" ./cmd/tritflow)

for round in 1 2; do
    "$dir/tritflow" bench -m "$model" --devices "cpu:$threads" --only decode,prefill --time 12s --json -q |
        node -e '
            const r = JSON.parse(require("fs").readFileSync(0));
            const of = (name, n, c) => r.results.find(x => x.name === name && x.n === n && x.context === c)?.tok_s.median;
            console.log(JSON.stringify({engine: "tritflow", threads: r.results[0].threads,
                prefill_128: of("prefill", 128, 0), prefill_512: of("prefill", 512, 0), decode: of("decode", 1, 0)}));'
    (cd "$dir" && node llama.mjs "$model" "$threads")
done
