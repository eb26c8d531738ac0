package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	flagSteps = flag.Int("steps", 5000, "random steps to compare")
	flagSeed  = flag.Uint64("seed", 1, "seed of the random steps")
)

func TestTheOriginalAndOursAnswerAlike(t *testing.T) {
	p := newPair(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	ran := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ran++
			p.on(t)
			p.run(string(b))
		})
	}
	t.Run("random", func(t *testing.T) {
		p.on(t)
		p.random(*flagSeed, *flagSteps)
	})
	p.t = t
	t.Logf("compared %d steps", p.steps)
	for _, r := range p.rules {
		if !r.used && ran == len(files) && !t.Failed() {
			t.Errorf("rule %q is not needed: it never applied", r.name)
		}
	}
}
