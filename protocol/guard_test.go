package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// For every API and version, the shape takes exactly the bytes that kmsg encodes,
// and kmsg reads them back as the same message.
func TestShapesAreThoseOfKmsg(t *testing.T) {
	for _, api := range apiTable {
		for version := api.Floor; version <= api.Max; version++ {
			rapid.Check(t, func(t *rapid.T) {
				req := randomRequest(t, api.Key, version)
				body := req.AppendTo(nil)
				w := walker{reader: reader{src: body}, budget: math.MaxInt64}
				if err := w.structure(planOf(api.Key, version)); err != nil || w.left() != 0 {
					t.Fatalf("%s version %d: %d bytes left of %d, %v", api.Name, version, w.left(), len(body), err)
				}
				again := kmsg.RequestForKey(api.Key)
				again.SetVersion(version)
				if err := again.ReadFrom(body); err != nil {
					t.Fatal(err)
				}
				if got := again.AppendTo(nil); !bytes.Equal(got, body) {
					t.Fatalf("%s version %d:\ngot  % x\nwant % x", api.Name, version, got, body)
				}
			})
		}
	}
}

// No byte of a message can be missing.
func TestEveryTruncationIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		api, version, req := drawRequest(t)
		body := req.AppendTo(nil)
		if len(body) == 0 {
			return
		}
		cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
		_, err := DecodeRequest(RequestHeader{Key: api.Key, Version: version}, body[:cut])
		var malformed *MalformedError
		if !errors.As(err, &malformed) {
			t.Fatalf("%s version %d cut to %d of %d bytes: %v", api.Name, version, cut, len(body), err)
		}
	})
}

// The sizes that the budget counts with are not below those of the real structs.
func TestDecodedSizesAreUpperBounds(t *testing.T) {
	for _, api := range apiTable {
		for version := api.Floor; version <= api.Max; version++ {
			compareSizes(t, api.Name, planOf(api.Key, version), reflect.TypeOf(kmsg.RequestForKey(api.Key)).Elem())
		}
	}
}

func compareSizes(t *testing.T, path string, p *plan, typ reflect.Type) {
	t.Helper()
	for _, s := range p.steps {
		if s.kind != kindArray || s.elem == nil {
			continue
		}
		f, ok := typ.FieldByName(s.name)
		if !ok {
			t.Errorf("%s has no field %s", typ, s.name)
			continue
		}
		if elem := f.Type.Elem(); s.decoded < int(elem.Size()) {
			t.Errorf("%s.%s counts %d bytes, %s has %d", path, s.name, s.decoded, elem, elem.Size())
		}
		compareSizes(t, path+"."+s.name, s.elem, f.Type.Elem())
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// decodeBound is what decoding a body may allocate: the guard's budget, with as
// much again for rounding up to size classes, and room for what the test's own
// process does at the same time.
func decodeBound(body []byte) uint64 {
	return 2*uint64(len(body)*decodedPerByte+decodedExtra) + 16<<10
}

// maxStepsPerByte bounds the walk: no struct has more fields than this, and every
// struct takes a byte at least.
const maxStepsPerByte = 24

// checkCost decodes a body and holds what that costs against its size.
func checkCost(t interface{ Fatalf(string, ...any) }, h RequestHeader, body []byte) {
	p := planOf(h.Key, h.Version)
	w := walker{reader: reader{src: body}, budget: int64(len(body))*decodedPerByte + decodedExtra}
	_ = w.structure(p)
	if w.steps > maxStepsPerByte*(len(body)+1) {
		t.Fatalf("%+v: %d steps for %d bytes", h, w.steps, len(body))
	}
	var err error
	if got := allocated(func() { _, err = DecodeRequest(h, body) }); got > decodeBound(body) {
		t.Fatalf("%+v: %d bytes allocated for %d, %v", h, got, len(body), err)
	}
}

// A valid message with a few bytes changed, which reaches deep into the decoders.
func TestMutatedMessagesCostLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		api, version, req := drawRequest(t)
		body := req.AppendTo(nil)
		if len(body) == 0 {
			return
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			i := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			body[i] = rapid.SampledFrom([]byte{0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, body[i] ^ 1}).Draw(t, "to")
		}
		checkCost(t, RequestHeader{Key: api.Key, Version: version}, body)
	})
}

