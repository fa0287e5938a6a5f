// Package mutants shows that the tests bite: it plants known bugs, one at a
// time, and a test that ought to see the bug has to fail, for the right reason.
//
// The tree itself holds none of them. A bug is a few edits of source text
// (table.go), which the go command is given as an overlay: a broker that
// package torture attacks is built with it, or a package under test is. `make
// mutants` does that for all of them, behind the build tag mutants. Without the
// tag the tests here see to it that every edit still finds its text, exactly
// once, and that what it makes compiles, so that a refactoring hears of it at
// once. Bugs behind build tags in the tree lost: production code would be read
// around them.
//
// A harness that is named for a bug runs on the tree as it is in `make test` or
// `make torture`, so that it passes without the bug is shown there. What it says
// has to match, too: a test that fails because the broker does not start sees
// nothing. An attack whose moment is drawn is repeated, a test inside a package
// is not. Where a bug survived the test that was there for it, that was made
// better, or another one was written: none looks for the bug's text.
//
// One of them: go test -tags mutants -v -run 'TestCaught/^M5$' in this folder.
// WEIR_MUTANTS_VERBOSE=1 has it print all that each harness said.
package mutants
