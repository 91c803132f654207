//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"
)

// Code is the answer of a driver call. It is an error itself, so that
// errors.Is(err, driver.ErrOutOfMemory) works.
type Code int //nolint:errname // a code first, an error so that errors.Is finds it

// The codes that callers act upon.
const (
	ErrInvalidValue    Code = C.CUDA_ERROR_INVALID_VALUE
	ErrOutOfMemory     Code = C.CUDA_ERROR_OUT_OF_MEMORY
	ErrNotInitialized  Code = C.CUDA_ERROR_NOT_INITIALIZED
	ErrNoDevice        Code = C.CUDA_ERROR_NO_DEVICE
	ErrInvalidDevice   Code = C.CUDA_ERROR_INVALID_DEVICE
	ErrInvalidImage    Code = C.CUDA_ERROR_INVALID_IMAGE
	ErrNoBinary        Code = C.CUDA_ERROR_NO_BINARY_FOR_GPU
	ErrInvalidPTX      Code = C.CUDA_ERROR_INVALID_PTX
	ErrUnsupportedPTX  Code = C.CUDA_ERROR_UNSUPPORTED_PTX_VERSION
	ErrNoCompiler      Code = C.CUDA_ERROR_JIT_COMPILER_NOT_FOUND
	ErrSymbolNotFound  Code = C.CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND // the driver is too old for the call
	ErrNotFound        Code = C.CUDA_ERROR_NOT_FOUND
	ErrNotReady        Code = C.CUDA_ERROR_NOT_READY
	ErrNotSupported    Code = C.CUDA_ERROR_NOT_SUPPORTED
	ErrPeerEnabled     Code = C.CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED
	ErrPeerUnsupported Code = C.CUDA_ERROR_PEER_ACCESS_UNSUPPORTED
	ErrIllegalAddress  Code = C.CUDA_ERROR_ILLEGAL_ADDRESS
	ErrLaunchFailed    Code = C.CUDA_ERROR_LAUNCH_FAILED
	ErrUpdateFailed    Code = C.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE
)

// lost are the codes after which a context answers every call with the same code: a
// kernel faulted, or the card is gone.
var lost = map[Code]bool{
	C.CUDA_ERROR_DEINITIALIZED: true, C.CUDA_ERROR_CONTEXT_IS_DESTROYED: true,
	C.CUDA_ERROR_DEVICE_UNAVAILABLE: true, C.CUDA_ERROR_ECC_UNCORRECTABLE: true,
	C.CUDA_ERROR_NVLINK_UNCORRECTABLE: true, C.CUDA_ERROR_CONTAINED: true,
	C.CUDA_ERROR_ILLEGAL_ADDRESS: true, C.CUDA_ERROR_LAUNCH_TIMEOUT: true,
	C.CUDA_ERROR_ASSERT: true, C.CUDA_ERROR_HARDWARE_STACK_ERROR: true,
	C.CUDA_ERROR_ILLEGAL_INSTRUCTION: true, C.CUDA_ERROR_MISALIGNED_ADDRESS: true,
	C.CUDA_ERROR_INVALID_ADDRESS_SPACE: true, C.CUDA_ERROR_INVALID_PC: true,
	C.CUDA_ERROR_LAUNCH_FAILED: true, C.CUDA_ERROR_TENSOR_MEMORY_LEAK: true,
	C.CUDA_ERROR_MPS_CLIENT_TERMINATED: true, C.CUDA_ERROR_EXTERNAL_DEVICE: true,
	C.CUDA_ERROR_UNKNOWN: true,
}

// Error is the driver's own text for the code.
func (c Code) Error() string { return c.Name() + ": " + c.Text() }

// Name is the code as cuda.h calls it; a number where the driver does not know it.
func (c Code) Name() string {
	var s *C.char
	if C.cuGetErrorName(C.CUresult(c), &s) != C.CUDA_SUCCESS || s == nil {
		return fmt.Sprintf("CUDA error %d", int(c))
	}
	return C.GoString(s)
}

// Text is the driver's sentence about the code.
func (c Code) Text() string {
	var s *C.char
	if C.cuGetErrorString(C.CUresult(c), &s) != C.CUDA_SUCCESS || s == nil {
		return "no description"
	}
	return C.GoString(s)
}

// Error is a driver call that failed.
type Error struct {
	Call   string // as cuda.h names it
	Code   Code
	Name   string // of the code
	Device int    // ordinal, -1 where the call is about none
}

func (e *Error) Error() string {
	where := ""
	if e.Device >= 0 {
		where = fmt.Sprintf(" on cuda:%d", e.Device)
	}
	return fmt.Sprintf("cuda: %s%s: %s (%d): %s", e.Call, where, e.Name, int(e.Code), e.Code.Text())
}

// Unwrap gives the code.
func (e *Error) Unwrap() error { return e.Code }

// Lost tells whether an error means that the context, with everything in it, cannot be
// used any more.
func Lost(err error) bool {
	var e *Error
	return errors.As(err, &e) && lost[e.Code]
}

// failed makes the error of a call; nil for success.
func failed(device int, call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return &Error{Call: call, Code: Code(r), Name: Code(r).Name(), Device: device}
}

// wrapped makes the error of a call that gorgonia.org/cu made. Its codes have an
// unexported type, whose kind tells them.
func wrapped(device int, call string, err error) error {
	if err == nil {
		return nil
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if v := reflect.ValueOf(e); v.Kind() == reflect.Int {
			return failed(device, call, C.CUresult(v.Int()))
		}
	}
	return fmt.Errorf("cuda: %s: %w", call, err)
}
