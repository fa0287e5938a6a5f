//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"errors"
	"testing"
	"time"
)

// hears has the follower of a pair note what is other than before in what it is told of its leader.
func (p *pair) hears() (told chan bool) {
	told = make(chan bool, 100)
	was := false
	p.gb.SetHeard(func(heard bool, at time.Time) bool {
		if at.IsZero() || time.Since(at) < 0 {
			heard = !heard // what no test expects
		}
		if heard != was {
			told <- heard
		}
		was = heard
		return true
	})
	return told
}

// A follower is told that its leader is heard, and that it is not any more, however that comes about.
func TestHeard(t *testing.T) {
	for name, end := range map[string]func(*pair){
		"no leader any more":   func(p *pair) { p.leads.Store(false) },
		"the follower's term":  func(p *pair) { p.term.Store(6) },
		"connection cut":       func(p *pair) { p.a.cut(func(*conn) bool { return true }, errors.New("cut by the test")) },
		"the leader's process": func(p *pair) { p.a.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			told := p.hears()
			p.stand(t)
			if !receive(t, "the leader is heard", told) {
				t.Fatal("told that it is not heard, first")
			}
			end(p)
			if receive(t, "the leader is not heard any more", told) {
				t.Error("told twice that it is heard")
			}
		})
	}
}

// A leader that was elected again, in a later term, is told of again.
func TestHeardAgain(t *testing.T) {
	p := newPair(t)
	told := p.hears()
	p.stand(t)
	receive(t, "the leader is heard", told)
	p.term.Store(6)
	p.ledTerm.Store(6)
	receive(t, "the leader is not heard any more", told)
	eventually(t, "it is heard again", func() bool {
		_, _ = appendTo(p.ga, p.b, heartbeat(p.a, 6))
		select {
		case heard := <-told:
			return heard
		default:
			return false
		}
	})
}

// While a leader says nothing, on a connection that stays, it is not heard, and who asks is told to doubt. With its
// next pulse all is as before.
func TestSilence(t *testing.T) {
	p := newPair(t)
	told := p.hears()
	p.stand(t)
	receive(t, "the leader is heard", told)
	to, _ := parseTarget(p.b.address)
	peer, err := p.a.peer(to)
	if err != nil {
		t.Fatal(err)
	}
	c := peer.control.live()
	token := <-c.turn // nothing can be written
	doubt, wake := p.ga.Sleep(p.b.address, 5)
	defer wake()
	select {
	case <-doubt:
	case <-time.After(long):
		t.Error("no doubt about a peer that does not answer")
	}
	if receive(t, "the leader is not heard any more", told) {
		t.Error("told twice that it is heard")
	}
	c.turn <- token
	if !receive(t, "the leader is heard again", told) {
		t.Error("told twice that it is not heard")
	}
	eventually(t, "the doubt is over", func() bool {
		doubt, wake := p.ga.Sleep(p.b.address, 5)
		defer wake()
		select {
		case <-doubt:
			return false
		default:
			return true
		}
	})
}

// What somebody sleeps on is not withdrawn, though nobody asks for it.
func TestSleep(t *testing.T) {
	p := newPair(t)
	p.stand(t)
	_, wake := p.ga.Sleep(p.b.address, 5)
	_, wakeOther := p.ga.Sleep(p.b.address, 6) // nothing stands for that
	defer wakeOther()
	_, ended, _ := p.ga.Stands(p.b.address, 5)
	select {
	case <-ended:
		t.Fatal("it was withdrawn")
	case <-time.After(silentAfter + 3*pulseInterval):
	}
	wake()
	select {
	case <-ended:
	case <-time.After(long):
		t.Error("it stands for ever")
	}
}

func TestDoubts(t *testing.T) {
	d := doubts{begun: make(chan struct{})}
	doubtful := func() bool {
		select {
		case <-d.begun:
			return true
		default:
			return false
		}
	}
	first, second, third := d.after(time.Hour), d.after(time.Hour), d.after(time.Hour)
	third.over()
	third.begin() // its timer had run out just then
	if doubtful() {
		t.Error("a doubt that was over before it began")
	}
	first.begin()
	second.begin()
	first.over()
	if !doubtful() {
		t.Error("one of two is still in doubt")
	}
	second.over()
	if doubtful() {
		t.Error("nobody is in doubt any more")
	}
}
