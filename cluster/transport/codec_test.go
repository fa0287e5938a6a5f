//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func TestAddress(t *testing.T) {
	for _, node := range []int32{0, 7, 1<<31 - 1, -1 << 31} {
		a := Address(node, directory(9))
		n, d, ok := ParseAddress(a)
		if !ok || n != node || d != directory(9) {
			t.Errorf("%s reads as %d, %x, %t", a, n, d, ok)
		}
	}
	good := string(Address(7, directory(9)))
	for _, bad := range []string{"", ".", "7", "7.", good + "0", "+" + good, "-0" + good[1:], "--" + good, "-+" + good, "0" + good, "a" + good, good[:len(good)-1] + "g", "99999999999" + good[1:], "7.000000000000000000000000000000AB"} {
		if _, _, ok := ParseAddress(raft.ServerAddress(bad)); ok {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}

// What reads as an address is spelled as Address spells it: there are not two names for one replica.
func FuzzAddress(f *testing.F) {
	f.Add(string(Address(7, directory(9))))
	f.Add("-0.00000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		if node, d, ok := ParseAddress(raft.ServerAddress(s)); ok && string(Address(node, d)) != s {
			t.Errorf("%q is taken for %q", s, Address(node, d))
		}
	})
}

// message is one kind's encoder and decoder, over any.
type message struct {
	name   string
	draw   func(*rapid.T) any
	encode func(any) []byte
	decode func([]byte) (any, error)
}

func bytesGen(t *rapid.T, name string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, name)
	if len(b) == 0 {
		return nil
	}
	return b
}

func headerGen(t *rapid.T) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(rapid.IntRange(0, 3).Draw(t, "version")), ID: bytesGen(t, "id"), Addr: bytesGen(t, "addr")}
}

func decodeInto[T any](f func([]byte, *T) error) func([]byte) (any, error) {
	return func(b []byte) (any, error) {
		v := new(T)
		err := f(b, v)
		return v, err
	}
}

func decodeNew[T any](f func([]byte) (*T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

func encodeAny(v any) []byte {
	b, _ := appendResponse(nil, v)
	return b
}

var messages = []message{
	{"AppendEntries", func(t *rapid.T) any {
		r := &raft.AppendEntriesRequest{
			RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), Leader: bytesGen(t, "leader"),
			PrevLogEntry: rapid.Uint64().Draw(t, "prev"), PrevLogTerm: rapid.Uint64().Draw(t, "prevTerm"), LeaderCommitIndex: rapid.Uint64().Draw(t, "commit"),
		}
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			r.Entries = append(r.Entries, &raft.Log{
				Index: rapid.Uint64().Draw(t, "index"), Term: rapid.Uint64().Draw(t, "entryTerm"), Type: raft.LogType(rapid.Byte().Draw(t, "type")),
				Data: bytesGen(t, "data"), Extensions: bytesGen(t, "extensions"),
			})
		}
		return r
	}, func(v any) []byte {
		r := v.(*raft.AppendEntriesRequest)
		return appendEntriesData(appendEntriesTable(nil, r), r)
	}, decodeNew(decodeAppendEntries)},
	{"AppendEntriesResponse", func(t *rapid.T) any {
		return &raft.AppendEntriesResponse{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), LastLog: rapid.Uint64().Draw(t, "last"), Success: rapid.Bool().Draw(t, "ok"), NoRetryBackoff: rapid.Bool().Draw(t, "backoff")}
	}, encodeAny, decodeInto(decodeAppendEntriesResponse)},
	{"RequestVote", func(t *rapid.T) any {
		return &raft.RequestVoteRequest{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), Candidate: bytesGen(t, "candidate"), LastLogIndex: rapid.Uint64().Draw(t, "last"), LastLogTerm: rapid.Uint64().Draw(t, "lastTerm"), LeadershipTransfer: rapid.Bool().Draw(t, "transfer")}
	}, func(v any) []byte { return appendVote(nil, v.(*raft.RequestVoteRequest)) }, decodeNew(decodeVote)},
	{"RequestVoteResponse", func(t *rapid.T) any {
		return &raft.RequestVoteResponse{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), Peers: bytesGen(t, "peers"), Granted: rapid.Bool().Draw(t, "granted")}
	}, encodeAny, decodeInto(decodeVoteResponse)},
	{"RequestPreVote", func(t *rapid.T) any {
		return &raft.RequestPreVoteRequest{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), LastLogIndex: rapid.Uint64().Draw(t, "last"), LastLogTerm: rapid.Uint64().Draw(t, "lastTerm")}
	}, func(v any) []byte { return appendPreVote(nil, v.(*raft.RequestPreVoteRequest)) }, decodeNew(decodePreVote)},
	{"RequestPreVoteResponse", func(t *rapid.T) any {
		return &raft.RequestPreVoteResponse{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), Granted: rapid.Bool().Draw(t, "granted")}
	}, encodeAny, decodeInto(decodePreVoteResponse)},
	{"TimeoutNow", func(t *rapid.T) any { return &raft.TimeoutNowRequest{RPCHeader: headerGen(t)} },
		func(v any) []byte { return appendHeader(nil, v.(*raft.TimeoutNowRequest).RPCHeader) }, decodeNew(decodeTimeoutNow)},
	{"TimeoutNowResponse", func(t *rapid.T) any { return &raft.TimeoutNowResponse{RPCHeader: headerGen(t)} }, encodeAny, decodeInto(decodeTimeoutNowResponse)},
	{"InstallSnapshot", func(t *rapid.T) any {
		return &raft.InstallSnapshotRequest{
			RPCHeader: headerGen(t), SnapshotVersion: raft.SnapshotVersion(rapid.IntRange(0, 1).Draw(t, "snapshotVersion")), Term: rapid.Uint64().Draw(t, "term"), Leader: bytesGen(t, "leader"),
			LastLogIndex: rapid.Uint64().Draw(t, "last"), LastLogTerm: rapid.Uint64().Draw(t, "lastTerm"), Peers: bytesGen(t, "peers"),
			Configuration: bytesGen(t, "configuration"), ConfigurationIndex: rapid.Uint64().Draw(t, "configurationIndex"), Size: rapid.Int64Min(0).Draw(t, "size"),
		}
	}, func(v any) []byte { return appendSnapshot(nil, v.(*raft.InstallSnapshotRequest)) }, decodeNew(decodeSnapshot)},
	{"InstallSnapshotResponse", func(t *rapid.T) any {
		return &raft.InstallSnapshotResponse{RPCHeader: headerGen(t), Term: rapid.Uint64().Draw(t, "term"), Success: rapid.Bool().Draw(t, "ok")}
	}, encodeAny, decodeInto(decodeSnapshotResponse)},
}

