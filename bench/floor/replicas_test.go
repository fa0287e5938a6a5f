package floor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startFollowers returns the addresses and folders of n followers.
func startFollowers(t *testing.T, n int, sync bool) (addresses, dirs []string) {
	t.Helper()
	for range n {
		dir := t.TempDir()
		s, err := Start(Config{Dir: dir, Sync: sync, Unsummed: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		addresses, dirs = append(addresses, s.Addr()), append(dirs, dir)
	}
	return addresses, dirs
}

// TestReplicate: frames are answered in order with the leader's checksum, and once the connection and
// the server are closed every follower has them all, byte for byte.
func TestReplicate(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", sync), func(t *testing.T) {
			followers, dirs := startFollowers(t, 2, sync)
			leader, err := Start(Config{Dir: t.TempDir(), Sync: sync, Followers: followers})
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", leader.Addr())
			if err != nil {
				t.Fatal(err)
			}
			var stored, answers []byte
			var sent [][]byte
			for i, n := range []int{8, 9, 4096, 70_000, 8, 300_000, 100} {
				f := frame(n, uint32(i))
				sent, stored = append(sent, f), append(stored, f[4:]...)
				answers = appendAck(answers, [4]byte(f[8:12]), crc32.Checksum(f[4:], castagnoli))
			}
			wrote := make(chan error, 1)
			go func() {
				_, err := io.Copy(c, &slowReader{bytes.Join(sent, nil)})
				wrote <- err
			}()
			got := make([]byte, len(answers))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, answers) {
				t.Errorf("answers are %x, want %x: %v", got, answers, err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			c.Close()
			if err := leader.Close(); err != nil {
				t.Error(err)
			}
			for _, dir := range append(dirs, leader.cfg.Dir) {
				has, err := os.ReadFile(filepath.Join(dir, "000001.floor"))
				if err != nil || !bytes.HasPrefix(has, stored) {
					t.Errorf("a replica stored something else in %d bytes: %v", len(has), err)
				}
			}
		})
	}
}

// TestMajority: of three, this server and one other; of two, both; of five, this one and two others.
func TestMajority(t *testing.T) {
	for _, c := range []struct {
		stored []int64
		want   int64
	}{
		{[]int64{5, 0, 0}, 0}, {[]int64{5, 3, 0}, 3}, {[]int64{5, 3, 4}, 4}, {[]int64{2, 3, 4}, 2},
		{[]int64{5, 4}, 4}, {[]int64{5, 4, 3, 2, 1}, 3},
	} {
		if got := (&replicas{stored: c.stored}).majority(); got != c.want {
			t.Errorf("%d stored make %d, want %d", c.stored, got, c.want)
		}
	}
}

// fakeFollower takes connections and answers nothing by itself.
func fakeFollower(t *testing.T) (address string, conns <-chan net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	taken := make(chan net.Conn, 1)
	go func() {
		if c, err := ln.Accept(); err == nil {
			taken <- c
		}
	}()
	return ln.Addr().String(), taken
}

// TestNoAnswerWithoutAMajority: the leader alone is none; the slower follower is not waited for; the
// faster one is.
func TestNoAnswerWithoutAMajority(t *testing.T) {
	slow, slowConns := fakeFollower(t)
	fast, fastConns := fakeFollower(t)
	_, c := serve(t, Config{Dir: t.TempDir(), Followers: []string{slow, fast}})
	first, second := frame(100, 1), frame(100, 2)
	if _, err := c.Write(append(first, second...)); err != nil {
		t.Fatal(err)
	}
	answered := make(chan []byte, 1)
	go func() {
		got := make([]byte, 2*ackBytes)
		if _, err := io.ReadFull(c, got); err == nil {
			answered <- got
		}
	}()
	s, f := <-slowConns, <-fastConns
	defer func() { // in the order in which a server ends, which takes a lost follower for an error
		c.Close()
		for _, follower := range []net.Conn{s, f} {
			if _, err := io.Copy(io.Discard, follower); err != nil {
				t.Error(err)
			}
			follower.Close()
		}
	}()
	if _, err := io.ReadFull(f, make([]byte, len(first)+len(second))); err != nil {
		t.Fatal(err)
	}
	select {
	case <-answered:
		t.Fatal("the leader alone answered")
	default:
	}
	if _, err := f.Write(make([]byte, 2*ackBytes)); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; binary.BigEndian.Uint32(got[4:]) != 1 || binary.BigEndian.Uint32(got[ackBytes+4:]) != 2 {
		t.Errorf("answers are %x", got)
	}
}

// TestLostFollowerEndsTheConnection and is an error of the server, as one that cannot be reached is.
func TestLostFollowerEndsTheConnection(t *testing.T) {
	other, otherConns := fakeFollower(t)
	lost, lostConns := fakeFollower(t)
	for name, followers := range map[string][]string{"lost": {other, lost}, "not there": {"127.0.0.1:1"}} {
		s, err := Start(Config{Dir: t.TempDir(), Followers: followers})
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if name == "lost" {
			defer (<-otherConns).Close()
			(<-lostConns).Close()
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: the connection stays", name)
		}
		c.Close()
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "follower: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestFailedSyncIsNoAnswer: what is not on the leader's disk is not answered, whatever followers have.
func TestFailedSyncIsNoAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := &replicas{client: c.(*net.TCPConn), stored: []int64{0, 1, 1}, waiting: make([]answer, 1)}
	if err := r.has(self, 1, errors.New("no sync")); err == nil || r.answered != 0 {
		t.Errorf("answered %d, %v", r.answered, err)
	}
}
