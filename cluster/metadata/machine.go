package metadata

import "sync/atomic"

// Machine keeps the newest image. Apply and Restore are called by one goroutine at a time; Image
// by any.
type Machine struct {
	image atomic.Pointer[Image]
}

// NewMachine starts with the empty image.
func NewMachine() *Machine {
	m := &Machine{}
	m.image.Store(&Image{})
	return m
}

// Image returns the newest image. It stays as it is.
func (m *Machine) Image() *Image { return m.image.Load() }

// Apply applies the command and makes the image it leads to the newest one.
func (m *Machine) Apply(index uint64, c Command) (result any, err error) {
	next, result, err := m.image.Load().Apply(index, c)
	m.image.Store(next)
	return result, err
}

// Restore makes im the newest image, whatever came before.
func (m *Machine) Restore(im *Image) { m.image.Store(im) }
