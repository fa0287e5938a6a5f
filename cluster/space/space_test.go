package space

import (
	"math"
	"testing"
)

func TestMark(t *testing.T) {
	for _, x := range []struct{ configured, total, want int64 }{
		{-1, 64 << 20, 64 << 20 / 20},
		{-1, 20 << 30, 1 << 30},
		{-1, 10 << 40, 1 << 30},
		{-1, 0, 0},
		{0, 64 << 20, 0},
		{5 << 30, 64 << 20, 5 << 30}, // somebody's word counts, whatever it means
	} {
		if got := Mark(x.configured, x.total); got != x.want {
			t.Errorf("Mark(%d, %d) = %d, want %d", x.configured, x.total, got, x.want)
		}
	}
}

func TestNext(t *testing.T) {
	const mark = 1000
	for _, x := range []struct {
		was  Level
		free int64
		want Level
	}{
		{Ample, 1000, Ample},
		{Ample, 999, Low},
		{Ample, 249, Critical}, // at once
		{Low, 1249, Low},
		{Low, 1250, Ample},
		{Low, 250, Low},
		{Low, 249, Critical},
		{Critical, 499, Critical},
		{Critical, 500, Low},
		{Critical, 1249, Low},
		{Critical, 1250, Ample},
		{Critical, 0, Critical},
	} {
		if got := Next(x.was, x.free, mark); got.Level != x.want || got.FreeBytes != x.free || got.MarkBytes != mark {
			t.Errorf("from %d with %d free: %+v, want level %d", x.was, x.free, got, x.want)
		}
	}
	for _, was := range []Level{Ample, Low, Critical} {
		if got := Next(was, 0, 0).Level; got != Ample {
			t.Errorf("from %d without a mark: %d", was, got)
		}
		if got := Next(was, 1<<40, math.MaxInt64).Level; got != Critical {
			t.Errorf("from %d with the largest mark: %d", was, got)
		}
	}
}

func TestLeft(t *testing.T) {
	for _, x := range []struct {
		s    State
		want int64
	}{
		{State{Ample, 1500, 1000}, 500},
		{State{Low, 900, 1000}, 650},
		{State{Critical, 100, 1000}, 0},
	} {
		if got := x.s.Left(); got != x.want {
			t.Errorf("%+v: %d left, want %d", x.s, got, x.want)
		}
	}
}
