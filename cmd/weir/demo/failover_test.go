package main

import (
	"errors"
	"strings"
	"testing"
)

func TestCountReceipts(t *testing.T) {
	at := 0
	n, err := countReceipts(strings.NewReader("a\nb\nc\nd\n"), 2, func(n int) error { at = n; return nil })
	if n != 4 || at != 2 || err != nil {
		t.Errorf("%d lines, called at %d, %v", n, at, err)
	}
	n, err = countReceipts(strings.NewReader("a\nb\n"), 1, func(int) error { return errors.New("no") })
	if n != 2 || err == nil {
		t.Errorf("%d lines, %v: what is called fails, and the rest is counted", n, err)
	}
}

func TestInSync(t *testing.T) {
	list := []partition{{Replicas: []int32{1, 2, 3}, InSync: []int32{1, 3}}, {Replicas: []int32{1, 2, 3}, InSync: []int32{1, 2, 3}}}
	if got := inSync(list); got != "5 of 6 replicas in sync" {
		t.Errorf("got %s", got)
	}
}
