package gguf

import "errors"

// Survey opens a file to look at what is wrong with it. Where Open ends at the
// first fault, Survey goes on as long as the header can be read: the File has
// all tensors, and those at fault have no Data (and TypeNone where the type is
// the fault). Such a File cannot be run. faults are *FormatErrors; without any,
// the File is what Open would have given. err is what kept the header from
// being read.
func Survey(path string, opt Options) (f *File, faults []error, err error) {
	parts, err := openParts(path)
	if err != nil {
		return nil, nil, err
	}
	f, err = assemble(path, parts, opt, func(fault error) error {
		faults = append(faults, fault)
		return nil
	})
	if err != nil {
		return nil, nil, errors.Join(err, closeParts(parts))
	}
	return f, faults, nil
}
