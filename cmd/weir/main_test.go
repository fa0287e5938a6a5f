package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"weir/cluster/broker/brokertest"
)

// TestMain makes this test binary the command weir when a script calls it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"weir": main})
}

// TestStories runs each file of testdata/script as somebody's session at a shell, against a broker of
// its own.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			b := brokertest.Start(env.T().(testing.TB), map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"})
			env.Setenv("WEIR_BROKERS", b.Addr())
			env.Setenv("DATA", b.Node().DataDir())
			return nil
		},
	})
}
