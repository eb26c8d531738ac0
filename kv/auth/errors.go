package auth

import "errors"

// Errors of a check. Nothing was done; a retry of the first is useless.
var (
	// ErrDenied: the credentials do not suffice, or are wrong.
	ErrDenied = errors.New("insufficient credentials")
	// ErrBusy: too many passwords are being checked.
	ErrBusy = errors.New("too many passwords are being checked")
)

// Kind says why users or roles cannot be read or changed as asked.
type Kind string

// The kinds of errors.
const (
	Invalid   Kind = "invalid"   // the request makes no sense
	Forbidden Kind = "forbidden" // not while things are as they are
	NotFound  Kind = "not found"
	Conflict  Kind = "conflict" // with what exists
)

// Error refuses to read or change users or roles. Nothing was changed.
type Error struct {
	Kind Kind
	// Message is the original's, without its prefix.
	Message string
}

// Error gives the message as the v2 API does.
func (e *Error) Error() string { return "auth: " + e.Message }