func FuzzDecodeRequest(f *testing.F) {
	for _, api := range apiTable {
		req := kmsg.RequestForKey(api.Key)
		req.SetVersion(api.Max)
		f.Add(api.Key, api.Max, req.AppendTo(nil))
	}
	for _, c := range hostileBodies() {
		if len(c.body) < 1<<10 { // the fuzzer changes large seeds for seconds
			f.Add(c.key, c.version, c.body)
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		h := RequestHeader{Key: key, Version: version}
		if planOf(key, version) == nil {
			if _, err := DecodeRequest(h, body); err == nil {
				t.Fatal("a version that is not served was decoded")
			}
			return
		}
		checkCost(t, h, body)
	})
}

type hostileBody struct {
	name         string
	key, version int16
	body         []byte
}

// hostileBodies are what kmsg alone would spin or allocate on.
func hostileBodies() []hostileBody {
	endless := []byte{0xff, 0xff, 0xff, 0xff, 0x0f} // 2^32-1
	million := bytes.Repeat([]byte{1}, 1<<20)
	return []hostileBody{
		{"tag count of ApiVersions", KeyApiVersions, 3, append([]byte{2, 'a', 2, '1'}, endless...)},
		{"tag length of ApiVersions", KeyApiVersions, 3, append([]byte{2, 'a', 2, '1', 1, 9}, endless...)},
		{"tag count inside a tag", KeyFetch, 12, fetchWithReplicaState(append(make([]byte, 12), endless...))},
		{"tag count inside a tag of a later version", KeyFetch, 14, fetchWithReplicaState(append(make([]byte, 12), endless...))},
		{"count of names", KeyDescribeGroups, 0, binary.BigEndian.AppendUint32(nil, math.MaxInt32)},
		{"negative count", KeyDescribeGroups, 0, binary.BigEndian.AppendUint32(nil, 1<<31)},
		{"count of names, compact", KeyDeleteGroups, 2, endless},
		{"empty topics in plenty", KeyDescribeTopicPartitions, 0, append(binary.AppendUvarint(nil, 1<<19), million...)},
		{"empty forgotten topics in plenty", KeyFetch, 12, forgottenTopics(1 << 18)},
		{"tagged empty topics in plenty", KeyDescribeTopicPartitions, 0, taggedTopics(1 << 18)},
		{"unknown tags in plenty", KeyListGroups, 3, manyTags(1 << 18)},
		{"string above int16", KeyFindCoordinator, 0, []byte{0xff, 0xfe}},
		{"null where it is forbidden", KeyFindCoordinator, 0, []byte{0xff, 0xff}},
		{"null array where it is forbidden", KeyDescribeGroups, 5, []byte{0, 0, 0}},
		{"presence of a struct", KeyDescribeTopicPartitions, 0, []byte{1, 0, 0, 0, 0, 7, 0}},
	}
}

func fetchWithReplicaState(state []byte) []byte {
	req := kmsg.NewFetchRequest()
	req.Version = 12
	body := req.AppendTo(nil)
	body = append(body[:len(body)-1], 1, 1) // one tagged field, number 1
	body = binary.AppendUvarint(body, uint64(len(state)))
	return append(body, state...)
}

func forgottenTopics(n int) []byte {
	req := kmsg.NewFetchRequest()
	req.Version = 12
	req.ForgottenTopics = make([]kmsg.FetchRequestForgottenTopic, n)
	return req.AppendTo(nil)
}

func taggedTopics(n int) []byte {
	req := kmsg.NewDescribeTopicPartitionsRequest()
	req.Topics = make([]kmsg.DescribeTopicPartitionsRequestTopic, n)
	for i := range req.Topics {
		req.Topics[i].UnknownTags.Set(9, nil)
	}
	return req.AppendTo(nil)
}

func manyTags(n int) []byte {
	req := kmsg.NewListGroupsRequest()
	req.Version = 3
	for i := range n {
		req.UnknownTags.Set(uint32(i), nil)
	}
	return req.AppendTo(nil)
}

func TestHostileBodiesAreRefused(t *testing.T) {
	for _, c := range hostileBodies() {
		h := RequestHeader{Key: c.key, Version: c.version}
		var malformed *MalformedError
		if _, err := DecodeRequest(h, c.body); !errors.As(err, &malformed) {
			t.Errorf("%s: %v", c.name, err)
		}
		checkCost(t, h, c.body)
	}
}

