package remote

import (
	"net/url"
	"strings"
)

// IsAddress tells whether a reference is a server's address.
func IsAddress(s string) bool {
	scheme, _, found := strings.Cut(s, "://")
	return found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// base is where a server's two interfaces begin, without a slash at the end.
type base struct {
	native string // of llama.cpp: "http://host:8080"
	openai string // "http://host:8080/v1"
}

// parseAddress takes http://host:port, perhaps with a path before, or of, the
// OpenAI-compatible part: /v1.
func parseAddress(s string) (base, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return base{}, &AddressError{s, "is no address: write http://host:port or https://host/path"}
	case u.User != nil:
		u.User = nil
		return base{}, &AddressError{u.String(), "write no name or password into the address; a key is read from the environment variable " + KeyVariable}
	case u.Host == "" || u.Hostname() == "":
		return base{}, &AddressError{s, "has no host: write http://host:port"}
	case u.RawQuery != "" || u.Fragment != "":
		return base{}, &AddressError{s, "has more than host, port and path"}
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	before := strings.TrimSuffix(u.Path, "/v1")
	u.Path = before
	root := strings.TrimRight(u.String(), "/")
	return base{native: root, openai: root + "/v1"}, nil
}
