package schedule

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mask is the slots whose machines pass a test that units put to what machines
// say of themselves.
type mask struct {
	key  string
	test func(Machine) bool
	refs int
	bits bitset
}

// needMask is the mask of what a unit asks of a machine by Metadata and Require;
// nil if it asks nothing.
func (s *Scheduler) needMask(u *Unit) *mask {
	if len(u.Metadata) == 0 && u.Require == nil {
		return nil
	}
	if v := s.needy; v != nil && v.need != nil && v.spec.Require == u.Require && maps.EqualFunc(v.spec.Metadata, u.Metadata, slices.Equal[[]string]) {
		v.need.refs++
		return v.need
	}
	return s.useMask(metadataKey(u.Metadata)+" "+u.Require.String(), func(m Machine) bool {
		return matchesMetadata(m.Metadata, u.Metadata) && u.Require.Matches(m.Metadata) && m.dedicatedTo(u)
	})
}

// useMask returns the mask with a key, one reference more. Tests with one key
// are equal.
func (s *Scheduler) useMask(key string, test func(Machine) bool) *mask {
	k := s.masks[key]
	if k == nil {
		k = &mask{key: key, test: test}
		s.masks[key] = k
		for slot := range s.alive.all {
			k.fit(slot, s.machines[slot].Machine)
		}
	}
	k.refs++
	return k
}

func (s *Scheduler) releaseMask(k *mask) {
	if k == nil {
		return
	}
	if k.refs--; k.refs == 0 {
		delete(s.masks, k.key)
	}
}

// fitMasks puts a machine that has changed to all tests.
func (s *Scheduler) fitMasks(slot int) {
	for _, k := range s.masks {
		k.fit(slot, s.machines[slot].Machine)
	}
}

func (k *mask) fit(slot int, m Machine) { k.bits.put(slot, k.test(m)) }

// metadataKey is equal for equal needs.
func metadataKey(need map[string][]string) string {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(need)) {
		b = strconv.AppendQuote(b, key)
		for _, v := range distinct(need[key]) {
			b = append(b, '=')
			b = strconv.AppendQuote(b, v)
		}
	}
	return string(b)
}

// dedicatedTo reports whether a machine is not kept for others: the unit asks
// for what it is dedicated to, by that very value.
func (m Machine) dedicatedTo(u *Unit) bool {
	if m.Dedicated == "" {
		return true
	}
	key, value, _ := strings.Cut(m.Dedicated, "=")
	return slices.Contains(u.Metadata[key], value) || u.Require.names(key, value)
}
