package kv

import (
	"errors"
	"fmt"
)

// Code is an error code of the v2 API.
type Code int

// The codes of the v2 API that this project sends or receives.
const (
	CodeKeyNotFound        Code = 100
	CodeCompareFailed      Code = 101
	CodeNotFile            Code = 102
	CodeNotDir             Code = 104
	CodeKeyExists          Code = 105
	CodeReservedKey        Code = 106
	CodeRootReadOnly       Code = 107
	CodeDirNotEmpty        Code = 108
	CodeUnauthorized       Code = 110
	CodePrevValueRequired  Code = 201
	CodeTTLNaN             Code = 202
	CodeIndexNaN           Code = 203
	CodeInvalidField       Code = 209
	CodeInvalidForm        Code = 210
	CodeRefreshValue       Code = 211
	CodeRefreshTTLRequired Code = 212
	CodeRaftInternal       Code = 300
	CodeLeaderElection     Code = 301
	CodeWatcherCleared     Code = 400
	CodeHistoryCleared     Code = 401
)

// messages holds the fixed text that goes with each code on the wire.
var messages = map[Code]string{
	CodeKeyNotFound:        "Key not found",
	CodeCompareFailed:      "Compare failed",
	CodeNotFile:            "Not a file",
	CodeNotDir:             "Not a directory",
	CodeKeyExists:          "Key already exists",
	CodeReservedKey:        "The prefix of given key is a keyword in etcd",
	CodeRootReadOnly:       "Root is read only",
	CodeDirNotEmpty:        "Directory not empty",
	CodeUnauthorized:       "The request requires user authentication",
	CodePrevValueRequired:  "PrevValue is Required in POST form",
	CodeTTLNaN:             "The given TTL in POST form is not a number",
	CodeIndexNaN:           "The given index in POST form is not a number",
	CodeInvalidField:       "Invalid field",
	CodeInvalidForm:        "Invalid POST form",
	CodeRefreshValue:       "Value provided on refresh",
	CodeRefreshTTLRequired: "A TTL must be provided on refresh",
	CodeRaftInternal:       "Raft Internal Error",
	CodeLeaderElection:     "During Leader Election",
	CodeWatcherCleared:     "watcher is cleared due to etcd recovery",
	CodeHistoryCleared:     "The event in requested index is outdated and cleared",
}

// Message returns the fixed text of the code, as it stands in v2 error bodies.
func (c Code) Message() string { return messages[c] }

// Error is a failure of the key space. Two Errors match under errors.Is when
// their codes are equal, so the sentinels below need no cause or index.
type Error struct {
	Code Code
	// Cause is the key, field or comparison at fault.
	Cause string
	// Index is the store index when the error arose; 0 for a request that was
	// refused before it reached the store.
	Index uint64
	// Err is an underlying error, if any; it does not travel over HTTP.
	Err error
}

// Sentinels for errors.Is. Except where noted nothing was changed and a retry
// is safe, though useless unless the key space changes.
var (
	ErrKeyNotFound        = &Error{Code: CodeKeyNotFound}
	ErrCompareFailed      = &Error{Code: CodeCompareFailed}
	ErrNotFile            = &Error{Code: CodeNotFile}
	ErrNotDir             = &Error{Code: CodeNotDir}
	ErrKeyExists          = &Error{Code: CodeKeyExists}
	ErrRootReadOnly       = &Error{Code: CodeRootReadOnly}
	ErrDirNotEmpty        = &Error{Code: CodeDirNotEmpty}
	ErrUnauthorized       = &Error{Code: CodeUnauthorized}
	ErrPrevValueRequired  = &Error{Code: CodePrevValueRequired}
	ErrRefreshValue       = &Error{Code: CodeRefreshValue}
	ErrRefreshTTLRequired = &Error{Code: CodeRefreshTTLRequired}
	// ErrHistoryCleared: read the key again and watch from that answer's index.
	ErrHistoryCleared = &Error{Code: CodeHistoryCleared}
	// ErrInternal is any failure of the cluster under the key space. Whether a
	// write took place is then unknown unless the error also matches
	// ErrNotApplied.
	ErrInternal = &Error{Code: CodeRaftInternal}
)

// ErrNotApplied marks a failed write that certainly did not and will not take
// place; a retry is safe.
var ErrNotApplied = errors.New("write was not applied")

// ErrOutcomeUnknown marks a failed write that may or may not take place. Read
// before you retry, or make the write conditional.
var ErrOutcomeUnknown = errors.New("outcome of write unknown")

// Error gives code, message, cause and index in the original's client format:
// "100: Key not found (/a) [7]".
func (e *Error) Error() string {
	s := fmt.Sprintf("%d: %s (%s) [%d]", int(e.Code), e.Code.Message(), e.Cause, e.Index)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// WatchError ends a watch. Err is the reason: the context's error,
// ErrHistoryCleared, or the failure of the connection or member.
type WatchError struct {
	// Resume is the WatchOptions.From that continues without a gap.
	Resume uint64
	Err    error
}

// Error names the index to resume from.
func (e *WatchError) Error() string {
	return fmt.Sprintf("watch ended, resume from index %d: %v", e.Resume, e.Err)
}

// Unwrap returns the reason.
func (e *WatchError) Unwrap() error { return e.Err }
