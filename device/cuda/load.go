//go:build cuda

package cuda

import (
	"errors"
	"fmt"

	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/kernels"
)

// loadModule loads the kernels of a source, as the best image that the GPU and its driver take.
// It returns the image's target too.
func loadModule(c *driver.Context, p *driver.Properties, name string) (driver.Module, string, error) {
	images, err := kernels.Images(name, p.Capability())
	if err != nil {
		return driver.Module{}, "", err
	}
	for _, image := range images {
		var m driver.Module
		if m, err = c.Load(image.Data); err == nil {
			return m, image.Target, nil
		}
		err = fmt.Errorf("kernels %s for %s: %w", name, image.Target, err)
		if !notForThis(err) {
			break
		}
	}
	return driver.Module{}, "", err
}

// notForThis tells whether a module was refused for what it was compiled to.
func notForThis(err error) bool {
	for _, code := range []driver.Code{driver.ErrNoBinary, driver.ErrInvalidImage, driver.ErrInvalidPTX, driver.ErrUnsupportedPTX, driver.ErrNoCompiler} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
