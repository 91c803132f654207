package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// props is what is read of llama.cpp's GET /props (tools/server/README.md).
type props struct {
	Settings *struct {
		NCtx int `json:"n_ctx"`
	} `json:"default_generation_settings"`
	ModelPath string `json:"model_path"`
	Build     string `json:"build_info"`
}

// models is GET /v1/models. llama.cpp adds meta with the size of the vocabulary.
type models struct {
	Data []struct {
		ID   string `json:"id"`
		Meta *struct {
			Vocab int `json:"n_vocab"`
		} `json:"meta"`
	} `json:"data"`
}

// detect asks the server what it is: only llama.cpp has /props with the settings
// of its generation; all that are compatible with OpenAI list their models.
func (c *Client) detect(ctx context.Context) error {
	switch c.opt.Dialect {
	case Auto, "", Llama, OpenAI:
	default:
		return &AddressError{c.opt.Address, fmt.Sprintf("no dialect is called %q: there are %s, %s and %s", c.opt.Dialect, Auto, Llama, OpenAI)}
	}
	if c.opt.Dialect != OpenAI {
		found, err := c.isLlama(ctx)
		if found || err != nil {
			return err
		}
	}
	var list models
	if err := c.get(ctx, c.base.openai+"/models", &list); err != nil {
		if !elsewhere(err) {
			return err
		}
		if c.opt.Dialect != OpenAI {
			return &AnswerError{c.base.native, fmt.Sprintf("it has neither llama.cpp's /props nor OpenAI's /v1/models (%v); --ref-api says what it is", err), nil}
		}
	}
	if err := c.choose(&list); err != nil {
		return err
	}
	c.speak = &openai{Client: c, can: features{ids: true, echo: true, extra: true}, top: c.opt.Top}
	c.about = "OpenAI-compatible server " + c.base.openai
	if c.model != "" {
		c.about += ", model " + plain(c.model)
	}
	return nil
}

// isLlama tells whether the server is llama.cpp's, and sets the client up for it.
func (c *Client) isLlama(ctx context.Context) (bool, error) {
	var p props
	forced := c.opt.Dialect == Llama
	if err := c.get(ctx, c.base.native+"/props", &p); err != nil {
		if forced && !missing(err) || !forced && !refuses(err) && !elsewhere(err) {
			return false, err
		}
	}
	if !forced && p.Settings == nil {
		return false, nil
	}
	var list models
	if err := c.get(ctx, c.base.openai+"/models", &list); err != nil && !elsewhere(err) {
		return false, err
	}
	if err := c.choose(&list); err != nil {
		return false, err
	}
	c.speak = &native{Client: c}
	c.about = "llama.cpp server " + c.base.native
	if p.Build != "" {
		c.about += ", build " + plain(p.Build)
	}
	if p.ModelPath != "" {
		c.about += ", model " + plain(path.Base(strings.ReplaceAll(p.ModelPath, `\`, "/")))
	}
	return true, nil
}

// choose takes the model that was named, or the first of the list.
func (c *Client) choose(list *models) error {
	c.model = c.opt.Model
	var ids []string
	for _, m := range list.Data {
		ids = append(ids, m.ID)
		if c.model == "" {
			c.model = m.ID
		}
		if m.ID == c.model && m.Meta != nil {
			c.size = m.Meta.Vocab
		}
	}
	if len(ids) > 1 && c.opt.Model == "" {
		c.note("the server has %d models, %s is compared; --ref-name names another", len(ids), plain(c.model))
	}
	if size := c.opt.Vocab.Size(); c.size > 0 && c.size != size {
		return &VocabularyError{c.base.native, fmt.Sprintf("%d tokens, this model has %d", c.size, size)}
	}
	return nil
}

// refuses tells that a server answers, and refuses for no reason that holds for
// every address: gateways say so in many ways.
func refuses(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && !s.Temporary() && s.Status != http.StatusUnauthorized && s.Status != http.StatusForbidden
}

// elsewhere tells that a server answers, and has nothing of use at that address.
func elsewhere(err error) bool {
	var answer *AnswerError
	return missing(err) || errors.As(err, &answer) && answer.Err == nil
}

// missing tells that a server does not know an address.
func missing(err error) bool {
	var s *StatusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusGone:
		return true
	}
	return false
}
