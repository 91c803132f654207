//go:build cuda

package main

import _ "tritflow/device/cuda" // registers the kind "cuda"
