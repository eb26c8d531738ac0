package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"placement": main})
}

// TestTranscripts runs placement on the sample, and on inputs of the scripts
// themselves. Update what it prints with UPDATE_SCRIPTS=1.
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			return os.CopyFS(env.WorkDir+"/sample", os.DirFS("sample"))
		},
	})
}
