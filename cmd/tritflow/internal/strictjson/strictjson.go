// Package strictjson reads JSON that people write by hand, where what is misspelt,
// left over or of another kind must not be overlooked.
//
//	one value, known fields, valid UTF-8, nothing behind it ─▶ v, or an error without Go's types
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Decode reads the only value of data over what is in v.
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not valid UTF-8") // which encoding/json would replace
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("it cannot be a JSON %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s cannot be a JSON %s", kind.Field, kind.Value)
	case err != nil:
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind its end")
	}
	return nil
}
