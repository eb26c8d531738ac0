package registry_test

import (
	"fmt"
	"testing"

	"github.com/strakeproject/strake/schedule/registry"
)

// BenchmarkFollow opens a view of a registry with 10,000 units.
func BenchmarkFollow(b *testing.B) {
	r := registry.New(openStore(b), registry.Options{})
	for i := range 10_000 {
		name := fmt.Sprintf("u%d.service", i)
		ok(b, r.CreateUnit(b.Context(), name, parse(b, fmt.Sprintf("[Service]\nExecStart=/bin/sleep %d\n", i)), registry.Launched))
		ok(b, r.Schedule(b.Context(), name, fmt.Sprintf("m%d", i%100)))
	}
	for name, scope := range map[string]registry.Scope{"engine": {}, "agent": {Machine: "m7"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				v, err := r.Follow(b.Context(), scope)
				ok(b, err)
				v.Close()
			}
		})
	}
}

// BenchmarkPlacement schedules a unit back and forth while an engine and a
// hundred agents watch.
func BenchmarkPlacement(b *testing.B) {
	store := openStore(b)
	r := registry.New(store, registry.Options{})
	ok(b, r.CreateUnit(b.Context(), "a.service", parse(b, sleeper), registry.Launched))
	ok(b, r.Schedule(b.Context(), "a.service", "m0"))
	follow(b, r, registry.Scope{})
	for i := range 100 {
		follow(b, registry.New(store, registry.Options{}), registry.Scope{Machine: fmt.Sprintf("m%d", i)})
	}
	from := 0
	for b.Loop() {
		to := (from + 1) % 100
		ok(b, r.Reschedule(b.Context(), "a.service", fmt.Sprintf("m%d", from), fmt.Sprintf("m%d", to)))
		from = to
	}
}
