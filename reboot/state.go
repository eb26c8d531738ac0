package reboot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// State is what a semaphore says.
type State struct {
	// Free is how many slots can be taken; negative after Max was set below
	// the number of holders.
	Free int
	// Max is how many slots there are.
	Max int
	// Holders have a slot each, in ascending byte order. It is nil before the
	// first lock.
	Holders []string
}

// initial is the state of a semaphore that nobody has used yet.
func initial() State { return State{Free: 1, Max: 1} }

// stored is the JSON form, member for member that of locksmith. Holders of a
// new semaphore are null there, and [] after the last has left.
type stored struct {
	Semaphore int      `json:"semaphore"`
	Max       int      `json:"max"`
	Holders   []string `json:"holders"`
}

// MarshalJSON gives the form in which a semaphore is stored.
func (s State) MarshalJSON() ([]byte, error) {
	return json.Marshal(stored{Semaphore: s.Free, Max: s.Max, Holders: s.Holders})
}

// UnmarshalJSON reads the stored form. Missing members are zero, unknown ones
// are ignored, and holders that somebody wrote out of order are sorted.
func (s *State) UnmarshalJSON(data []byte) error {
	var in stored
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	slices.Sort(in.Holders)
	*s = State{Free: in.Semaphore, Max: in.Max, Holders: in.Holders}
	return nil
}

// FullError is the refusal of a lock because no slot is free. Nothing was
// changed; a retry is useful when somebody has unlocked.
type FullError struct {
	Free int // zero or less
}

// Error has locksmith's wording.
func (e *FullError) Error() string { return "semaphore is at " + strconv.Itoa(e.Free) }

// Refusals of a semaphore, in locksmith's wording. Nothing was changed.
var (
	// ErrHolderExists: the machine has a slot already.
	ErrHolderExists = errors.New("holder exists")
	// ErrHolderMissing: the machine has no slot to give back.
	ErrHolderMissing = errors.New("holder does not exist")
)

// lock returns the state after holder has taken a slot. A holder is told so
// even if no slot is free.
func (s State) lock(holder string) (State, error) {
	if slices.Contains(s.Holders, holder) {
		return s, ErrHolderExists
	}
	if s.Free <= 0 {
		return s, &FullError{Free: s.Free}
	}
	at, _ := slices.BinarySearch(s.Holders, holder)
	s.Holders = slices.Insert(slices.Clone(s.Holders), at, holder)
	s.Free--
	return s, nil
}

// unlock returns the state after holder has given its slot back.
func (s State) unlock(holder string) (State, error) {
	at := slices.Index(s.Holders, holder)
	if at < 0 {
		return s, ErrHolderMissing
	}
	s.Holders = slices.Delete(slices.Clone(s.Holders), at, at+1)
	s.Free++
	return s, nil
}

// setMax returns the state with another number of slots. Holders stay, also
// those for whom there would be no slot.
func (s State) setMax(slots int) (State, error) {
	s.Free += slots - s.Max
	s.Max = slots
	return s, nil
}

// decode reads a stored value.
func decode(value string) (State, error) {
	var s State
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return State{}, fmt.Errorf("value of semaphore: %w", err)
	}
	return s, nil
}
