package transport

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hashicorp/raft"
)

func snapshotRequest(tr *Transport, size int64) *raft.InstallSnapshotRequest {
	return &raft.InstallSnapshotRequest{
		RPCHeader: header(tr), SnapshotVersion: 1, Term: 4, Leader: []byte(tr.address), LastLogIndex: 10, LastLogTerm: 3, ConfigurationIndex: 2, Size: size,
		Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(tr.address), Address: tr.address}}}),
	}
}

func install(g *Group, to *Transport, r *raft.InstallSnapshotRequest, data io.Reader) (raft.InstallSnapshotResponse, error) {
	var resp raft.InstallSnapshotResponse
	err := g.InstallSnapshot("", to.address, r, &resp, data)
	return resp, err
}

// restore reads a snapshot as raft does.
func restore(rpc raft.RPC) ([]byte, error) {
	b, err := io.ReadAll(rpc.Reader)
	io.Copy(io.Discard, rpc.Reader)
	if want := rpc.Command.(*raft.InstallSnapshotRequest).Size; err == nil && int64(len(b)) != want {
		err = errors.New("short read")
	}
	return b, err
}

func TestSnapshot(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	want := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{2}).Read(want)
	request := snapshotRequest(a, int64(len(want)))
	consume(t, gb, func(rpc raft.RPC) (any, error) {
		r := rpc.Command.(*raft.InstallSnapshotRequest)
		got, err := restore(rpc)
		if err != nil || !bytes.Equal(got, want[:r.Size]) || r.LastLogIndex != 10 || !bytes.Equal(r.Configuration, request.Configuration) {
			t.Errorf("%d bytes, %v, of %+v", len(got), err, r)
		}
		return &raft.InstallSnapshotResponse{Term: 4, Success: true}, err
	})
	for _, size := range []int64{int64(len(want)), 0, 1, chunkBytes, chunkBytes + 1} {
		request.Size = size
		data := iotest.OneByteReader(bytes.NewReader(want))
		if size > chunkBytes+1 {
			data = bytes.NewReader(want)
		}
		if resp, err := install(ga, b, request, data); err != nil || !resp.Success || resp.Term != 4 {
			t.Errorf("%d bytes: %+v, %v", size, resp, err)
		}
	}
	eventually(t, "no connection is left", func() bool { return len(b.connections()) == 0 && b.inbound.Load() == 0 })
}

func TestSnapshotRefused(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga := openGroup(t, a, groupA)
	untouched := iotest.ErrReader(errors.New("the snapshot was read"))
	if _, err := install(ga, b, snapshotRequest(a, 5), untouched); !errors.Is(err, ErrUnknownGroup) {
		t.Errorf("unknown group: %v", err)
	}
	gb := openGroup(t, b, groupA)
	garbage := snapshotRequest(a, 5)
	garbage.Configuration = []byte("garbage")
	if _, err := install(ga, b, garbage, untouched); !errors.Is(err, ErrMalformed) {
		t.Errorf("garbage for a configuration: %v", err)
	}
	mustNotHave(t, gb)
	consume(t, gb, func(rpc raft.RPC) (any, error) {
		io.Copy(io.Discard, rpc.Reader)
		return &raft.InstallSnapshotResponse{}, errors.New("raft says no")
	})
	var remote *RemoteError
	if _, err := install(ga, b, snapshotRequest(a, 5), strings.NewReader("12345")); !errors.As(err, &remote) || remote.Text != "raft says no" {
		t.Errorf("raft's error: %v", err)
	}
}

// Whichever end breaks off, the other hears of it.
func TestSnapshotBrokenOff(t *testing.T) {
	errRead := errors.New("the disk is gone")
	for name, c := range map[string]struct {
		data io.Reader
		want error
	}{
		"reader fails":    {io.MultiReader(strings.NewReader("1234"), iotest.ErrReader(errRead)), errRead},
		"reader is short": {strings.NewReader("1234"), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.open(1), n.open(2)
			ga := openGroup(t, a, groupA)
			read := make(chan error, 1)
			consume(t, openGroup(t, b, groupA), func(rpc raft.RPC) (any, error) {
				_, err := restore(rpc)
				read <- err
				return &raft.InstallSnapshotResponse{}, err
			})
			if _, err := install(ga, b, snapshotRequest(a, 10), c.data); !errors.Is(err, c.want) {
				t.Errorf("sender: %v", err)
			}
			if err := receive(t, "the receiver's end", read); !errors.Is(err, errAborted) {
				t.Errorf("receiver: %v", err)
			}
		})
	}
	for name, end := range map[string]func(a, b *Transport, ga, gb *Group){
		"sender's group closes":   func(_, _ *Transport, ga, _ *Group) { ga.Close() },
		"sender closes":           func(a, _ *Transport, _, _ *Group) { a.Close() },
		"receiver's group closes": func(_, _ *Transport, _, gb *Group) { gb.Close() },
		"receiver closes":         func(_, b *Transport, _, _ *Group) { b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.open(1), n.open(2)
			ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
			begun, read := make(chan struct{}), make(chan error, 1)
			consume(t, gb, func(rpc raft.RPC) (any, error) {
				_, err := io.ReadFull(rpc.Reader, make([]byte, 1000))
				close(begun)
				if err == nil {
					_, err = restore(rpc)
				}
				read <- err
				return &raft.InstallSnapshotResponse{}, err
			})
			done := make(chan error, 1)
			go func() { _, err := install(ga, b, snapshotRequest(a, 1<<40), endless{}); done <- err }()
			receive(t, "the beginning", begun)
			end(a, b, ga, gb)
			if err := receive(t, "the sender's end", done); err == nil {
				t.Error("installed")
			}
			if err := receive(t, "the receiver's end", read); err == nil {
				t.Error("read to the end")
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
