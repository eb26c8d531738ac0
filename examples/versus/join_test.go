package main

import "testing"

func TestWritesGoOnWhileAMemberJoins(t *testing.T) {
	j, err := joinUnderLoad(t.Context(), t.TempDir(), 20_000)
	if err != nil {
		t.Fatal(err) // a write that fails is one
	}
	if j.writes == 0 {
		t.Error("no write was acknowledged while the member joined")
	}
	t.Logf("%+v", j)
}
