// Package gen holds the generators of the vector kernels. It is a module of its
// own, so that users of tritflow never see what the generators need.
package gen

//go:generate sh -c "TIER=avx512 go run ./amd64 -pkg avx512 -out ../avx512/kernels_amd64.s -stubs ../avx512/stubs_amd64.go"
//go:generate sh -c "TIER=avx2 go run ./amd64 -pkg avx2 -out ../avx2/kernels_amd64.s -stubs ../avx2/stubs_amd64.go"
//go:generate sh -c "TIER=amx go run ./amd64 -pkg amx -out ../amx/kernels_amd64.s -stubs ../amx/stubs_amd64.go"
//go:generate sh -c "TIER=avxvnni go run ./amd64 -pkg avxvnni -out ../avxvnni/kernels_amd64.s -stubs ../avxvnni/stubs_amd64.go"
//go:generate go run ./arm64 -pkg neon -out ../neon/kernels_arm64.s -stubs ../neon/stubs_arm64.go