// Every message survives the round trip, and no part of one, and nothing longer, is taken for it.
func TestMessages(t *testing.T) {
	for _, m := range messages {
		t.Run(m.name, rapid.MakeCheck(func(t *rapid.T) {
			want := m.draw(t)
			b := m.encode(want)
			got, err := m.decode(b)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			if r, ok := want.(*raft.AppendEntriesRequest); ok {
				if table, data := entriesRequestBytes(r); table+data != int64(len(b)) {
					t.Fatalf("length is said to be %d + %d, is %d", table, data, len(b))
				}
			}
			if _, err := m.decode(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("a part: %v", err)
			}
			if _, err := m.decode(append(b, 0)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("a byte more: %v", err)
			}
		}))
	}
}

// What decodes has one spelling.
func FuzzMessages(f *testing.F) {
	for i, m := range messages {
		f.Add(uint8(i), m.encode(rapid.Custom(m.draw).Example(i)))
	}
	f.Add(uint8(0), bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		m := messages[int(kind)%len(messages)]
		v, err := m.decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if again := m.encode(v); !bytes.Equal(again, b) {
			t.Fatalf("%s: %x is written as %x", m.name, b, again)
		}
		switch r := v.(type) { // must not panic
		case *raft.AppendEntriesRequest:
			_ = checkEntries(r)
		case *raft.InstallSnapshotRequest:
			_ = checkSnapshot(r)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(encodeCall(hello{purpose: purposeBulk, from: identity{1, directory(1)}, to: identity{2, directory(2)}, cluster: "c"}))
	f.Add(encodeReply(hello{verdict: verdictNode, from: identity{1, directory(1)}, cluster: "c"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		whole := b[:preambleBytes+len(body)]
		if h, err := decodeCall(body); err == nil && !bytes.Equal(encodeCall(h), whole) {
			t.Fatalf("%x is written as %x", whole, encodeCall(h))
		}
		if h, err := decodeReply(body); err == nil && !bytes.Equal(encodeReply(h), whole) {
			t.Fatalf("%x is written as %x", whole, encodeReply(h))
		}
	})
}

func TestCheckEntries(t *testing.T) {
	configuration := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "1", Address: "1"}}})
	for name, c := range map[string]struct {
		entry *raft.Log
		ok    bool
	}{
		"command":                      {&raft.Log{Index: 8}, true},
		"configuration":                {&raft.Log{Index: 8, Type: raft.LogConfiguration, Data: configuration}, true},
		"a gap":                        {&raft.Log{Index: 9}, false},
		"unknown type":                 {&raft.Log{Index: 8, Type: 6}, false},
		"a type of old":                {&raft.Log{Index: 8, Type: raft.LogAddPeerDeprecated}, false},
		"configuration of garbage":     {&raft.Log{Index: 8, Type: raft.LogConfiguration, Data: []byte("garbage")}, false},
		"configuration of nothing":     {&raft.Log{Index: 8, Type: raft.LogConfiguration}, false},
		"configuration cut short":      {&raft.Log{Index: 8, Type: raft.LogConfiguration, Data: configuration[:len(configuration)-1]}, false},
		"configuration with no server": {&raft.Log{Index: 8, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})}, false},
	} {
		err := checkEntries(&raft.AppendEntriesRequest{PrevLogEntry: 7, Entries: []*raft.Log{c.entry}})
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrMalformed)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkSnapshot(&raft.InstallSnapshotRequest{SnapshotVersion: 1, Configuration: []byte{0xdf, 0xff, 0xff, 0xff, 0xff}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("snapshot: %v", err)
	}
	nested := append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 40<<20)...)
	for _, n := range []int{maxConfigurationBytes, len(nested)} {
		if err := checkConfiguration(nested[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of nesting: %v", n, err)
		}
	}
}
