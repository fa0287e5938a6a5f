package bench

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// maxExamples bounds how many violations a report spells out; all of them are counted.
const maxExamples = 10

// Verifier checks a history of consumed records against what producers of one run wrote: nothing
// acknowledged is missing, nothing is there twice, each producer's records of one key are in one
// partition in the order of sending, and every payload is intact. Records without a key keep their
// order within a partition. It is not safe for concurrent use.
type Verifier struct {
	run     uint64
	sources map[sourceKey]*source
	report  VerifyReport
}

// sourceKey names one sequence of numbers: a producer's records of one key.
type sourceKey struct {
	producer uint32
	key      int32
}

// source is what has been seen of one sequence.
type source struct {
	seen      bitmap
	partition int32            // of a key: the one that its first record was in
	newest    map[int32]uint64 // partition → newest sequence + 1, for records without a key
	next      uint64           // newest sequence + 1, of a key
}

// VerifyReport counts violations. Lost is counted once the history is complete.
type VerifyReport struct {
	Checked    int64 `json:"checked"`
	Lost       int64 `json:"lost"`       // acknowledged, never seen
	Duplicated int64 `json:"duplicated"` // seen more than once
	Reordered  int64 `json:"reordered"`  // seen after a later record of its key (or, without a key, of its producer and partition)
	Misplaced  int64 `json:"misplaced"`  // in another partition than earlier records of its key
	Corrupted  int64 `json:"corrupted"`  // checksum or key does not fit
	Foreign    int64 `json:"foreign"`    // of another run or of no bench run: skipped
	// Unacknowledged counts records whose send failed: they may be there or not.
	Unacknowledged int64 `json:"unacknowledged"`
	// Complete says that the history was compared with what was acknowledged, so that a loss at the
	// end of a sequence shows too.
	Complete bool     `json:"complete"`
	Examples []string `json:"examples,omitempty"`
}

// OK reports that nothing was violated.
func (r *VerifyReport) OK() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0 && r.Misplaced == 0 && r.Corrupted == 0
}

// NewVerifier returns a verifier for records of run; run 0 takes the run of the first record.
func NewVerifier(run uint64) *Verifier {
	return &Verifier{run: run, sources: map[sourceKey]*source{}}
}

// Observe takes the next record of a partition; records of one partition come in offset order.
func (v *Verifier) Observe(partition int32, offset int64, key, value []byte) {
	s, err := parseStamp(value)
	switch {
	case errors.Is(err, errForeign):
		v.report.Foreign++
		return
	case err != nil:
		v.report.Checked++
		v.violate(&v.report.Corrupted, "partition %d offset %d: %v", partition, offset, err)
		return
	}
	v.observe(partition, offset, key, s)
}

func (v *Verifier) observe(partition int32, offset int64, key []byte, s stamp) {
	if v.run == 0 {
		v.run = s.run
	}
	if s.run != v.run {
		v.report.Foreign++
		return
	}
	v.report.Checked++
	if !keyFits(key, s.key) {
		v.violate(&v.report.Corrupted, "partition %d offset %d: key %q, want that of number %d", partition, offset, key, s.key)
		return
	}
	if s.key < noKey || s.sequence > maxSequence {
		v.violate(&v.report.Corrupted, "partition %d offset %d: sequence %d of key number %d is out of range", partition, offset, s.sequence, s.key)
		return
	}
	src := v.source(s, partition)
	switch {
	case !src.seen.set(s.sequence):
		v.violate(&v.report.Duplicated, "partition %d offset %d: %s is there again", partition, offset, s)
	case s.key != noKey && src.partition != partition:
		v.violate(&v.report.Misplaced, "partition %d offset %d: %s, earlier ones are in partition %d", partition, offset, s, src.partition)
	case s.sequence < src.newestIn(partition, s.key):
		v.violate(&v.report.Reordered, "partition %d offset %d: %s comes after sequence %d", partition, offset, s, src.newestIn(partition, s.key)-1)
	}
	src.advance(partition, s)
}

func (v *Verifier) source(s stamp, partition int32) *source {
	k := sourceKey{s.producer, s.key}
	src := v.sources[k]
	if src == nil {
		src = &source{partition: partition}
		if s.key == noKey {
			src.newest = map[int32]uint64{}
		}
		v.sources[k] = src
	}
	return src
}

func (s *source) newestIn(partition, key int32) uint64 {
	if key == noKey {
		return s.newest[partition]
	}
	return s.next
}

func (s *source) advance(partition int32, st stamp) {
	if st.key == noKey {
		s.newest[partition] = max(s.newest[partition], st.sequence+1)
		return
	}
	s.next = max(s.next, st.sequence+1)
}

// Seen returns how many different records of the run were observed.
func (v *Verifier) Seen() int64 { return v.report.Checked - v.report.Duplicated - v.report.Corrupted }

