// Package mutants shows that the tests bite: it plants known bugs, one at a
// time, and a test that ought to see the bug has to fail, for the right reason.
//
// The tree itself holds none of them. A bug is a few edits of source text, which
// the go command is given as an overlay; a broker that is attacked is built
// with it, and so is a package under test. `make mutants` does that for all of
// them, behind the build tag mutants. Without the tag the tests here see to it
// that every edit still finds its text and that what it makes compiles, so that
// a refactoring hears of it at once.
//
// TestCaught/M5 runs one of them. WEIR_MUTANTS_KEEP=1 has it print what each
// harness said.
package mutants
