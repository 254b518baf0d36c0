package store

import "errors"

// ErrTooOld is what the error of StateAt and Changes wraps when the history does not reach back so far.
var ErrTooOld = errors.New("before the history begins")