// Finish counts what is lost and returns the report. With a manifest each acknowledged record must
// have been seen; without one only gaps below the newest record of a sequence show.
func (v *Verifier) Finish(m *Manifest) *VerifyReport {
	if m != nil {
		v.report.Complete = true
		v.finishManifest(m)
	} else {
		for k, src := range v.sources {
			v.lost(k, src, src.seen.length(), nil)
		}
	}
	report := v.report
	return &report
}

func (v *Verifier) finishManifest(m *Manifest) {
	for _, p := range m.Producers {
		failed := map[sourceKey]map[uint64]bool{}
		for _, f := range p.Unacknowledged {
			k := sourceKey{p.ID, f.Key}
			if failed[k] == nil {
				failed[k] = map[uint64]bool{}
			}
			failed[k][f.Sequence] = true
			v.report.Unacknowledged++
		}
		check := func(key int32, sent uint64) {
			k := sourceKey{p.ID, key}
			src := v.sources[k]
			if src == nil {
				src = &source{}
			}
			if over := src.seen.length(); over > sent {
				v.violate(&v.report.Corrupted, "producer %d key number %d: sequence %d was never sent", p.ID, key, over-1)
			}
			v.lost(k, src, sent, failed[k])
		}
		if m.Keys == 0 {
			check(noKey, p.Sent[0])
			continue
		}
		for key, sent := range p.Sent {
			check(int32(key), sent)
		}
	}
}

// lost counts the sequences below sent that were neither seen nor excused.
func (v *Verifier) lost(k sourceKey, s *source, sent uint64, excused map[uint64]bool) {
	if s.seen.count == sent {
		return
	}
	for n := s.seen.firstMissing(0); n < sent; n = s.seen.firstMissing(n + 1) {
		if !excused[n] {
			v.violate(&v.report.Lost, "producer %d key number %d: sequence %d is missing", k.producer, k.key, n)
		}
	}
}

func (v *Verifier) violate(counter *int64, format string, args ...any) {
	*counter++
	if len(v.report.Examples) < maxExamples {
		v.report.Examples = append(v.report.Examples, fmt.Sprintf(format, args...))
	}
}

func keyFits(key []byte, number int32) bool {
	if number == noKey {
		return key == nil
	}
	var want [keyBytes]byte
	return number >= 0 && string(key) == string(appendKey(want[:0], int64(number)))
}

func (s stamp) String() string {
	if s.key == noKey {
		return fmt.Sprintf("producer %d sequence %d", s.producer, s.sequence)
	}
	return fmt.Sprintf("producer %d key number %d sequence %d", s.producer, s.key, s.sequence)
}

func (r *VerifyReport) writeText(b *strings.Builder) {
	verdict := "every record in place"
	if !r.OK() {
		verdict = "VIOLATED"
	}
	fmt.Fprintf(b, "  verify  %s: %s checked, %s lost, %s duplicated, %s reordered, %s misplaced, %s corrupted\n", verdict,
		thousands(r.Checked), thousands(r.Lost), thousands(r.Duplicated), thousands(r.Reordered), thousands(r.Misplaced), thousands(r.Corrupted))
	if r.Unacknowledged > 0 {
		fmt.Fprintf(b, "          %s sends failed: those records may be there or not\n", thousands(r.Unacknowledged))
	}
	if r.Foreign > 0 {
		fmt.Fprintf(b, "          %s records of other writers skipped\n", thousands(r.Foreign))
	}
	for _, e := range r.Examples {
		fmt.Fprintf(b, "          %s\n", e)
	}
}

// maxSequence bounds the memory of a bitmap whatever a payload says: 2^32 bits are 512 MiB.
const maxSequence = 1<<32 - 1

// bitmap is a set of sequence numbers.
type bitmap struct {
	words []uint64
	count uint64
}

// set adds n and returns false when it was there.
func (b *bitmap) set(n uint64) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for word >= len(b.words) {
		b.words = append(b.words, 0)
	}
	if b.words[word]&bit != 0 {
		return false
	}
	b.words[word] |= bit
	b.count++
	return true
}

// length returns the largest member + 1.
func (b *bitmap) length() uint64 {
	for i := len(b.words) - 1; i >= 0; i-- {
		if b.words[i] != 0 {
			return uint64(i*64 + bits.Len64(b.words[i]))
		}
	}
	return 0
}

// firstMissing returns the smallest number from from on that is not in the set.
func (b *bitmap) firstMissing(from uint64) uint64 {
	for word := from / 64; word < uint64(len(b.words)); word++ {
		free := ^b.words[word]
		if word == from/64 {
			free &= ^uint64(0) << (from % 64)
		}
		if free != 0 {
			return word*64 + uint64(bits.TrailingZeros64(free))
		}
	}
	return max(from, uint64(len(b.words))*64)
}
