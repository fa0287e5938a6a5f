// Package archtest holds no code: its tests keep the layers of the tree, and the parts of README.md that
// can be derived from the tree, true.
package archtest