// What clients really send stays far below the budget: a fetch of all partitions
// of a large cluster, and group names as short as names get.
func TestLargeHonestRequestsPass(t *testing.T) {
	fetch := kmsg.NewFetchRequest()
	fetch.Topics = make([]kmsg.FetchRequestTopic, 100)
	for i := range fetch.Topics {
		fetch.Topics[i].Topic = strings.Repeat("t", 2)
		fetch.Topics[i].Partitions = make([]kmsg.FetchRequestTopicPartition, 100)
		for j := range fetch.Topics[i].Partitions {
			fetch.Topics[i].Partitions[j].Default()
		}
	}
	groups := kmsg.NewDescribeGroupsRequest()
	metadata := kmsg.NewMetadataRequest()
	for range 10_000 {
		groups.Groups = append(groups.Groups, "g12")
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("abc")})
	}
	for _, req := range []kmsg.Request{&fetch, &groups, &metadata} {
		api, _ := Lookup(req.Key())
		for version := api.Floor; version <= api.Max; version++ {
			req.SetVersion(version)
			h := RequestHeader{Key: api.Key, Version: version}
			if _, err := DecodeRequest(h, req.AppendTo(nil)); err != nil {
				t.Errorf("%s version %d: %v", api.Name, version, err)
			}
		}
	}
}

// Kafka ignores what follows a message, and so do we.
func TestTrailingBytesAreIgnored(t *testing.T) {
	req := kmsg.NewFindCoordinatorRequest()
	req.CoordinatorKey = "g"
	got, err := DecodeRequest(RequestHeader{Key: KeyFindCoordinator}, append(req.AppendTo(nil), "garbage"...))
	if err != nil || got.(*kmsg.FindCoordinatorRequest).CoordinatorKey != "g" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Records are the frame's own bytes; names are not.
func TestRecordsAliasTheBodyAndStringsDoNot(t *testing.T) {
	req := kmsg.NewProduceRequest()
	req.Version = 9
	req.Topics = []kmsg.ProduceRequestTopic{{
		Topic:      "name",
		Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("records")}},
	}}
	body := req.AppendTo(nil)
	got, err := DecodeRequest(RequestHeader{Key: KeyProduce, Version: 9}, body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	topic := got.(*kmsg.ProduceRequest).Topics[0]
	if topic.Topic != "name" {
		t.Errorf("the name changed with the body to %q", topic.Topic)
	}
	if records := topic.Partitions[0].Records; !bytes.Equal(records, make([]byte, 7)) {
		t.Errorf("the records are a copy: %q", records)
	}
}

func BenchmarkDecodeProduce(b *testing.B) {
	req := kmsg.NewProduceRequest()
	req.Version = 13
	req.Topics = []kmsg.ProduceRequestTopic{{
		Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 64<<10)}},
	}}
	body := req.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRequest(RequestHeader{Key: KeyProduce, Version: 13}, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGuardFetch(b *testing.B) {
	req := kmsg.NewFetchRequest()
	req.Version = 18
	req.Topics = []kmsg.FetchRequestTopic{{Partitions: make([]kmsg.FetchRequestTopicPartition, 100)}}
	body := req.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := checkBody(KeyFetch, 18, body); err != nil {
			b.Fatal(err)
		}
	}
}

// TestGuardBoundsLargeProduce: the largest frame there is may hold records, not
// as many partitions as fit into it.
func TestGuardBoundsLargeProduce(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	topic.Partitions = make([]kmsg.ProduceRequestTopicPartition, 3<<20)
	req.Topics = append(req.Topics, topic)
	body := req.AppendTo(nil)
	if _, err := checkBody(KeyProduce, 9, body); err == nil {
		t.Errorf("%d partitions in %d bytes were let through", len(topic.Partitions), len(body))
	}
	topic.Partitions = topic.Partitions[:1]
	topic.Partitions[0].Records = make([]byte, 20<<20)
	req.Topics[0] = topic
	if _, err := checkBody(KeyProduce, 9, req.AppendTo(nil)); err != nil {
		t.Errorf("20 MiB of records: %v", err)
	}
}
